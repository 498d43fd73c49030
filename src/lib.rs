//! Roomcast: a Socket.IO service for Kubernetes.
//!
//! The binary `roomcast` is configured and needs no code. This crate is for those who write their
//! own handlers:
//!
//! ```no_run
//! use roomcast::{Event, Namespace, Reply, Server, config::{AuthPolicy, Config}};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let echo = Namespace::new("/echo")
//!     .authentication(AuthPolicy::None)
//!     .on("echo", |event: &Event<'_>| Reply::json(event.arguments::<String>()?));
//!
//! let pod = Server::builder(Config::defaults()).namespace(echo).build()?.bind()?;
//! println!("clients connect to {:?}", pod.public());
//! pod.run(async { drop(tokio::signal::ctrl_c().await) }, std::future::pending()).await;
//! # Ok(()) }
//! ```
//!
//! A request meets the parts in this order: edge, socketioxide, gateway, backplane.
//! `ARCHITECTURE.md` has the map.

mod address;
mod backplane;
pub mod cli;
pub mod client;
pub mod config;
mod demo;
mod drain;
mod edge;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod internal;
mod kube;
mod publish;
mod server;
mod tasks;
mod telemetry;

pub use self::kube::{ExternalMetricsError, SetupError as KubernetesError};
#[doc(hidden)]
pub use backplane::measured;
pub use backplane::{
    Answered, BackplaneError, ClientAnswer, ClientAnswers, ClusterError, EncodeError, Pods,
    PublishError, RemoteSocket, RoomChange, RoomEvent, SendError, ServerAnswer, SetupError, Spread,
    UnknownNamespace,
};
pub use drain::Outcome;
pub use edge::{ConnectionError, ListenError, RequestHead};
pub use gateway::{
    Ack, Args, AsServerAnswer, Bearer, Broadcast, BroadcastOperator, Claims, Cluster, Destination,
    Event, FromEvent, Grant, Handler, Handshake, HookSetupError, IntoReply, IntoServerAnswer,
    MintError, Name, Namespace, Outgoing, Refusal, Reply, Roomcast, RoomcastError, Socket,
    TokenError, Tokens, TokensError, Volatile, codes,
};
pub use regex::Regex;
pub use server::{BuildError, Builder, Listening, Server};
pub use socketioxide::{AckError, SocketError};

/// The program in the guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/rust.md")]
struct Guide;

/// The one shape of an error, in answers of HTTP and in acks: `{"error":{"code","message"}}`.
pub(crate) fn error_body(code: &str, message: &str) -> serde_json::Value {
    serde_json::json!({"error": {"code": code, "message": message}})
}
