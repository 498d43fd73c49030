//! A join, which takes time to be known everywhere.

use std::time::Duration;

use super::redis::Subscribed;

/// A socket has joined rooms on this pod.
#[derive(Default)]
#[must_use]
pub struct Joined {
    pub(super) subscribed: Option<Subscribed>,
    /// How long to wait for Redis.
    pub(super) timeout: Duration,
}

impl Joined {
    /// Whether there is nothing to wait for.
    pub fn is_settled(&self) -> bool {
        self.subscribed.is_none()
    }

    /// Waits until what other servers send to the rooms reaches this pod. Not for ever: without Redis,
    /// the rooms work among the sockets of this pod.
    pub async fn settled(self) {
        if let Some(subscribed) = self.subscribed {
            let _ = tokio::time::timeout(self.timeout, subscribed.wait()).await;
        }
    }
}
