//! A client in one namespace: the handle that handlers get (`Socket`), what is known of it, and the handshake it came with.
//! It knows nothing of handlers or rules.
//! All folders but `replies` and `tokens` may call it.

pub mod handshake;
pub mod rate_limit;
pub mod socket;
pub mod state;
