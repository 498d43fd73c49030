//! One client's Engine.IO session, and how it is told to end.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::extract::Query;
use futures_util::task::AtomicWaker;
use governor::{DefaultDirectRateLimiter, RateLimiter};
use http::Uri;
use metrics::{counter, gauge};
use parking_lot::Mutex;
use socketioxide_core::Sid;
use tokio::{sync::Notify, time::Instant};

use super::{
    address_limit::AddressPermit,
    close_reason::CloseReason,
    durations::durations,
    registry::{Registry, Timeouts},
    traffic::name,
    write_watch::WriteWatch,
};
use crate::{
    backplane::Watch,
    config::{Secret, Transport},
    edge::{
        packets::{
            attachments::AttachmentTracker,
            namespace_connect::{
                ClientNamespaces, ConnectAction, PendingConnects, REFUSED_SOCKET_TIMEOUT, SETTLE,
            },
        },
        requests::kept_headers::KeptHeaders,
    },
    telemetry::{
        metrics::{CONNECTIONS, CONNECTIONS_CLOSED, INVALID_NAMESPACES, SLOW_CLIENTS_CLOSED},
        traces::{self, TRACEPARENT, TRACESTATE, Trace},
    },
};

/// A poll that is not answered for so long has nothing to be answered with.
const HELD: Duration = Duration::from_millis(20);

/// How often, and how long each time, a poll is waited for that may have been sent before a packet that closes.
const BEHIND: (u32, Duration) = (10, Duration::from_millis(2));

/// How a connection began.
pub(crate) struct NewConnection {
    /// When its request came.
    pub at: Instant,
    pub remote: SocketAddr,
    pub transport: Transport,
    /// It speaks Engine.IO v3.
    pub eio3: bool,
    /// It came over TLS, as a trusted load balancer says.
    pub secure: bool,
    /// It came from a page of a browser.
    pub cross_domain: bool,
    /// What is kept of its request.
    pub kept: Option<Box<KeptHeaders>>,
}

/// One client's Engine.IO session.
#[derive(Debug)]
pub struct Connection {
    registry: Arc<Registry<Connection>>,
    remote: IpAddr,
    /// What it has of the limit of its address, until it ends.
    permit: Mutex<Option<Box<AddressPermit>>>,
    /// What was kept of the request that opened it.
    kept: Option<Box<KeptHeaders>>,
    /// How many packets that are no events it may send, if that is limited.
    others: Option<Box<DefaultDirectRateLimiter>>,
    /// It speaks Engine.IO v3.
    eio3: bool,
    /// It came over TLS, as a load balancer said.
    secure: bool,
    /// It came from a page.
    cross_domain: bool,
    /// When it began, in milliseconds since 1970.
    began: u64,
    /// The same by a clock that nobody sets.
    opened: Instant,
    /// Whether it has been let in a namespace.
    let_in: AtomicBool,
    /// Whether it uses a WebSocket now, else polling.
    websocket: AtomicBool,
    /// The [`CloseReason`] that socketioxide gives for its last socket.
    reason: AtomicU8,
    /// The [`CloseReason`] of the edge, if it ended the stream itself.
    verdict: AtomicU8,
    /// How many namespaces it is in.
    namespaces: AtomicU32,
    /// Acks that it waits for, or is waited for.
    acks: AtomicU32,
    /// Refusals of CONNECT that are on their way to it (`refused`).
    refusals: AtomicU32,
    /// The namespaces that it is being let in.
    entering: Mutex<PendingConnects>,
    /// It has not taken all that was written to it.
    backlog: AtomicBool,
    /// It is being closed.
    leaving: AtomicBool,
    /// Its first ping has been withheld.
    ping_withheld: AtomicBool,
    /// Whether it has been counted as closed.
    ended: AtomicBool,
    /// It has been in a namespace, if it is in none now.
    was_in: AtomicBool,
    /// The id of its session, and of its sockets in all namespaces, once socketioxide has chosen it.
    sid: OnceLock<Sid>,
    /// If it began with polling.
    polling: Option<Box<Polling>>,
    /// Its WebSocket stream is to end, as any task says.
    told_to_end: AtomicBool,
    /// What is queued for it is not to be written any more.
    cut: AtomicBool,
    pub(crate) stream: StreamWakers,
    /// The packet that it is to tell of once that is written. The last of what is no flag or count: the stream looks at it
    /// as often as at those, which the compiler puts behind it.
    pub(crate) watching: WriteWatch,
}

