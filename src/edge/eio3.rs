//! Binary for polling clients of Engine.IO v3.
//!
//! Gap: to them, socketioxide writes a binary packet as Engine.IO v4 does, `b` and base64. Version 3
//! wants the packet type in between, `b4`, so the client takes the packet for nonsense and drops it.
//! Way round: add the type in the answer to a poll. No upstream issue was found; the mend belongs in
//! `Permit::emit_many` of engineioxide, which makes `Packet::Binary` where `BinaryV3` is due.
//!
//! Payloads: Engine.IO protocol, revision 3, section "Payload".

use bytes::Bytes;

/// Separates length and packet in a payload of octets.
const OCTETS_SEPARATOR: u8 = 0xff;
/// A packet as text, in a payload of octets.
const OCTETS_TEXT: u8 = 0;

/// Adds the missing types. A payload of another form is left as it is.
pub(super) fn add_binary_types(payload: Bytes, octets: bool) -> Bytes {
    let mended = if octets { in_octets(&payload) } else { in_text(&payload) };
    mended.map_or(payload, Bytes::from)
}

/// `<length in UTF-16 units>:<packet>`, again and again.
fn in_text(payload: &[u8]) -> Option<Vec<u8>> {
    let mut rest = std::str::from_utf8(payload).ok()?;
    let mut mended = String::with_capacity(payload.len() + 16);
    while !rest.is_empty() {
        let (length, behind) = rest.split_once(':')?;
        let length: usize = length.parse().ok()?;
        let mut units = 0;
        let end = behind
            .char_indices()
            .find(|(_, character)| {
                let complete = units >= length;
                units += character.len_utf16();
                complete
            })
            .map_or(behind.len(), |(end, _)| end);
        let (packet, next) = behind.split_at(end);
        match packet.strip_prefix('b') {
            Some(base64) => mended.extend([&(length + 1).to_string(), ":b4", base64]),
            None => mended.extend([&length.to_string(), ":", packet]),
        }
        rest = next;
    }
    Some(mended.into_bytes())
}

/// `<0 or 1><digits of the length in bytes><255><packet>`, again and again.
fn in_octets(payload: &[u8]) -> Option<Vec<u8>> {
    let mut rest = payload;
    let mut mended = Vec::with_capacity(payload.len() + 16);
    while let Some((&kind, behind)) = rest.split_first() {
        let digits =
            behind.iter().position(|byte| *byte == OCTETS_SEPARATOR).filter(|at| *at > 0)?;
        let length = behind[..digits].iter().try_fold(0_usize, |length, digit| {
            length.checked_mul(10)?.checked_add(usize::from(*digit))
        })?;
        let (packet, next) = behind[digits + 1..].split_at_checked(length)?;
        let base64 = packet.strip_prefix(b"b").filter(|_| kind == OCTETS_TEXT);
        let (start, packet): (&[u8], _) = base64.map_or((b"", packet), |base64| (b"b4", base64));
        mended.push(kind);
        mended.extend((start.len() + packet.len()).to_string().bytes().map(|digit| digit - b'0'));
        mended.push(OCTETS_SEPARATOR);
        mended.extend(start);
        mended.extend(packet);
        rest = next;
    }
    Some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mend(payload: &[u8], octets: bool) -> Bytes {
        add_binary_types(Bytes::copy_from_slice(payload), octets)
    }

    #[test]
    fn the_type_is_added_to_base64_packets_only() {
        assert_eq!(
            mend("5:bAQL/7:42[\"😀\"5:bAQL/".as_bytes(), false),
            "6:b4AQL/7:42[\"😀\"6:b4AQL/".as_bytes()
        );
        assert_eq!(mend(b"2:40", false), b"2:40".as_slice());
    }

    #[test]
    fn octets_too() {
        let payload = b"\0\x01\x01\xff42[\"hello\"]\0\x05\xffbAQL/\x01\x02\xff\x04b";
        let mended = b"\0\x01\x01\xff42[\"hello\"]\0\x06\xffb4AQL/\x01\x02\xff\x04b";
        assert_eq!(mend(payload, true), mended.as_slice());
    }

    #[test]
    fn anything_else_is_left_alone() {
        for payload in [b"".as_slice(), b"ok", b"9:short", b"\xff\xff", b"\0\x09\xffb"] {
            assert_eq!(mend(payload, false), payload);
            assert_eq!(mend(payload, true), payload);
        }
    }
}
