//! The commands of the publish stream: one key that the pods of a cluster read as one consumer group.
//!
//! An entry that was read is pending for its pod until it is acknowledged; one whose pod does not end with it is
//! claimed by another (<https://redis.io/docs/latest/develop/data-types/streams/#consumer-groups>). The
//! stream and its dead letters are two keys, and no command touches both: they may be on two nodes of a Cluster.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use fred::{
    clients::Client,
    error::Error,
    interfaces::StreamsInterface,
    types::{
        Value,
        streams::{XID, XPendingArgs},
    },
};

use super::{
    health::{Health, Link},
    timed::Timed,
};
use crate::config;

/// Longest wait of Redis for a new entry. A pod that ends waits for it: a read that is given up could leave
/// entries behind that nobody handles for a while.
const BLOCK: Duration = Duration::from_millis(500);

/// The field of an entry that holds its emit. Of others, only those that say what caused it are read.
const EMIT: &[u8] = b"emit";

/// An entry of the stream.
#[derive(Debug)]
pub struct Entry {
    /// Its id in the stream.
    pub id: String,
    /// Names and values; none for an entry that was deleted before it was handled.
    pub fields: Vec<(Bytes, Bytes)>,
    /// How often it was given to a pod, this time included.
    pub deliveries: u64,
}

impl Entry {
    /// The JSON of its emit, if it has one.
    pub fn emit(&self) -> Option<&Bytes> {
        self.field("emit")
    }

    /// The first of its fields with this name.
    pub fn field(&self, name: &str) -> Option<&Bytes> {
        self.fields.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value)
    }

    /// The same for a field that is none if it is there twice: nobody could say which.
    pub fn only(&self, name: &str) -> Option<&Bytes> {
        let mut all = self.fields.iter().filter(|(known, _)| known == name.as_bytes());
        let (_, value) = all.next()?;
        all.next().is_none().then_some(value)
    }

    /// What a dead letter keeps of it: the emit by its name, other fields by names that ours cannot be.
    fn kept(self) -> impl Iterator<Item = (Bytes, Bytes)> {
        let mut emit_seen = false;
        self.fields.into_iter().map(move |(name, value)| {
            if name == EMIT && !emit_seen {
                emit_seen = true;
                return (name, value);
            }
            (Bytes::from([b"entry:", &*name].concat()), value)
        })
    }
}

/// Entries that are pending.
pub struct Pending {
    pub entries: Vec<Entry>,
    /// The id of the last one that was looked at: more may come after it.
    pub last: String,
}

/// What waits in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Entries that no pod has read.
    pub lag: u64,
    /// Entries that pods have read and not acknowledged.
    pub pending: u64,
    /// Dead letters; unknown while their key cannot be read.
    pub dead: Option<u64>,
}

/// The stream, as one pod reads it.
pub struct PublishStream {
    /// Waits for new entries, and does nothing else.
    reading: Client,
    commands: Client,
    health: Arc<Health>,
    /// The consumer of this pod.
    pod: String,
    stream: String,
    dead: String,
    block: Duration,
    settings: config::PublishStream,
}

impl PublishStream {
    /// An id that is before all.
    pub const START: &str = "0-0";

    pub fn new(
        reading: Client,
        commands: Client,
        health: Arc<Health>,
        pod: &str,
        backplane: &config::Backplane,
        settings: &config::PublishStream,
    ) -> Self {
        let stream = format!("{}:publish", backplane.key_prefix);
        Self {
            reading,
            commands,
            health,
            pod: pod.to_owned(),
            dead: format!("{stream}:dead"),
            stream,
            block: BLOCK.min(backplane.timeout / 4),
            settings: settings.clone(),
        }
    }

    /// Its key, and its group.
    pub fn names(&self) -> (&str, &str) {
        (&self.stream, &self.settings.group)
    }

    /// Whether the pod reaches the others.
    pub fn is_up(&self) -> bool {
        self.health.is_up()
    }

    /// Waits until it does.
    pub async fn up(&self) {
        let mut link = self.health.follow();
        // The health lives as long as the pod.
        let _ = link.wait_for(|link| *link == Link::Up).await;
    }

    /// Makes the group, unless it is there. It begins with the oldest entry: backends may have published before
    /// the first pod came.
    pub async fn create_group(&self) -> Result<(), Error> {
        let (stream, group) = (self.stream.as_str(), self.settings.group.as_str());
        match self.commands.xgroup_create(stream, group, "0", true).timed("xgroup").await {
            Err(error) if error.details().starts_with("BUSYGROUP") => Ok(()),
            created => created,
        }
    }

    /// Whether an error says that there is no group (any more). Only then is it made: a Redis without memory refuses
    /// to make one that is there.
    pub fn lacks_group(error: &Error) -> bool {
        let details = error.details();
        // `UNBLOCKED`: the stream was deleted while it was read.
        details.starts_with("NOGROUP") || details.starts_with("UNBLOCKED")
    }

