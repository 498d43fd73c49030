//! A socket on this pod, from its CONNECT to its end: its state, and the namespace whose handlers are called for it.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use metrics::gauge;
use parking_lot::Mutex;
use serde_json::Value;
use socketioxide::socket::Socket as IoSocket;
use thin_vec::ThinVec;

use super::{
    connect_progress::ConnectProgress,
    deadlines::DeadlineSlot,
    dismissal::{DISMISSAL_DELAY, Dismissal},
    runtime::NamespaceRuntime,
};
use crate::{
    backplane::{Adapter, MemberSocket, SocketHandle},
    edge::InNamespace,
    gateway::{
        replies::catch_panic::catch_panic,
        sockets::{rate_limit::RateLimit, socket::Socket, state::SocketState},
    },
    tasks,
    telemetry::metrics::SOCKETS,
};

/// A socket on this pod. Its handlers own it, so that it is dropped with them.
pub(in crate::gateway) struct ActiveSocket {
    pub runtime: Arc<NamespaceRuntime>,
    pub state: Arc<SocketState>,
    pub progress: ConnectProgress,
    pub dismissal: Dismissal,
    pub used_once: UsedOnce,
    pub deadline: DeadlineSlot,
    /// The rate limit of its events, if there is one.
    pub event_rate: Option<Box<RateLimit>>,
    io: Weak<IoSocket<Adapter>>,
    this: Weak<Self>,
    /// Events that wait for their replies.
    pending_replies: AtomicU32,
    /// Whether a token is being checked.
    authenticating: AtomicBool,
    /// Whether the backplane has been told that it left.
    departed: AtomicBool,
    /// A box, because most sockets have none of it.
    details: Mutex<Option<Box<Details>>>,
}

/// What only some sockets have until the program is told of them.
#[derive(Default)]
struct Details {
    /// The id that the client's socket had before, as the client says.
    previous: Option<String>,
    /// Whether the connection was upgraded before the program was told of the socket.
    upgraded: bool,
    /// Rooms that it is put in when it has authenticated.
    deferred_rooms: Vec<String>,
}

impl ActiveSocket {
    /// A socket that connects. `previous` is the id that it had before, if the program wants to know.
    pub fn new(
        runtime: &Arc<NamespaceRuntime>,
        io: &Arc<IoSocket<Adapter>>,
        handle: SocketHandle,
        connection: InNamespace,
        previous: Option<String>,
    ) -> Arc<Self> {
        gauge!(SOCKETS.name, "nsp" => runtime.context.label.clone()).increment(1);
        let details = previous
            .map(|previous| Box::new(Details { previous: Some(previous), ..Details::default() }));
        let limits = &runtime.context.limits;
        Arc::new_cyclic(|this| Self {
            runtime: runtime.clone(),
            state: SocketState::new(runtime.context.clone(), io.id, handle, connection),
            progress: ConnectProgress::new(),
            dismissal: Dismissal::default(),
            used_once: UsedOnce::default(),
            deadline: DeadlineSlot::default(),
            event_rate: RateLimit::new(limits.events_per_second, limits.events_burst).map(Box::new),
            io: Arc::downgrade(io),
            this: this.clone(),
            pending_replies: AtomicU32::new(0),
            authenticating: AtomicBool::new(false),
            departed: AtomicBool::new(false),
            details: Mutex::new(details),
        })
    }

    /// The same socket as the backplane knows it.
    pub fn as_member(&self) -> Weak<dyn MemberSocket> {
        self.this.clone()
    }

    /// The same socket as handlers know it. `None` once it has gone.
    pub fn socket(&self) -> Option<Socket> {
        Some(Socket { io: self.io.upgrade()?, state: self.state.clone() })
    }

    /// Sends the client an event of Roomcast's own.
    pub fn emit(&self, event: &str, argument: &Value) {
        // An error has been counted, and there is nothing more to do about it.
        let _ = self.socket().map(|socket| socket.emit(event, argument));
    }

    /// Tells the program of the socket, once: `on_connect`, or `on_reconnect`.
    pub fn announce(&self, socket: &Socket) {
        let namespace = &self.runtime.namespace;
        let first = self.progress.announce(|| {
            let previous = self.details.lock().as_mut().and_then(|details| details.previous.take());
            // A panic here must not poison the `Once`: every later event would panic too.
            let _ = catch_panic("on_connect", || match (&namespace.on_reconnect, previous) {
                (Some(on_reconnect), Some(previous)) => on_reconnect(socket, &previous),
                _ => namespace.on_connect.iter().for_each(|on_connect| on_connect(socket)),
            });
        });
        if first && namespace.on_upgrade.is_some() && self.change(|details| details.upgraded) {
            self.call_on_upgrade(socket);
        }
    }

