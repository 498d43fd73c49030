//! Redis as the pod uses it: what is published, what is subscribed to, and whether both work.

mod connections;
mod health;
mod inbox;
mod local_address;
mod notes;
mod outbox;
mod publish_stream;
mod queue;
mod subscriptions;
mod timed;

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike, ClusterInterface, EventInterface, PubsubInterface},
    types::Value,
};
use metrics::gauge;
use tokio::{
    sync::broadcast::error::RecvError,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{stages::Stages, wire::Outgoing};
use crate::{
    config,
    tasks::{named, restarted},
    telemetry::metrics::{PUBLISH_QUEUE_BYTES, PUBLISH_QUEUE_MESSAGES},
};

use connections::Connections;
pub use connections::{SetupError, once};
pub use fred::error::Error as RedisError;
pub use health::{Health, Link};
pub use inbox::Arrival;
use inbox::Verdict;
pub use notes::Notes;
pub use outbox::{Outbox, PublishError, Receipt};
pub use publish_stream::{Entry, Pending, PublishStream};
pub(super) use queue::Sizable;
use subscriptions::Subscriptions;
pub use subscriptions::{Changes, DesiredSubscriptions, Subscribed};
pub use timed::Timed;

/// How often what waits is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The pod's way to Redis.
pub struct Redis {
    connections: Connections,
    pub health: Arc<Health>,
    pub outbox: Outbox,
    pub changes: Arc<Changes>,
    /// The channels on which the pod hears itself: one of its own, and for a protocol with patterns one
    /// that its patterns match. Redis may refuse a subscription, and fred does not say so.
    pulses: OnceLock<Vec<String>>,
    sharded: bool,
    settings: Arc<config::Backplane>,
    sender: parking_lot::Mutex<Option<outbox::Sender>>,
}

impl Redis {
    pub fn new(settings: Arc<config::Backplane>, stages: Arc<Stages>) -> Result<Self, SetupError> {
        let connections = Connections::new(&settings)?;
        let sharded = settings.kind() == config::BackplaneKind::Sharded;
        let health = Arc::new(Health::default());
        let (outbox, sender) = outbox::outbox(&settings, health.clone(), stages, sharded);
        Ok(Self {
            connections,
            health,
            outbox,
            changes: Arc::default(),
            pulses: OnceLock::new(),
            sharded,
            settings,
            sender: parking_lot::Mutex::new(Some(sender)),
        })
    }

    /// The address of this machine that leads to Redis.
    pub async fn local_address(&self) -> std::io::Result<IpAddr> {
        local_address::local_address(&self.connections.servers()).await
    }

    /// The connection for commands.
    pub fn commands(&self) -> &Client {
        &self.connections.commands
    }

    /// The publish stream, with a connection of its own. It must be asked for before the start.
    pub fn stream(
        &self,
        pod: &str,
        settings: &config::PublishStream,
    ) -> Result<PublishStream, SetupError> {
        let reading = self.connections.stream(&self.settings)?;
        Ok(PublishStream::new(
            reading,
            self.connections.commands.clone(),
            self.health.clone(),
            pod,
            &self.settings,
            settings,
        ))
    }

    /// What pods note for each other.
    pub fn notes(&self) -> Notes {
        Notes::new(
            self.connections.commands.clone(),
            self.health.clone(),
            &self.settings.key_prefix,
        )
    }

    /// Whether Redis is a cluster.
    pub fn is_clustered(&self) -> bool {
        self.connections.clustered
    }

    /// Connects, and stays connected for as long as the answer lives. Messages go to the listener.
    pub fn start(
        self: &Arc<Self>,
        pod: &str,
        desired: impl DesiredSubscriptions,
        listener: impl Listener,
    ) -> JoinSet<()> {
        let messages = self.connections.subscribe.message_rx();
        let own = format!("{}-pulse#{pod}", self.settings.key_prefix);
        let pulses: Vec<_> = [own].into_iter().chain(desired.echo()).collect();
        self.health.expect_pulses(pulses.len());
        // A pod is started once.
        let _ = self.pulses.set(pulses.clone());
        let reader = Sorter { pulses, health: self.health.clone(), listener };
        inbox::start(messages, self.settings.receive_queue, reader);

        let mut tasks = JoinSet::new();
        if let Some(sender) = self.sender.lock().take() {
            tasks.spawn(named("redis outbox", sender.run(self.connections.publish.clone())));
        }
        let client = self.connections.subscribe.clone();
        let subscriptions = Subscriptions::new(client, desired, self.changes.clone(), self.sharded);
        let subscribed = self.clone().keep_subscribed(subscriptions);
        tasks.spawn(named("redis subscriptions", subscribed));
        tasks.spawn(named("redis pulse", self.clone().beat()));
        let redis = self.clone();
        tasks.spawn(restarted("telemetry", move || redis.clone().note_waiting()));
        for (concern, client) in self.connections.all() {
            let (client, health) = (client.clone(), self.health.clone());
            tasks.spawn(restarted("redis", move || {
                note_errors(concern, client.clone(), health.clone())
            }));
        }
        if self.connections.clustered {
            let redis = self.clone();
            tasks.spawn(restarted("redis", move || redis.clone().follow_slots()));
        }
        self.connections.connect(pod, &mut tasks);
        tasks
    }

    /// Subscribes on each new connection, and follows the rooms in between.
    async fn keep_subscribed<W: DesiredSubscriptions>(
        self: Arc<Self>,
        mut subscriptions: Subscriptions<W>,
    ) {
        let mut connected = self.connections.subscribe.reconnect_rx();
        let mut whole = false;
        loop {
            let result = tokio::select! {
                biased;
                server = connected.recv() => match server {
                    Err(RecvError::Closed) => return,
                    // Whichever it was: everything is asked for again.
                    _ => subscriptions.all(self.own_pulses()).await,
                },
                // What failed is tried again, unless the connection is gone: then a new one comes.
                () = sleep(self.settings.heartbeat), if !whole => {
                    if !self.connections.subscribe.is_connected() {
                        continue;
                    }
                    subscriptions.all(self.own_pulses()).await
                }
                () = self.changes.all() => subscriptions.all(self.own_pulses()).await,
                () = self.changes.some(), if whole => subscriptions.follow().await,
            };
            whole = result.is_ok();
            match result {
                Ok(()) => self.health.hint(),
                Err(error) => tracing::debug!(%error, "subscribing failed"),
            }
        }
    }

    /// The channel of its own.
    fn own_pulses(&self) -> &str {
        self.pulses.get().and_then(|pulses| pulses.first()).map_or("", String::as_str)
    }

    /// Sends the pod a message every heartbeat.
    async fn beat(self: Arc<Self>) {
        let mut number = 0;
        loop {
            self.health.next(self.settings.heartbeat).await;
            self.connections.ping();
            match timeout(self.settings.timeout, self.pulse(&mut number)).await {
                Ok(Ok(())) => self.health.up(),
                Ok(Err(error)) => self.health.away(&error.to_string()),
                Err(_) => {
                    self.health.away("a message to itself did not come back in time");
                    // The connections may be well, and the subscriptions lost.
                    self.changes.note_all();
                }
            }
        }
    }

    /// Notes, every second, what waits to go out.
    async fn note_waiting(self: Arc<Self>) {
        let messages = gauge!(PUBLISH_QUEUE_MESSAGES.name);
        let bytes = gauge!(PUBLISH_QUEUE_BYTES.name);
        loop {
            let waiting = self.outbox.waiting();
            messages.set(waiting.items as f64);
            bytes.set(waiting.bytes as f64);
            sleep(LOOK).await;
        }
    }

    /// Publishes a pulse, and waits for it. One that goes out before the subscriptions are there does not
    /// come back: when they are, another is sent.
    async fn pulse(&self, number: &mut u64) -> Result<(), Error> {
        loop {
            *number += 1;
            self.publish_pulse(*number).await?;
            tokio::select! {
                () = self.health.wait_for_pulse(*number) => return Ok(()),
                () = self.health.hinted() => {}
            }
        }
    }

    async fn publish_pulse(&self, number: u64) -> Result<(), Error> {
        let client = &self.connections.publish;
        for channel in self.pulses.get().into_iter().flatten() {
            let payload = Value::from(number.to_string());
            let () = if self.sharded {
                client.spublish(channel.as_str(), payload).timed("spublish").await?
            } else {
                client.publish(channel.as_str(), payload).timed("publish").await?
            };
        }
        Ok(())
    }

    /// Notices when a cluster moves slots: the subscriptions that were in them are gone.
    async fn follow_slots(self: Arc<Self>) {
        let mut before = None;
        loop {
            sleep(self.settings.heartbeat).await;
            let Ok(slots) =
                self.connections.commands.cluster_slots::<Value>().timed("cluster slots").await
            else {
                continue;
            };
            let slots = owners(slots);
            if before.as_ref().is_some_and(|before| *before != slots) {
                tracing::info!("the slots of the Redis cluster have moved");
                for (_, client) in self.connections.all() {
                    if let Err(error) = client.sync_cluster().await {
                        tracing::debug!(%error, "the layout of the cluster cannot be read");
                    }
                }
                self.changes.note_all();
            }
            before = Some(slots);
        }
    }

    /// Sends what is left, and ends the connections.
    pub async fn close(&self, limit: Duration) {
        if self.health.is_up() {
            // What was sent before it is out when this is.
            let last = Outgoing { channel: self.own_pulses().to_owned(), payload: "0".into() };
            if let Ok(receipt) = self.outbox.send_registered(last, None) {
                let _ = timeout(limit, receipt.confirmed()).await;
            }
        }
        self.connections.close(limit).await;
    }
}

/// Who messages of other servers are for.
pub trait Listener: Send + 'static {
    /// Whether a message may be for this pod, by the name of its channel. It must be quick.
    fn wants(&self, channel: &str) -> bool;
    /// Handles one. They come in order.
    fn handle(&self, arrival: &Arrival);
}

