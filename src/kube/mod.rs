//! What the pod asks of Kubernetes: off by default, never required.
//!
//! When the API server is away, slow or refuses, there is one warning and a metric, and everything else goes on: no start,
//! no request of a client and no drain waits for it.
//!
//! - `environment`: where the pod is, and who; `api`: the way to the API server; `calls`: requests, and what came of them
//! - `permissions`: what the service account may do
//! - `deletion_cost`: which pod a scale-in takes first
//! - `events`: what `kubectl describe pod` shows of its life
//! - `peers`: where the other pods are
//! - `external_metrics`: what autoscalers are answered

mod api;
mod calls;
mod deletion_cost;
mod environment;
mod events;
mod external_metrics;
mod peers;
pub mod permissions;

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

pub use self::{
    api::Api,
    calls::Call,
    environment::{Environment, Own},
    external_metrics::{ExternalMetrics, ExternalMetricsError, Figures},
    peers::{Addresses, list as list_peers},
};
use self::{events::Events, permissions::Permissions};
use crate::{
    backplane::Link,
    config::{self, Config},
    drain::{Lifecycle, Outcome},
    tasks::restarted,
};

/// The name of what runs here, in log and metric.
const TASK: &str = "kubernetes";
/// The port of the internal listener where nobody says another.
const INTERNAL_PORT: u16 = 9000;

/// What is configured of Kubernetes cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is no cluster.
    #[error(
        "kubernetes.enabled = true: there is no cluster around this process (KUBERNETES_SERVICE_HOST is not set); set it to \
         false outside of Kubernetes"
    )]
    Outside,
    /// The API server's address is none.
    #[error("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no address: {0}")]
    Address(String),
    /// A file of the service account is not there.
    #[error(
        "kubernetes.service_account: {} cannot be read: {error}; mount the service account \
         (automountServiceAccountToken: true), or set kubernetes.enabled = false", file.display()
    )]
    Account {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no certificate in it.
    #[error("kubernetes.service_account: {}: no certificate in PEM", .0.display())]
    Authorities(PathBuf),
    /// The pod does not know its own name.
    #[error(
        "kubernetes.{0} = true: the pod does not know its own name; set the variable K8S_POD_NAME from metadata.name \
         (the chart does), or kubernetes.{0} = false"
    )]
    Nameless(&'static str),
    /// The client cannot be made.
    #[error("the client of Kubernetes cannot be made: {0}")]
    Client(Box<dyn std::error::Error + Send + Sync>),
    /// It was to be made outside of a runtime.
    #[error("kubernetes.enabled = true: the pod must be built within a runtime of tokio")]
    NoRuntime,
}

/// The port on which pods with this configuration listen for each other.
pub fn internal_port(config: &Config) -> u16 {
    config.internal.listen.first().map_or(INTERNAL_PORT, |address| address.port())
}

/// What the pod does with Kubernetes.
pub struct Kubernetes {
    api: Api,
    settings: config::Kubernetes,
    drain: config::Drain,
    port: u16,
    permissions: Arc<Permissions>,
    events: Option<Arc<Events>>,
    peers: watch::Sender<Addresses>,
}

/// What of the pod it tells Kubernetes, or looks at.
pub struct Told<C> {
    /// The phases of its life.
    pub lifecycle: Lifecycle,
    /// Its link to the others; none for a pod on its own.
    pub link: Option<watch::Receiver<Link>>,
    /// How many connections it has.
    pub connections: C,
}

impl Kubernetes {
    /// With these settings; none if it is off. Nothing is asked yet.
    ///
    /// # Errors
    /// If there is no cluster, or no service account.
    pub fn new(config: &Config) -> Result<Option<Self>, SetupError> {
        let settings = config.kubernetes.clone();
        if !settings.enabled {
            return Ok(None);
        }
        let api = Api::new(Environment::read(&settings)?)?;
        let permissions = Arc::new(Permissions::new(permissions::needed(&settings, &api)));
        let own = api.environment().own.as_ref().filter(|_| settings.events);
        Ok(Some(Self {
            events: own.and_then(|own| Events::new(api.clone(), permissions.clone(), own)),
            permissions,
            api,
            settings,
            drain: config.drain.clone(),
            port: internal_port(config),
            peers: watch::Sender::default(),
        }))
    }

    /// What autoscalers are to be answered; none if that is off. `sum` says what all pods have together.
    ///
    /// # Errors
    /// If its certificate cannot be used.
    pub fn external_metrics(
        &self,
        sum: impl Fn() -> Option<Figures> + Send + Sync + 'static,
    ) -> Result<Option<ExternalMetrics>, ExternalMetricsError> {
        let settings = &self.settings.external_metrics;
        settings.is_on().then(|| ExternalMetrics::new(settings, self.api.clone(), sum)).transpose()
    }

    /// Where other pods may be; none if nobody is to look.
    pub fn peers(&self) -> Option<watch::Receiver<Addresses>> {
        (!self.settings.peers_service.is_empty()).then(|| self.peers.subscribe())
    }

    /// Does what is configured for as long as the tasks live.
    pub fn start<C>(self: &Arc<Self>, tasks: &mut JoinSet<()>, told: Told<C>)
    where
        C: Fn() -> usize + Clone + Send + Sync + 'static,
    {
        let Told { lifecycle, link, connections } = told;
        let this = self.clone();
        tasks.spawn(restarted(TASK, move || {
            let this = this.clone();
            async move { never(this.permissions.watch(&this.api).await) }
        }));
        let own = self.api.environment().own.clone();
        if let Some(own) = own.filter(|_| self.settings.deletion_cost) {
            let (this, connections) = (self.clone(), connections.clone());
            tasks.spawn(restarted(TASK, move || {
                let (this, own, connections) = (this.clone(), own.clone(), connections.clone());
                async move {
                    let Self { api, permissions, .. } = &*this;
                    never(deletion_cost::keep(api, permissions, &own, connections).await);
                }
            }));
        }
        if !self.settings.peers_service.is_empty() {
            let this = self.clone();
            tasks.spawn(restarted(TASK, move || {
                let this = this.clone();
                async move {
                    let Self { api, permissions, settings, port, peers, .. } = &*this;
                    let service = &settings.peers_service;
                    never(peers::watch(api, permissions, service, *port, peers).await);
                }
            }));
        }
        if let Some(events) = self.events.clone() {
            let drain = self.drain.clone();
            tasks.spawn(restarted(TASK, move || {
                let (events, lifecycle, link) = (events.clone(), lifecycle.clone(), link.clone());
                let (drain, connections) = (drain.clone(), connections.clone());
                async move { never(events.follow(lifecycle, link, drain, connections).await) }
            }));
        }
    }

    /// Tells the end of a drain: the last that a pod does. It takes no longer than this.
    pub async fn drained(&self, outcome: &Outcome, limit: Duration) {
        if let Some(events) = &self.events {
            events.drained(outcome, limit).await;
        }
    }
}

fn never(never: Infallible) {
    match never {}
}
