//! This pod among the other servers of its cluster.

mod arrivals;
mod asks;
mod cluster_view;
mod desired_subscriptions;
mod local_sockets;
mod peers;
mod pods;
mod publisher;
mod questioned;
mod questions;
mod server_side;
mod subscribers;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::counter;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    namespaces::Namespaces,
    redis::{Link, PublishError, Redis, SetupError},
    shared::Subscriptions,
    wire::{Format, Wire, WireError},
};
use crate::{
    config,
    tasks::{named, restarted},
    telemetry::metrics::BACKPLANE_RECORD_FAILURES,
};

use arrivals::Arrivals;
pub(super) use asks::local_answers;
pub use asks::{Answered, Asks, ClientAnswers};
use cluster_view::ClusterView;
use desired_subscriptions::ClusterSubscriptions;
pub(super) use local_sockets::describe;
use peers::Peers;
pub(super) use pods::Registry;
pub use pods::{Pod, PodRecord};
use publisher::Publisher;
use questioned::Questioned;
pub use questions::Pods;
use questions::Questions;
pub use server_side::{ServerAnswer, ServerSide};

/// Something could not be sent to the other servers.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Redis does not take it.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// It cannot be written in the protocol of the cluster.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Redis did not answer a command.
    #[error("the backplane did not answer: {0}")]
    Command(#[from] fred::error::Error),
}

/// This pod among the others.
pub struct Cluster {
    /// The id of this pod, new with each start.
    pub pod: String,
    pub(super) redis: Arc<Redis>,
    settings: Arc<config::Backplane>,
    wire: Wire,
    namespaces: Arc<Namespaces>,
    questions: Questions,
    registry: Registry,
    /// The pods when they were last listed, by id.
    known: watch::Sender<HashMap<String, PodRecord>>,
    /// When the records were last read: when that began.
    looked: watch::Sender<Option<Instant>>,
    /// Whether they are all that there are.
    view: Mutex<ClusterView>,
    /// Those of them that say that they are where this pod is, once the log has it.
    mistaken: Mutex<HashSet<String>>,
    /// The others could find this pod since it started, and it them.
    met: AtomicBool,
    /// The record of this pod is out of date.
    renewal: Notify,
    /// A name that nobody knows, of a room that nobody is in.
    echo: String,
    /// It has been said that a message cannot be read.
    told_unreadable: AtomicBool,
    /// It is to be taken out, and it has been.
    leaving: Notify,
    left: Notify,
    /// A permit for each handler of an event of another server that waits.
    server_events: Arc<Semaphore>,
    /// Servers of a namespace when they were last counted, for when they cannot be.
    servers: AtomicUsize,
    peers: Peers,
}

impl Cluster {
    /// The cluster of these settings; `None` for a pod on its own.
    pub fn new(
        settings: &config::Backplane,
        pod: String,
        format: Format,
        namespaces: Arc<Namespaces>,
    ) -> Result<Option<Self>, SetupError> {
        let Some(wire) = Wire::new(settings, &pod, format) else {
            return Ok(None);
        };
        let settings = Arc::new(settings.clone());
        let shared = &namespaces.shared;
        let redis = Redis::new(settings.clone(), shared.measuring.stages.clone())?;
        let redis = Arc::new(redis);
        shared.subscribe(Subscriptions {
            changes: redis.changes.clone(),
            of_rooms: wire.follows_rooms(),
            health: redis.health.clone(),
            timeout: settings.timeout,
        });
        Ok(Some(Self {
            registry: Registry::new(redis.commands().clone(), &settings),
            redis,
            settings: settings.clone(),
            wire,
            namespaces,
            questions: Questions::default(),
            known: watch::Sender::new(HashMap::new()),
            looked: watch::Sender::new(None),
            view: Mutex::new(ClusterView::new(
                settings.heartbeat,
                settings.heartbeat * pods::MISSED,
            )),
            mistaken: Mutex::default(),
            met: AtomicBool::new(false),
            renewal: Notify::new(),
            echo: unknown_name(&pod),
            told_unreadable: AtomicBool::new(false),
            pod,
            leaving: Notify::new(),
            left: Notify::new(),
            server_events: Arc::new(Semaphore::new(server_side::MOST)),
            servers: AtomicUsize::new(1),
            peers: Peers::default(),
        }))
    }

