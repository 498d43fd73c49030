//! The HTTP front of a pod: it owns each request before Socket.IO sees it, and each WebSocket stream
//! for as long as it lives.
//!
//! - `listener`: sockets, accepted and served
//! - `handshake`: what a request wants, and Engine.IO's answers when it cannot have it
//! - `sessions`: the connections that are open, and how each of them ended
//! - `requests`: polling, and the way to `upgrade`
//! - `service`: the ways to call socketioxide; `eio3`: what it leaves out for old clients
//! - `upgrade`: takes a WebSocket stream over from HTTP
//! - `stream`: that stream, until it ends; `patience`: how long it waits
//! - `frames`, `attachments`: whether a client has finished what it began to send
//! - `memory`: that of closed connections, given back

mod attachments;
mod eio3;
mod frames;
mod handshake;
mod listener;
mod memory;
mod patience;
mod requests;
mod service;
mod sessions;
mod stream;
mod upgrade;

pub use listener::{Bound, ListenError, Options, bind, serve};
pub use memory::give_back;
pub use requests::{Edge, router};
pub use service::NoPage;
pub use sessions::{CloseReason, Connection, InNamespace, Sessions};
