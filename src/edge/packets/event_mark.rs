//! The name that is put before the own name of an event which socketioxide cannot read (`event_name.rs`).

/// What is put behind the bracket of the list.
pub(crate) const MARK: [u8; 4] = *b"\"\x7f\",";
/// What the name in it is.
pub(super) const MARK_NAME: u8 = 0x7f;