    /// Connects to Redis and joins the cluster, for as long as the answer lives.
    pub fn start(self: &Arc<Self>, pod: Arc<dyn Pod>) -> JoinSet<()> {
        let listener = Arrivals::new(self.clone(), Questioned::start(self.clone()));
        let mut tasks = self.redis.start(&self.pod, ClusterSubscriptions(self.clone()), listener);
        tasks.spawn(named("cluster record", self.clone().stay_known(pod)));
        let cluster = self.clone();
        tasks.spawn(restarted("telemetry", move || {
            let cluster = cluster.clone();
            async move { match cluster.peers.note_ages().await {} }
        }));
        tasks
    }

    /// Keeps the record of this pod until it leaves. One task writes the record and takes it out, so that
    /// a renewal never comes after.
    async fn stay_known(self: Arc<Self>, pod: Arc<dyn Pod>) {
        tokio::select! {
            never = self.keep_record(&*pod) => match never {},
            () = self.leaving.notified() => {}
        }
        if let Err(error) = self.registry.remove(&self.pod).await {
            tracing::debug!(%error, "the record of this pod is left to end by itself");
        }
        self.left.notify_one();
    }

    /// Renews the record of this pod and looks who else is there, whenever it is connected.
    async fn keep_record(&self, pod: &dyn Pod) -> std::convert::Infallible {
        let mut link = self.redis.health.follow();
        let mut told = false;
        loop {
            // The health lives as long as this task.
            if *link.borrow_and_update() != Link::Up {
                let _ = link.wait_for(|link| *link == Link::Up).await;
                self.view.lock().lost(self.known.borrow().keys());
            }
            let met = self.meet(pod).await;
            if let Err(error) = &met {
                counter!(BACKPLANE_RECORD_FAILURES.name).increment(1);
                if !told {
                    tracing::warn!(%error, "other pods cannot find this one: its record cannot be written");
                }
            }
            told = met.is_err();
            tokio::select! {
                () = tokio::time::sleep(self.settings.heartbeat) => {}
                () = self.renewal.notified() => {}
                // Redis may have come back empty.
                _ = link.changed() => self.view.lock().lost(self.known.borrow().keys()),
            }
        }
    }

    /// Tells the other pods now what this one is like.
    pub fn renew(&self) {
        self.renewal.notify_one();
    }

    /// Writes the record of this pod, and reads those of the others. That Redis has no room to write does not keep a new pod
    /// from being ready: messages go their way, and what is worse than a pod that is not found is a service that cannot be
    /// started anew while Redis is full.
    async fn meet(&self, pod: &dyn Pod) -> Result<(), fred::error::Error> {
        let (begun, mut full) = (Instant::now(), None);
        if let Some(secret) = pod.secret() {
            match self.registry.agree_on(secret).await {
                Ok(secret) => pod.agreed(&secret),
                Err(error) if pods::has_no_room(&error) => full = Some(error),
                Err(error) => return Err(error),
            }
        }
        if pod.is_lost() {
            pod.is_at(self.redis.local_address().await?);
        }
        match self.registry.renew(&pod.record()).await {
            Ok(()) => {}
            Err(error) if pods::has_no_room(&error) => full = Some(error),
            Err(error) => return Err(error),
        }
        let pods = self.registry.list().await?;
        let pods: HashMap<_, _> = pods.into_iter().map(|pod| (pod.id.clone(), pod)).collect();
        self.look_for_lost(&pods);
        self.mistaken.lock().retain(|id| pods.contains_key(id));
        self.known.send_if_modified(|known| {
            // Who waits for it waits for pods to come or go.
            let others = known.len() != pods.len() || !pods.keys().all(|id| known.contains_key(id));
            *known = pods;
            others
        });
        self.met.store(true, Ordering::Release);
        self.looked.send_replace(Some(begun));
        peers::note(self).await;
        full.map_or(Ok(()), Err)
    }

