//! What a client is answered: the ack of a handler, or a refusal with a stable code.
//! A panic of the program becomes a refusal here, too.
//! All of the gateway may call it; it calls none of the other folders.

pub mod catch_panic;
pub mod refusal;
pub mod reply;