/// What only sessions have that began with polling.
#[derive(Debug, Default)]
struct Polling {
    /// Polls that have begun, and whether the last one waits for its answer.
    polls: AtomicU32,
    polled: AtomicBool,
    /// A poll that waits is to be answered with nothing, or with the end.
    released: Notify,
    /// The client is to be told, by its next poll, that the session is over.
    closing: AtomicBool,
    /// A WebSocket asks whether it may take it over.
    upgrading: AtomicBool,
    /// A request with what the client sends is under way.
    posting: AtomicBool,
    /// The session has been ended: what is under way for it is not waited for.
    over: AtomicBool,
    ended: Notify,
    attachments: Mutex<AttachmentTracker>,
}

/// The tasks of a WebSocket stream, to be woken when something is said to it.
#[derive(Debug, Default)]
pub(crate) struct StreamWakers {
    /// The one that reads.
    pub reader: AtomicWaker,
    /// The one that writes, while the client takes nothing.
    pub writer: AtomicWaker,
}

impl Connection {
    /// A connection that begins now.
    pub(crate) fn new(
        registry: Arc<Registry<Connection>>,
        began: NewConnection,
        permit: Option<AddressPermit>,
    ) -> Self {
        let NewConnection { at, remote, transport, eio3, secure, cross_domain, kept } = began;
        Self {
            others: registry
                .timeouts
                .control_packets
                .map(|quota| Box::new(RateLimiter::direct(quota))),
            registry,
            remote: remote.ip(),
            permit: Mutex::new(permit.map(Box::new)),
            kept,
            eio3,
            secure,
            cross_domain,
            began: now(),
            opened: at,
            let_in: AtomicBool::new(false),
            websocket: AtomicBool::new(transport == Transport::Websocket),
            reason: AtomicU8::new(CloseReason::NoNamespace as u8),
            verdict: AtomicU8::new(CloseReason::NoNamespace as u8),
            namespaces: AtomicU32::new(0),
            acks: AtomicU32::new(0),
            refusals: AtomicU32::new(0),
            entering: Mutex::default(),
            backlog: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            ping_withheld: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            was_in: AtomicBool::new(false),
            sid: OnceLock::new(),
            polling: (transport == Transport::Polling).then(Box::default),
            told_to_end: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            watching: WriteWatch::default(),
            stream: StreamWakers::default(),
        }
    }

    /// Notes the id of its session, by which it is found from now on.
    pub(crate) fn has_id(&self, sid: Sid) {
        // A session has one id for life.
        let _ = self.sid.set(sid);
        self.registry.table.set_id(self, sid);
    }

    /// Notes that it is in a namespace, for as long as the answer lives.
    pub fn enter_namespace(self: &Arc<Self>) -> InNamespace {
        self.namespaces.fetch_add(1, Ordering::Relaxed);
        self.was_in.store(true, Ordering::Relaxed);
        InNamespace(self.clone())
    }

    /// The token that it was opened with, in a header or a cookie.
    pub fn credential(&self) -> Option<&str> {
        self.kept.as_ref()?.token.as_ref().map(Secret::expose)
    }

    /// What it began with, as Node's `socket.handshake`; with the headers of `public.kept_headers`, and without `auth`,
    /// which may hold a secret.
    pub fn handshake(&self, uri: Option<&Uri>) -> serde_json::Value {
        let issued = UNIX_EPOCH + Duration::from_millis(self.began);
        let query = uri.and_then(|uri| Query::<HashMap<String, String>>::try_from_uri(uri).ok());
        serde_json::json!({
            "headers": self.headers(),
            "time": humantime::format_rfc3339_seconds(issued).to_string(),
            "address": self.remote.to_string(),
            "xdomain": self.cross_domain,
            "secure": self.secure,
            "issued": self.began,
            "url": uri.map(ToString::to_string),
            "query": query.map(|Query(query)| query).unwrap_or_default(),
            "auth": {},
        })
    }

