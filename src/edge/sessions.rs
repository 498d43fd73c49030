//! The connections that are open, and how each of them ended.
//!
//! Gap: socketioxide says nothing of a connection that is in no namespace. So each handshake request
//! carries a [`Connection`] in its extensions: socketioxide keeps the request as long as the session,
//! and dropping it is the end of the connection, however it came. But a session that ends before it
//! joins a namespace is kept until `engine.connect_timeout` (its timer owns it), so the edge also
//! says what it knows itself: [`Connection::end`].

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::extract::Query;
use futures_util::task::AtomicWaker;
use http::Uri;
use metrics::{counter, gauge};
use parking_lot::{Mutex, MutexGuard, RwLock};
use socketioxide::socket::DisconnectReason;
use socketioxide_core::Sid;
use tokio::sync::Notify;

use super::{admission::Place, attachments::Attachments};
use crate::{
    backplane::Slow,
    config::{Secret, Transport},
    telemetry::metrics::{CONNECTIONS, CONNECTIONS_CLOSED, CONNECTIONS_OPENED},
};

/// A poll that is not answered for so long has nothing to be answered with.
const HELD: Duration = Duration::from_millis(20);

/// All connections of a pod.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Those that are open, by a number of their own.
    open: RwLock<HashMap<u64, Weak<Connection>>>,
    next: AtomicU64,
    /// The pod closes them itself now.
    closing: AtomicBool,
    /// Sessions that began with polling, by id: only those can be asked for by another request.
    polling: RwLock<HashMap<Sid, Weak<Connection>>>,
    /// WebSockets of other pods' sessions that pass through this one.
    relayed: RwLock<HashMap<u64, Weak<Notify>>>,
    /// Sockets of clients that have not taken all that they were sent.
    slow: Arc<Slow>,
    /// Polling sessions whose queues are full, to be closed.
    overflowed: Mutex<Vec<Weak<Connection>>>,
    overflow: Notify,
}

impl Sessions {
    /// None yet. Clients that are behind are noted there.
    pub fn new(slow: Arc<Slow>) -> Self {
        Self { slow, ..Self::default() }
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

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.read().len()
    }

    /// Those that are open.
    pub(super) fn all(&self) -> Vec<Weak<Connection>> {
        self.open.read().values().cloned().collect()
    }

    /// From now on, connections end because the pod does.
    pub fn closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Begins a connection: it is over when the last clone of the `Arc` is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        remote: SocketAddr,
        transport: Transport,
        place: Option<Place>,
        credential: Option<Secret>,
    ) -> Arc<Connection> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        counter!(CONNECTIONS_OPENED.name, "transport" => name(transport)).increment(1);
        gauge!(CONNECTIONS.name, "transport" => name(transport)).increment(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let connection = Arc::new(Connection {
            sessions: self.clone(),
            number,
            remote,
            place: Mutex::new(place),
            credential,
            began: u64::try_from(now.as_millis()).unwrap_or_default(),
            websocket: AtomicBool::new(transport == Transport::Websocket),
            reason: AtomicU8::new(CloseReason::NoNamespace as u8),
            verdict: AtomicU8::new(CloseReason::NoNamespace as u8),
            namespaces: AtomicUsize::new(0),
            acks: AtomicUsize::new(0),
            backlog: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            ping_withheld: AtomicBool::new(false),
            polls: AtomicU32::new(0),
            polled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            polling_sid: OnceLock::new(),
            socket: OnceLock::new(),
            stream: StreamControl::default(),
            attachments: Mutex::default(),
        });
        self.open.write().insert(number, Arc::downgrade(&connection));
        connection
    }

    /// Begins to pass the WebSocket of another pod's session through.
    pub(super) fn relay(self: &Arc<Self>) -> Relayed {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let end = Arc::new(Notify::new());
        self.relayed.write().insert(number, Arc::downgrade(&end));
        Relayed { sessions: self.clone(), number, end }
    }

    /// Those that pass through now: each ends when it is notified.
    pub(super) fn relayed(&self) -> Vec<Weak<Notify>> {
        self.relayed.read().values().cloned().collect()
    }

    /// Makes a connection findable by its session id.
    pub(super) fn register(&self, sid: Sid, connection: &Arc<Connection>) {
        // A session has one id for life.
        let _ = connection.polling_sid.set(sid);
        self.polling.write().insert(sid, Arc::downgrade(connection));
    }

    /// The connection of a session that began with polling.
    pub(super) fn find(&self, sid: Sid) -> Option<Arc<Connection>> {
        self.polling.read().get(&sid)?.upgrade()
    }
}

