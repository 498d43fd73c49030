//! The pods of the cluster, as they know each other: each keeps a record of itself in Redis, which
//! ends by itself when the pod does not renew it.

use std::{net::IpAddr, time::Duration};

use fred::{
    clients::Client,
    error::Error,
    interfaces::{KeysInterface, SetsInterface},
    types::{Expiration, SetOptions},
};
use serde::{Deserialize, Serialize};

use crate::backplane::redis::Timed;

/// Heartbeats that a pod may miss before it is taken for dead.
pub(super) const MISSED: u32 = 5;

/// What a pod says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PodRecord {
    /// Its id, new with each start.
    pub id: String,
    /// Where its internal listener is reached.
    pub address: String,
    /// The version of Roomcast.
    pub version: String,
    /// `serving`, or `draining` when it is about to end.
    pub state: String,
    /// Connections of clients.
    pub connections: usize,
    /// How many it takes: `admission.max_connections`. Not there without a limit, nor for pods of a build before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// When it started, as RFC 3339 writes it, by the clock of its machine.
    pub since: String,
    /// Its `K8S_POD_TEMPLATE_HASH`, the same for all pods that were made from one template; empty if it has none. Not there
    /// for pods of a build before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The Deployment that made it, if its name tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
}

impl PodRecord {
    /// Whether it takes new sessions, and has not been told to end.
    pub fn is_serving(&self) -> bool {
        self.state == "serving"
    }
}

/// A pod, as it is asked about itself for as long as it is in the cluster.
pub trait Pod: Send + Sync {
    /// What it is like now.
    fn record(&self) -> PodRecord;
    /// The secret that it would share with the others; none if they have one from elsewhere.
    fn secret(&self) -> Option<String>;
    /// The others and it share this secret.
    fn agreed(&self, secret: &str);
    /// Whether it does not know where the others reach it.
    fn is_lost(&self) -> bool;
    /// They do at this address of its machine, which leads to Redis.
    fn is_at(&self, local: IpAddr);
}

/// Whether Redis is there and has no room for what is written: its memory is full and nothing may be evicted (`OOM`), its
/// disk is (`MISCONF`), or it has too few replicas that would have it (`NOREPLICAS`). It still publishes and answers.
pub(super) fn has_no_room(error: &Error) -> bool {
    let answer = error.details();
    ["OOM ", "MISCONF ", "NOREPLICAS "].iter().any(|code| answer.starts_with(code))
}

/// Where the records are. One hash tag, so that a cluster keeps them together.
pub struct Registry {
    client: Client,
    index: String,
    record: String,
    secret: String,
    lifetime: Duration,
    /// A record that is missing may come again for so long: Redis came back empty.
    pub absence: Duration,
}

impl Registry {
    pub fn new(client: Client, settings: &crate::config::Backplane) -> Self {
        let prefix = &settings.key_prefix;
        Self {
            client,
            index: format!("{{{prefix}}}:pods"),
            record: format!("{{{prefix}}}:pod:"),
            secret: format!("{{{prefix}}}:session-secret"),
            lifetime: settings.timeout + settings.heartbeat * MISSED,
            absence: settings.heartbeat * MISSED,
        }
    }

    /// Writes this pod's record.
    pub async fn renew(&self, pod: &PodRecord) -> Result<(), Error> {
        let client = &self.client;
        let text = serde_json::to_string(pod).unwrap_or_default();
        let lifetime = Expiration::PX(i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX));
        let () =
            client.set(self.key(&pod.id), text, Some(lifetime), None, false).timed("set").await?;
        client.sadd(self.index.as_str(), pod.id.as_str()).timed("sadd").await
    }

    /// Takes it out.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        let client = &self.client;
        let () = client.del(self.key(id)).timed("del").await?;
        client.srem(self.index.as_str(), id).timed("srem").await
    }

    /// One pod, if it renewed its record.
    pub async fn get(&self, id: &str) -> Result<Option<PodRecord>, Error> {
        let record: Option<String> = self.client.get(self.key(id)).timed("get").await?;
        Ok(record.and_then(|record| serde_json::from_str(&record).ok()))
    }

    /// The secret of the cluster: this one, if there is none yet.
    pub async fn agree_on(&self, secret: String) -> Result<String, Error> {
        let client = &self.client;
        let absent = Some(SetOptions::NX);
        let written: Result<Option<String>, Error> =
            client.set(self.secret.as_str(), secret, None, absent, false).timed("set").await;
        match written {
            Ok(_) => client.get(self.secret.as_str()).timed("get").await,
            // The others may have agreed on one before Redis was full.
            Err(full) if has_no_room(&full) => {
                let agreed: Option<String> = client.get(self.secret.as_str()).timed("get").await?;
                agreed.ok_or(full)
            }
            Err(error) => Err(error),
        }
    }

    /// All pods that renewed their records, by id.
    pub async fn list(&self) -> Result<Vec<PodRecord>, Error> {
        let client = &self.client;
        let mut ids: Vec<String> = client.smembers(self.index.as_str()).timed("smembers").await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        ids.sort_unstable();
        let keys: Vec<String> = ids.iter().map(|id| self.key(id)).collect();
        let records: Vec<Option<String>> = client.mget(keys).timed("mget").await?;
        let dead: Vec<String> = ids
            .into_iter()
            .zip(&records)
            .filter_map(|(id, record)| record.is_none().then_some(id))
            .collect();
        if !dead.is_empty() {
            // One that was only slow adds itself again with its next heartbeat.
            let () = client.srem(self.index.as_str(), dead).timed("srem").await?;
        }
        // A record of a version that cannot be read belongs to a pod all the same; it is left out here.
        Ok(records
            .into_iter()
            .flatten()
            .filter_map(|record| serde_json::from_str(&record).ok())
            .collect())
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.record)
    }
}

#[cfg(test)]
mod tests {
    use fred::error::ErrorKind;

    use super::*;

    #[test]
    fn a_redis_without_room_is_told_from_one_that_refuses() {
        for (answer, full) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", true),
            (
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to",
                true,
            ),
            ("NOREPLICAS Not enough good replicas to write.", true),
            ("NOPERM User pod has no permissions to run the 'set' command", false),
            ("READONLY You can't write against a read only replica.", false),
            ("", false),
        ] {
            assert_eq!(has_no_room(&Error::new(ErrorKind::Unknown, answer)), full, "{answer}");
        }
    }
}
