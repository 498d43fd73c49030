//! Gives connections to other pods (`POST /api/v1/shed`): closes a share of them, at a pace.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::closer::Closer;
use crate::tasks;

/// Gives connections away, a share at a time.
#[derive(Clone)]
pub struct Shedder {
    closer: Closer,
    last: Arc<Mutex<Option<Shedding>>>,
}

/// A share that is being given away.
struct Shedding {
    task: JoinHandle<()>,
    closed: Arc<AtomicUsize>,
}

impl Shedder {
    pub(crate) fn new(closer: Closer) -> Self {
        Self { closer, last: Arc::default() }
    }

    /// Begins to close a share of the connections, so many a second. Says how many; nothing if it is
    /// doing so already.
    pub fn begin(&self, share: f64, per_second: f64) -> Option<usize> {
        let mut last = self.last.lock();
        if last.as_ref().is_some_and(|last| !last.task.is_finished()) {
            return None;
        }
        let count = self.closer.count(share);
        if count == 0 {
            return Some(0);
        }
        let window = Duration::from_secs_f64(count as f64 / per_second);
        tracing::info!(connections = count, ?window, "giving connections away");
        let closed = Arc::new(AtomicUsize::new(0));
        let (closer, told) = (self.closer.clone(), closed.clone());
        // After a panic it is over, and may be begun again.
        let task = tasks::spawn("rebalance", async move {
            closer.shed(count, window, &told).await;
            tracing::info!(connections = told.load(Ordering::Relaxed), "connections given away");
        });
        *last = Some(Shedding { task, closed });
        Some(count)
    }

    /// Stops that. Says how many were closed; none if it was not doing so.
    pub fn stop(&self) -> usize {
        let last = self.last.lock().take().filter(|last| !last.task.is_finished());
        let Some(Shedding { task, closed }) = last else { return 0 };
        task.abort();
        let closed = closed.load(Ordering::Relaxed);
        tracing::info!(connections = closed, "giving connections away was stopped");
        closed
    }
}