    /// Waits a little for new entries.
    pub async fn new_entries(&self) -> Result<Vec<Entry>, Error> {
        let block = u64::try_from(self.block.as_millis()).unwrap_or(u64::MAX).max(1);
        self.read(&self.reading, Some(block), XID::NewInGroup).await
    }

    /// Entries after this one that this pod was given and has not acknowledged, the oldest first. `None`: no more.
    pub async fn own_entries(&self, after: &str) -> Result<Option<Pending>, Error> {
        let deliveries = self.deliveries(after, None, Some(&self.pod)).await?;
        let Some(last) = last(&deliveries) else {
            return Ok(None);
        };
        let entries = self.read(&self.commands, None, after.into()).await?;
        Ok(Some(Pending { entries: with_deliveries(entries, &deliveries), last }))
    }

    async fn read(
        &self,
        client: &Client,
        block: Option<u64>,
        from: XID,
    ) -> Result<Vec<Entry>, Error> {
        let (stream, group) = (self.stream.as_str(), self.settings.group.as_str());
        let (pod, batch) = (self.pod.as_str(), Some(self.settings.batch));
        let answer: Value =
            client.xreadgroup(group, pod, batch, block, false, stream, from).await?;
        // A map of streams in RESP3, of which there is one.
        let entries = match answer {
            Value::Map(map) => map.inner().into_values().next(),
            _ => None,
        };
        Ok(entries.map(read_entries).unwrap_or_default())
    }

    /// Takes entries after this one over that no pod has ended with in `claim_after`. `None`: no more.
    pub async fn claim(&self, after: &str) -> Result<Option<Pending>, Error> {
        let idle = u64::try_from(self.settings.claim_after.as_millis()).unwrap_or(u64::MAX);
        let deliveries = self.deliveries(after, Some(idle), None).await?;
        let Some(last) = last(&deliveries) else {
            return Ok(None);
        };
        let ids: Vec<String> = deliveries.keys().cloned().collect();
        let (stream, group) = (self.stream.as_str(), self.settings.group.as_str());
        let pod = self.pod.as_str();
        // Redis gives those only that are idle still: another pod may have been quicker.
        let claimed: Value = self
            .commands
            .xclaim(stream, group, pod, idle, ids, None, None, None, false, false)
            .timed("xclaim")
            .await?;
        let mut entries = with_deliveries(read_entries(claimed), &deliveries);
        entries.sort_by_key(|entry| order(&entry.id));
        Ok(Some(Pending { entries, last }))
    }

    /// How often pending entries after this one have been delivered: of all consumers or of one, those idle for so
    /// long.
    async fn deliveries(
        &self,
        after: &str,
        idle: Option<u64>,
        consumer: Option<&str>,
    ) -> Result<HashMap<String, u64>, Error> {
        let args = XPendingArgs {
            idle,
            start: Some(format!("({after}").into()),
            end: Some("+".into()),
            count: Some(self.settings.batch),
            consumer: consumer.map(Into::into),
        };
        let (stream, group) = (self.stream.as_str(), self.settings.group.as_str());
        let rows: Value = self.commands.xpending(stream, group, args).timed("xpending").await?;
        // Each row: id, consumer, milliseconds idle, deliveries.
        let row = |row: Value| {
            let row = row.into_array();
            Some((row.first()?.as_string()?, row.get(3)?.as_u64()?))
        };
        Ok(rows.into_array().into_iter().filter_map(row).collect())
    }

