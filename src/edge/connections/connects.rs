//! What happens to the CONNECTs of a connection: they are let through, wait, are answered.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, SystemTime},
};

use metrics::counter;
use tokio::time::{Instant, sleep};

use super::{connection::Connection, durations::durations};
use crate::{
    edge::packets::namespace_connect::{
        ClientNamespaces, ConnectAction, REFUSED_SOCKET_TIMEOUT, SETTLE,
    },
    tasks,
    telemetry::metrics::INVALID_NAMESPACES,
};

/// A handle on the CONNECTs of a connection.
pub struct Connects<'a>(&'a Arc<Connection>);

impl Connection {
    /// The CONNECTs of this connection.
    pub fn connects(self: &Arc<Self>) -> Connects<'_> {
        Connects(self)
    }
}

impl Connects<'_> {
    /// When the connection began, if it has been in no namespace yet.
    pub fn began_before(&self) -> Option<SystemTime> {
        let was_in = self.0.connects.was_in.load(Ordering::Relaxed);
        (!was_in).then(|| self.0.request.began())
    }

    /// A CONNECT has been answered with a success. What waits for that goes on in a moment.
    pub(super) fn connected(&self, namespace: &str) {
        // The first time is the end of the handshake.
        if !self.0.connects.connected.swap(true, Ordering::Relaxed) {
            durations(self.0.transport()).handshake.record(self.0.request.elapsed());
        }
        if self.0.connects.pending.lock().end(namespace, false) {
            self.go_on_after(namespace, std::future::ready(()));
        }
    }

    /// A CONNECT is refused now, with a text of `connect_error`.
    pub fn refuse(&self) {
        self.0.connects.refuse();
    }

    /// A CONNECT has been refused. Whatever the client sends next for that namespace waits until the library has dropped
    /// `socket`, as a stock client may send another CONNECT at once.
    pub fn refused(&self, namespace: &str, socket: Weak<impl Send + Sync + 'static>) {
        self.0.connects.pending.lock().refuse(namespace);
        self.go_on_after(namespace, async move {
            let end = Instant::now() + REFUSED_SOCKET_TIMEOUT;
            while socket.strong_count() > 0 && Instant::now() < end {
                sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// What waits for a namespace goes on a moment after this.
    fn go_on_after(&self, namespace: &str, after: impl Future<Output = ()> + Send + 'static) {
        let (connection, namespace) = (self.0.clone(), namespace.to_owned());
        let (waiting, name) = (connection.clone(), namespace.clone());
        tasks::spawn_or(
            "connect",
            async move {
                after.await;
                sleep(SETTLE).await;
                connection.connects().go_on(&namespace);
            },
            // What waits would wait for ever.
            async move { waiting.connects().go_on(&name) },
        );
    }

    /// What waits for a namespace goes on now.
    pub(crate) fn go_on(&self, namespace: &str) {
        self.0.connects.pending.lock().end(namespace, true);
        self.0.stream.reader.wake();
    }
}

impl ClientNamespaces for Connection {
    fn on_connect(&self, namespace: &str, left: bool) -> ConnectAction {
        if !self.registry.namespaces.may_exist(namespace) {
            counter!(INVALID_NAMESPACES.name).increment(1);
            return ConnectAction::Forward;
        }
        // Noted before the socket is looked at: a client that is connected in between is not waited for in vain.
        let before = {
            let mut pending = self.connects.pending.lock();
            if pending.is_refused(namespace) {
                return ConnectAction::Wait;
            }
            pending.begin(namespace)
        };
        let sid = self.sid().filter(|_| !left && self.namespaces() > 0);
        match sid.and_then(|sid| self.registry.namespaces.is_connected(namespace, sid)) {
            // The client is told of it at this moment; or it has left it, of which nobody else knows yet.
            Some(_) if before => {
                self.connects.pending.lock().mark_awaited(namespace);
                ConnectAction::Wait
            }
            Some(true) => ConnectAction::DisconnectFirst,
            _ => ConnectAction::Forward,
        }
    }

    fn is_connecting(&self, namespace: &str) -> bool {
        self.connects.pending.lock().mark_awaited(namespace)
    }

    fn is_connecting_any(&self) -> bool {
        !self.connects.pending.lock().is_empty()
    }

    fn is_msgpack(&self) -> bool {
        self.registry.timeouts.msgpack
    }
}
