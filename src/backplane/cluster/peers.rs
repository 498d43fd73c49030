//! The other servers of the cluster, as metrics have them: how many there are, and when any of them was last heard.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use metrics::{Gauge, gauge};
use tokio::time::sleep;

use super::{Cluster, PodRecord};
use crate::{
    backplane::wire::{Broadcast, Incoming, Message},
    telemetry::metrics::{PEER_MESSAGE_AGE, PEERS},
};

/// How often the time is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Nothing has been heard yet.
const NEVER: u64 = u64::MAX;

/// When others were last heard, in milliseconds of this.
pub(super) struct Peers {
    begun: Instant,
    roomcast: AtomicU64,
    node: AtomicU64,
}

impl Default for Peers {
    fn default() -> Self {
        let (roomcast, node) = (AtomicU64::new(NEVER), AtomicU64::new(NEVER));
        Self { begun: Instant::now(), roomcast, node }
    }
}

impl Peers {
    /// Another server has been heard. Emitters are no servers, and some answers do not say from whom they are. `is_pod`: whether
    /// a pod of Roomcast has this id.
    pub fn heard(&self, Incoming { from, message }: &Incoming, is_pod: impl Fn(&str) -> bool) {
        let stamped = matches!(message, Message::Broadcast(Broadcast { meta: Some(_), .. }));
        let last = match from.as_deref() {
            _ if stamped => &self.roomcast,
            None | Some("emitter") => return,
            Some(from) if is_pod(from) => &self.roomcast,
            Some(_) => &self.node,
        };
        last.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Notes, every second, how long ago others were last heard.
    pub async fn note_ages(&self) -> Infallible {
        // Not there before there is something to say.
        let mut gauges: [Option<Gauge>; 2] = [None, None];
        loop {
            sleep(LOOK).await;
            for (place, (kind, last)) in
                [("roomcast", &self.roomcast), ("node", &self.node)].into_iter().enumerate()
            {
                let last = last.load(Ordering::Relaxed);
                if last != NEVER {
                    let age = Duration::from_millis(self.now().saturating_sub(last));
                    gauges[place]
                        .get_or_insert_with(|| gauge!(PEER_MESSAGE_AGE.name, "kind" => kind))
                        .set(age);
                }
            }
        }
    }
}

/// Notes how many others there are.
pub(super) async fn note(cluster: &Cluster) {
    let pods: Vec<PodRecord> = cluster.known.borrow().values().cloned().collect();
    let others = pods.iter().filter(|pod| pod.id != cluster.pod);
    let (draining, serving): (Vec<_>, Vec<_>) = others.partition(|pod| !pod.is_serving());
    let note = |kind: &'static str, state: &'static str, count: usize| {
        gauge!(PEERS.name, "kind" => kind, "state" => state).set(count as f64);
    };
    note("roomcast", "serving", serving.len());
    note("roomcast", "draining", draining.len());
    // Servers of Node have "/", whatever else they have.
    let all = cluster.namespaces.all();
    let mut names: Vec<_> = all.iter().map(|members| members.local.path().as_str()).collect();
    names.sort_unstable();
    let Some(name) = names.first() else { return };
    match cluster.asks().subscribers(name).await {
        Ok(servers) => {
            note("node", "serving", servers.saturating_sub(1 + serving.len() + draining.len()));
        }
        Err(error) => tracing::debug!(%error, "other servers cannot be counted"),
    }
}
