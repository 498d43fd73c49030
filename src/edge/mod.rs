//! The HTTP front of a pod. It owns each request before Socket.IO sees it, and each WebSocket stream for as long as that
//! lives. The server builds it and calls it; `gateway` and `publish` use what is exported here, and nothing else.
//!
//! A request meets the folders in this order:
//!
//! - `listener`: sockets, the TCP connections that they accept, and HTTP on those
//! - `requests`: what a request asks for, and what it is answered if it cannot have it
//! - `connections`: which sessions the pod takes, what it knows of each, and why each ended
//! - `polling` and `websocket`: the two transports
//! - `peers`: requests of sessions that another pod has
//!
//! Below these are `packets` (Engine.IO and Socket.IO), `frames` (WebSocket) and `streams`, which know bytes alone. Beside
//! them, `closing` ends connections at a pace, and `resources` looks after memory and open files.
//!
//! `front.rs` puts them together, `router.rs` says which path leads where. A folder calls only those that its `mod.rs`
//! allows; there is no circle, neither of files nor of folders.

mod closing;
mod connections;
mod frames;
mod front;
pub(crate) mod fuzz;
mod listener;
mod packets;
mod peers;
mod polling;
mod requests;
mod resources;
mod router;
mod streams;
mod websocket;

pub use closing::shedder::Shedder;
pub use connections::{
    admission::Admission, close_reason::CloseReason, connection::Connection,
    in_namespace::InNamespace, service::NoPage, sessions::Sessions,
};
pub use front::Edge;
pub use listener::{
    bind::{Bound, ListenError, bind},
    serve::{Options, serve},
};
pub use packets::session_id::Seal;
pub(crate) use packets::{
    connect_error::text as refusal_text, event_mark::MARK, event_name::unmark,
};
pub(crate) use requests::client_files::stock_client;
pub use requests::request_hooks::{ConnectionError, RequestHead, RequestHooks};
pub use resources::{
    memory::{give_back, memory_limit, watch as watch_memory},
    open_files::{Files, files_for_clients, raise_limit},
    sampling::sample,
};
pub use router::{Layers, mountable, pods, router};