    /// When it began, if it has been in no namespace yet.
    pub fn began_before(&self) -> Option<SystemTime> {
        let was_in = self.was_in.load(Ordering::Relaxed);
        (!was_in).then(|| UNIX_EPOCH + Duration::from_millis(self.began))
    }

    /// The trace that its first request was a part of, if its headers are kept (`public.kept_headers`).
    pub fn caused_by(&self) -> Option<Trace> {
        let header = |name: &str| {
            let kept = self.kept.iter().flat_map(|kept| &kept.headers);
            let value = kept.filter(|(known, _)| known.as_str() == name).map(|(_, value)| value);
            value.last().and_then(|value| value.to_str().ok())
        };
        let traceparent = header(TRACEPARENT).filter(|_| traces::propagates())?;
        Trace::read(traceparent, header(TRACESTATE))
    }

    /// The headers that were kept; several of one name in one, as HTTP joins them.
    fn headers(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut headers = serde_json::Map::new();
        for (name, value) in self.kept.iter().flat_map(|kept| &kept.headers) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            match headers.get_mut(name.as_str()) {
                Some(serde_json::Value::String(before)) => {
                    before.push_str(", ");
                    before.push_str(&value);
                }
                _ => {
                    headers.insert(name.as_str().to_owned(), value.into());
                }
            }
        }
        headers
    }

    /// Whether it may send so many more packets that are no events.
    pub(crate) fn allows_others(&self, count: u32) -> bool {
        let (Some(pace), Some(count)) = (&self.others, NonZeroU32::new(count)) else {
            return true;
        };
        matches!(pace.check_n(count), Ok(Ok(())))
    }

    /// It has been let in a namespace, and told so. The first time is the end of its handshake.
    fn is_let_in(&self) {
        if !self.let_in.swap(true, Ordering::Relaxed) {
            durations(self.transport()).handshake.record(self.opened.elapsed());
        }
    }

    /// The transport that it uses now.
    fn transport(&self) -> Transport {
        if self.is_websocket() { Transport::Websocket } else { Transport::Polling }
    }

    /// Whether it is in a namespace now.
    pub(crate) fn is_in_namespace(&self) -> bool {
        self.namespaces.load(Ordering::Relaxed) > 0
    }

    /// The connection is over: counts it, once.
    pub(crate) fn end(&self) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let reason = self.why(CloseReason::from_index(self.reason.load(Ordering::Relaxed)));
        let transport = self.transport();
        self.registry.table.remove(self, || self.sid());
        gauge!(CONNECTIONS.name, "transport" => name(transport)).decrement(1);
        counter!(CONNECTIONS_CLOSED.name, "reason" => reason.name()).increment(1);
        if matches!(reason, CloseReason::QueueFull | CloseReason::WriteTimeout) {
            counter!(SLOW_CLIENTS_CLOSED.name, "reason" => reason.name()).increment(1);
        }
        durations(transport).connection.record(self.opened.elapsed());
        drop(self.permit.lock().take());
        self.set_slow(false);
        self.watching.end();
        tracing::debug!(remote = %self.remote, reason = reason.name(), "connection closed");
    }

    /// Why it ends, where socketioxide gives a reason: the edge may know a better one.
    fn why(&self, reason: CloseReason) -> CloseReason {
        if self.registry.is_closing() {
            return CloseReason::ServerShuttingDown;
        }
        match CloseReason::from_index(self.verdict.load(Ordering::Relaxed)) {
            CloseReason::NoNamespace => reason,
            verdict => verdict,
        }
    }

    /// Whether something is under way for it: an ack, or what was sent and has not been taken.
    pub(crate) fn is_busy(&self) -> bool {
        self.acks.load(Ordering::Relaxed) > 0
            || self.backlog.load(Ordering::Relaxed)
            || self.polling_sid().is_some_and(|sid| self.registry.slow.has_waiting(sid))
    }

    /// Notes whether it has not taken all that was written to it.
    pub(crate) fn set_backlog(&self, backlog: bool) {
        self.backlog.store(backlog, Ordering::Relaxed);
        self.watching.behind();
        self.set_slow(backlog);
    }

    fn set_slow(&self, slow: bool) {
        match self.sid.get() {
            Some(socket) if slow => self.registry.slow.begins(*socket, self.is_websocket()),
            Some(socket) => self.registry.slow.ends(*socket),
            None => {}
        }
    }

    /// It is being closed. Says whether it was not already.
    pub(crate) fn begin_leaving(&self) -> bool {
        !self.leaving.swap(true, Ordering::Relaxed)
    }

    /// Whether a ping is to be withheld: the first, if it comes before its time. socketioxide sends none while a session
    /// is upgraded, so the first of all can be the one that is due after an interval.
    pub(crate) fn withhold_ping(&self) -> bool {
        let age = Duration::from_millis(now().saturating_sub(self.began));
        age < self.timeouts().ping / 2 && !self.ping_withheld.swap(true, Ordering::Relaxed)
    }

    /// Whether it has been.
    pub(crate) fn ping_is_withheld(&self) -> bool {
        self.ping_withheld.load(Ordering::Relaxed)
    }

    /// A poll begins, until the answer is dropped.
    pub(crate) fn begin_poll(&self) -> Polled<'_> {
        if let Some(polling) = &self.polling {
            polling.polls.fetch_add(1, Ordering::Relaxed);
            polling.polled.store(true, Ordering::Relaxed);
        }
        // It takes all that waits for it.
        self.set_slow(false);
        Polled(self)
    }

    /// Gives a poll that its client sent before what is read now the time to come: over another TCP connection, it may be
    /// behind.
    pub(crate) async fn poll_before(&self) {
        for _ in 0..BEHIND.0 {
            tokio::time::sleep(BEHIND.1).await;
            if self.polling.as_ref().is_none_or(|polling| polling.polled.load(Ordering::Relaxed)) {
                return;
            }
        }
    }

    /// Waits until one poll has nothing to be answered with: the client has all that was queued.
    pub(crate) async fn has_all(&self, patience: Duration) {
        let Some(Polling { polls, polled, .. }) = self.polling.as_deref() else {
            return;
        };
        let held = async {
            loop {
                let poll = polls.load(Ordering::Relaxed);
                tokio::time::sleep(HELD).await;
                if polled.load(Ordering::Relaxed) && polls.load(Ordering::Relaxed) == poll {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, held).await;
    }

    /// Has a poll that waits answered with nothing: the client asks again.
    pub(crate) fn release_poll(&self) {
        if let Some(polling) = &self.polling {
            polling.released.notify_waiters();
        }
    }

    /// Has its client told that the session is over, by the poll that waits or by the next one, as Node does: what is queued
    /// goes first.
    pub(super) fn close_polling(&self) {
        if let Some(polling) = &self.polling {
            polling.closing.store(true, Ordering::Release);
            polling.released.notify_waiters();
        }
    }

    /// Whether that is to be told.
    pub(crate) fn is_polling_closing(&self) -> bool {
        self.polling.as_ref().is_some_and(|polling| polling.closing.load(Ordering::Acquire))
    }

    /// A request with what the client sends begins, until the answer is dropped; nothing if there is one already.
    pub(crate) fn begin_post(self: &Arc<Self>) -> Option<Posting> {
        let polling = self.polling.as_ref()?;
        (!polling.posting.swap(true, Ordering::AcqRel)).then(|| Posting(self.clone()))
    }

    /// Its polling session has been ended: what the client is about to send is not read any more.
    pub(crate) fn polling_is_over(&self) {
        if let Some(polling) = &self.polling {
            polling.over.store(true, Ordering::Release);
            polling.ended.notify_waiters();
        }
    }

    /// Whether it has been ended.
    pub(crate) fn is_polling_over(&self) -> bool {
        self.polling.as_ref().is_some_and(|polling| polling.over.load(Ordering::Acquire))
    }

    /// Waits until its polling session has been ended.
    pub(crate) async fn polling_over(&self) {
        let Some(polling) = &self.polling else { return std::future::pending().await };
        // Made before it is looked at: it hears of an end from then on.
        let ended = polling.ended.notified();
        if !polling.over.load(Ordering::Acquire) {
            ended.await;
        }
    }

    /// Waits until polls that wait are to be answered.
    pub(crate) async fn poll_released(&self) {
        let Some(polling) = &self.polling else { return std::future::pending().await };
        // Made before it is looked at, as above.
        let released = polling.released.notified();
        if !polling.closing.load(Ordering::Acquire) && !self.is_websocket() {
            released.await;
        }
    }

    /// How many namespaces it is in now.
    pub fn namespaces(&self) -> usize {
        self.namespaces.load(Ordering::Relaxed) as usize
    }

    /// Closes it, for its client to come back by itself.
    pub fn send_away(self: &Arc<Self>) {
        if self.is_websocket() {
            self.end_stream(CloseReason::Rebalanced);
        } else if self.begin_leaving() {
            self.set_close_reason(CloseReason::Rebalanced);
            self.registry.to_close.push(self);
        }
    }

    /// Whether it speaks Engine.IO v3.
    pub(crate) fn is_eio3(&self) -> bool {
        self.eio3
    }

    /// Whether it uses a WebSocket now.
    pub(crate) fn is_websocket(&self) -> bool {
        self.websocket.load(Ordering::Relaxed)
    }

    /// Its session id, if it began with polling.
    pub(crate) fn polling_sid(&self) -> Option<Sid> {
        self.polling.as_ref().and(self.sid.get()).copied()
    }

    /// Follows the attachments in the body of a request, as [`AttachmentTracker::follow`].
    pub(crate) fn follow_attachments(&self, body: &[u8]) -> Option<u64> {
        self.polling.as_ref()?.attachments.lock().follow(body)
    }

    /// As [`AttachmentTracker::stuck_since`].
    pub(crate) fn is_stuck_since(&self, request: u64) -> bool {
        self.polling.as_ref().is_some_and(|polling| polling.attachments.lock().stuck_since(request))
    }

    /// It has been let in a namespace: what waits for that goes on in a moment.
    pub fn entered(self: &Arc<Self>, namespace: &str) {
        if self.entering.lock().end(namespace, false) {
            self.goes_on(namespace, std::future::ready(()));
        }
    }

    /// It is refused: whatever it sends next for that namespace waits until the library has let go of `socket`, as a stock
    /// client may ask again at once.
    pub fn stays_out(self: &Arc<Self>, namespace: &str, socket: Weak<impl Send + Sync + 'static>) {
        self.entering.lock().refuse(namespace);
        self.goes_on(namespace, async move {
            let end = Instant::now() + REFUSED_SOCKET_TIMEOUT;
            while socket.strong_count() > 0 && Instant::now() < end {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// What waits for a namespace goes on a moment after this.
    fn goes_on(
        self: &Arc<Self>,
        namespace: &str,
        after: impl Future<Output = ()> + Send + 'static,
    ) {
        let (connection, namespace) = (self.clone(), namespace.to_owned());
        tokio::spawn(async move {
            after.await;
            tokio::time::sleep(SETTLE).await;
            connection.waits_no_longer(&namespace);
        });
    }

    /// What waits for a namespace goes on.
    pub(crate) fn waits_no_longer(&self, namespace: &str) {
        self.entering.lock().end(namespace, true);
        self.stream.reader.wake();
    }

    /// A CONNECT of it is refused now, with a text of [`super::refusal_text`].
    pub fn refuse(&self) {
        self.refusals.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether it has been, and has not been told.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusals.load(Ordering::Acquire) > 0
    }

    /// It has been told of so many.
    pub(crate) fn told_refusals(&self, told: u32) {
        let less = |refusals: u32| Some(refusals.saturating_sub(told));
        let _ = self.refusals.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// Notes why the edge ends it.
    pub(crate) fn set_close_reason(&self, reason: CloseReason) {
        self.verdict.store(reason as u8, Ordering::Relaxed);
    }

    /// Ends its WebSocket stream, as if the client had, for a reason of the edge's own.
    pub(crate) fn end_stream(&self, reason: CloseReason) {
        self.set_close_reason(reason);
        self.told_to_end.store(true, Ordering::Release);
        self.stream.reader.wake();
    }

    /// Ends its WebSocket stream without what is queued: the client does not take it, as another pod saw.
    pub(crate) fn cut_unread(&self) {
        self.cut.store(true, Ordering::Release);
        self.end_stream(CloseReason::WriteTimeout);
        self.stream.writer.wake();
    }

    /// Whether its stream has been told to.
    pub(crate) fn is_told_to_end(&self) -> bool {
        self.told_to_end.load(Ordering::Acquire)
    }

    /// Whether nothing is to be written to it any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// How long clients may take.
    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.registry.timeouts
    }

    /// The id of its session.
    pub(crate) fn sid(&self) -> Option<Sid> {
        self.sid.get().copied()
    }

    /// Begins to move a polling connection to a WebSocket. Says whether it has none, and is not being moved already.
    pub(crate) fn claim_upgrade(&self) -> bool {
        let polling = self.polling.as_ref().filter(|_| !self.is_websocket());
        polling.is_some_and(|polling| !polling.upgrading.swap(true, Ordering::AcqRel))
    }

    /// It goes on polling.
    pub(crate) fn give_up_upgrade(&self) {
        if let Some(polling) = &self.polling {
            polling.upgrading.store(false, Ordering::Release);
        }
    }

    /// It has moved to a WebSocket.
    pub(crate) fn upgraded(&self) {
        let moved = !self.websocket.swap(true, Ordering::Relaxed);
        self.release_poll();
        if moved && !self.ended.load(Ordering::Relaxed) {
            // What waited for its next poll is written to the WebSocket, which says itself when it takes nothing.
            self.set_slow(false);
            if let Some(sid) = self.sid() {
                self.registry.upgraded(sid);
            }
            gauge!(CONNECTIONS.name, "transport" => name(Transport::Polling)).decrement(1);
            gauge!(CONNECTIONS.name, "transport" => name(Transport::Websocket)).increment(1);
        }
    }
}

impl ClientNamespaces for Connection {
    fn on_connect(&self, namespace: &str, left: bool) -> ConnectAction {
        if !self.registry.namespaces.may_exist(namespace) {
            counter!(INVALID_NAMESPACES.name).increment(1);
            return ConnectAction::Forward;
        }
        // Noted before it is looked at: who is let in in between is not waited for in vain.
        let before = {
            let mut entering = self.entering.lock();
            if entering.is_refused(namespace) {
                return ConnectAction::Wait;
            }
            entering.begin(namespace)
        };
        let socket = self.sid.get().filter(|_| !left && self.is_in_namespace());
        match socket.and_then(|sid| self.registry.namespaces.is_connected(namespace, *sid)) {
            // One that it has been told of at this moment; or one that it has left, of which nobody else has heard yet.
            Some(_) if before => {
                self.entering.lock().mark_awaited(namespace);
                ConnectAction::Wait
            }
            Some(true) => ConnectAction::DisconnectFirst,
            _ => ConnectAction::Forward,
        }
    }

    fn is_connecting(&self, namespace: &str) -> bool {
        self.entering.lock().mark_awaited(namespace)
    }

    fn is_connecting_any(&self) -> bool {
        !self.entering.lock().is_empty()
    }

    fn is_msgpack(&self) -> bool {
        self.timeouts().msgpack
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

/// A poll waits for its answer.
pub(crate) struct Polled<'a>(&'a Connection);

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        if let Some(polling) = &self.0.polling {
            polling.polled.store(false, Ordering::Relaxed);
        }
        if !self.0.is_websocket() && !self.0.ended.load(Ordering::Relaxed) {
            self.0.set_slow(true);
            if self.0.is_websocket() {
                // It has moved meanwhile.
                self.0.set_slow(false);
            }
        }
    }
}

/// What a polling client sends is under way.
pub(crate) struct Posting(Arc<Connection>);

impl Drop for Posting {
    fn drop(&mut self) {
        if let Some(polling) = &self.0.polling {
            polling.posting.store(false, Ordering::Release);
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
    /// The name of the transport that it uses now.
    pub fn transport(&self) -> &'static str {
        name(self.0.transport())
    }

    /// As [`Connection::handshake`].
    pub fn handshake(&self, uri: Option<&Uri>) -> serde_json::Value {
        self.0.handshake(uri)
    }

    /// Closes the connection, once what is queued is written.
    pub fn close(&self) {
        if self.0.is_websocket() {
            self.0.end_stream(CloseReason::ServerNamespaceDisconnect);
        } else {
            self.0.close_polling();
        }
    }

    /// The client has been let in: as [`Connection::entered`].
    pub fn entered(&self, namespace: &str) {
        self.0.is_let_in();
        self.0.entered(namespace);
    }

    /// Closes the connection at once: its queue is full.
    pub fn overflowed(&self) {
        let connection = &self.0;
        if connection.is_websocket() {
            connection.cut.store(true, Ordering::Release);
            connection.end_stream(CloseReason::QueueFull);
            connection.stream.writer.wake();
        } else if !connection.leaving.load(Ordering::Relaxed) {
            connection.set_close_reason(CloseReason::QueueFull);
            connection.registry.to_close.push(connection);
        }
    }

    /// Has it tell when a packet that is about to be queued is written to its WebSocket. Says whether it will.
    pub fn watch(&self, watch: &Arc<Watch>) -> bool {
        let connection = &self.0;
        if !connection.is_websocket() || connection.is_told_to_end() {
            return false;
        }
        let sid = connection.sid();
        let waiting = sid.map_or(0, |sid| connection.registry.slow.waiting(sid));
        connection.watching.begin(watch, waiting)
    }

    /// Notes that an ack is waited for, by the client or from it, for as long as the answer lives.
    pub fn await_ack(&self) -> PendingAck {
        self.0.acks.fetch_add(1, Ordering::Relaxed);
        PendingAck(self.0.clone())
    }

    /// Notes why the socket ended, the last one tells why the connection did; and gives the reason as the edge knows it.
    pub fn ended(&self, reason: CloseReason) -> CloseReason {
        self.0.reason.store(reason as u8, Ordering::Relaxed);
        match reason {
            // The connection may go on.
            CloseReason::ClientNamespaceDisconnect | CloseReason::ServerNamespaceDisconnect => {
                reason
            }
            reason => self.0.why(reason),
        }
    }
}

impl Drop for InNamespace {
    fn drop(&mut self) {
        self.0.namespaces.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl NewConnection {
    /// As by a client of this machine.
    pub fn by(transport: Transport) -> Self {
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        let at = Instant::now();
        Self { at, remote, transport, eio3: false, secure: false, cross_domain: false, kept: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn only_a_ping_that_comes_at_once_is_withheld() {
        let registry = Arc::new(Registry::new(Arc::default(), &Config::defaults()));
        let began = |ago: u64| {
            let mut connection =
                Connection::new(registry.clone(), NewConnection::by(Transport::Polling), None);
            connection.began -= ago * 1000;
            connection
        };
        let new = began(0);
        assert!(new.withhold_ping() && new.ping_is_withheld());
        assert!(!new.withhold_ping(), "the first one only");
        let upgraded_late = began(25);
        assert!(!upgraded_late.withhold_ping() && !upgraded_late.ping_is_withheld());
    }
}