    /// Acknowledges entries, and deletes them if they are to be trimmed.
    pub async fn done(&self, ids: Vec<String>) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let (stream, group) = (self.stream.as_str(), self.settings.group.as_str());
        let () = self.commands.xack(stream, group, ids.clone()).timed("xack").await?;
        // One that is deleted and still pending would look as if it had been lost: so one after the other.
        // What is left of a pod that ends in between, `sweep` takes.
        if self.settings.trim {
            let () = self.commands.xdel(stream, ids).timed("xdel").await?;
        }
        Ok(())
    }

    /// Deletes what was acknowledged and not deleted, up to the oldest entry that is pending.
    async fn sweep(&self, last_delivered: &str) -> Result<(), Error> {
        let (stream, group) = (self.stream.as_str(), self.settings.group.as_str());
        // Asked after `last_delivered`: what is not pending of the entries up to there is done.
        let pending: Value = self.commands.xpending(stream, group, ()).timed("xpending").await?;
        let oldest = pending.into_array().get(1).and_then(Value::as_string);
        let delivered = order(last_delivered);
        let (time, count) = oldest
            .map(|id| order(&id))
            .filter(|oldest| *oldest <= delivered)
            .unwrap_or((delivered.0, delivered.1.saturating_add(1)));
        let cap = ("MINID", "=", format!("{time}-{count}"));
        self.commands.xtrim(stream, cap).timed("xtrim").await
    }

    /// Writes a dead letter for an entry, which stays pending.
    pub async fn bury(&self, entry: Entry, code: &str, reason: &str) -> Result<(), Error> {
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let about = [
            ("id", text(&entry.id)),
            ("code", text(code)),
            ("reason", text(reason)),
            ("deliveries", text(&entry.deliveries.to_string())),
            ("pod", text(&self.pod)),
        ];
        let letter: Vec<(Bytes, Value)> = about
            .into_iter()
            .map(|(name, value)| (Bytes::from_static(name.as_bytes()), value))
            .chain(entry.kept())
            .map(|(name, value)| (name, Value::Bytes(value)))
            .collect();
        let cap = ("MAXLEN", "=", i64::try_from(self.settings.dead_letter_max_len).unwrap_or(0));
        self.commands.xadd(self.dead.as_str(), false, cap, "*", letter).timed("xadd").await
    }

    /// What waits; `None` if there is no group. What is done is gone after.
    pub async fn backlog(&self) -> Result<Option<Backlog>, Error> {
        let stream = self.stream.as_str();
        let groups: Vec<HashMap<String, Value>> =
            self.commands.xinfo_groups(stream).timed("xinfo").await?;
        let name = |group: &HashMap<String, Value>| group.get("name").and_then(Value::as_string);
        let Some(group) =
            groups.into_iter().find(|group| name(group).as_deref() == Some(&*self.settings.group))
        else {
            return Ok(None);
        };
        let number = |key: &str| group.get(key).and_then(Value::as_u64);
        let pending = number("pending").unwrap_or_default();
        let lag = match number("lag") {
            Some(lag) => lag,
            // Redis 6 does not know it, later ones not after some deletions. What is acknowledged is deleted:
            // so the others wait.
            None => {
                self.commands.xlen::<u64, _>(stream).timed("xlen").await?.saturating_sub(pending)
            }
        };
        let dead = self.commands.xlen(self.dead.as_str()).timed("xlen").await.ok();
        if let Some(delivered) = group.get("last-delivered-id").and_then(Value::as_string)
            && self.settings.trim
        {
            self.sweep(&delivered).await?;
        }
        Ok(Some(Backlog { lag, pending, dead }))
    }

    /// Other consumers of the group that have nothing and have not asked for anything for long.
    pub async fn idle_consumers(&self) -> Result<Vec<String>, Error> {
        let (stream, group) = (self.stream.as_str(), self.settings.group.as_str());
        let consumers: Vec<HashMap<String, Value>> =
            self.commands.xinfo_consumers(stream, group).timed("xinfo").await?;
        let idle = self.settings.claim_after.as_millis();
        let name = |consumer: HashMap<String, Value>| {
            let number = |key: &str| consumer.get(key).and_then(Value::as_u64);
            let gone = number("pending")? == 0 && u128::from(number("idle")?) > idle;
            consumer.get("name")?.as_string().filter(|name| gone && *name != self.pod)
        };
        Ok(consumers.into_iter().filter_map(name).collect())
    }

    /// Forgets a consumer that has nothing pending.
    pub async fn forget(&self, consumer: &str) -> Result<(), Error> {
        let (stream, group) = (self.stream.as_str(), self.settings.group.as_str());
        self.commands.xgroup_delconsumer(stream, group, consumer).timed("xgroup").await
    }

    /// Takes this pod out of the group. With entries pending it stays, so that others can claim them.
    pub async fn leave(&self) -> Result<(), Error> {
        if self.deliveries(Self::START, None, Some(&self.pod)).await?.is_empty() {
            self.forget(&self.pod).await?;
        }
        Ok(())
    }
}

/// Entries as Redis writes them: their id, and names and values in turn, or nothing where an entry is gone.
fn read_entries(entries: Value) -> Vec<Entry> {
    let entry = |entry: Value| {
        let mut parts = entry.into_array().into_iter();
        let id = parts.next()?.as_string()?;
        let mut texts = parts.next().unwrap_or(Value::Null).into_array().into_iter();
        let mut fields = Vec::new();
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            fields.push((name.into_bytes()?, value.into_bytes()?));
        }
        Some(Entry { id, fields, deliveries: 1 })
    };
    entries.into_array().into_iter().filter_map(entry).collect()
}

fn with_deliveries(mut entries: Vec<Entry>, before: &HashMap<String, u64>) -> Vec<Entry> {
    for entry in &mut entries {
        entry.deliveries += before.get(&entry.id).copied().unwrap_or_default();
    }
    entries
}

/// The highest of the ids.
fn last(deliveries: &HashMap<String, u64>) -> Option<String> {
    deliveries.keys().max_by_key(|id| order(id)).cloned()
}

/// The two numbers of an id.
fn order(id: &str) -> (u64, u64) {
    let number = |text: &str| text.parse().unwrap_or_default();
    id.split_once('-').map_or((0, 0), |(time, count)| (number(time), number(count)))
}
