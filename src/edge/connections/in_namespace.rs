//! A connection's membership in one namespace, as the gateway holds it.

use std::sync::{Arc, atomic::Ordering};

use http::Uri;

use super::{close_reason::CloseReason, connection::Connection, traffic::name};
use crate::backplane::Watch;

/// A connection is in a namespace, for as long as this lives.
#[derive(Debug)]
pub struct InNamespace(Arc<Connection>);

impl Connection {
    /// Notes that it is in a namespace, for as long as the answer lives.
    pub fn enter_namespace(self: &Arc<Self>) -> InNamespace {
        self.in_namespaces.fetch_add(1, Ordering::Relaxed);
        self.connects.was_in.store(true, Ordering::Relaxed);
        InNamespace(self.clone())
    }
}

impl InNamespace {
    /// The name of the transport that the connection uses now.
    pub fn transport(&self) -> &'static str {
        name(self.0.transport())
    }

    /// As [`OpeningRequest::handshake`](super::opening_request::OpeningRequest::handshake).
    pub fn handshake(&self, uri: Option<&Uri>) -> serde_json::Value {
        self.0.request.handshake(uri)
    }

    /// Closes the connection, once what is queued is written.
    pub fn close(&self) {
        if self.0.is_websocket() {
            self.0.end_stream(CloseReason::ServerNamespaceDisconnect);
        } else if let Some(polling) = self.0.polling() {
            polling.close();
        }
    }

    /// The client has been told that it is connected to the namespace.
    pub fn connected(&self, namespace: &str) {
        self.0.connects().connected(namespace);
    }

    /// Closes the connection at once: its queue is full.
    pub fn overflowed(&self) {
        let connection = &self.0;
        if connection.is_websocket() {
            connection.cut_stream(CloseReason::QueueFull);
        } else if !connection.close.is_begun() {
            connection.close.set_reason(CloseReason::QueueFull);
            connection.registry.to_close.push(connection);
        }
    }

    /// Has `watch` told when a packet that is about to be queued is written to the WebSocket. Says whether it will be.
    pub fn watch(&self, watch: &Arc<Watch>) -> bool {
        let connection = &self.0;
        if !connection.is_websocket() || connection.stream.is_ending() {
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

    /// Notes why the socket ended: the last one tells why the connection did. Gives the reason as the edge knows it.
    pub fn ended(&self, reason: CloseReason) -> CloseReason {
        self.0.close.set_socket_reason(reason);
        match reason {
            // The connection may go on.
            CloseReason::ClientNamespaceDisconnect | CloseReason::ServerNamespaceDisconnect => {
                reason
            }
            reason => self.0.close_reason(reason),
        }
    }
}

impl Drop for InNamespace {
    fn drop(&mut self) {
        self.0.in_namespaces.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An ack is waited for, for as long as this lives.
#[derive(Debug)]
pub struct PendingAck(Arc<Connection>);

impl Drop for PendingAck {
    fn drop(&mut self) {
        self.0.acks.fetch_sub(1, Ordering::Relaxed);
    }
}
