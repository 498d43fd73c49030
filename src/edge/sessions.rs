//! The connections that are open, and how each of them ended.
//!
//! Gap: socketioxide says nothing of a connection that is in no namespace. So a [`Connection`] is owned by what ends
//! with it, and dropping it is its end, however it came: by its sockets, and by its WebSocket stream or, if it polls,
//! the handshake request, which socketioxide keeps as long as the session. But a session that ends before it
//! joins a namespace is kept until `engine.connect_timeout` (its timer owns it), so the edge also
//! says what it knows itself: [`Connection::end`].

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use governor::Quota;
use metrics::{counter, gauge};
use parking_lot::{Mutex, RwLock};
use socketioxide_core::Sid;
use tokio::sync::Notify;

use super::{
    admission::Place,
    connection::{Began, Connection},
    passing::Passage,
    reason::CloseReason,
    traffic::name,
};
use crate::{
    backplane::{Backplane, Slow},
    config::{Config, Limits, Parser, Transport},
    telemetry::metrics::{
        CONNECTIONS, CONNECTIONS_CLOSED, CONNECTIONS_OPENED, SLOW_CLIENTS_CLOSED,
    },
};

/// All connections of a pod.
#[derive(Debug, Default)]
pub struct Sessions {
    open: RwLock<Open>,
    /// The pod closes them itself now.
    closing: AtomicBool,
    /// What passes through of other pods' sessions.
    passage: Arc<Passage>,
    /// Sockets of clients that have not taken all that they were sent.
    slow: Arc<Slow>,
    /// Polling sessions whose queues are full, to be closed.
    overflowed: Mutex<Vec<Weak<Connection>>>,
    overflow: Notify,
    /// The pod has more memory than it may.
    over_memory: AtomicBool,
    times: Times,
    sockets: Sockets,
    /// Hears of connections that have moved to a WebSocket.
    on_upgrade: OnUpgrade,
}

/// The sockets of all connections, by namespace and id.
#[derive(Default)]
struct Sockets(OnceLock<Backplane>);

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sockets")
    }
}

/// What hears of connections that have moved to a WebSocket.
#[derive(Default)]
struct OnUpgrade(OnceLock<Box<dyn Fn(Sid) + Send + Sync>>);

impl fmt::Debug for OnUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnUpgrade").field(&self.0.get().is_some()).finish()
    }
}

/// How long clients may take, and what they speak, the same for all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// How many packets that are no events a client may send, if that is limited.
    pub others: Option<Quota>,
    /// From one ping to the next.
    pub ping: Duration,
    /// With a message, or its attachments, unfinished.
    pub message: Duration,
    /// With what is written to it unread.
    pub write: Duration,
    /// From polling to a WebSocket.
    pub upgrade: Duration,
    /// Their packets are those of `socket.io-msgpack-parser`.
    pub msgpack: bool,
}

/// Packets a second beside events, which have limits of their own: pings and pongs of a client that is well.
const BESIDE: u32 = 10;

/// As many packets that are no events as events may be sent, and some more; any number if events are not limited.
fn others(limits: &Limits) -> Option<Quota> {
    let events = NonZeroU32::new(limits.events_per_second)?;
    let rate = events.saturating_add(BESIDE);
    let burst = NonZeroU32::new(limits.events_burst).unwrap_or(events).saturating_add(BESIDE);
    Some(Quota::per_second(rate).allow_burst(burst.max(rate)))
}

/// The connections that are open. Each is in one of the maps: that takes room for each of them.
#[derive(Debug, Default)]
struct Open {
    /// Those whose session has no id yet, by [`Connection::key`].
    nameless: HashMap<usize, Weak<Connection>>,
    by_id: HashMap<Sid, Weak<Connection>>,
}

impl Sessions {
    /// None yet. Clients that are behind are noted there.
    pub fn new(slow: Arc<Slow>, config: &Config) -> Self {
        let times = Times {
            others: others(&config.limits),
            ping: config.engine.ping_interval,
            message: config.public.request_timeout,
            write: config.limits.write_timeout,
            upgrade: config.engine.upgrade_timeout,
            msgpack: config.engine.parser == Parser::Msgpack,
        };
        Self { slow, times, ..Self::default() }
    }

    /// What knows the sockets of the connections.
    pub(super) fn know_sockets(&self, backplane: Backplane) {
        // Once: there is one edge.
        let _ = self.sockets.0.set(backplane);
    }

    /// Whether a client can be let in a namespace of this name. One that is not, without anybody being asked, is told so by
    /// socketioxide alone.
    pub(super) fn may_let_in(&self, namespace: &str) -> bool {
        self.sockets.0.get().is_some_and(|sockets| sockets.may_exist(namespace))
    }

    /// Whether the socket that a session has in a namespace has been told so, and has not left; nothing if it has none.
    pub(super) fn is_connected(&self, namespace: &str, sid: Sid) -> Option<bool> {
        let socket = self.sockets.0.get().and_then(|sockets| sockets.occupant(namespace, sid));
        socket.map(|socket| socket.is_connected())
    }

