//! One client's Engine.IO session, and how it ends.

use std::{
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use governor::{DefaultDirectRateLimiter, RateLimiter};
use metrics::{counter, gauge};
use parking_lot::Mutex;
use socketioxide_core::Sid;

use super::{
    address_limit::AddressPermit,
    close_reason::CloseReason,
    close_state::CloseState,
    connect_state::ConnectState,
    durations::durations,
    opening_request::{NewConnection, OpeningRequest},
    polling_state::PollingState,
    registry::Registry,
    stream_state::StreamState,
    traffic::name,
    write_watch::WriteWatch,
};
use crate::{
    config::Transport,
    telemetry::metrics::{CONNECTIONS, CONNECTIONS_CLOSED, SLOW_CLIENTS_CLOSED},
};

// Each client has one; one byte more would take the allocator's next larger place.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Connection>() <= 248);

/// One client's Engine.IO session. Each part of its state is a field with methods of its own.
#[derive(Debug)]
pub struct Connection {
    pub(crate) registry: Arc<Registry<Connection>>,
    pub(crate) request: OpeningRequest,
    /// Its part of the limit of its address, until it ends.
    permit: Mutex<Option<Box<AddressPermit>>>,
    /// How many packets that are no events the client may send, if that is limited.
    pub(crate) control_packets: ControlPackets,
    pub(crate) connects: ConnectState,
    pub(crate) close: CloseState,
    /// How many namespaces it is in.
    pub(super) in_namespaces: AtomicU32,
    /// Acks that the client waits for, or that it is to send.
    pub(super) acks: AtomicU32,
    /// The id of its session, and of its sockets in all namespaces, once socketioxide has chosen it.
    sid: OnceLock<Sid>,
    /// If it began with polling.
    polling: Option<Box<PollingState>>,
    pub(crate) stream: StreamState,
    /// The packet that it is to tell of once that is written.
    pub(crate) watching: WriteWatch,
}

impl Connection {
    /// A connection that begins now.
    pub(super) fn new(
        registry: Arc<Registry<Connection>>,
        new: NewConnection,
        permit: Option<AddressPermit>,
    ) -> Self {
        let transport = new.transport;
        let stream = StreamState::default();
        stream.is_websocket.store(transport == Transport::Websocket, Ordering::Relaxed);
        let quota = registry.timeouts.control_packets;
        Self {
            registry,
            request: OpeningRequest::new(new),
            permit: Mutex::new(permit.map(Box::new)),
            control_packets: ControlPackets(quota.map(|q| Box::new(RateLimiter::direct(q)))),
            connects: ConnectState::default(),
            close: CloseState::default(),
            in_namespaces: AtomicU32::new(0),
            acks: AtomicU32::new(0),
            sid: OnceLock::new(),
            polling: (transport == Transport::Polling).then(Box::default),
            stream,
            watching: WriteWatch::default(),
        }
    }

    /// The request that opened it.
    pub fn request(&self) -> &OpeningRequest {
        &self.request
    }

    /// Notes the id of its session, by which it is found from now on.
    pub(crate) fn has_id(&self, sid: Sid) {
        // A session has one id for life.
        let _ = self.sid.set(sid);
        self.registry.table.set_id(self, sid);
    }

    /// The id of its session.
    pub(crate) fn sid(&self) -> Option<Sid> {
        self.sid.get().copied()
    }

    /// What is known of its polling, if it began with that.
    pub(crate) fn polling(&self) -> Option<&PollingState> {
        self.polling.as_deref()
    }

    /// Its session id, if it began with polling.
    pub(crate) fn polling_sid(&self) -> Option<Sid> {
        self.polling().and(self.sid())
    }

    /// Whether it uses a WebSocket now, else polling.
    pub(crate) fn is_websocket(&self) -> bool {
        self.stream.is_websocket.load(Ordering::Relaxed)
    }

    /// The transport that it uses now.
    pub(super) fn transport(&self) -> Transport {
        if self.is_websocket() { Transport::Websocket } else { Transport::Polling }
    }

    /// How many namespaces it is in now.
    pub fn namespaces(&self) -> usize {
        self.in_namespaces.load(Ordering::Relaxed) as usize
    }

    /// It has moved from polling to a WebSocket.
    pub(crate) fn upgraded(&self) {
        let moved = !self.stream.is_websocket.swap(true, Ordering::Relaxed);
        if let Some(polling) = self.polling() {
            polling.release_poll();
        }
        if moved && !self.close.is_ended() {
            // What waited for its next poll is written to the WebSocket, which says itself when it takes nothing.
            self.backlog().set_slow(false);
            if let Some(sid) = self.sid() {
                self.registry.upgraded(sid);
            }
            gauge!(CONNECTIONS.name, "transport" => name(Transport::Polling)).decrement(1);
            gauge!(CONNECTIONS.name, "transport" => name(Transport::Websocket)).increment(1);
        }
    }

    /// Ends its WebSocket stream, as if the client had, for a reason of the edge's own.
    pub(crate) fn end_stream(&self, reason: CloseReason) {
        self.close.set_reason(reason);
        self.stream.end();
    }

    /// Ends its WebSocket stream without what is queued: the client does not take it.
    pub(crate) fn cut_stream(&self, reason: CloseReason) {
        self.stream.discard();
        self.end_stream(reason);
        self.stream.writer.wake();
    }

    /// Closes it, for its client to come back by itself, perhaps to another pod.
    pub fn rebalance(self: &Arc<Self>) {
        if self.is_websocket() {
            self.end_stream(CloseReason::Rebalanced);
        } else if self.close.begin() {
            self.close.set_reason(CloseReason::Rebalanced);
            self.registry.to_close.push(self);
        }
    }

    /// Why it ends, where socketioxide gives a reason: the edge may know a better one.
    pub(super) fn close_reason(&self, of_socket: CloseReason) -> CloseReason {
        match self.registry.is_closing() {
            true => CloseReason::ServerShuttingDown,
            false => self.close.reason_or(of_socket),
        }
    }

    /// The connection is over: counts it, once.
    pub(crate) fn end(&self) {
        if !self.close.end() {
            return;
        }
        let reason = self.close_reason(self.close.socket_reason());
        let transport = self.transport();
        self.registry.table.remove(self, || self.sid());
        gauge!(CONNECTIONS.name, "transport" => name(transport)).decrement(1);
        counter!(CONNECTIONS_CLOSED.name, "reason" => reason.name()).increment(1);
        if matches!(reason, CloseReason::QueueFull | CloseReason::WriteTimeout) {
            counter!(SLOW_CLIENTS_CLOSED.name, "reason" => reason.name()).increment(1);
        }
        durations(transport).connection.record(self.request.elapsed());
        drop(self.permit.lock().take());
        self.backlog().set_slow(false);
        self.watching.end();
        tracing::debug!(remote = %self.request.remote, reason = reason.name(), "connection closed");
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

/// The limit of packets that are no events, if there is one.
#[derive(Debug)]
pub(crate) struct ControlPackets(Option<Box<DefaultDirectRateLimiter>>);

impl ControlPackets {
    /// Whether the client may send so many more.
    pub fn allow(&self, count: u32) -> bool {
        let (Some(limiter), Some(count)) = (&self.0, NonZeroU32::new(count)) else {
            return true;
        };
        matches!(limiter.check_n(count), Ok(Ok(())))
    }
}
