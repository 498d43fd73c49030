//! Closes connections at a pace, so that clients do not come back all at once: for a drain, and to rebalance pods.
//! The server and the API say when.
//! Only the edge itself may call it.

mod close_order;
pub(super) mod closer;
pub(super) mod shedder;