    /// A pod drains before it leaves. Where one is not there that served, it was lost, or Redis came back empty.
    fn look_for_lost(&self, pods: &HashMap<String, PodRecord>) {
        let known = self.known.borrow();
        let served = known.values().filter(|pod| pod.is_serving());
        let lost: Vec<_> = served.map(|pod| &pod.id).filter(|id| !pods.contains_key(*id)).collect();
        let mut view = self.view.lock();
        if !lost.is_empty() {
            view.lost(lost.into_iter());
        }
        view.looked(|id| pods.contains_key(id));
    }

    /// Whether the others could find this pod since it started, and it them; or Redis was full, and it looked for them.
    pub fn has_met(&self) -> bool {
        self.met.load(Ordering::Acquire)
    }

    /// All pods of the cluster, as they were a heartbeat ago; `None` while this one cannot know them all.
    pub fn seen(&self) -> Option<Vec<PodRecord>> {
        let all = self.redis.health.link() == Link::Up && self.view.lock().is_complete();
        all.then(|| self.known.borrow().values().cloned().collect())
    }

    /// The same as they are now, after the others have been told what this pod is like. While Redis is away it is what was
    /// known before; `None` while that cannot be trusted: Redis does not answer, or has just come back.
    pub async fn look(&self) -> Option<Vec<PodRecord>> {
        if self.redis.health.link() == Link::Up && self.has_met() {
            let (asked, mut looked) = (Instant::now(), self.looked.subscribe());
            self.renew();
            let fresh = looked.wait_for(|begun| begun.is_some_and(|begun| begun >= asked));
            let fresh = timeout(self.settings.timeout, fresh).await.is_ok();
            if self.redis.health.link() == Link::Up {
                return fresh.then(|| self.seen()).flatten();
            }
        }
        Some(self.known.borrow().values().cloned().collect())
    }

    /// Another pod of the cluster. One that was there a moment ago is known while Redis is away, too.
    pub async fn pod(&self, id: &str) -> Option<PodRecord> {
        let pod = self.find(id).await?;
        let here = self.known.borrow().get(&self.pod).is_some_and(|own| own.address == pod.address);
        if !here || pod.id == self.pod {
            return Some(pod);
        }
        // It would be this pod that takes the request, and knows nothing of the session.
        if self.mistaken.lock().insert(pod.id.clone()) {
            let address = pod.address;
            tracing::warn!(
                pod = pod.id,
                address,
                "its sessions are not found from here: it says that it is reached at this pod's own address; unless it \
                 has just ended here, internal.advertise must be set to another address on one of them"
            );
        }
        None
    }

    async fn find(&self, id: &str) -> Option<PodRecord> {
        let known = self.known.borrow().get(id).cloned();
        if known.is_some() || self.redis.health.link() != Link::Up {
            return known;
        }
        // It may have come since.
        let pod = self.registry.get(id).await.ok().flatten()?;
        self.known.send_if_modified(|known| known.insert(pod.id.clone(), pod.clone()).is_none());
        Some(pod)
    }

    /// Waits until a pod that was known is not, and does not come again.
    pub async fn lost(&self, id: &str) {
        let mut known = self.known.subscribe();
        loop {
            // The sender lives as long as the cluster.
            let _ = known.wait_for(|known| !known.contains_key(id)).await;
            let again = known.wait_for(|known| known.contains_key(id));
            if timeout(self.registry.absence, again).await.is_err() {
                return;
            }
        }
    }

    /// Leaves the cluster and ends the connections to Redis.
    pub async fn close(&self, limit: Duration) {
        self.leaving.notify_one();
        let _ = tokio::time::timeout(limit, self.left.notified()).await;
        self.redis.close(limit).await;
    }

    /// The pods of the cluster.
    pub async fn pods(&self) -> Result<Vec<PodRecord>, ClusterError> {
        Ok(self.registry.list().await?)
    }

    /// Sends messages to the other servers.
    pub fn publisher(&self) -> Publisher<'_> {
        Publisher(self)
    }

    /// Asks the other servers.
    pub fn asks(&self) -> Asks<'_> {
        Asks(self)
    }
}

/// A name that clients cannot find out.
fn unknown_name(pod: &str) -> String {
    let mut random = [0; 16];
    // Without a source of chance no session id could be made either. The name is then like that of a room.
    let _ = aws_lc_rs::rand::fill(&mut random);
    format!("{pod}-{:032x}", u128::from_be_bytes(random))
}
