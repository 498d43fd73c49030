//! The connections of this pod: which are let in, what is known of each, and why each ended.
//! A connection does not know its transport: `polling` and `websocket` tell it what they see.
//! `closing`, `polling`, `websocket`, `peers`, `resources` and `listener` may call it.

mod address_limit;
pub(super) mod admission;
mod backlog;
pub(super) mod close_reason;
mod close_state;
mod connect_state;
pub(super) mod connection;
mod connects;
mod durations;
pub(super) mod in_namespace;
pub(super) mod opening_request;
pub(super) mod polling_state;
mod registry;
pub(super) mod relayed;
pub(super) mod request_context;
pub(super) mod service;
mod session_table;
pub(super) mod sessions;
mod stream_state;
pub(super) mod traffic;
pub(super) mod unread_answer;
mod write_watch;
