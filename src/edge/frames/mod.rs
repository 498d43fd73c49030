//! Frames of WebSockets (RFC 6455), as bytes: counted, rewritten, compressed (RFC 7692).
//! Nothing here waits, or knows a connection.
//! `connections` and `websocket` may call it.

pub(super) mod base64_to_binary;
pub(super) mod binary_to_base64;
pub(super) mod connect_query_frames;
pub(super) mod deflate;
pub(super) mod frame_counter;
mod header;
pub(super) mod incoming;
pub(super) mod inflate;
pub(super) mod message_tracker;
pub(super) mod opening_frames;
pub(super) mod permessage_deflate;
