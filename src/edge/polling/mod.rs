//! HTTP long-polling: the payloads that a client sends, and the answers to its polls.
//! Here is what waits; what happens to single packets is in `packets`.
//! Only the edge itself may call it.

mod compression;
pub(super) mod handler;
pub(super) mod payload_parts;
mod poll;
mod post;
