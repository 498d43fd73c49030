//! Ends connections at a pace, so that clients do not come back all at once: for a drain, and to give some to other pods.
//! It closes what `connections` knows, and does not decide when.
//! Only the edge itself may call it.

mod close_order;
pub(super) mod closer;
pub(super) mod shedder;
