//! Emits to many sockets and to other servers: of a socket to its rooms, and of the program to any (Node's `BroadcastOperator`).
//! It calls the backplane, and nothing of the gateway but `sockets`.
//! `rules`, `connect` and the handle `Roomcast` may call it.

pub mod cluster;
pub mod error;
pub mod from_socket;
pub mod operator;
