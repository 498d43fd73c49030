//! `roomcast::client` against a real pod, and against the Socket.IO server of Node.

pub mod node;
mod node_ends;
mod pod;
mod pod_returns;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use roomcast::client::{Backoff, Transport};
use tokio::time::timeout;

use crate::support::PATIENCE;

pub const WAYS: [(&str, &[Transport]); 3] = [
    ("websocket", &[Transport::WebSocket]),
    ("polling", &[Transport::Polling]),
    ("upgrade", &[Transport::Polling, Transport::WebSocket]),
];

pub fn quick() -> Backoff {
    Backoff::default().first(Duration::from_millis(50)).max(Duration::from_millis(200))
}

/// What a callback was called with.
#[derive(Clone)]
pub struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Send + 'static> Seen<T> {
    pub fn push(&self, value: T) {
        self.0.lock().unwrap().push(value);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until it was called so often.
    pub async fn reaches(&self, count: usize) -> Vec<T> {
        let begun = std::time::Instant::now();
        while self.all().len() < count {
            assert!(begun.elapsed() < PATIENCE, "{} of {count}", self.all().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.all()
    }
}

pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("in time")
}
