//! Requests of sessions that another pod has: they are forwarded to that pod. Here is also how it is found.
//! The session id says which pod has a session (`packets/session_id.rs`).
//! Only the edge itself may call it.

pub(super) mod forwarder;
mod peer_signal;
pub(super) mod pod_discovery;
mod relay;
mod upload;
