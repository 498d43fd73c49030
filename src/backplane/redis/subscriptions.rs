//! What this pod is subscribed to, and how it stays so.
//!
//! Gap: fred restores subscriptions after a reconnect, but not those that a cluster takes away when it
//! moves a slot (Redis says `sunsubscribe`, fred drops that). So the pod knows itself what it wants, and
//! asks for all of it again whenever a connection is new or slots have moved. Asking twice does no
//! harm.

use std::{collections::HashSet, sync::Arc};

use fred::{clients::Client, error::Error, interfaces::PubsubInterface};
use futures_util::future::try_join_all;
use metrics::gauge;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::timed::Timed;
use crate::telemetry::metrics::SUBSCRIPTIONS;

/// Subscriptions that are asked for in one go.
const BATCH: usize = 256;

/// What a pod wants to hear.
pub trait DesiredSubscriptions: Send + Sync + 'static {
    /// Channels, in the protocol without shards.
    fn channels(&self) -> Vec<String>;
    /// Patterns of channels, in that protocol.
    fn patterns(&self) -> Vec<String>;
    /// A channel that one of the patterns matches, and that no other server cares for.
    fn echo(&self) -> Option<String>;
    /// All channels of shards, at this moment.
    fn shards(&self) -> Vec<String>;
    /// The channel of a room; `None` if it has none.
    fn room(&self, namespace: &str, room: &str) -> Option<String>;
    /// The channels on which other servers answer this pod in a namespace.
    fn answers(&self, namespace: &str) -> Vec<String>;
    /// Whether it waits for such answers, at this moment, or is a server of that namespace.
    fn hears_answers(&self, namespace: &str) -> bool;
    /// Whether a room has members here, at this moment.
    fn has_members(&self, namespace: &str, room: &str) -> bool;
}

/// The rooms whose members have come or gone since the last look.
#[derive(Default)]
pub struct Changes {
    rooms: Mutex<Batch>,
    some: Notify,
    /// Everything must be asked for again.
    all: Notify,
    /// The number of the last batch that Redis has heard of.
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct Batch {
    number: u64,
    rooms: HashSet<(String, String)>,
    /// Namespaces have come or gone.
    namespaces: bool,
    /// Namespaces in which answers have come to be waited for, or no longer are.
    answers: HashSet<String>,
}

/// Tells when Redis has heard of a change.
pub struct Subscribed {
    batch: u64,
    done: watch::Receiver<u64>,
}

impl Subscribed {
    /// Waits for it.
    pub async fn wait(mut self) {
        let _ = self.done.wait_for(|done| *done > self.batch).await;
    }
}

impl Changes {
    /// Members of rooms have come or gone.
    pub fn note(&self, namespace: &str, rooms: impl IntoIterator<Item = String>) -> Subscribed {
        self.add(|batch| {
            batch.rooms.extend(rooms.into_iter().map(|room| (namespace.to_owned(), room)));
        })
    }

    /// Namespaces have come or gone.
    pub fn note_namespaces(&self) -> Subscribed {
        self.add(|batch| batch.namespaces = true)
    }

    /// Answers are waited for in a namespace of other pods, or no longer.
    pub fn note_answers(&self, namespace: &str) -> Subscribed {
        self.add(|batch| batch.answers.extend([namespace.to_owned()]))
    }

    fn add(&self, change: impl FnOnce(&mut Batch)) -> Subscribed {
        let mut batch = self.rooms.lock();
        change(&mut batch);
        let subscribed = Subscribed { batch: batch.number, done: self.done.subscribe() };
        drop(batch);
        self.some.notify_one();
        subscribed
    }

    /// Subscriptions may be lost.
    pub fn note_all(&self) {
        self.all.notify_one();
    }

    /// Waits until that is so.
    pub async fn all(&self) {
        self.all.notified().await;
    }

    /// Waits for changes.
    pub async fn some(&self) {
        self.some.notified().await;
    }

    fn take(&self) -> Batch {
        let mut batch = self.rooms.lock();
        let next = Batch { number: batch.number + 1, ..Batch::default() };
        std::mem::replace(&mut batch, next)
    }
}

/// Keeps Redis in step with what is desired.
pub struct Subscriptions<W> {
    client: Client,
    desired: W,
    changes: Arc<Changes>,
    /// Whether the protocol is that with shards.
    sharded: bool,
    /// Channels of shards that Redis knows of.
    active: HashSet<String>,
    /// Channels and patterns without shards that it knows of.
    channels: HashSet<String>,
    patterns: HashSet<String>,
}

impl<W: DesiredSubscriptions> Subscriptions<W> {
    pub fn new(client: Client, desired: W, changes: Arc<Changes>, sharded: bool) -> Self {
        let (active, channels, patterns) = Default::default();
        Self { client, desired, changes, sharded, active, channels, patterns }
    }

