//! Where notes about keys are kept: in Redis for all pods, or in the memory of a pod on its own.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    backplane::Notes,
    publish::ApiError,
    telemetry::{Reached, Total},
};

/// Bytes that notes take in memory at most, about. Beyond them, the oldest is forgotten.
const MEMORY: usize = 16 << 20;
/// What a note costs beside its text, about.
const OVERHEAD: usize = 256;

/// Notes, by name.
pub(super) enum Store {
    /// Those of the cluster.
    Shared(Notes),
    /// Those of this pod.
    Own(Mutex<Memory>),
}

impl Store {
    pub fn new(notes: Option<Notes>) -> Self {
        notes.map_or_else(|| Self::Own(Mutex::new(Memory::new(MEMORY))), Self::Shared)
    }

    /// Writes a note if there is none; else gives the one that is there.
    pub async fn claim(
        &self,
        name: &str,
        note: String,
        lifetime: Duration,
    ) -> Result<Option<String>, ApiError> {
        match self {
            Self::Shared(notes) => notes.claim(name, &note, lifetime).await.map_err(|error| {
                ApiError::BackplaneUnavailable(format!("the idempotency key is unknown: {error}"))
            }),
            Self::Own(memory) => Ok(memory.lock().claim(name, note, lifetime)),
        }
    }

    /// Writes a note over what is there.
    pub async fn write(&self, name: &str, note: String, lifetime: Duration) {
        match self {
            Self::Shared(notes) => {
                if let Err(error) = notes.write(name, &note, lifetime).await {
                    tracing::warn!(%error, "the answer to an idempotency key is not noted");
                }
            }
            Self::Own(memory) => memory.lock().write(name, note, lifetime),
        }
    }

    /// Takes one away.
    pub async fn remove(&self, name: &str) {
        match self {
            Self::Shared(notes) => {
                if let Err(error) = notes.remove(name).await {
                    tracing::debug!(%error, "an idempotency key stays taken for a while");
                }
            }
            Self::Own(memory) => memory.lock().remove(name),
        }
    }
}

/// Notes in memory, bounded.
pub(super) struct Memory {
    notes: HashMap<String, Kept>,
    /// What was written, the oldest first, with what it costs; what was written over is there still.
    written: VecDeque<(String, u64, usize)>,
    number: u64,
    cost: usize,
    limit: usize,
}

struct Kept {
    note: String,
    ends: Instant,
    number: u64,
}

impl Memory {
    fn new(limit: usize) -> Self {
        Self { notes: HashMap::new(), written: VecDeque::new(), number: 0, cost: 0, limit }
    }

    fn claim(&mut self, name: &str, note: String, lifetime: Duration) -> Option<String> {
        match self.notes.get(name).filter(|kept| kept.ends > Instant::now()) {
            Some(kept) => Some(kept.note.clone()),
            None => {
                self.write(name, note, lifetime);
                None
            }
        }
    }

    fn write(&mut self, name: &str, note: String, lifetime: Duration) {
        self.number += 1;
        let cost = 2 * name.len() + note.len() + OVERHEAD;
        self.written.push_back((name.to_owned(), self.number, cost));
        self.cost += cost;
        let kept = Kept { note, ends: Instant::now() + lifetime, number: self.number };
        self.notes.insert(name.to_owned(), kept);
        self.forget();
        self.show();
    }

    fn remove(&mut self, name: &str) {
        self.notes.remove(name);
        self.forget();
        self.show();
    }

    fn show(&self) {
        Total::IdempotencyNotes.uses(self.cost as f64, self.limit as f64);
    }

    /// Forgets what has ended, and the oldest while there is too much.
    fn forget(&mut self) {
        while let Some((name, number, cost)) = self.written.front() {
            let kept = self.notes.get(name).filter(|kept| kept.number == *number);
            if kept.is_some_and(|kept| kept.ends > Instant::now()) && self.cost <= self.limit {
                return;
            }
            let current = kept.is_some();
            if kept.is_some_and(|kept| kept.ends > Instant::now()) {
                Reached::IdempotencyNotes.count();
            }
            self.cost -= cost;
            if let Some((name, ..)) = self.written.pop_front()
                && current
            {
                self.notes.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_name_is_taken_once_until_it_is_free() {
        let mut memory = Memory::new(MEMORY);
        assert_eq!(memory.claim("a", "first".into(), HOUR), None);
        assert_eq!(memory.claim("a", "second".into(), HOUR), Some("first".into()));
        memory.write("a", "answer".into(), HOUR);
        assert_eq!(memory.claim("a", "third".into(), HOUR), Some("answer".into()));
        memory.remove("a");
        assert_eq!(memory.claim("a", "fourth".into(), Duration::ZERO), None);
        assert_eq!(memory.claim("a", "fifth".into(), HOUR), None, "its time is over");
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let mut memory = Memory::new(100 * OVERHEAD);
        for number in 0..1000 {
            assert_eq!(memory.claim(&number.to_string(), "note".into(), HOUR), None);
            assert!(memory.cost <= memory.limit);
        }
        assert!(memory.notes.len() > 50);
        assert_eq!(memory.claim("999", String::new(), HOUR), Some("note".into()));
        for number in 0..1000 {
            memory.remove(&number.to_string());
        }
        assert_eq!((memory.notes.len(), memory.written.len(), memory.cost), (0, 0, 0));
    }
}
