//! What an operator can set: one documented defaults file, read as typed settings.
//!
//! `defaults.toml` in this folder is the reference; each field here has its name and meaning there.

mod admission;
mod api;
mod auth;
mod backplane;
mod check;
mod cors;
mod external_metrics;
mod hooks;
mod internal;
mod kubernetes;
mod load;
mod namespace;
mod no_effect;
mod origins;
mod problem;
mod public_key;
mod schema;
mod sessions;
mod stream;
mod telemetry;
mod values;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

pub use admission::{Admission, Network, Proxies, ProxyHeader};
pub use api::{API_ROUTES, Api, ApiKey, ApiScope};
pub use auth::{Auth, Jwt, JwtAlgorithm};
pub use backplane::{Backplane, BackplaneKind, BackplaneTls, SubscriptionMode, WhenAway};
pub(crate) use check::DEEPEST;
pub use cors::{Cors, HttpCompression};
pub use external_metrics::ExternalMetrics;
pub(crate) use hooks::signing_key;
pub use hooks::{HookUrl, Hooks, OnFailure};
pub(crate) use internal::Advertised;
pub use internal::Internal;
pub use kubernetes::Kubernetes;
pub use load::{DEFAULTS, Sources};
pub(crate) use namespace::OWN_EVENTS;
pub use namespace::{
    AuthPolicy, EventAction, EventRule, JoinPolicy, Namespace, NamespaceHooks, NamespaceLimits,
    OverLimit, RoomRule,
};
pub(crate) use origins::OriginPattern;
pub(crate) use problem::nearest;
pub use problem::{ConfigError, Problem};
pub(crate) use public_key::{KeyKind, PublicKey, RSA_BITS};
pub use schema::schema;
pub use sessions::{AffinityCookie, SameSite, Sessions};
pub use stream::{Publish, PublishStream};
pub use telemetry::Telemetry;
pub(crate) use values::canonical_origin;
pub use values::{MemoryLimit, Secret};

/// All settings of a pod.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether secrets that can be guessed, and load balancers that are anybody, are only warned of.
    pub allow_insecure: bool,
    /// The listener for clients.
    pub public: Public,
    /// The listener for probes, metrics and the API.
    pub internal: Internal,
    /// Which new sessions the pod takes.
    pub admission: Admission,
    /// Engine.IO.
    pub engine: Engine,
    /// How requests find the pod that has their session.
    pub sessions: Sessions,
    /// What a client can send at most.
    pub limits: Limits,
    /// The HTTP API.
    pub api: Api,
    /// How backends publish, beside it.
    pub publish: Publish,
    /// Who a client is.
    pub auth: Auth,
    /// HTTP services that decide what clients may do.
    pub hooks: Hooks,
    /// What carries emits between pods.
    pub backplane: Backplane,
    /// How the pod ends.
    pub drain: Drain,
    /// What the pod asks of Kubernetes.
    pub kubernetes: Kubernetes,
    /// What the pod uses of its machine.
    pub runtime: Runtime,
    /// Logs.
    pub log: Log,
    /// Metrics and traces.
    pub telemetry: Telemetry,
    /// The namespaces by path. With none, here or in code, there is `/`, open and without rules.
    #[schemars(extend("propertyNames" = { "pattern": "^/[^,?]*$" }))]
    pub namespaces: BTreeMap<String, Namespace>,
}

/// The listener for clients.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// Addresses to listen on.
    #[serde(with = "values::AsAddresses")]
    pub listen: Vec<SocketAddr>,
    /// Path of Socket.IO.
    pub path: String,
    /// Length of the kernel's accept queue.
    pub backlog: u32,
    /// Longest wait for the head of a request or the next piece of its body.
    #[serde(with = "values::AsDuration")]
    pub request_timeout: Duration,
    /// Silence after which TCP keep-alive probes start.
    #[serde(with = "values::AsDuration")]
    pub tcp_keepalive: Duration,
    /// Whether the stock client is served beside the endpoint.
    pub serve_client: bool,
    /// Which pages of other origins may connect.
    pub cors: Cors,
    /// Which answers to polls are compressed.
    pub http_compression: HttpCompression,
    /// Headers of the request that opens a connection that handlers and hooks get to see.
    #[serde(with = "values::AsList::<String>")]
    pub kept_headers: Vec<String>,
    /// Load balancers between clients and pods.
    pub proxies: Proxies,
}

