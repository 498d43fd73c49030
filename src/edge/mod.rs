//! The HTTP front of a pod: it owns each request before Socket.IO sees it, and each WebSocket stream
//! for as long as it lives.
//!
//! - `listener`: sockets, accepted and served; `adopt`: the same for requests of a listener of the program
//! - `handshake`: what a request wants, and Engine.IO's answers when it cannot have it
//! - `files`: how many of them there may be, and what is kept for others than clients
//! - `sessions`: the connections that are open, and how each of them ended
//! - `admission`: which new sessions the pod takes; `origin`: where clients are; `pages`: whose pages
//! - `seal`: session ids as clients see them; `open`: the packet that tells them
//! - `forward`: requests of a session that another pod has; `relay`: WebSockets of it; `passing`: both, while they last;
//!   `notice`: what else is said to that pod; `sending`: bodies on their way there; `neighbours`: pods that Redis does not name
//! - `cors`: what pages of other origins are told; `client_files`: the stock client, for pages to load;
//!   `compression`: answers to polls, made small; `encoding`: which one a client takes
//! - `program`: what a program says of requests, and hears of those that are refused
//! - `requests`: polling, and the way to `upgrade`; `peer`: where a request came from
//! - `service`: the ways to call socketioxide; `eio3`: what it leaves out for old clients
//! - `loose_base64`, `connect_query`, `connect_frames`: what clients may write otherwise than it takes it;
//!   `base64_frames`, `as_text`: binary as text, from clients and to them
//! - `unread`: answers that clients do not read
//! - `upgrade`: takes a WebSocket stream over from HTTP; `subprotocol`: the protocol that is answered;
//!   `probe`: one that is to take a polling session over
//! - `stream`: that stream, until it ends; `patience`: how long it waits; `timely`: the same for other streams
//! - `wire`: the TCP stream below it; `extension`: what is agreed on compressed messages; `inflating`, `deflating`: those;
//!   `unwritten`: what is to be written first
//! - `outgoing`: what is changed on the way to a client; `traffic`: bytes and packets
//! - `refused`: what a client is told that may not connect
//! - `names`: names of events that socketioxide cannot read; `mark`: what they get; `msgpack`: packets of that form; `client_frame`: headers of frames, read and written again
//! - `frames`, `attachments`: whether a client has finished what it began to send
//! - `closing`: ends connections at a pace; `order`: which one is next
//! - `memory`: what is free of it, given back; and how much of it the pod may have

mod address_limit;
mod admission;
mod adopt;
mod again;
mod ahead;
mod as_text;
mod attachments;
mod base64_frames;
mod bind;
mod client_files;
mod client_frame;
mod closing;
mod compression;
mod connect_frames;
mod connect_query;
mod connection;
mod cors;
mod deflating;
mod durations;
mod eio3;
mod encoding;
mod engine_io;
mod extension;
mod files;
mod forward;
mod frame_counter;
mod frames;
mod front;
pub(crate) mod fuzz;
mod handler;
mod handshake;
mod incoming;
mod inflating;
mod kept;
mod listener;
mod loose_base64;
mod mark;
mod memory;
mod msgpack;
mod names;
mod neighbours;
mod notice;
mod open;
mod order;
mod origin;
mod outgoing;
mod packet_head;
mod pages;
mod parts;
mod passing;
mod patience;
mod peer;
mod poll;
mod post;
mod probe;
mod program;
mod proxy_protocol;
mod reason;
mod refused;
mod registry;
mod relay;
mod request_error;
mod router;
mod sampling;
mod seal;
mod sending;
mod service;
mod session_table;
mod sessions;
mod shedder;
mod stream;
mod subprotocol;
mod timely;
mod traffic;
mod unread;
mod unwritten;
mod upgrade;
mod upgrade_slot;
mod upgraded_session;
mod watching;
mod wire;

pub use admission::Admission;
pub use bind::{Bound, ListenError, bind};
pub(crate) use client_files::stock_client;
pub use connection::{Connection, InNamespace};
pub use files::{Files, files_for_clients, raise_limit};
pub use front::Edge;
pub use listener::{Options, serve};
pub(crate) use mark::MARK;
pub use memory::{give_back, memory_limit, watch as watch_memory};
pub(crate) use names::unmark;
pub use program::{ConnectionError, Program, RequestHead};
pub use reason::CloseReason;
pub(crate) use refused::text as refusal_text;
pub use router::{Layers, mountable, pods, router};
pub use sampling::sample;
pub use seal::Seal;
pub use service::NoPage;
pub use sessions::Sessions;
pub use shedder::Shedder;