/// Takes the pulses out.
struct Sorter<L> {
    pulses: Vec<String>,
    health: Arc<Health>,
    listener: L,
}

impl<L: Listener> inbox::Reader for Sorter<L> {
    fn sort(&self, channel: &str, payload: &[u8]) -> Verdict {
        if let Some(way) = self.pulses.iter().position(|pulses| pulses == channel) {
            let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
            number.into_iter().for_each(|number| self.health.pulse(way, number));
            return Verdict::Done;
        }
        if self.listener.wants(channel) { Verdict::Wanted } else { Verdict::Unwanted }
    }

    fn handle(&self, arrival: &Arrival) {
        self.listener.handle(arrival);
    }
}

/// What matters of `CLUSTER SLOTS`: ranges and the ids of their primaries. Nodes tell the rest in any
/// order, and name themselves in their own way.
fn owners(slots: Value) -> Vec<(u64, u64, String)> {
    let owner = |range: Value| {
        let range = range.into_array();
        let (first, last) = (range.first()?.as_u64()?, range.get(1)?.as_u64()?);
        let primary = range.get(2)?.clone().into_array();
        Some((first, last, primary.get(2)?.as_string()?))
    };
    let mut owners: Vec<_> = slots.into_array().into_iter().filter_map(owner).collect();
    owners.sort_unstable();
    owners
}

/// A connection that breaks is noticed before the next heartbeat.
async fn note_errors(concern: &'static str, client: Client, health: Arc<Health>) {
    let mut errors = client.error_rx();
    loop {
        match errors.recv().await {
            Ok((error, _)) => {
                tracing::debug!(%error, concern, "Redis connection");
                // Emits go over the other two.
                if !matches!(concern, "commands" | "stream") {
                    health.away(&format!("the connection to {concern} is lost: {error}"));
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
