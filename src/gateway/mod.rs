//! What a namespace allows: who may connect, which rooms may be joined, what becomes of an event.
//!
//! A [`Namespace`] is built with handlers. The configured service (`configured`, `rooms`, `presence`, `hooked`)
//! builds its own with the same calls that a Rust developer uses.
//!
//! - `connect`, `dynamic`, `which`, `admission`, `authentication`, `auth`, `deadlines`: a client comes in, and shows who it is
//! - `dispatch`, `limits`, `payload`, `event`, `handler`, `guarded`, `reply`, `refusal`: an event is handled and answered; `outgoing`: one that is sent
//! - `decide`, `rooms`, `presence`, `template`: what an identity may do in which rooms
//! - `member`, `socket`, `cluster`, `server_side`, `hearing`: what is known of a socket, and what can be done with it

mod access;
mod active_socket;
mod attach;
mod auth;
mod auth_policy;
mod authenticate_event;
mod broadcast;
mod broadcast_operator;
mod callbacks;
mod catch_panic;
mod cluster;
mod connect;
mod connect_progress;
mod connect_refused;
mod deadlines;
mod disconnect;
mod dismissal;
mod dispatch;
mod dynamic;
mod event;
mod event_limits;
mod event_parser;
mod expiry;
mod from_config;
pub(crate) mod fuzz;
mod handler;
mod handshake;
mod hook_calls;
mod hooks;
mod identify;
mod initial_rooms;
mod name_pattern;
mod namespace;
mod occupant;
mod outgoing_event;
mod presence;
mod presence_request;
mod rate_limit;
mod refusal;
mod rejected_rooms;
mod reply;
mod room_limit;
mod room_rules;
mod roomcast;
mod roomcast_error;
mod runtime;
mod server_side_handler;
mod socket;
mod socket_state;
mod template;
mod wait_connected;

pub use attach::{attach, open};
pub use auth::{Claims, MintError, TokenError, Tokens, TokensError};
pub use broadcast::Broadcast;
pub use broadcast_operator::{BroadcastOperator, Destination};
pub use cluster::Cluster;
pub use dynamic::attach_dynamic;
pub use event::Event;
pub use from_config::from_config;
pub use handler::{Ack, Args, Bearer, FromEvent, Handler, IntoReply, Name};
pub use handshake::{Grant, Handshake};
pub use hooks::{HookSetupError, Hooks};
pub use namespace::Namespace;
pub use outgoing_event::Outgoing;
pub use refusal::{Refusal, codes};
pub use reply::Reply;
pub use roomcast::Roomcast;
pub use roomcast_error::RoomcastError;
pub use runtime::Shared;
pub use server_side_handler::{AsServerAnswer, IntoServerAnswer};
pub use socket::{Socket, Volatile};
