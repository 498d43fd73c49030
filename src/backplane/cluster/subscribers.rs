//! How many servers hear what is said in a namespace: Redis counts those that subscribe to its channel.

use std::{collections::HashMap, sync::atomic::Ordering};

use fred::interfaces::{ClusterInterface, PubsubInterface};
use futures_util::future::join_all;

use super::{Asks, ClusterError};
use crate::backplane::{redis::Timed, wire::Wire};

impl Asks<'_> {
    /// How many servers there are of a namespace, this pod among them.
    pub async fn server_count(&self, namespace: &str) -> Result<usize, ClusterError> {
        let servers = self.subscribers(namespace).await?.max(1);
        self.0.servers.store(servers, Ordering::Relaxed);
        Ok(servers)
    }

    /// How many servers hear what is said in a namespace.
    pub async fn subscribers(&self, namespace: &str) -> Result<usize, ClusterError> {
        let client = self.0.redis.commands();
        let channel = match &self.0.wire {
            Wire::Sharded(wire) => {
                let [channel, _] = wire.channels(namespace);
                let counts: Counts =
                    client.pubsub_shardnumsub(channel.as_str()).timed("pubsub").await?;
                return Ok(sum(&counts));
            }
            Wire::Classic(wire) => {
                let [channel, _, _] = wire.channels(namespace);
                channel
            }
        };
        if !self.0.redis.is_clustered() {
            let counts: Counts = client.pubsub_numsub(channel.as_str()).timed("pubsub").await?;
            return Ok(sum(&counts));
        }
        // Each node counts its own subscribers.
        let nodes = client
            .cached_cluster_state()
            .map(|state| state.unique_primary_nodes())
            .unwrap_or_default();
        let ask = nodes.iter().map(|node| {
            let client = client.with_cluster_node(node);
            let channel = channel.as_str();
            async move { client.pubsub_numsub::<Counts, _>(channel).timed("pubsub").await }
        });
        let counts = join_all(ask).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(counts.iter().map(sum).sum())
    }
}

/// Subscribers by channel.
type Counts = HashMap<String, u64>;

/// The sum of what `PUBSUB NUMSUB` answers.
fn sum(counts: &Counts) -> usize {
    counts.values().filter_map(|count| usize::try_from(*count).ok()).sum()
}
