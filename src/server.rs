//! A pod: built from settings and namespaces, bound to its addresses, run until it is told to stop.

#[cfg(test)]
mod client_panics;
#[cfg(test)]
mod panics;
mod requests;
mod rollout;

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::Router;
use metrics_exporter_prometheus::BuildError as RecorderError;
use socketioxide::{ParserConfig, SocketIo, SocketIoBuilder, TransportType};
use socketioxide_core::Sid;
use tokio::{sync::Mutex, task::JoinSet, time::timeout};

use crate::{
    address::Address,
    backplane::{self, Adapter, Backplane, Io, PodRecord, SetupError},
    config::{self, BackplaneKind, Config, Parser, Transport},
    drain::{self, Drainable, Lifecycle, Outcome, Rollout},
    edge::{self, Admission, Edge, Layers, ListenError, Options, RequestHooks, Seal, Sessions},
    gateway::{self, HookSetupError, Hooks, Namespace, Roomcast, Tokens, TokensError},
    internal::{self, Readiness, Scale},
    kube::{self, ExternalMetrics, Figures, Kubernetes},
    publish::{self, Consumer, Operations, Underway},
    tasks::{Failed, counted, first_panic, named, restarted},
    telemetry::{
        metrics::{self, Metrics, NoHistogram, Since},
        runtime, traces,
    },
};

/// Bytes of the buffer that each WebSocket reads into, which an idle connection costs. `edge/websocket/read_ahead.rs` reads more
/// at once.
const READ_BUFFER: usize = 64;

/// How long each step of the end may take once the connections are gone. All together end at `drain.timeout`.
const GRACE: Duration = Duration::from_secs(1);

