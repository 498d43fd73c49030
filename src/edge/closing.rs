//! Closes connections at the transport, at a pace: evenly over a time, with jitter, so that the clients that
//! come back do not come back in waves. Idle ones go first; a connection that is waited for (an ack is
//! pending) or that has not yet taken what was sent to it goes last.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{connection::Connection, reason::CloseReason, service::Service, sessions::Sessions};

/// How often connections that are still there are asked to close once more.
const CLOSE_AGAIN: Duration = Duration::from_millis(250);
/// How often it is looked whether they are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How many are looked at to find one that is idle.
const LOOKED_AT: usize = 64;
/// A polling client that is not waiting for an answer is, soon: it gets what is queued for it then. One that
/// does not ask for so long is closed all the same.
const NEXT_POLL: Duration = Duration::from_secs(2);

/// What ends the connections of a pod.
#[derive(Clone)]
pub(super) struct Closer {
    sessions: Arc<Sessions>,
    service: Service,
}

/// What can be closed.
enum Open {
    Here(Weak<Connection>),
    /// What passes through, of another pod's session.
    Passing(Weak<Notify>),
}

impl Open {
    fn is_busy(&self) -> bool {
        match self {
            Self::Here(connection) => connection.upgrade().is_some_and(|open| open.is_busy()),
            Self::Passing(_) => false,
        }
    }
}

impl Closer {
    pub fn new(sessions: Arc<Sessions>, service: Service) -> Self {
        Self { sessions, service }
    }

    /// Tells all connections to close, evenly over a time.
    pub async fn close_all(&self, window: Duration) {
        self.sessions.closing();
        let here = self.sessions.all().into_iter().map(Open::Here);
        let passing = self.sessions.passage().in_time().into_iter().map(Open::Passing);
        self.close(passing.chain(here).collect(), window, CloseReason::ServerShuttingDown).await;
    }

    /// Closes polling sessions whose queues are full, for as long as the pod lives.
    pub async fn close_overflowed(&self) {
        loop {
            for connection in self.sessions.overflowed().await {
                self.end(Open::Here(connection), CloseReason::QueueFull);
            }
        }
    }

    /// Waits until all have gone.
    pub async fn gone(&self) {
        // Some may have been in the middle of their handshake, or of an upgrade.
        while !self.all_gone_within(CLOSE_AGAIN).await {
            for passing in self.sessions.passage().in_time() {
                self.end(Open::Passing(passing), CloseReason::ServerShuttingDown);
            }
            for connection in self.sessions.all() {
                self.end(Open::Here(connection), CloseReason::ServerShuttingDown);
            }
        }
    }

    /// How many connections a share of all is.
    pub fn count(&self, share: f64) -> usize {
        (self.sessions.open() as f64 * share).round() as usize
    }

    /// Tells so many connections to close, evenly over a time.
    pub async fn shed(&self, count: usize, window: Duration) {
        let mut open: Vec<_> = self.sessions.all().into_iter().map(Open::Here).collect();
        // Busy ones stay if there are enough others.
        open.sort_by_key(Open::is_busy);
        open.truncate(count);
        self.close(open.into(), window, CloseReason::Rebalanced).await;
    }

    async fn close(&self, mut open: VecDeque<Open>, window: Duration, reason: CloseReason) {
        let (begun, count) = (Instant::now(), open.len() as f64);
        for turn in 0..open.len() {
            let due = window.mul_f64((turn as f64 + fastrand::f64()) / count);
            if due > begun.elapsed() {
                sleep_until(begun + due).await;
            }
            let idle = open.iter().take(LOOKED_AT).position(|open| !open.is_busy());
            if let Some(next) = open.swap_remove_front(idle.unwrap_or_default()) {
                self.end(next, reason);
            }
        }
    }

    async fn all_gone_within(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        while self.sessions.to_end() > 0 && begun.elapsed() < patience {
            sleep(LOOK_AGAIN).await;
        }
        self.sessions.to_end() == 0
    }

    /// Closes one at the transport, so that the stock client comes back by itself.
    fn end(&self, open: Open, reason: CloseReason) {
        match open {
            Open::Passing(end) => {
                if let Some(end) = end.upgrade() {
                    end.notify_one();
                }
            }
            Open::Here(connection) => {
                let Some(connection) = connection.upgrade() else { return };
                connection.end_stream(reason);
                // During an upgrade it has both.
                if let Some(sid) = connection.polling_sid()
                    && connection.begin_leaving()
                {
                    let service = self.service.clone();
                    tokio::spawn(async move {
                        connection.has_all(NEXT_POLL).await;
                        service.end_polling(&connection, sid).await;
                    });
                }
            }
        }
    }
}

/// Gives connections away, a share at a time.
#[derive(Clone)]
pub struct Shedder {
    closer: Closer,
    running: Arc<AtomicBool>,
}

impl Shedder {
    pub(super) fn new(closer: Closer) -> Self {
        Self { closer, running: Arc::default() }
    }

    /// Begins to close a share of the connections, so many a second. Says how many; nothing if it is
    /// doing so already.
    pub fn begin(&self, share: f64, per_second: f64) -> Option<usize> {
        if self.running.swap(true, Ordering::AcqRel) {
            return None;
        }
        let count = self.closer.count(share);
        let window = Duration::from_secs_f64(count as f64 / per_second);
        tracing::info!(connections = count, ?window, "giving connections away");
        let this = self.clone();
        tokio::spawn(async move {
            this.closer.shed(count, window).await;
            this.running.store(false, Ordering::Release);
            tracing::info!(connections = count, "connections given away");
        });
        Some(count)
    }
}
