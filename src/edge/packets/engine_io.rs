//! What payloads of Engine.IO are made of (Engine.IO protocol, "Packet encoding").

/// Between the packets of one body, in Engine.IO v4.
pub(crate) const SEPARATOR: u8 = 0x1e;
/// The packet that closes a session, in each version.
pub(crate) const CLOSE: u8 = b'1';
