//! What the rules of the configuration allow a client in rooms, the events `join`, `leave` and `presence`, and who is told of them.
//! `access` alone decides; the rest carries out what it decides.
//! `namespaces` and those that use it may call it.

pub mod access;
pub mod presence;
pub mod presence_request;
pub mod rejected_rooms;
pub mod room_limit;
pub mod room_rules;
pub mod template;
