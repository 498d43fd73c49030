//! Base64 of polling clients, as Node's decoder takes it.
//!
//! Gap: socketioxide takes base64 of RFC 4648 alone, and ends the session of a client that sends anything else. Node's
//! `Buffer.from(text, "base64")` takes what clients really send: lines (Java, Android), no padding, the URL alphabet.
//! Way round: such a packet is written again before socketioxide reads it. No upstream issue was found; the mend belongs
//! in `Packet::parse` of engineioxide-core.

use std::borrow::Cow;

use bytes::Bytes;

use super::engine_io::SEPARATOR;

/// What a binary packet begins with where all packets are text.
pub(crate) const BINARY: u8 = b'b';
/// What fills up the last group of characters.
pub(crate) const PADDING: u8 = b'=';
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The body of a request of Engine.IO v4, with its binary packets in the strict form.
pub(crate) fn mend(body: Bytes) -> Bytes {
    let packets = || body.split(|byte| *byte == SEPARATOR);
    let is_loose = |packet: &[u8]| packet.split_first().is_some_and(is_loose_binary);
    if !packets().any(is_loose) {
        return body;
    }
    let mended: Vec<_> = packets().map(|packet| mend_packet(packet, &[BINARY])).collect();
    mended.join(&SEPARATOR).into()
}

/// A packet, with the base64 behind what binary ones begin with in the strict form.
pub(crate) fn mend_packet<'a>(packet: &'a [u8], binary: &[u8]) -> Cow<'a, [u8]> {
    match packet.strip_prefix(binary) {
        Some(text) if !is_strict(text) => Cow::Owned([binary, &strict(text)].concat()),
        _ => Cow::Borrowed(packet),
    }
}

fn is_loose_binary((first, text): (&u8, &[u8])) -> bool {
    *first == BINARY && !is_strict(text)
}

/// What a character stands for, in either alphabet.
pub(crate) fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// Bits of the last character that belong to no byte, if there are so many characters.
fn unused_bits(characters: usize) -> u8 {
    match characters % 4 {
        2 => 0b1111,
        3 => 0b11,
        _ => 0,
    }
}

fn is_strict(text: &[u8]) -> bool {
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == PADDING).count();
    let characters = &text[..text.len() - padding];
    let unused = unused_bits(characters.len());
    text.len().is_multiple_of(4)
        && characters
            .iter()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/'))
        && characters.last().and_then(|last| sextet(*last)).is_none_or(|last| last & unused == 0)
}

/// The same bytes in the strict form: up to the padding, without what is of no alphabet.
fn strict(text: &[u8]) -> Vec<u8> {
    let text = text.iter().take_while(|byte| **byte != PADDING);
    let mut sextets: Vec<u8> = text.filter_map(|byte| sextet(*byte)).collect();
    if sextets.len() % 4 == 1 {
        // Not yet a byte.
        sextets.pop();
    }
    let unused = unused_bits(sextets.len());
    if let Some(last) = sextets.last_mut() {
        *last &= !unused;
    }
    for sextet in &mut sextets {
        *sextet = ALPHABET[usize::from(*sextet)];
    }
    sextets.resize(sextets.len().next_multiple_of(4), PADDING);
    sextets
}

/// What Node 20 makes of a text: `Buffer.from(text, "base64")`.
#[cfg(test)]
pub(crate) const NODE: &[(&str, &[u8])] = &[
    ("QQ==QQ==", b"A"),
    ("QQ=QUJD", b"A"),
    ("Q", b""),
    ("QUJ", b"AB"),
    ("QUJD=", b"ABC"),
    ("QU JD\r\nQUJD", b"ABCABC"),
    ("QQ", b"A"),
    ("QR==", b"A"),
    ("_-8=", b"\xff\xef"),
    ("/+8=", b"\xff\xef"),
    ("Q!Q?=", b"A"),
    ("=QUJD", b""),
    ("QUJD==QUJD", b"ABC"),
    ("QUJDQQ==\n", b"ABCA"),
    ("Q=Q=QUJD", b""),
    ("QUJDé", b"ABC"),
    ("", b""),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    #[test]
    fn it_is_read_as_node_reads_it() {
        for (text, bytes) in NODE {
            let strict = strict(text.as_bytes());
            assert!(is_strict(&strict), "{text}");
            assert_eq!(STANDARD.decode(strict).unwrap(), *bytes, "{text}");
        }
    }

    #[test]
    fn what_is_called_strict_is() {
        for (text, _) in NODE {
            assert_eq!(is_strict(text.as_bytes()), STANDARD.decode(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn binary_packets_are_mended_and_no_others() {
        let sent = "42[\"QQ\"]\x1ebQ\nQ\x1eb\x1ebQQ==\x1e3";
        assert_eq!(mend(sent.into()), "42[\"QQ\"]\x1ebQQ==\x1eb\x1ebQQ==\x1e3");
        let strict = Bytes::from_static(b"42[\"QQ\"]\x1ebQQ==");
        assert_eq!(mend(strict.clone()).as_ptr(), strict.as_ptr());
    }
}
