//! What a namespace allows: who may connect, which rooms may be joined, what becomes of an event.
//!
//! A [`Namespace`] is built with handlers. The service that is configured (`namespaces/from_config`) builds its own with the same
//! calls that a Rust developer uses. The folders, each of which calls only those before it:
//!
//! - `replies`, `tokens`: answers and refusals; JSON Web Tokens
//! - `sockets`, `events`, `broadcast`: a client in a namespace, what it sends, and what is sent to many
//! - `hooks`, `rules`: HTTP services that decide; what a client may do in rooms
//! - `namespaces`: handlers, and the sockets that they are for
//! - `authentication`, `dispatch`, `connect`: who a client is, its events, its way in and out

mod authentication;
mod broadcast;
mod connect;
mod dispatch;
mod events;
pub(crate) mod fuzz;
mod hooks;
mod namespaces;
mod replies;
mod roomcast;
mod rules;
mod sockets;
mod tokens;

pub use broadcast::{
    cluster::Cluster,
    error::RoomcastError,
    from_socket::Broadcast,
    operator::{BroadcastOperator, Destination},
};
pub use connect::{
    attach::{attach, open},
    dynamic::attach_dynamic,
};
pub use events::{
    event::Event,
    handler::{Ack, Args, Bearer, FromEvent, Handler, IntoReply, Name},
    outgoing::Outgoing,
};
pub use hooks::{HookSetupError, Hooks};
pub use namespaces::{
    from_config::from_config,
    namespace::Namespace,
    runtime::Shared,
    server_side::{AsServerAnswer, IntoServerAnswer},
};
pub use replies::{
    refusal::{Refusal, codes},
    reply::Reply,
};
pub use roomcast::Roomcast;
pub use sockets::{
    handshake::{Grant, Handshake},
    socket::{Socket, Volatile},
};
pub use tokens::{Claims, MintError, TokenError, Tokens, TokensError};
