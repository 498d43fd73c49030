//! Who a client is: when it connects, when it emits `authenticate` later, and when its token expires; and the rooms that follow.
//! `tokens` checks tokens; this folder says what a valid or an invalid one means for a socket.
//! `dispatch` and `connect` may call it.

pub mod authenticate_event;
pub mod expiry;
pub mod identify;
pub mod initial_rooms;
pub mod policy;