    /// Notes whether the pod has more memory than it may, and says what was noted before.
    pub(super) fn set_over_memory(&self, over: bool) -> bool {
        self.over_memory.swap(over, Ordering::Relaxed)
    }

    /// Whether it has.
    pub(super) fn is_over_memory(&self) -> bool {
        self.over_memory.load(Ordering::Relaxed)
    }

    /// How long clients may take.
    pub(super) fn times(&self) -> &Times {
        &self.times
    }

    /// Waits for polling sessions whose queues are full.
    pub(super) async fn overflowed(&self) -> Vec<Weak<Connection>> {
        loop {
            let overflowed = std::mem::take(&mut *self.overflowed.lock());
            if !overflowed.is_empty() {
                return overflowed;
            }
            self.overflow.notified().await;
        }
    }

    /// From now on, this hears of connections that have moved to a WebSocket.
    pub fn on_upgrade(&self, hear: impl Fn(Sid) + Send + Sync + 'static) {
        // A pod is built once.
        let _ = self.on_upgrade.0.set(Box::new(hear));
    }

    /// One has.
    pub(super) fn upgraded(&self, sid: Sid) {
        if let Some(hear) = self.on_upgrade.0.get() {
            hear(sid);
        }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        let open = self.open.read();
        open.nameless.len() + open.by_id.len()
    }

    /// Those that are open.
    pub(super) fn all(&self) -> Vec<Weak<Connection>> {
        let open = self.open.read();
        open.nameless.values().chain(open.by_id.values()).cloned().collect()
    }

    /// From now on, connections end because the pod does.
    pub fn closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.passage.closing();
    }

    /// Ends all that still passes through.
    pub fn end_passage(&self) {
        self.passage.end_all();
    }

    /// Begins a connection: it is over when the last clone of the `Arc` is dropped.
    pub(super) fn begin(self: &Arc<Self>, began: Began, place: Option<Place>) -> Arc<Connection> {
        let transport = began.transport;
        counter!(CONNECTIONS_OPENED.name, "transport" => name(transport)).increment(1);
        gauge!(CONNECTIONS.name, "transport" => name(transport)).increment(1);
        let connection = Arc::new(Connection::new(self.clone(), began, place));
        self.open.write().nameless.insert(connection.key(), Arc::downgrade(&connection));
        connection
    }

    /// What passes through of other pods' sessions.
    pub(super) fn passage(&self) -> &Arc<Passage> {
        &self.passage
    }

    /// How many have to end with the pod: those that are open, and what passes through.
    pub fn to_end(&self) -> usize {
        self.open() + self.passage.count()
    }

    /// A connection is found by its session id from now on, unless it has ended.
    pub(super) fn found_by(&self, sid: Sid, connection: &Connection) {
        let mut open = self.open.write();
        if let Some(connection) = open.nameless.remove(&connection.key()) {
            open.by_id.insert(sid, connection);
        }
    }

    /// The connection of a session, and of its sockets.
    pub fn find(&self, sid: Sid) -> Option<Arc<Connection>> {
        self.open.read().by_id.get(&sid)?.upgrade()
    }

    /// Clients that are behind.
    pub(super) fn slow(&self) -> &Slow {
        &self.slow
    }

    /// Whether connections end because the pod does.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The queue of a polling session is full.
    pub(super) fn overflows(&self, connection: &Arc<Connection>) {
        self.overflowed.lock().push(Arc::downgrade(connection));
        self.overflow.notify_one();
    }

    /// A connection is over.
    pub(super) fn ended(&self, connection: &Connection, transport: Transport, reason: CloseReason) {
        let mut open = self.open.write();
        open.nameless.remove(&connection.key());
        // Looked at under the lock: it may be found by it since a moment ago.
        if let Some(sid) = connection.sid() {
            open.by_id.remove(&sid);
        }
        drop(open);
        gauge!(CONNECTIONS.name, "transport" => name(transport)).decrement(1);
        counter!(CONNECTIONS_CLOSED.name, "reason" => reason.name()).increment(1);
        if matches!(reason, CloseReason::QueueFull | CloseReason::WriteTimeout) {
            counter!(SLOW_CLIENTS_CLOSED.name, "reason" => reason.name()).increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_and_is_found_while_it_lives() {
        let sessions = Arc::new(Sessions::default());
        let sid = Sid::new();
        let connection = sessions.begin(Began::by(Transport::Polling), None);
        connection.has_id(sid);
        assert_eq!(sessions.open(), 1);
        assert!(sessions.find(sid).is_some());
        drop(connection);
        assert_eq!(sessions.open(), 0);
        assert!(sessions.find(sid).is_none());
    }

    #[test]
    fn one_that_ends_before_its_id_is_known_is_not_found_by_it() {
        let sessions = Arc::new(Sessions::default());
        let connection = sessions.begin(Began::by(Transport::Websocket), None);
        connection.end();
        connection.has_id(Sid::new());
        assert_eq!(sessions.open(), 0);
    }
}
