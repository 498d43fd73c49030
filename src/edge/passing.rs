//! What passes through this pod of other pods' sessions: WebSockets, and polls that are held. They are no
//! connections of this pod, but end with it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use metrics::Gauge;
use parking_lot::RwLock;
use tokio::sync::Notify;

/// All that pass through now.
#[derive(Debug, Default)]
pub(super) struct Passage(RwLock<Now>);

#[derive(Debug, Default)]
struct Now {
    all: HashMap<u64, Weak<Notify>>,
    next: u64,
}

impl Passage {
    /// Something begins to pass, until the answer is dropped; `gauge` counts those of its kind.
    pub fn begin(self: &Arc<Self>, gauge: Gauge) -> Passing {
        gauge.increment(1);
        let end = Arc::new(Notify::new());
        let mut now = self.0.write();
        let number = now.next;
        now.next += 1;
        now.all.insert(number, Arc::downgrade(&end));
        Passing { passage: self.clone(), number, end, gauge }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.read().all.len()
    }

    /// All of them: each ends when it is notified.
    pub fn all(&self) -> Vec<Weak<Notify>> {
        self.0.read().all.values().cloned().collect()
    }
}

/// Something of another pod's session passes through.
pub(super) struct Passing {
    passage: Arc<Passage>,
    number: u64,
    end: Arc<Notify>,
    gauge: Gauge,
}

impl Passing {
    /// Waits until this pod wants it to end.
    pub async fn told_to_end(&self) {
        self.end.notified().await;
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.passage.0.write().all.remove(&self.number);
        self.gauge.decrement(1);
    }
}