    /// Asks for everything, as on a new connection. The last of it is the channel of pulses, so that a
    /// pulse comes back only when the rest is there too.
    pub async fn all(&mut self, pulses: &str) -> Result<(), Error> {
        let Batch { number, .. } = self.changes.take();
        self.active.clear();
        let shards = self.desired.shards();
        self.subscribe(&shards).await?;
        let patterns = self.desired.patterns();
        if !patterns.is_empty() {
            self.client.psubscribe(patterns.clone()).timed("psubscribe").await?;
        }
        let mut channels = self.desired.channels();
        self.patterns = patterns.into_iter().collect();
        self.channels = channels.iter().cloned().collect();
        if self.sharded {
            self.client.ssubscribe(pulses).timed("ssubscribe").await?;
        } else {
            channels.push(pulses.to_owned());
        }
        if !channels.is_empty() {
            self.client.subscribe(channels).timed("subscribe").await?;
        }
        self.note_count();
        self.changes.done.send_replace(number + 1);
        Ok(())
    }

    /// Follows the rooms whose members have changed.
    pub async fn follow(&mut self) -> Result<(), Error> {
        let Batch { number, rooms, namespaces, answers } = self.changes.take();
        if namespaces {
            self.follow_namespaces().await?;
        }
        self.follow_answers(answers).await?;
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for (namespace, room) in rooms {
            let Some(channel) = self.desired.room(&namespace, &room) else {
                continue;
            };
            match (self.desired.has_members(&namespace, &room), self.active.contains(&channel)) {
                (true, false) => wanted.push(channel),
                (false, true) => unwanted.push(channel),
                _ => {}
            }
        }
        for channel in unwanted {
            self.client.sunsubscribe(channel.as_str()).timed("sunsubscribe").await?;
            self.active.remove(&channel);
        }
        self.subscribe(&wanted).await?;
        self.note_count();
        self.changes.done.send_replace(number + 1);
        Ok(())
    }

    /// Notes how many there are, with the channel of pulses.
    fn note_count(&self) {
        let count = 1 + self.active.len() + self.channels.len() + self.patterns.len();
        gauge!(SUBSCRIPTIONS.name).set(count as f64);
    }

    /// Asks for the channels of namespaces that have come, and gives those back of which have gone.
    async fn follow_namespaces(&mut self) -> Result<(), Error> {
        let wanted: HashSet<_> = self.desired.patterns().into_iter().collect();
        for pattern in self.patterns.difference(&wanted) {
            self.client.punsubscribe(pattern.as_str()).timed("punsubscribe").await?;
        }
        for pattern in wanted.difference(&self.patterns) {
            self.client.psubscribe(pattern.as_str()).timed("psubscribe").await?;
        }
        self.patterns = wanted;
        let wanted: HashSet<_> = self.desired.channels().into_iter().collect();
        for channel in self.channels.difference(&wanted) {
            self.client.unsubscribe(channel.as_str()).timed("unsubscribe").await?;
        }
        for channel in wanted.difference(&self.channels) {
            self.client.subscribe(channel.as_str()).timed("subscribe").await?;
        }
        self.channels = wanted;
        let wanted: HashSet<_> = self.desired.shards().into_iter().collect();
        let gone: Vec<_> = self.active.difference(&wanted).cloned().collect();
        for channel in gone {
            self.client.sunsubscribe(channel.as_str()).timed("sunsubscribe").await?;
            self.active.remove(&channel);
        }
        let new: Vec<_> = wanted.difference(&self.active).cloned().collect();
        self.subscribe(&new).await
    }

    /// Asks for the channels of answers that are waited for, and gives back the others.
    async fn follow_answers(&mut self, namespaces: HashSet<String>) -> Result<(), Error> {
        for namespace in namespaces {
            let hears = self.desired.hears_answers(&namespace);
            for channel in self.desired.answers(&namespace) {
                let known = if self.sharded { &mut self.active } else { &mut self.channels };
                match (hears, known.contains(&channel)) {
                    (true, false) if self.sharded => {
                        self.client.ssubscribe(&*channel).timed("ssubscribe").await?
                    }
                    (true, false) => self.client.subscribe(&*channel).timed("subscribe").await?,
                    (false, true) if self.sharded => {
                        self.client.sunsubscribe(&*channel).timed("sunsubscribe").await?
                    }
                    (false, true) => {
                        self.client.unsubscribe(&*channel).timed("unsubscribe").await?
                    }
                    _ => continue,
                }
                if hears {
                    known.insert(channel);
                } else {
                    known.remove(&channel);
                }
            }
        }
        Ok(())
    }

    /// One command for each channel: Redis answers each with a push of its own, and fred takes the
    /// first for the answer to the whole command.
    async fn subscribe(&mut self, channels: &[String]) -> Result<(), Error> {
        for channels in channels.chunks(BATCH) {
            let commands = channels
                .iter()
                .map(|channel| self.client.ssubscribe(channel.as_str()).timed("ssubscribe"));
            try_join_all(commands).await?;
            self.active.extend(channels.iter().cloned());
        }
        Ok(())
    }
}
