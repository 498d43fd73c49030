//! Whether the client of a connection takes what is sent to it: noted for `slow`, which has what waits for clients.

use std::sync::atomic::Ordering;

use super::connection::Connection;

/// A handle on what waits for the client of a connection.
pub(crate) struct Backlog<'a>(&'a Connection);

impl Connection {
    /// What waits for the client.
    pub(crate) fn backlog(&self) -> Backlog<'_> {
        Backlog(self)
    }
}

impl<'a> Backlog<'a> {
    /// Notes whether the client has not taken all that was written to its WebSocket.
    pub fn set(&self, behind: bool) {
        self.0.stream.backlog.store(behind, Ordering::Relaxed);
        self.0.watching.behind();
        self.set_slow(behind);
    }

    pub(super) fn set_slow(&self, slow: bool) {
        match self.0.sid() {
            Some(socket) if slow => self.0.registry.slow.begins(socket, self.0.is_websocket()),
            Some(socket) => self.0.registry.slow.ends(socket),
            None => {}
        }
    }

    /// Whether something is under way for the client: an ack, or what was sent and has not been taken.
    pub fn is_busy(&self) -> bool {
        self.0.acks.load(Ordering::Relaxed) > 0
            || self.0.stream.backlog.load(Ordering::Relaxed)
            || self.0.polling_sid().is_some_and(|sid| self.0.registry.slow.has_waiting(sid))
    }

    /// A poll begins, until the answer is dropped: it takes all that waits for the client.
    pub fn begin_poll(self) -> PollGuard<'a> {
        if let Some(polling) = self.0.polling() {
            polling.poll_begins();
        }
        self.set_slow(false);
        PollGuard(self.0)
    }
}

/// A poll waits for its answer.
pub(crate) struct PollGuard<'a>(&'a Connection);

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        if let Some(polling) = self.0.polling() {
            polling.poll_ends();
        }
        if !self.0.is_websocket() && !self.0.close.is_ended() {
            self.0.backlog().set_slow(true);
            if self.0.is_websocket() {
                // It has moved to a WebSocket meanwhile.
                self.0.backlog().set_slow(false);
            }
        }
    }
}