/// A WebSocket of another pod's session passes through this one.
pub(super) struct Relayed {
    sessions: Arc<Sessions>,
    number: u64,
    end: Arc<Notify>,
}

impl Relayed {
    /// Waits until this pod ends it.
    pub async fn ended(&self) {
        self.end.notified().await;
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.sessions.relayed.write().remove(&self.number);
    }
}

/// One client's Engine.IO session.
#[derive(Debug)]
pub struct Connection {
    sessions: Arc<Sessions>,
    /// Its key in [`Sessions::open`].
    number: u64,
    remote: SocketAddr,
    /// What it has of the limit of its address, until it ends.
    place: Mutex<Option<Place>>,
    /// The token of the request that opened it: each of its namespaces looks at it.
    credential: Option<Secret>,
    /// When it began, in milliseconds since 1970.
    began: u64,
    /// Whether it uses a WebSocket now, else polling.
    websocket: AtomicBool,
    /// The [`CloseReason`] that socketioxide gives for its last socket.
    reason: AtomicU8,
    /// The [`CloseReason`] of the edge, if it ended the stream itself.
    verdict: AtomicU8,
    /// How many namespaces it is in.
    namespaces: AtomicUsize,
    /// Acks that it waits for, or is waited for.
    acks: AtomicUsize,
    /// It has not taken all that was written to it.
    backlog: AtomicBool,
    /// It is being closed.
    leaving: AtomicBool,
    /// Its first ping has been withheld.
    ping_withheld: AtomicBool,
    /// Polls that have begun, and whether the last one waits for its answer.
    polls: AtomicU32,
    polled: AtomicBool,
    /// Whether it has been counted as closed.
    ended: AtomicBool,
    /// Its session id, if it began with polling.
    polling_sid: OnceLock<Sid>,
    /// The id of its sockets, once it is in a namespace.
    socket: OnceLock<Sid>,
    pub(super) stream: StreamControl,
    attachments: Mutex<Attachments>,
}

/// How a WebSocket stream is told to end, from any task.
#[derive(Debug, Default)]
pub(super) struct StreamControl {
    pub ended: AtomicBool,
    /// The task that reads the stream.
    pub reader: AtomicWaker,
    /// What is queued is not to be written any more.
    pub cut: AtomicBool,
    /// The task that writes it, while the client takes nothing.
    pub writer: AtomicWaker,
}

impl Connection {
    /// Notes that it is in a namespace, for as long as the answer lives.
    pub fn enter_namespace(self: &Arc<Self>, socket: Sid) -> InNamespace {
        // It is the same in all namespaces.
        let _ = self.socket.set(socket);
        self.namespaces.fetch_add(1, Ordering::Relaxed);
        InNamespace(self.clone())
    }

