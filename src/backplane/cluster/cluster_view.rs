//! Whether this pod sees all of its cluster. Who scales on a sum must be told that there is none, not a small one.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// How well a pod sees the others.
pub(super) struct ClusterView {
    /// In this time each pod that is connected has renewed its record.
    heartbeat: Duration,
    /// In this time a pod that lives has.
    absence: Duration,
    /// Since when it is connected to Redis, which may have been empty then.
    since: Instant,
    /// Those that were there before, and have not been seen since.
    missing: HashSet<String>,
    /// When it last saw all.
    complete: Option<Instant>,
}

impl ClusterView {
    pub fn new(heartbeat: Duration, absence: Duration) -> Self {
        let (since, missing) = (Instant::now(), HashSet::new());
        Self { heartbeat, absence, since, missing, complete: None }
    }

    /// It was cut off, or may have been; these were there before.
    pub fn lost<'a>(&mut self, known: impl Iterator<Item = &'a String>) {
        // Those that were missing already are still.
        self.missing.extend(known.cloned());
        self.since = Instant::now();
        self.complete = None;
    }

    /// It has read the records.
    pub fn looked(&mut self, is_there: impl Fn(&str) -> bool) {
        self.missing.retain(|id| !is_there(id));
        let connected = self.since.elapsed();
        if connected >= self.absence {
            // They do not come again.
            self.missing.clear();
        }
        if connected >= self.heartbeat && self.missing.is_empty() {
            self.complete = Some(Instant::now());
        }
    }

    /// Whether it sees all.
    pub fn is_complete(&self) -> bool {
        self.complete.is_some_and(|complete| complete.elapsed() < self.absence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::ZERO;
    const LATE: Duration = Duration::from_secs(3600);

    #[test]
    fn a_pod_that_has_just_connected_does_not_know_who_is_there() {
        let mut view = ClusterView::new(LATE, LATE);
        view.looked(|_| true);
        assert!(!view.is_complete());
        let mut view = ClusterView::new(SOON, LATE);
        assert!(!view.is_complete());
        view.looked(|_| true);
        assert!(view.is_complete());
    }

    #[test]
    fn those_that_were_there_are_waited_for_when_redis_comes_back_empty() {
        let mut view = ClusterView::new(SOON, LATE);
        view.looked(|_| true);
        view.lost(["a".to_owned(), "b".to_owned()].iter());
        assert!(!view.is_complete());
        view.looked(|id| id == "a");
        assert!(!view.is_complete());
        // Cut off again: b is still missing.
        view.lost(["a".to_owned()].iter());
        view.looked(|id| id == "a");
        assert!(!view.is_complete());
        view.looked(|_| true);
        assert!(view.is_complete());
    }

    #[test]
    fn those_that_have_died_meanwhile_are_not_waited_for_without_end() {
        let mut view = ClusterView::new(SOON, SOON);
        view.lost(["a".to_owned()].iter());
        view.looked(|_| false);
        assert!(view.complete.is_some() && view.missing.is_empty());
        // What was seen is old at once.
        assert!(!view.is_complete());
    }
}
