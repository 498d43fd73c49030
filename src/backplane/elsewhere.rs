//! Namespaces that are asked about from a pod that has none of their sockets: children of dynamic ones, whose clients are all on
//! other pods.
//!
//! The pod is no server of such a namespace: it hears no more of it than the answers, and only while it waits for them.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::redis::Changes;

/// The questions that wait, by namespace.
pub(super) struct Elsewhere {
    asked: Mutex<HashMap<String, usize>>,
    /// Most namespaces at a time.
    most: usize,
}

/// A question waits for its answers, until this is dropped.
pub(super) struct Asking {
    elsewhere: Arc<Elsewhere>,
    namespace: String,
    changes: Arc<Changes>,
}

impl Elsewhere {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { asked: Mutex::default(), most })
    }

    /// Has answers of a namespace heard; nothing if there are too many of them.
    pub fn ask(self: &Arc<Self>, namespace: &str, changes: &Arc<Changes>) -> Option<Asking> {
        let mut asked = self.asked.lock();
        if !asked.contains_key(namespace) && asked.len() >= self.most {
            return None;
        }
        *asked.entry(namespace.to_owned()).or_default() += 1;
        drop(asked);
        let (namespace, changes) = (namespace.to_owned(), changes.clone());
        changes.note_answers(&namespace);
        Some(Asking { elsewhere: self.clone(), namespace, changes })
    }

    /// Whether a question about this one waits.
    pub fn asks(&self, namespace: &str) -> bool {
        self.asked.lock().contains_key(namespace)
    }

    /// All of them.
    pub fn all(&self) -> Vec<String> {
        self.asked.lock().keys().cloned().collect()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut asked = self.elsewhere.asked.lock();
        if let Some(questions) = asked.get_mut(&self.namespace) {
            *questions -= 1;
            if *questions == 0 {
                asked.remove(&self.namespace);
                drop(asked);
                self.changes.note_answers(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn no_more_namespaces_are_asked_about_than_may_be_and_none_once_it_is_over() {
        let (elsewhere, changes) = (Elsewhere::new(1), Arc::default());
        let first = elsewhere.ask("/room-1", &changes).unwrap();
        let second = elsewhere.ask("/room-1", &changes).unwrap();
        assert!(elsewhere.ask("/room-2", &changes).is_none());
        drop(first);
        assert!(elsewhere.asks("/room-1"));
        drop(second);
        assert_eq!(elsewhere.all(), Vec::<String>::new());
        assert!(elsewhere.ask("/room-2", &changes).is_some());
    }
}
