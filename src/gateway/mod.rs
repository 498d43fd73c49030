//! What a namespace allows: who may connect, which rooms may be joined, what becomes of an event.
//!
//! A [`Namespace`] is built with handlers. The configured service (`configured`) builds its own
//! with the same calls that a Rust developer uses.

mod auth;
mod configured;
mod connect;
mod dispatch;
mod event;
mod namespace;
mod payload;
mod refusal;
mod rooms;

pub use auth::{Claims, JwtKey};
pub use configured::configured;
pub use connect::{attach, open};
pub use event::{Broadcast, Event, Handler, Reply, Socket};
pub use namespace::Namespace;
pub use payload::is_reserved;
pub use refusal::{Refusal, codes};
