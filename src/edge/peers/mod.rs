//! Requests of sessions that another pod has: forwarded to it, and how it is found.
//! Which pod has a session says its id (`packets/session_id.rs`).
//! Only the edge itself may call it.

pub(super) mod forwarder;
mod peer_signal;
pub(super) mod pod_discovery;
mod relay;
mod upload;
