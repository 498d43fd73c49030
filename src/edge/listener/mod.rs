//! Listening sockets, and the TCP connections that they accept, up to the router.
//! The TCP stream of a WebSocket is given to the function that its request left in the upgrade slot.
//! Only the edge itself and the server may call it.

pub(super) mod bind;
pub(super) mod embedded;
pub(super) mod serve;
