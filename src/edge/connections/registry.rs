//! What the connections of a pod have in common: the table of them, their limits, and what the pod does with all of them.
//!
//! A connection holds its registry, and takes itself out of it when it ends. So the registry does not know the type of
//! connections: `Sessions` is the registry with that type.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use governor::Quota;
use parking_lot::Mutex;
use socketioxide_core::Sid;
use tokio::sync::Notify;

use super::{relayed::RelayedSessions, session_table::SessionTable};
use crate::{
    backplane::{Backplane, Slow},
    config::{Config, Limits, Parser},
};

/// The connections of a pod, each a `C`.
#[derive(Debug)]
pub struct Registry<C> {
    pub(crate) table: SessionTable<C>,
    /// What this pod relays of other pods' sessions.
    pub(crate) relayed: Arc<RelayedSessions>,
    /// Sockets of clients that have not taken all that they were sent.
    pub(crate) slow: Arc<Slow>,
    /// Polling sessions that the pod is to close.
    pub(crate) to_close: ToClose<C>,
    pub(crate) timeouts: Timeouts,
    pub(crate) namespaces: Namespaces,
    /// The pod has more memory than it may.
    pub(crate) over_memory: AtomicBool,
    /// The pod closes its connections now, because it ends.
    closing: AtomicBool,
    /// Called with each session that has moved to a WebSocket.
    on_upgrade: OnUpgrade,
}

impl<C> Default for Registry<C> {
    fn default() -> Self {
        Self::with(Arc::default(), Timeouts::default())
    }
}

impl<C> Registry<C> {
    /// Without connections. Clients that are behind are noted in `slow`.
    pub fn new(slow: Arc<Slow>, config: &Config) -> Self {
        Self::with(slow, Timeouts::new(config))
    }

    fn with(slow: Arc<Slow>, timeouts: Timeouts) -> Self {
        Self {
            table: SessionTable::default(),
            relayed: Arc::default(),
            slow,
            to_close: ToClose::default(),
            timeouts,
            namespaces: Namespaces::default(),
            over_memory: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            on_upgrade: OnUpgrade::default(),
        }
    }

    /// The connection of a session, and of its sockets.
    pub fn find(&self, sid: Sid) -> Option<Arc<C>> {
        self.table.find(sid)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.table.len()
    }

    /// How many have to end with the pod: open connections, and what is relayed.
    pub fn to_end(&self) -> usize {
        self.open() + self.relayed.count()
    }

    /// From now on, connections end because the pod does.
    pub fn closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.relayed.closing();
    }

    /// Whether connections end because the pod does.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Ends all that is still relayed.
    pub fn end_relayed(&self) {
        self.relayed.end_all();
    }

    /// From now on, `hear` is called with each session that has moved to a WebSocket.
    pub fn on_upgrade(&self, hear: impl Fn(Sid) + Send + Sync + 'static) {
        // A pod is built once.
        let _ = self.on_upgrade.0.set(Box::new(hear));
    }

    /// A session has moved to a WebSocket.
    pub(crate) fn upgraded(&self, sid: Sid) {
        if let Some(hear) = self.on_upgrade.0.get() {
            hear(sid);
        }
    }
}

/// Polling sessions that the pod is to close: their queues are full, or another pod is to have them.
#[derive(Debug)]
pub(crate) struct ToClose<C> {
    connections: Mutex<Vec<Weak<C>>>,
    pushed: Notify,
}

impl<C> Default for ToClose<C> {
    fn default() -> Self {
        Self { connections: Mutex::default(), pushed: Notify::new() }
    }
}

impl<C> ToClose<C> {
    pub fn push(&self, connection: &Arc<C>) {
        self.connections.lock().push(Arc::downgrade(connection));
        self.pushed.notify_one();
    }

    /// Waits until there are some, and takes them all.
    pub async fn take(&self) -> Vec<Weak<C>> {
        loop {
            let connections = std::mem::take(&mut *self.connections.lock());
            if !connections.is_empty() {
                return connections;
            }
            self.pushed.notified().await;
        }
    }
}

/// How long clients may take, and what they speak: the same for all connections.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timeouts {
    /// How many packets that are no events a client may send, if that is limited.
    pub control_packets: Option<Quota>,
    /// From one ping to the next.
    pub ping: Duration,
    /// With a message, or its attachments, unfinished.
    pub message: Duration,
    /// With what is written to the client unread.
    pub write: Duration,
    /// From polling to a WebSocket.
    pub upgrade: Duration,
    /// The packets are those of `socket.io-msgpack-parser`.
    pub msgpack: bool,
}

impl Timeouts {
    fn new(config: &Config) -> Self {
        Self {
            control_packets: control_packets(&config.limits),
            ping: config.engine.ping_interval,
            message: config.public.request_timeout,
            write: config.limits.write_timeout,
            upgrade: config.engine.upgrade_timeout,
            msgpack: config.engine.parser == Parser::Msgpack,
        }
    }
}

/// Packets a second beside events, which have limits of their own: pings and pongs of a client that is well.
const CONTROL_PACKETS_BESIDE_EVENTS: u32 = 10;

/// The limit of packets that are no events: as many as events, and some more; none if events are not limited.
fn control_packets(limits: &Limits) -> Option<Quota> {
    let beside = CONTROL_PACKETS_BESIDE_EVENTS;
    let events = NonZeroU32::new(limits.events_per_second)?;
    let rate = events.saturating_add(beside);
    let burst = NonZeroU32::new(limits.events_burst).unwrap_or(events).saturating_add(beside);
    Some(Quota::per_second(rate).allow_burst(burst.max(rate)))
}

/// What the backplane knows of the namespaces of connections.
#[derive(Default)]
pub(crate) struct Namespaces(OnceLock<Backplane>);

impl fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Namespaces")
    }
}

impl Namespaces {
    /// From now on, this backplane is asked.
    pub fn ask(&self, backplane: Backplane) {
        // Once: there is one edge.
        let _ = self.0.set(backplane);
    }

    /// Whether a client can be let in a namespace of this name. If it cannot, socketioxide alone tells it so, and nobody
    /// else is asked.
    pub fn may_exist(&self, namespace: &str) -> bool {
        self.0.get().is_some_and(|backplane| backplane.namespace(namespace).is_ok())
    }

    /// Whether the socket that a session has in a namespace has been told so, and has not left; nothing if it has none.
    pub fn is_connected(&self, namespace: &str, sid: Sid) -> Option<bool> {
        let socket = self.0.get().and_then(|backplane| backplane.local(namespace)?.member(sid));
        socket.map(|socket| socket.is_connected())
    }
}

/// What is called with each session that has moved to a WebSocket.
#[derive(Default)]
struct OnUpgrade(OnceLock<Box<dyn Fn(Sid) + Send + Sync>>);

impl fmt::Debug for OnUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnUpgrade").field(&self.0.get().is_some()).finish()
    }
}
