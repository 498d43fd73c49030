//! Whether a connection is being closed, and why.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::close_reason::CloseReason;

/// The end of a connection, as far as it has come.
#[derive(Debug)]
pub(crate) struct CloseState {
    /// The [`CloseReason`] that socketioxide gives for the last socket.
    of_socket: AtomicU8,
    /// The [`CloseReason`] of the edge, if it closes the connection itself.
    of_edge: AtomicU8,
    closing: AtomicBool,
    ended: AtomicBool,
}

impl Default for CloseState {
    fn default() -> Self {
        Self {
            of_socket: AtomicU8::new(CloseReason::NoNamespace as u8),
            of_edge: AtomicU8::new(CloseReason::NoNamespace as u8),
            closing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }
}

impl CloseState {
    /// Notes that the connection is being closed. Says whether it was not before.
    pub fn begin(&self) -> bool {
        !self.closing.swap(true, Ordering::Relaxed)
    }

    /// Whether the connection is being closed.
    pub(super) fn is_begun(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Notes that the connection has ended. Says whether it had not before.
    pub(super) fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::Relaxed)
    }

    /// Whether the connection has ended.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Notes why the edge closes the connection.
    pub fn set_reason(&self, reason: CloseReason) {
        self.of_edge.store(reason as u8, Ordering::Relaxed);
    }

    /// Notes why the last socket ended.
    pub(super) fn set_socket_reason(&self, reason: CloseReason) {
        self.of_socket.store(reason as u8, Ordering::Relaxed);
    }

    /// The reason of the last socket.
    pub(super) fn socket_reason(&self) -> CloseReason {
        CloseReason::from_index(self.of_socket.load(Ordering::Relaxed))
    }

    /// The reason of the edge, if it has one; else this one, of socketioxide.
    pub(super) fn reason_or(&self, of_socket: CloseReason) -> CloseReason {
        match CloseReason::from_index(self.of_edge.load(Ordering::Relaxed)) {
            CloseReason::NoNamespace => of_socket,
            of_edge => of_edge,
        }
    }
}