    /// The token that it was opened with, in a header or a cookie.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_ref().map(Secret::expose)
    }

    /// Whether it is in a namespace now.
    pub(super) fn is_in_namespace(&self) -> bool {
        self.namespaces.load(Ordering::Relaxed) > 0
    }

    /// The connection is over: counts it, once.
    pub(super) fn end(&self) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let transport = if self.is_websocket() { Transport::Websocket } else { Transport::Polling };
        let reason = if self.sessions.closing.load(Ordering::Relaxed) {
            CloseReason::ServerShuttingDown
        } else {
            match CloseReason::from_index(self.verdict.load(Ordering::Relaxed)) {
                CloseReason::NoNamespace => {
                    CloseReason::from_index(self.reason.load(Ordering::Relaxed))
                }
                verdict => verdict,
            }
        };
        if let Some(sid) = self.polling_sid.get() {
            self.sessions.polling.write().remove(sid);
        }
        self.sessions.open.write().remove(&self.number);
        drop(self.place.lock().take());
        self.set_slow(false);
        gauge!(CONNECTIONS.name, "transport" => name(transport)).decrement(1);
        counter!(CONNECTIONS_CLOSED.name, "reason" => reason.name()).increment(1);
        tracing::debug!(remote = %self.remote, reason = reason.name(), "connection closed");
    }

    /// Whether something is under way for it: an ack, or what was sent and has not been taken.
    pub(super) fn is_busy(&self) -> bool {
        self.acks.load(Ordering::Relaxed) > 0 || self.backlog.load(Ordering::Relaxed)
    }

    /// Notes whether it has not taken all that was written to it.
    pub(super) fn set_backlog(&self, backlog: bool) {
        self.backlog.store(backlog, Ordering::Relaxed);
        self.set_slow(backlog);
    }

    fn set_slow(&self, slow: bool) {
        match self.socket.get() {
            Some(socket) if slow => self.sessions.slow.begins(*socket),
            Some(socket) => self.sessions.slow.ends(*socket),
            None => {}
        }
    }

    /// It is being closed. Says whether it was not already.
    pub(super) fn begin_leaving(&self) -> bool {
        !self.leaving.swap(true, Ordering::Relaxed)
    }

    /// Whether its first ping is to be withheld, which is once.
    pub(super) fn withhold_ping(&self) -> bool {
        !self.ping_withheld.swap(true, Ordering::Relaxed)
    }

    /// Whether it has been.
    pub(super) fn ping_is_withheld(&self) -> bool {
        self.ping_withheld.load(Ordering::Relaxed)
    }

    /// A poll begins, until the answer is dropped.
    pub(super) fn begin_poll(&self) -> Polled<'_> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.polled.store(true, Ordering::Relaxed);
        // It takes all that waits for it.
        self.set_slow(false);
        Polled(self)
    }

    /// Waits until one poll has nothing to be answered with: the client has all that was queued.
    pub(super) async fn has_all(&self, patience: Duration) {
        let held = async {
            loop {
                let poll = self.polls.load(Ordering::Relaxed);
                tokio::time::sleep(HELD).await;
                if self.polled.load(Ordering::Relaxed) && self.polls.load(Ordering::Relaxed) == poll
                {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, held).await;
    }

    /// Whether it uses a WebSocket now.
    pub(super) fn is_websocket(&self) -> bool {
        self.websocket.load(Ordering::Relaxed)
    }

    /// Its session id, if it began with polling.
    pub(super) fn polling_sid(&self) -> Option<Sid> {
        self.polling_sid.get().copied()
    }

    /// Follows the attachments of its polling requests.
    pub(super) fn attachments(&self) -> MutexGuard<'_, Attachments> {
        self.attachments.lock()
    }

    /// Notes why the edge ends it.
    pub(super) fn verdict(&self, reason: CloseReason) {
        self.verdict.store(reason as u8, Ordering::Relaxed);
    }

    /// Ends its WebSocket stream, as if the client had, for a reason of the edge's own.
    pub(super) fn end_stream(&self, reason: CloseReason) {
        self.verdict(reason);
        self.stream.ended.store(true, Ordering::Release);
        self.stream.reader.wake();
    }

    /// Moves a polling connection to a WebSocket. Says whether it was this call that did.
    pub(super) fn claim_upgrade(&self) -> bool {
        let claimed = !self.websocket.swap(true, Ordering::Relaxed);
        if claimed && !self.ended.load(Ordering::Relaxed) {
            gauge!(CONNECTIONS.name, "transport" => name(Transport::Polling)).decrement(1);
            gauge!(CONNECTIONS.name, "transport" => name(Transport::Websocket)).increment(1);
        }
        claimed
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

/// A poll waits for its answer.
pub(super) struct Polled<'a>(&'a Connection);

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        self.0.polled.store(false, Ordering::Relaxed);
        if !self.0.is_websocket() && !self.0.ended.load(Ordering::Relaxed) {
            self.0.set_slow(true);
        }
    }
}

/// An ack is waited for.
#[derive(Debug)]
pub struct PendingAck(Arc<Connection>);

