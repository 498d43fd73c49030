//! The stream of each WebSocket: from the answer to its handshake to its end, between TCP and socketioxide.
//! Here is the I/O; what happens to single frames is in `frames`.
//! Only the edge itself may call it.

mod client_stream;
pub(super) mod opening;
mod probe;
mod read_ahead;
mod transport;
pub(super) mod upgrade;
mod upgraded_session;