    /// The connection has been upgraded to a WebSocket: calls `on_upgrade`. If the program does not know of the socket yet,
    /// [`Self::announce`] does that.
    pub fn call_upgraded(&self) {
        if self.runtime.namespace.on_upgrade.is_none() {
            return;
        }
        let announced = self.change(|details| {
            details.upgraded = !self.progress.is_announced();
            !details.upgraded
        });
        if announced && let Some(socket) = self.socket() {
            self.call_on_upgrade(&socket);
        }
    }

    fn call_on_upgrade(&self, socket: &Socket) {
        if let Some(on_upgrade) = &self.runtime.namespace.on_upgrade {
            let _ = catch_panic("on_upgrade", || on_upgrade(socket));
        }
    }

    /// Begins to check a token, until the guard is dropped. `None` if one is being checked.
    pub fn begin_authentication(self: &Arc<Self>) -> Option<PendingAuthentication> {
        let begun = !self.authenticating.swap(true, Ordering::AcqRel);
        begun.then(|| PendingAuthentication(self.clone()))
    }

    /// An event waits for its reply, until the guard is dropped. `None` if too many do.
    pub fn begin_reply(self: &Arc<Self>) -> Option<PendingReply> {
        let max = self.runtime.context.limits.acks_pending;
        let begun =
            self.pending_replies.fetch_update(Ordering::AcqRel, Ordering::Acquire, |pending| {
                (pending < max).then_some(pending + 1)
            });
        begun.ok().map(|_| PendingReply(self.clone()))
    }

    /// Notes rooms that the socket is put in when it has authenticated.
    pub fn defer_rooms(&self, rooms: Vec<String>) {
        if !rooms.is_empty() {
            self.change(|details| details.deferred_rooms = rooms);
        }
    }

    /// Takes these rooms.
    pub fn take_deferred_rooms(&self) -> Vec<String> {
        self.change(|details| std::mem::take(&mut details.deferred_rooms))
    }

    /// Disconnects the socket if it is dismissed, after the client has had the time to read why.
    pub fn disconnect_if_dismissed(self: &Arc<Self>) {
        if !self.dismissal.begin() {
            return;
        }
        let (active, again) = (self.clone(), self.clone());
        let dismiss = async move {
            tokio::time::sleep(DISMISSAL_DELAY).await;
            active.disconnect();
        };
        // It would stay, and nothing that it sends would be handled.
        tasks::spawn_or("dismissal", dismiss, async move { again.disconnect() });
    }

    fn disconnect(&self) {
        if let Some(socket) = self.socket() {
            socket.disconnect(false);
        }
    }

    /// The socket has left the namespace.
    pub fn depart(&self) {
        // Once: the last reference may be dropped while the namespace is being removed.
        if self.departed.swap(true, Ordering::AcqRel) {
            return;
        }
        let NamespaceRuntime { context, deadlines, on_leave, .. } = &*self.runtime;
        deadlines.remove(self);
        self.state.handle.depart(&self.as_member());
        if let Some(on_leave) = on_leave {
            on_leave(&context.path);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Details) -> T) -> T {
        change(self.details.lock().get_or_insert_default())
    }
}

impl Drop for ActiveSocket {
    fn drop(&mut self) {
        // A socket whose connection ended before it was let in gets no disconnect handler.
        self.depart();
        gauge!(SOCKETS.name, "nsp" => self.runtime.context.label.clone()).decrement(1);
    }
}

/// The handlers for one event only that a socket has used, by their places in the namespace.
#[derive(Default)]
pub(in crate::gateway) struct UsedOnce(Mutex<ThinVec<usize>>);

impl UsedOnce {
    /// Whether a handler has been used.
    pub fn contains(&self, handler: usize) -> bool {
        self.0.lock().contains(&handler)
    }

    /// A handler is used.
    pub fn insert(&self, handler: usize) {
        self.0.lock().push(handler);
    }
}

/// A token is being checked.
pub(in crate::gateway) struct PendingAuthentication(Arc<ActiveSocket>);

impl Drop for PendingAuthentication {
    fn drop(&mut self) {
        self.0.authenticating.store(false, Ordering::Release);
    }
}

/// An event waits for its reply.
pub(in crate::gateway) struct PendingReply(Arc<ActiveSocket>);

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.0.pending_replies.fetch_sub(1, Ordering::AcqRel);
    }
}
