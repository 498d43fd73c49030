//! Whether this pod sees all of its cluster. Who scales on a sum must be told that there is none, not a small one.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// How well a pod sees the others.
pub(super) struct Sight {
    /// In this time each pod that is connected has renewed its record.
    heartbeat: Duration,
    /// In this time a pod that lives has.
    absence: Duration,
    /// Since when it is connected to Redis, which may have been empty then.
    since: Instant,
    /// Those that were there before, and have not been seen since.
    missing: HashSet<String>,
    /// When it last saw all.
    whole: Option<Instant>,
}

impl Sight {
    pub fn new(heartbeat: Duration, absence: Duration) -> Self {
        let (since, missing) = (Instant::now(), HashSet::new());
        Self { heartbeat, absence, since, missing, whole: None }
    }

    /// It was cut off, or may have been; these were there before.
    pub fn lost<'a>(&mut self, known: impl Iterator<Item = &'a String>) {
        // Those that were missing already are still.
        self.missing.extend(known.cloned());
        self.since = Instant::now();
        self.whole = None;
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
            self.whole = Some(Instant::now());
        }
    }

    /// Whether it sees all.
    pub fn is_whole(&self) -> bool {
        self.whole.is_some_and(|whole| whole.elapsed() < self.absence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::ZERO;
    const LATE: Duration = Duration::from_secs(3600);

    #[test]
    fn a_pod_that_has_just_connected_does_not_know_who_is_there() {
        let mut sight = Sight::new(LATE, LATE);
        sight.looked(|_| true);
        assert!(!sight.is_whole());
        let mut sight = Sight::new(SOON, LATE);
        assert!(!sight.is_whole());
        sight.looked(|_| true);
        assert!(sight.is_whole());
    }

    #[test]
    fn those_that_were_there_are_waited_for_when_redis_comes_back_empty() {
        let mut sight = Sight::new(SOON, LATE);
        sight.looked(|_| true);
        sight.lost(["a".to_owned(), "b".to_owned()].iter());
        assert!(!sight.is_whole());
        sight.looked(|id| id == "a");
        assert!(!sight.is_whole());
        // Cut off again: b is still missing.
        sight.lost(["a".to_owned()].iter());
        sight.looked(|id| id == "a");
        assert!(!sight.is_whole());
        sight.looked(|_| true);
        assert!(sight.is_whole());
    }

    #[test]
    fn those_that_have_died_meanwhile_are_not_waited_for_without_end() {
        let mut sight = Sight::new(SOON, SOON);
        sight.lost(["a".to_owned()].iter());
        sight.looked(|_| false);
        assert!(sight.whole.is_some() && sight.missing.is_empty());
        // What was seen is old at once.
        assert!(!sight.is_whole());
    }
}
