//! A namespace: how a program or the configuration builds one, and what exists of it while the pod runs, with its sockets.
//! It calls no handler for an event and lets nobody in: `dispatch` and `connect` do.
//! `authentication`, `dispatch` and `connect` may call it.

pub mod active_socket;
pub mod callbacks;
pub mod connect_progress;
pub mod deadlines;
pub mod dismissal;
pub mod from_config;
pub mod name_pattern;
pub mod namespace;
pub mod runtime;
pub mod server_side;