impl Public {
    /// The path of Socket.IO, without the slash behind it.
    pub(crate) fn base_path(&self) -> &str {
        self.path.trim_end_matches('/')
    }
}

/// Engine.IO, as Node names its options.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Transports that clients may use.
    #[serde(with = "values::AsList::<Transport>")]
    pub transports: Vec<Transport>,
    /// Whether clients that poll are offered a WebSocket.
    pub allow_upgrades: bool,
    /// Time between two pings.
    #[serde(with = "values::AsDuration")]
    pub ping_interval: Duration,
    /// Time a client has to answer one.
    #[serde(with = "values::AsDuration")]
    pub ping_timeout: Duration,
    /// Time a client has to finish an upgrade to WebSocket.
    #[serde(with = "values::AsDuration")]
    pub upgrade_timeout: Duration,
    /// Time a client has to join a namespace.
    #[serde(with = "values::AsDuration")]
    pub connect_timeout: Duration,
    /// Whether a child of a dynamic namespace ends when nobody is in it.
    pub cleanup_empty_child_namespaces: bool,
    /// Whether Engine.IO v3 is served too.
    pub allow_eio3: bool,
    /// How packets are encoded.
    pub parser: Parser,
    /// Which messages of WebSockets are compressed.
    pub per_message_deflate: PerMessageDeflate,
}

/// Compressed messages of WebSockets.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerMessageDeflate {
    /// Whether clients that offer it may have them.
    pub enabled: bool,
    /// Bytes from which on a message to a client is compressed.
    #[serde(with = "values::AsSize")]
    pub threshold: usize,
}

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// HTTP long-polling.
    Polling,
    /// WebSocket.
    Websocket,
}

/// How packets are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Parser {
    /// The default parser of Socket.IO: JSON text, binary beside it.
    Json,
    /// `socket.io-msgpack-parser`.
    Msgpack,
}

/// What a client can send at most.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one message.
    #[serde(with = "values::AsSize")]
    pub max_payload: usize,
    /// Binary attachments of one message.
    pub max_attachments: usize,
    /// Arrays and objects in one another, in an argument of an event.
    pub depth: usize,
    /// Memory of the pod, beyond which it takes no new sessions.
    pub memory: MemoryLimit,
    /// Packets that wait for one client.
    pub send_queue: usize,
    /// Bytes that wait for one client.
    #[serde(with = "values::AsSize")]
    pub send_queue_bytes: usize,
    /// Longest time in which a client takes nothing of what is sent to it.
    #[serde(with = "values::AsDuration")]
    pub write_timeout: Duration,
    /// Children of dynamic namespaces that there may be at once.
    pub child_namespaces: usize,
    /// Those of them that one connection may be in.
    pub child_namespaces_per_connection: usize,
    /// Rooms that one socket may join.
    pub rooms_per_socket: usize,
    /// Bytes of the name of a room or event.
    pub name_length: usize,
    /// Events that one socket may send in a second; 0: no limit.
    pub events_per_second: u32,
    /// How many of them at once, after a quiet second; 0: as many as `events_per_second`.
    pub events_burst: u32,
    /// Events of one socket that may wait for their answers.
    pub acks_pending: u32,
    /// Questions who is in a room, that one socket may ask in a second; 0: no limit.
    pub presence_per_second: u32,
    /// What happens to a socket that goes over the limits of its events.
    pub over: OverLimit,
}

/// How the pod ends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Longest stay with its clients while newer pods replace this pod and those of its kind.
    #[serde(with = "values::AsDuration")]
    pub rollout_wait: Duration,
    /// Time between saying "not ready" and closing connections.
    #[serde(with = "values::AsDuration")]
    pub delay: Duration,
    /// Time over which connections are closed.
    #[serde(with = "values::AsDuration")]
    pub window: Duration,
    /// Longest wait for connections to close.
    #[serde(with = "values::AsDuration")]
    pub timeout: Duration,
}

/// What the pod uses of its machine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Threads that serve connections; 0 for as many as there are processors.
    pub workers: usize,
}

/// Logs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Filter, in the syntax of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}
