//! The connections of this pod: which are let in, what is known of each, and why each ended.
//! A connection does not know its transport: `polling` and `websocket` tell it what they see.
//! `closing`, `polling`, `websocket`, `peers`, `resources` and `listener` may call it.

mod address_limit;
pub(super) mod admission;
pub(super) mod close_reason;
pub(super) mod connection;
mod durations;
mod registry;
pub(super) mod relayed;
pub(super) mod request_context;
pub(super) mod service;
mod session_table;
pub(super) mod sessions;
pub(super) mod traffic;
pub(super) mod unread_answer;
mod write_watch;