/// A pod cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Two of its parts claim one namespace.
    #[error("namespace {0:?} is claimed twice; each namespace has one owner")]
    NamespaceClaimedTwice(String),
    /// Tokens are to be checked, and there is no key.
    #[error(
        "namespace {0:?} asks for tokens, and auth.jwt has no secret, public_key_file or jwks_url"
    )]
    NoKey(String),
    /// A hook cannot be called.
    #[error(transparent)]
    Hooks(#[from] HookSetupError),
    /// The keys that tokens are checked with cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The connections to the other pods cannot be set up.
    #[error(transparent)]
    Backplane(#[from] SetupError),
    /// There is no cluster around it, or it cannot be asked.
    #[error(transparent)]
    Kubernetes(#[from] kube::SetupError),
    /// Autoscalers cannot be answered.
    #[error(transparent)]
    ExternalMetrics(#[from] kube::ExternalMetricsError),
    /// The system gives none, so that no secret can be made.
    #[error("the system has no random numbers")]
    NoRandomNumbers,
    /// Buckets are set of what is no histogram.
    #[error(transparent)]
    Buckets(#[from] NoHistogram),
    /// The program collects metrics in a way of its own.
    #[error("metrics cannot be collected: {0}")]
    Metrics(#[from] RecorderError),
}

/// Builds a pod.
pub struct Builder {
    config: Config,
    namespaces: Vec<Namespace>,
    pages: Router,
    program: RequestHooks,
    layers: Layers,
}

/// A pod that is ready to listen.
pub struct Server {
    config: Config,
    public: Router,
    mountable: Router,
    internal: Router,
    pod: Pod,
}

/// A pod that listens, and serves once it runs.
pub struct Listening {
    server: Server,
    public: edge::Bound,
    internal: edge::Bound,
    external_metrics: edge::Bound,
}

/// Something that goes on as long as the pod.
type Chore = Pin<Box<dyn Future<Output = Infallible> + Send + Sync>>;

/// What the end of a pod has to do with.
struct Pod {
    io: Io,
    edge: Arc<Edge>,
    sessions: Arc<Sessions>,
    lifecycle: Lifecycle,
    metrics: Metrics,
    backplane: Backplane,
    tokens: Option<Tokens>,
    hooks: Hooks,
    keeping_time: Vec<Chore>,
    /// Reads the publish stream, if it is on.
    consumer: Option<Arc<Consumer>>,
    /// Requests to the API that have not ended.
    underway: Underway,
    me: Arc<Identity>,
    /// What the program publishes with.
    roomcast: Roomcast,
    /// What it asks of Kubernetes, if anything.
    kubernetes: Option<Arc<Kubernetes>>,
    /// What it answers autoscalers, until it runs.
    external_metrics: Option<ExternalMetrics>,
    /// The listeners, while the pod runs.
    serving: Mutex<JoinSet<()>>,
}

/// What a pod says of itself to others.
struct Identity {
    id: String,
    /// Where its internal listener is reached.
    address: Address,
    since: String,
    kind: rollout::Kind,
    sessions: Arc<Sessions>,
    /// Connections that it takes, if that is limited.
    limit: Option<usize>,
    lifecycle: Lifecycle,
    seal: Arc<Seal>,
    /// Whether the pods agree on the secret of `seal` among themselves.
    agrees: bool,
}

impl backplane::Pod for Identity {
    fn record(&self) -> PodRecord {
        let serving = self.lifecycle.accepts_sessions();
        PodRecord {
            id: self.id.clone(),
            address: self.address.get(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if serving { "serving" } else { "draining" }.to_owned(),
            connections: self.sessions.open(),
            limit: self.limit,
            since: self.since.clone(),
            // Those of a build before have none.
            template: Some(self.kind.template.clone()),
            deployment: self.kind.deployment.clone(),
        }
    }

    fn secret(&self) -> Option<String> {
        self.agrees.then(|| self.seal.secret())
    }

    fn agreed(&self, secret: &str) {
        self.seal.adopt(secret);
    }

    fn is_lost(&self) -> bool {
        self.address.is_open()
    }

    fn is_at(&self, local: IpAddr) {
        self.address.is_at(local);
    }
}

impl Server {
    /// A pod with these settings.
    pub fn builder(config: Config) -> Builder {
        let (namespaces, pages, program, layers) = Default::default();
        Builder { config, namespaces, pages, program, layers }
    }

    /// The route of Socket.IO, to merge into the router of a program that serves it itself, by `axum::serve` with
    /// `into_make_service_with_connect_info::<SocketAddr>()`. The pod is to run all the same; it needs no listener for
    /// clients of its own then: empty `public.listen`. Its drain closes Socket.IO's connections, not the program's.
    pub fn router(&self) -> Router {
        self.mountable.clone()
    }

    /// What the program publishes with, once the pod runs.
    pub fn roomcast(&self) -> Roomcast {
        self.pod.roomcast.clone()
    }

    /// The id of the pod.
    pub(crate) fn id(&self) -> &str {
        &self.pod.me.id
    }

    /// Listens on the configured addresses.
    pub fn bind(self) -> Result<Listening, ListenError> {
        let public = &self.config.public;
        Ok(Listening {
            public: edge::bind("public.listen", &public.listen, public.backlog)?,
            internal: edge::bind("internal.listen", &self.config.internal.listen, public.backlog)?,
            external_metrics: edge::bind(
                "kubernetes.external_metrics.listen",
                &self.config.kubernetes.external_metrics.listen,
                public.backlog,
            )?,
            server: self,
        })
    }
}

impl Builder {
    /// Adds a namespace, beside those of the configuration.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespaces.push(namespace);
        self
    }

    /// Adds several.
    pub fn namespaces(mut self, namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        self.namespaces.extend(namespaces);
        self
    }

    /// Serves pages of the program on the public listener, beside Socket.IO.
    pub fn pages(mut self, pages: Router) -> Self {
        self.pages = self.pages.merge(pages);
        self
    }

    /// Puts the pod together.
    pub fn build(self) -> Result<Server, BuildError> {
        let Self { config, namespaces, pages, program, layers } = self;
        metrics::check(&config.telemetry)?;
        let metrics = Metrics::install(&config.telemetry)?;
        begin_metrics(&config);
        let lifecycle = Lifecycle::default();
        let pod = Sid::new();
        let secret = config.sessions.secret.expose();
        let seal = Arc::new(Seal::new(pod, secret).map_err(|_| BuildError::NoRandomNumbers)?);
        let backplane = Backplane::new(
            &config.backplane,
            pod.as_str(),
            config.engine.parser,
            &config.limits,
            &config.telemetry,
        )?;
        let consumer = Consumer::new(&config, &backplane, &lifecycle)?.map(Arc::new);
        let sessions = Arc::new(Sessions::new(backplane.slow(), &config));
        let (socketio, io) =
            socketio(&config, backplane.clone()).build_with_inner_svc(edge::NoPage);

        let tokens = Tokens::new(&config.auth.jwt)?;
        let hooks = Hooks::new(&config.hooks);
        let shared = gateway::Shared {
            backplane: backplane.clone(),
            sessions: sessions.clone(),
            limits: config.limits.clone(),
            tokens: tokens.clone(),
        };
        let mut keeping_time: Vec<Chore> = Vec::new();
        let (dynamic, fixed): (Vec<_>, Vec<_>) = all_namespaces(&config, &hooks, namespaces)?
            .into_iter()
            .partition(Namespace::is_dynamic);
        let mut all = fixed.iter().chain(&dynamic);
        all.clone().for_each(|namespace| metrics::begin_for(&[("nsp", namespace.path())]));
        if let Some(keyless) = all.find(|namespace| namespace.needs_key() && tokens.is_none()) {
            return Err(BuildError::NoKey(keyless.path().to_owned()));
        }
        if fixed.iter().chain(&dynamic).any(Namespace::hears_upgrades) {
            let backplane = backplane.clone();
            sessions.on_upgrade(move |sid| backplane.tell_sockets(sid, |socket| socket.upgraded()));
        }
        for namespace in fixed {
            keeping_time.push(Box::pin(gateway::attach(&io, namespace, shared.clone())));
        }
        let roomcast =
            Roomcast::new(backplane.clone(), sessions.clone(), config.limits.name_length);
        if !dynamic.is_empty() {
            let cleanup = config.engine.cleanup_empty_child_namespaces;
            roomcast.has_children(gateway::attach_dynamic(&io, dynamic, shared, cleanup));
        }

        let admission = Arc::new(Admission::new(
            &config.admission,
            lifecycle.clone(),
            sessions.clone(),
            program,
        ));
        let edge = Edge::new(
            &config,
            socketio,
            sessions.clone(),
            admission.clone(),
            seal.clone(),
            backplane.clone(),
            pod,
        );
        let kubernetes = Kubernetes::new(&config)?.map(Arc::new);
        if let Some(peers) = kubernetes.as_ref().and_then(|kubernetes| kubernetes.peers()) {
            edge.look_for_pods_at(peers);
        }
        let agrees = secret.is_empty() && config.backplane.kind() != BackplaneKind::None;
        let me = Arc::new(Identity {
            seal,
            agrees,
            id: pod.to_string(),
            address: Address::default(),
            since: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            kind: rollout::Kind::of_environment(config.drain.rollout_wait),
            sessions: sessions.clone(),
            limit: Some(config.admission.max_connections).filter(|most| *most > 0),
            lifecycle: lifecycle.clone(),
        });
        let record = me.clone();
        let own = me.clone();
        let scale = Scale::new(backplane.clone(), move || backplane::Pod::record(&*own));
        let sum = scale.clone();
        let sum = move || {
            let (connections, limit) = sum.of_cluster()?;
            Some(Figures { connections, limit })
        };
        let external_metrics = match &kubernetes {
            Some(kubernetes) => kubernetes.external_metrics(sum)?,
            None => None,
        };
        let operations = Operations { lifecycle: lifecycle.clone(), shedder: edge.shedder() };
        let underway = Underway::default();
        let record = move || backplane::Pod::record(&*record);
        let api = publish::router(backplane.clone(), &config, operations, underway.clone(), record);
        let readiness = Readiness {
            admission,
            lifecycle: lifecycle.clone(),
            backplane: backplane.clone(),
            when_away: config.backplane.ready_when_away,
            tokens: tokens.clone(),
        };
        Ok(Server {
            public: edge::router(edge.clone(), &config, pages, &layers),
            mountable: edge::mountable(edge.clone(), &config, &layers),
            internal: internal::router(readiness, metrics.clone(), scale, api)
                .merge(edge::pods(edge.clone())),
            pod: Pod {
                io,
                edge,
                sessions,
                lifecycle,
                metrics,
                roomcast,
                backplane,
                tokens,
                hooks,
                consumer,
                underway,
                keeping_time,
                me,
                kubernetes,
                external_metrics,
                serving: Mutex::default(),
            },
            config,
        })
    }
}

/// Has the series of what the pod is configured with from the start, at 0.
fn begin_metrics(config: &Config) {
    let parts = [
        (config.backplane.kind() != BackplaneKind::None, Since::Backplane),
        (config.publish.stream.enabled, Since::Stream),
        (!config.auth.jwt.jwks_url.is_empty(), Since::Jwks),
        (config.kubernetes.enabled, Since::Kubernetes),
        (config.kubernetes.external_metrics.is_on(), Since::ExternalMetrics),
    ];
    parts.into_iter().filter(|(there, _)| *there).for_each(|(_, since)| metrics::begin(since));
}

/// Those of the configuration and those of the program; `/` if there are none.
fn all_namespaces(
    config: &Config,
    hooks: &Hooks,
    own: Vec<Namespace>,
) -> Result<Vec<Namespace>, BuildError> {
    let (limits, on_failure) = (&config.limits, config.hooks.on_failure);
    let mut all = Vec::new();
    for (path, namespace) in &config.namespaces {
        all.push(gateway::from_config(path, namespace, limits, hooks, on_failure)?);
    }
    all.extend(own);
    // As on Node, there is always the one that old clients are in at once.
    if all.iter().all(Namespace::is_dynamic) {
        all.push(gateway::open());
    }
    let mut paths = std::collections::HashSet::new();
    match all.iter().find(|namespace| !paths.insert(namespace.path())) {
        Some(twice) => Err(BuildError::NamespaceClaimedTwice(twice.path().to_owned())),
        None => Ok(all),
    }
}

/// socketioxide with our settings: one limit of payload for both transports, and a queue that holds
/// a burst.
fn socketio(config: &Config, backplane: Backplane) -> SocketIoBuilder<Adapter> {
    let (engine, limits) = (&config.engine, &config.limits);
    let builder = SocketIo::builder()
        .req_path(config.public.base_path().to_owned())
        .ping_interval(engine.ping_interval)
        .ping_timeout(engine.ping_timeout)
        .upgrade_timeout(engine.upgrade_timeout)
        .connect_timeout(engine.connect_timeout)
        .max_payload(limits.max_payload as u64)
        .ws_max_message_size(limits.max_payload + edge::MARK.len())
        .ws_max_frame_size(limits.max_payload + edge::MARK.len())
        .ws_read_buffer_size(READ_BUFFER)
        .max_buffer_size(limits.send_queue);
    let builder = match engine.transports[..] {
        [Transport::Polling] => builder.transports([TransportType::Polling]),
        [Transport::Websocket] => builder.transports([TransportType::Websocket]),
        _ => builder,
    };
    let builder = match engine.parser {
        Parser::Json => builder.with_parser(
            ParserConfig::common()
                .max_incoming_binary_buf_size(limits.max_payload)
                .max_incoming_binaries(limits.max_attachments),
        ),
        Parser::Msgpack => builder.with_parser(ParserConfig::msgpack()),
    };
    builder.with_adapter::<Adapter>(backplane)
}

impl Listening {
    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.server.config
    }

    /// What the program publishes with, once the pod runs.
    pub fn roomcast(&self) -> Roomcast {
        self.server.roomcast()
    }

    /// Addresses of the public listener.
    pub fn public(&self) -> Vec<SocketAddr> {
        self.public.addresses()
    }

    /// Addresses of the internal listener.
    pub fn internal(&self) -> Vec<SocketAddr> {
        self.internal.addresses()
    }

    /// Addresses of the listener for external metrics; none where it is off.
    pub fn external_metrics(&self) -> Vec<SocketAddr> {
        self.external_metrics.addresses()
    }

    /// Serves until `stop`, then drains. `hurry` cuts the drain short.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Outcome {
        let Self { server, public, internal, external_metrics } = self;
        let Server { config, public: public_router, internal: internal_router, mut pod, .. } =
            server;
        let options = Options {
            request_timeout: config.public.request_timeout,
            write_timeout: config.limits.write_timeout,
            tcp_keepalive: config.public.tcp_keepalive,
            clients: true,
            proxies: Some(config.public.proxies.clone()),
            files: Arc::new(edge::Files::new()),
        };
        let probes = options.internal();
        pod.me.address.listens(&config.internal, internal.addresses());
        // They end with the pod.
        let mut chores = pod.backplane.start(pod.me.clone());
        start_chores(&mut pod, &config, &mut chores);
        let most = config.admission.max_connections;
        let sampled = edge::sample(pod.sessions.clone(), most, public.listeners());
        chores.spawn(counted("telemetry", sampled));
        if let Some(kubernetes) = &pod.kubernetes {
            let sessions = pod.sessions.clone();
            let told = kube::Told {
                lifecycle: pod.lifecycle.clone(),
                link: pod.backplane.cluster().follow_link(),
                connections: move || sessions.open(),
            };
            kubernetes.start(&mut chores, told);
        }
        // Both listen to the end: the one to say 503, the other to tell how the drain goes.
        let serving = pod.serving.get_mut();
        let failed = Failed::default();
        let mut serve = |bound, options, router| {
            let served = edge::serve(bound, options, router, pod.lifecycle.clone());
            serving.spawn(failed.clone().needed("listener", served));
        };
        serve(public, options, public_router);
        serve(internal, probes, internal_router);
        if let Some(metrics) = pod.external_metrics.take() {
            metrics.start(external_metrics.listening(), &pod.lifecycle, serving, &mut chores);
        }

        let _running = pod.roomcast.run();
        let failed = async {
            let task = tokio::select! {
                task = first_panic(&mut chores) => task,
                task = failed.first() => task,
            };
            tracing::error!(task, "the pod cannot go on without a task that panicked: it drains");
            // Newer pods are not waited for: this one may serve its clients badly.
            pod.lifecycle.announce(true);
            task
        };
        let mut drained = pin!(drain::run(&pod.lifecycle, &config.drain, stop, hurry, &pod));
        let outcome = tokio::select! {
            outcome = &mut drained => outcome,
            task = failed => Outcome { panicked: Some(task), ..drained.await },
        };
        let moment = for_last_words(&config.drain, &outcome);
        let told = async {
            if let Some(kubernetes) = &pod.kubernetes {
                kubernetes.drained(&outcome, moment).await;
            }
        };
        tokio::join!(traces::shutdown(moment), told);
        outcome
    }
}

/// Starts what goes on as long as the pod, beside its listeners, its connections to Redis and Kubernetes.
fn start_chores(pod: &mut Pod, config: &Config, chores: &mut JoinSet<()>) {
    chores.spawn(named("overflowed connections", pod.edge.clone().close_overflowed()));
    let (lifecycle, backplane) = (pod.lifecycle.clone(), pod.backplane.clone());
    chores.spawn(restarted("drain phases", move || {
        tell_phases(lifecycle.clone(), backplane.clone())
    }));
    let metrics = pod.metrics.clone();
    chores.spawn(restarted("telemetry", move || metrics.clone().upkeep()));
    chores.spawn(restarted("telemetry", || async { match runtime::watch().await {} }));
    chores.spawn(restarted("memory", edge::give_back));
    let (sessions, limit) = (pod.sessions.clone(), config.limits.memory);
    chores.spawn(restarted("memory", move || edge::watch_memory(sessions.clone(), limit)));
    for chore in std::mem::take(&mut pod.keeping_time) {
        chores.spawn(named("namespace deadlines", async { match chore.await {} }));
    }
    if let Some(tokens) = pod.tokens.clone() {
        chores.spawn(restarted("token keys", move || {
            let tokens = tokens.clone();
            async { match tokens.stay_fresh().await {} }
        }));
    }
    if let Some(consumer) = &pod.consumer {
        let (reader, watcher) = (consumer.clone(), consumer.clone());
        chores.spawn(named("publish stream", async move { reader.run().await }));
        chores.spawn(restarted("telemetry", move || {
            let watcher = watcher.clone();
            async move { watcher.watch().await }
        }));
    }
}

/// How long the last spans and the last Event may take: what a drain has left of its time, and [`GRACE`] at most.
fn for_last_words(drain: &config::Drain, outcome: &Outcome) -> Duration {
    let left = (outcome.waited + drain.delay + drain.timeout).saturating_sub(outcome.took);
    left.clamp(GRACE / 10, GRACE)
}

impl Drainable for Pod {
    fn connections(&self) -> usize {
        self.sessions.to_end()
    }

    async fn rollout(&self) -> Rollout {
        let own = backplane::Pod::record(&*self.me);
        match self.backplane.cluster().look().await {
            Some(pods) => rollout::of(&own, &pods),
            None => Rollout::Unknown,
        }
    }

    async fn close_all(&self, window: Duration) {
        self.edge.close_all(window).await;
    }

    async fn gone(&self) {
        self.edge.gone().await;
    }

    async fn leave(&self) {
        // Hooks hear of sockets that have gone.
        let told = timeout(GRACE, self.hooks.flushed());
        let ended = async {
            // The namespaces are empty now. What hangs in them does not hang the pod.
            let _ = timeout(GRACE, self.io.close()).await;
            if let Some(consumer) = &self.consumer {
                // What it does not end with is claimed by another pod.
                let _ = timeout(GRACE, consumer.ended()).await;
            }
            // Their callers may have gone; what they asked for is done on all pods.
            let _ = timeout(GRACE, self.underway.ended()).await;
        };
        let _ = tokio::join!(told, ended);
        self.roomcast.stop();
        self.backplane.cluster().close(GRACE).await;
    }

    async fn answered(&self) {
        self.sessions.end_relayed();
        // Such as the last poll of a client.
        let mut serving = self.serving.lock().await;
        let _ = timeout(GRACE, async { while serving.join_next().await.is_some() {} }).await;
    }
}

/// Tells the other pods of each new phase at once.
async fn tell_phases(lifecycle: Lifecycle, backplane: Backplane) {
    loop {
        lifecycle.left(lifecycle.phase()).await;
        backplane.cluster().renew();
    }
}
