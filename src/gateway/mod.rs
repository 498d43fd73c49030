//! What a namespace allows: who may connect, which rooms may be joined, what becomes of an event.
//!
//! A [`Namespace`] is built with handlers. The configured service (`configured`) builds its own
//! with the same calls that a Rust developer uses.

mod auth;
mod cluster;
mod configured;
mod connect;
mod dispatch;
mod event;
#[allow(dead_code)] // until namespaces name hooks
mod hooks;
mod namespace;
mod payload;
mod refusal;
mod reply;
mod rooms;

pub use auth::{Claims, MintError, TokenError, Tokens, TokensError};
pub use cluster::Cluster;
pub use configured::configured;
pub use connect::{attach, open};
pub use event::{Broadcast, Event, Handler, Socket};
pub use namespace::Namespace;
pub use refusal::{Refusal, codes};
pub use reply::Reply;
