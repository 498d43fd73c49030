//! Wrappers of any stream that is read and written: time-outs, and bytes that are to be written first.
//! They know nothing of HTTP, WebSocket or Engine.IO.
//! All other folders of the edge may call them.

pub(super) mod timer;
pub(super) mod write_buffer;
pub(super) mod write_timeout;