impl Drop for PendingAck {
    fn drop(&mut self) {
        self.0.acks.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection is in a namespace.
#[derive(Debug)]
pub struct InNamespace(Arc<Connection>);

impl InNamespace {
    /// What the connection began with, as Node's `socket.handshake`; without headers, which are not
    /// kept, and without `auth`, which may hold a secret.
    pub fn handshake(&self, uri: Option<&Uri>) -> serde_json::Value {
        let issued = UNIX_EPOCH + Duration::from_millis(self.0.began);
        let query = uri.and_then(|uri| Query::<HashMap<String, String>>::try_from_uri(uri).ok());
        serde_json::json!({
            "headers": {},
            "time": humantime::format_rfc3339_seconds(issued).to_string(),
            "address": self.0.remote.ip().to_string(),
            "xdomain": false,
            "secure": false,
            "issued": self.0.began,
            "url": uri.map(ToString::to_string),
            "query": query.map(|Query(query)| query).unwrap_or_default(),
            "auth": {},
        })
    }

    /// Closes the connection, once what is queued is written. A polling client that has been
    /// disconnected from all its namespaces leaves by itself.
    pub fn close(&self) {
        if self.0.is_websocket() {
            self.0.end_stream(CloseReason::ServerNamespaceDisconnect);
        }
    }

    /// Closes the connection at once: its queue is full.
    pub fn overflowed(&self) {
        let (connection, sessions) = (&self.0, &self.0.sessions);
        if connection.is_websocket() {
            connection.stream.cut.store(true, Ordering::Release);
            connection.end_stream(CloseReason::QueueFull);
            connection.stream.writer.wake();
        } else if !connection.leaving.load(Ordering::Relaxed) {
            connection.verdict(CloseReason::QueueFull);
            sessions.overflowed.lock().push(Arc::downgrade(connection));
            sessions.overflow.notify_one();
        }
    }

    /// Notes that an ack is waited for, by the client or from it, for as long as the answer lives.
    pub fn await_ack(&self) -> PendingAck {
        self.0.acks.fetch_add(1, Ordering::Relaxed);
        PendingAck(self.0.clone())
    }

    /// Notes why the socket ended; the last one tells why the connection did.
    pub fn ended(&self, reason: CloseReason) {
        self.0.reason.store(reason as u8, Ordering::Relaxed);
    }
}

impl Drop for InNamespace {
    fn drop(&mut self) {
        self.0.namespaces.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// It joined no namespace: it left before, sent nonsense, or ran into `engine.connect_timeout`.
    NoNamespace,
    /// The client closed it, or the network did.
    TransportClose,
    /// It broke.
    TransportError,
    /// The client did not answer a ping.
    PingTimeout,
    /// The client sent what is no packet.
    ParseError,
    /// The client left its last namespace, then went.
    ClientNamespaceDisconnect,
    /// The pod put it out of its last namespace.
    ServerNamespaceDisconnect,
    /// The pod ended.
    ServerShuttingDown,
    /// The client began a message, or announced attachments, and did not go on. Ours: Node waits.
    MessageTimeout,
    /// The client took nothing of what was sent to it. Ours: on Node it runs into the ping timeout.
    WriteTimeout,
    /// The pod gave it away, for another pod to take it. Ours.
    Rebalanced,
    /// More was sent to the client than may wait for it. Ours: Node keeps it all.
    QueueFull,
}

impl CloseReason {
    const ALL: [Self; 12] = [
        Self::NoNamespace,
        Self::TransportClose,
        Self::TransportError,
        Self::PingTimeout,
        Self::ParseError,
        Self::ClientNamespaceDisconnect,
        Self::ServerNamespaceDisconnect,
        Self::ServerShuttingDown,
        Self::MessageTimeout,
        Self::WriteTimeout,
        Self::Rebalanced,
        Self::QueueFull,
    ];

    fn from_index(index: u8) -> Self {
        Self::ALL.get(usize::from(index)).copied().unwrap_or(Self::NoNamespace)
    }

    /// Its name in Socket.IO's documentation ("disconnecting event"), and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoNamespace => "no namespace",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ServerShuttingDown => "server shutting down",
            Self::MessageTimeout => "message timeout",
            Self::WriteTimeout => "write timeout",
            Self::Rebalanced => "rebalanced",
            Self::QueueFull => "queue full",
        }
    }
}

impl From<DisconnectReason> for CloseReason {
    fn from(reason: DisconnectReason) -> Self {
        match reason {
            DisconnectReason::TransportClose => Self::TransportClose,
            // Node ends a client that polls twice at once with a transport error as well.
            DisconnectReason::TransportError | DisconnectReason::MultipleHttpPollingError => {
                Self::TransportError
            }
            DisconnectReason::PacketParsingError => Self::ParseError,
            DisconnectReason::HeartbeatTimeout => Self::PingTimeout,
            DisconnectReason::ClientNSDisconnect => Self::ClientNamespaceDisconnect,
            DisconnectReason::ServerNSDisconnect => Self::ServerNamespaceDisconnect,
            DisconnectReason::ClosingServer => Self::ServerShuttingDown,
        }
    }
}

/// A transport's name in metrics and in Engine.IO.
pub(super) fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Polling => "polling",
        Transport::Websocket => "websocket",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_and_is_found_while_it_lives() {
        let sessions = Arc::new(Sessions::default());
        let sid = Sid::new();
        let connection = sessions.begin(([127, 0, 0, 1], 1).into(), Transport::Polling, None, None);
        sessions.register(sid, &connection);
        assert_eq!(sessions.open(), 1);
        assert!(sessions.find(sid).is_some());
        drop(connection);
        assert_eq!(sessions.open(), 0);
        assert!(sessions.find(sid).is_none());
        assert!(sessions.polling.read().is_empty());
    }

    #[test]
    fn a_reason_survives_its_index() {
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_index(reason as u8), reason);
        }
    }
}
