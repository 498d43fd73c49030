//! What a namespace allows: who may connect, which rooms may be joined, what becomes of an event.
//!
//! A [`Namespace`] is built with handlers. The configured service (`configured`, `rooms`, `presence`, `hooked`)
//! builds its own with the same calls that a Rust developer uses.
//!
//! - `connect`, `dynamic`, `which`, `admission`, `authentication`, `auth`, `deadlines`: a client comes in, and shows who it is
//! - `dispatch`, `limits`, `payload`, `event`, `handler`, `guarded`, `reply`, `refusal`: an event is handled and answered; `outgoing`: one that is sent
//! - `decide`, `rooms`, `presence`, `template`: what an identity may do in which rooms
//! - `member`, `socket`, `cluster`, `server_side`, `hearing`: what is known of a socket, and what can be done with it

mod admission;
mod auth;
mod authentication;
mod cluster;
mod configured;
mod connect;
mod deadlines;
mod decide;
mod dispatch;
mod dynamic;
mod early;
mod event;
pub(crate) mod fuzz;
mod guarded;
mod handler;
mod hearing;
mod hooked;
mod hooks;
mod leaving;
mod limits;
mod member;
mod namespace;
mod outgoing;
mod payload;
mod presence;
mod refusal;
mod rejected;
mod reply;
mod roomcast;
mod rooms;
mod server_side;
mod socket;
mod template;
mod which;

use std::time::{SystemTime, UNIX_EPOCH};

pub use admission::Handshake;
pub use auth::{Claims, MintError, TokenError, Tokens, TokensError};
pub use cluster::Cluster;
pub use configured::configured;
pub use connect::{Shared, attach, open};
pub use dynamic::{Children, attach_dynamic};
pub use event::Event;
pub use handler::{Ack, Args, Bearer, FromEvent, Handler, IntoReply, Name};
pub use hooks::{Grant, HookSetupError, Hooks};
pub use namespace::Namespace;
pub use outgoing::Outgoing;
pub use refusal::{Refusal, codes};
pub use reply::Reply;
pub use roomcast::{BroadcastOperator, Destination, Roomcast, RoomcastError};
pub use server_side::{AsServerAnswer, IntoServerAnswer};
pub use socket::{Broadcast, Socket, Volatile};

/// Milliseconds since 1970.
fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
