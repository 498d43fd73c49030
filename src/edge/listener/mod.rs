//! Listening sockets, and the TCP connections that they accept, up to the router.
//! HTTP ends here: a stream that becomes a WebSocket is given to whom the request left in its slot.
//! Only the edge itself and the server may call it.

pub(super) mod bind;
pub(super) mod embedded;
pub(super) mod serve;
