//! What this pod relays of other pods' sessions: WebSockets, and polls that wait. They are no connections of this pod, but
//! end with it.
//!
//! A client may poll the pod again that has just answered its poll for that: what comes so late is not waited for, and
//! is answered at the very end, when the pod takes no connections any more.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use metrics::Gauge;
use parking_lot::RwLock;
use socketioxide_core::Sid;
use tokio::sync::Notify;

/// All that are relayed now.
#[derive(Debug, Default)]
pub(crate) struct RelayedSessions(RwLock<Now>);

#[derive(Debug, Default)]
struct Now {
    all: HashMap<u64, RelayedSession>,
    next: u64,
    /// The number of the first that came when the pod was closing.
    late: Option<u64>,
}

/// Something that is relayed, of this session.
#[derive(Debug, Clone)]
pub(crate) struct RelayedSession {
    pub session: Sid,
    /// Ends it.
    pub end: Weak<Notify>,
}

impl RelayedSessions {
    /// Something of a session is relayed until the answer is dropped. `gauge` counts those of its kind.
    pub fn begin(self: &Arc<Self>, session: Sid, gauge: Gauge) -> RelayGuard {
        gauge.increment(1);
        let end = Arc::new(Notify::new());
        let mut now = self.0.write();
        let number = now.next;
        now.next += 1;
        now.all.insert(number, RelayedSession { session, end: Arc::downgrade(&end) });
        RelayGuard { passage: self.clone(), number, end, gauge }
    }

    /// The pod closes what is there now.
    pub fn closing(&self) {
        let mut now = self.0.write();
        now.late = now.late.or(Some(now.next));
    }

    /// How many there are to wait for.
    pub fn count(&self) -> usize {
        self.0.read().in_time().count()
    }

    /// These: each ends when it is notified.
    pub fn in_time(&self) -> Vec<RelayedSession> {
        self.0.read().in_time().cloned().collect()
    }

    /// Ends all, the late ones too.
    pub fn end_all(&self) {
        for end in self.0.read().all.values().filter_map(|passes| passes.end.upgrade()) {
            end.notify_one();
        }
    }
}

impl Now {
    fn in_time(&self) -> impl Iterator<Item = &RelayedSession> {
        let late = self.late.unwrap_or(u64::MAX);
        self.all.iter().filter(move |(number, _)| **number < late).map(|(_, passes)| passes)
    }
}

/// Something of another pod's session is relayed, for as long as this lives.
pub(crate) struct RelayGuard {
    passage: Arc<RelayedSessions>,
    number: u64,
    end: Arc<Notify>,
    gauge: Gauge,
}

impl RelayGuard {
    /// Waits until this pod wants it to end.
    pub async fn told_to_end(&self) {
        self.end.notified().await;
    }
}

impl Drop for RelayGuard {
    fn drop(&mut self) {
        self.passage.0.write().all.remove(&self.number);
        self.gauge.decrement(1);
    }
}
