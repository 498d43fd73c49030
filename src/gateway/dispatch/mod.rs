//! Handles the events of a client in their order: limits, packet middleware, authentication, handler, ack.
//! `connect` registers it for each socket, and is all that may call it.

pub mod dispatcher;
pub mod limits;
pub mod wait_connected;
