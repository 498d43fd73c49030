//! The cluster as the rest of a pod asks for it: how this pod is connected to it, and who else is there.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{Cluster, ClusterError, Link, PodRecord, PublishStream, SetupError};
use crate::config;

/// The other pods. A pod on its own has none.
#[derive(Clone, Copy)]
pub struct ClusterHandle<'a>(pub(super) Option<&'a Arc<Cluster>>);

impl ClusterHandle<'_> {
    /// Tells the other pods now what this one is like.
    pub fn renew(self) {
        if let Some(cluster) = self.0 {
            cluster.renew();
        }
    }

    /// Another pod of the cluster, by its id.
    pub async fn pod(self, id: &str) -> Option<PodRecord> {
        self.0?.pod(id).await
    }

    /// Waits until a pod that was there has gone.
    pub async fn lost(self, id: &str) {
        if let Some(cluster) = self.0 {
            cluster.lost(id).await;
        }
    }

    /// Leaves it. `limit` is the longest wait for Redis.
    pub async fn close(self, limit: Duration) {
        if let Some(cluster) = self.0 {
            cluster.close(limit).await;
        }
    }

    /// How this pod is connected to the others; `None` for a pod on its own.
    pub fn link(self) -> Option<Link> {
        self.0.map(|cluster| cluster.redis.health.link())
    }

    /// Follows it.
    pub fn follow_link(self) -> Option<watch::Receiver<Link>> {
        self.0.map(|cluster| cluster.redis.health.follow())
    }

    /// Whether the other pods find this one and its sessions; always for a pod on its own.
    pub fn has_met(self) -> bool {
        self.0.is_none_or(|cluster| cluster.has_met())
    }

    /// All pods of the cluster, this one among them, as they were a heartbeat ago; none for a pod on its own. `None` while
    /// this one cannot know them all: it is cut off, or has not met them yet.
    pub fn seen(self) -> Option<Vec<PodRecord>> {
        self.0.map_or_else(|| Some(Vec::new()), |cluster| cluster.seen())
    }

    /// The same as they are now, or as they were before Redis went away; this pod tells them of itself first. `None` while
    /// that cannot be known.
    pub async fn look(self) -> Option<Vec<PodRecord>> {
        match self.0 {
            Some(cluster) => cluster.look().await,
            None => Some(Vec::new()),
        }
    }

    /// Waits until what this pod publishes reaches the others; not at all for a pod on its own.
    pub async fn reached(self) {
        if let Some(cluster) = self.0 {
            let mut link = cluster.redis.health.follow();
            // The sender lives as long as the cluster.
            let _ = link.wait_for(|link| *link == Link::Up).await;
        }
    }

    /// The pods of the cluster, and how many servers of another kind are in a namespace. `None` for a
    /// pod on its own.
    pub async fn pods(
        self,
        namespace: &str,
    ) -> Result<Option<(Vec<PodRecord>, usize)>, ClusterError> {
        let Some(cluster) = self.0 else {
            return Ok(None);
        };
        let asks = cluster.asks();
        let (pods, servers) = tokio::try_join!(cluster.pods(), asks.server_count(namespace))?;
        let others = servers.saturating_sub(pods.len());
        Ok(Some((pods, others)))
    }

    /// The stream that backends publish to, with these settings; `None` for a pod on its own. It must be asked
    /// for before the start.
    pub(crate) fn stream(
        self,
        settings: &config::PublishStream,
    ) -> Result<Option<PublishStream>, SetupError> {
        self.0.map(|cluster| cluster.redis.stream(&cluster.pod, settings)).transpose()
    }
}
