//! The packet that opens a session (Engine.IO, "Handshake"), and the session id in it.

use bytes::Bytes;
use socketioxide_core::Sid;

/// What stands before the id.
const BEFORE: &[u8] = b"\"sid\":\"";
const UPGRADES: &[u8] = b"\"upgrades\":[\"websocket\"]";
const NO_UPGRADES: &[u8] = b"\"upgrades\":[]";
/// Characters of an id of socketioxide.
const SID: usize = 16;

/// The opening packet in what socketioxide sends: `0{"sid":"…`.
pub(crate) struct OpenPacket<'a> {
    bytes: &'a [u8],
    /// Where the id begins.
    at: usize,
    pub sid: Sid,
}

impl<'a> OpenPacket<'a> {
    /// Finds it in the answer to a polling handshake.
    pub fn find(bytes: &'a [u8]) -> Option<Self> {
        let at = bytes.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
        let sid = std::str::from_utf8(bytes.get(at..at + SID)?).ok()?.parse().ok()?;
        Some(Self { bytes, at, sid })
    }

    /// The same with another id. Engine.IO v3 writes the length of a packet before it: `97:0{…`.
    pub fn with_id(&self, id: &str) -> Vec<u8> {
        let (head, tail) = (&self.bytes[..self.at], &self.bytes[self.at + SID..]);
        let packet = head
            .iter()
            .position(|byte| *byte == b':')
            .filter(|colon| *colon > 0 && head[..*colon].iter().all(u8::is_ascii_digit));
        match packet {
            Some(colon) => {
                let length = self.bytes.len() - (colon + 1) - SID + id.len();
                let length = length.to_string();
                [length.as_bytes(), &head[colon..], id.as_bytes(), tail].concat()
            }
            None => [head, id.as_bytes(), tail].concat(),
        }
    }
}

/// The answer to a polling handshake without the offer to upgrade. Gap: socketioxide makes it to all. The length before
/// the packet of Engine.IO v3 is left to [`OpenPacket::with_id`].
pub(crate) fn without_upgrades(body: Bytes) -> Bytes {
    match body.windows(UPGRADES.len()).position(|window| window == UPGRADES) {
        Some(at) => [&body[..at], NO_UPGRADES, &body[at + UPGRADES.len()..]].concat().into(),
        None => body,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_id_is_replaced_and_the_length_with_it() {
        let packet =
            br#"0{"sid":"AAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000}"#;
        let open = OpenPacket::find(packet).unwrap();
        assert_eq!(open.sid.as_str(), "AAAAAAAAAAAAAAAA");
        let other = br#"0{"sid":"another","upgrades":["websocket"],"pingInterval":25000}"#;
        assert_eq!(open.with_id("another"), other);

        let old = [packet.len().to_string().as_bytes(), b":", packet].concat();
        let expected = [other.len().to_string().as_bytes(), b":", other].concat();
        assert_eq!(OpenPacket::find(&old).unwrap().with_id("another"), expected);
    }

    #[test]
    fn the_offer_to_upgrade_is_taken_out() {
        let packet = r#"0{"sid":"AAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000}"#;
        let sent = without_upgrades(format!("{}:{packet}", packet.len()).into());
        let expected = r#"0{"sid":"another","upgrades":[],"pingInterval":25000}"#;
        let expected = format!("{}:{expected}", expected.len());
        assert_eq!(OpenPacket::find(&sent).unwrap().with_id("another"), expected.as_bytes());
    }

    #[test]
    fn an_error_opens_nothing() {
        assert!(OpenPacket::find(br#"{"code":3,"message":"Bad request"}"#).is_none());
        assert!(OpenPacket::find(br#"0{"sid":"short"}"#).is_none());
    }
}
