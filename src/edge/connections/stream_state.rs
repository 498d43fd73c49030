//! What is said to the stream of a WebSocket by other tasks: to end, and to write no more.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::task::AtomicWaker;

/// The state of a WebSocket stream.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// Wakes the task that reads.
    pub reader: AtomicWaker,
    /// Wakes the task that writes, while the client takes nothing.
    pub writer: AtomicWaker,
    /// The stream is to end.
    ending: AtomicBool,
    /// What is queued is not to be written any more.
    discarding: AtomicBool,
    /// The client has not taken all that was written to it.
    pub(super) backlog: AtomicBool,
    /// The connection uses a WebSocket now, else polling.
    pub(super) is_websocket: AtomicBool,
}

impl StreamState {
    /// Has the stream end.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// Whether the stream is to end.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Has the stream drop what is queued. The writer is woken by whoever says why.
    pub(super) fn discard(&self) {
        self.discarding.store(true, Ordering::Release);
    }

    /// Whether nothing is to be written any more.
    pub fn is_discarding(&self) -> bool {
        self.discarding.load(Ordering::Acquire)
    }
}
