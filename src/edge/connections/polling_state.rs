//! What is known of a session that began with polling: its polls, what its client sends, and whether it has ended.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::edge::packets::attachments::AttachmentTracker;

/// A poll that is not answered for so long has nothing to be answered with.
const IDLE_POLL: Duration = Duration::from_millis(20);
/// How often, and how long each time, a poll is waited for that may have been sent before a packet that closes.
const EARLIER_POLL: (u32, Duration) = (10, Duration::from_millis(2));

/// The state of a polling session. It is behind a pointer, as connections that began with a WebSocket have none.
#[derive(Debug, Default)]
pub(crate) struct PollingState {
    /// Polls that have begun.
    polls: AtomicU32,
    /// The last poll waits for its answer.
    polled: AtomicBool,
    /// A poll that waits is to be answered with nothing, or with the end.
    released: Notify,
    /// The client is to be told, by its next poll, that the session is over.
    closing: AtomicBool,
    /// A WebSocket asks whether it may take the session over.
    upgrading: AtomicBool,
    /// A request with what the client sends is under way.
    posting: AtomicBool,
    /// The session has been ended: what is under way for it is not waited for.
    over: AtomicBool,
    ended: Notify,
    pub attachments: Mutex<AttachmentTracker>,
}

impl PollingState {
    /// Notes that a poll begins.
    pub(super) fn poll_begins(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.polled.store(true, Ordering::Relaxed);
    }

    /// Notes that the poll has its answer.
    pub(super) fn poll_ends(&self) {
        self.polled.store(false, Ordering::Relaxed);
    }

    /// Gives a poll that the client sent before what is read now the time to come: over another TCP connection, it may
    /// arrive later.
    pub async fn await_earlier_poll(&self) {
        for _ in 0..EARLIER_POLL.0 {
            tokio::time::sleep(EARLIER_POLL.1).await;
            if self.polled.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Waits until a poll has nothing to be answered with, for `limit` at most: the client has all that was queued then.
    pub async fn await_idle_poll(&self, limit: Duration) {
        let idle = async {
            loop {
                let poll = self.polls.load(Ordering::Relaxed);
                tokio::time::sleep(IDLE_POLL).await;
                if self.polled.load(Ordering::Relaxed) && self.polls.load(Ordering::Relaxed) == poll
                {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(limit, idle).await;
    }

    /// Has a poll that waits answered with nothing: the client polls again.
    pub fn release_poll(&self) {
        self.released.notify_waiters();
    }

    /// Waits until a poll that waits is to be answered.
    pub async fn poll_released(&self, is_websocket: impl FnOnce() -> bool) {
        // Made before the state is looked at: it hears of a release from then on.
        let released = self.released.notified();
        if !self.is_closing() && !is_websocket() {
            released.await;
        }
    }

    /// Has the client told that the session is over, by the poll that waits or by the next one, as Node does: what is
    /// queued goes first.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.release_poll();
    }

    /// Whether the client is to be told that the session is over.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// A POST begins, until the answer is dropped. `None` if there is one already.
    pub fn begin_post(&self) -> Option<PostGuard<'_>> {
        (!self.posting.swap(true, Ordering::AcqRel)).then_some(PostGuard(self))
    }

    /// The session has been ended: what the client is about to send is not read any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.ended.notify_waiters();
    }

    /// Whether the session has been ended.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits until the session has been ended.
    pub async fn over(&self) {
        // Made before the state is looked at, as above.
        let ended = self.ended.notified();
        if !self.is_over() {
            ended.await;
        }
    }

    /// Lets one WebSocket at a time try to take the session over. Says whether this one may.
    pub fn claim_upgrade(&self) -> bool {
        !self.upgrading.swap(true, Ordering::AcqRel)
    }

    /// The WebSocket that tried has given up: the next one may try.
    pub fn give_up_upgrade(&self) {
        self.upgrading.store(false, Ordering::Release);
    }
}

/// A POST of a polling client is under way.
pub(crate) struct PostGuard<'a>(&'a PollingState);

impl Drop for PostGuard<'_> {
    fn drop(&mut self) {
        self.0.posting.store(false, Ordering::Release);
    }
}
