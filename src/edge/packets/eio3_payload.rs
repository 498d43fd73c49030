//! Payloads of polling clients of Engine.IO v3.
//!
//! Gap, what they are sent: socketioxide writes a binary packet as Engine.IO v4 does, `b` and base64. Version 3
//! wants the packet type in between, `b4`, so the client takes the packet for nonsense and drops it; and a client that
//! takes octets wants bytes. Way round: write them so in the answer to a poll. No upstream issue was found; the mend belongs in
//! `Permit::emit_many` of engineioxide, which makes `Packet::Binary` where `BinaryV3` is due.
//!
//! Gap, what they send: the decoder of engineioxide copies all that is left of a piece of the body to look for the length
//! of the next packet: 990 kB of `1:2` cost a processor 20 seconds. Way round: each packet is a piece of its own. No
//! upstream issue was found; the mend belongs in `v3_string_decoder` of engineioxide-core.
//!
//! Payloads: Engine.IO protocol, revision 3, section "Payload".

use std::{borrow::Cow, convert::Infallible};

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;

use super::{connect_query, engine_io::CLOSE, event_name, lenient_base64, packet_head::PacketHead};

/// Separates length and packet in a payload of text.
const TEXT_SEPARATOR: u8 = b':';
/// Digits of the longest length, and more: what has no separator by then has no length.
const LONGEST_LENGTH: usize = 32;
/// Separates length and packet in a payload of octets.
const OCTETS_SEPARATOR: u8 = 0xff;
/// A packet as text, in a payload of octets.
const OCTETS_TEXT: u8 = 0;
/// A packet as bytes, the first of which is its type.
const OCTETS_BINARY: u8 = 1;
/// The type of all that Socket.IO sends.
const MESSAGE: u8 = 4;
/// What a packet begins with that is of this type, and base64.
const BINARY_TEXT: &[u8] = b"b4";

/// Whether a payload of this type is of octets; else it is text.
pub(crate) fn is_octets(content_type: &HeaderValue) -> bool {
    content_type == "application/octet-stream"
}

/// Writes binary packets as version 3 wants them. A payload of another form is left as it is.
pub(crate) fn mend_binary(payload: Bytes, octets: bool) -> Bytes {
    let mended = if octets { in_octets(&payload) } else { in_text(&payload) };
    mended.map_or(payload, Bytes::from)
}

/// A payload that a client sent, as socketioxide takes it; one of text with each packet as a piece.
pub(crate) fn received(payload: Bytes, octets: bool) -> Body {
    if octets {
        return Body::from(received_octets(payload));
    }
    let mend = |piece: Bytes| rewrite_piece(&piece, &mend_packet).map_or(piece, Bytes::from);
    Body::from_stream(stream::iter(Pieces(payload).map(mend).map(Ok::<_, Infallible>)))
}

/// The same of octets.
pub(crate) fn received_octets(payload: Bytes) -> Bytes {
    match rewrite(&payload, true, mend_packet) {
        (_, 0) => payload,
        (mended, _) => mended.into(),
    }
}

/// A packet that a client sent as text, as socketioxide takes it, if that is another.
fn mend_packet(packet: &[u8]) -> Option<Vec<u8>> {
    let mended = match packet.first() {
        Some(&lenient_base64::BINARY) => lenient_base64::mend_packet(packet, BINARY_TEXT),
        _ => connect_query::mend_packet(packet),
    };
    match mended {
        Cow::Owned(packet) => Some(packet),
        Cow::Borrowed(packet) => event_name::mark(packet),
    }
}

/// A payload with others in the place of packets of text, where there is another; and how many there are.
pub(crate) fn rewrite(
    payload: &Bytes,
    octets: bool,
    other: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> (Vec<u8>, u32) {
    let (mut all, mut changed) = (Vec::with_capacity(payload.len() + 64), 0);
    if !octets {
        for piece in Pieces(payload.clone()) {
            let another = rewrite_piece(&piece, &other);
            changed += u32::from(another.is_some());
            all.extend_from_slice(another.as_deref().unwrap_or(&piece));
        }
        return (all, changed);
    }
    let mut rest = &payload[..];
    while let Some((kind, packet, next)) = first_of_octets(rest) {
        match Some(packet).filter(|_| kind == OCTETS_TEXT).and_then(&other) {
            Some(packet) => {
                changed += 1;
                write_octets(kind, &[&packet], &mut all);
            }
            None => all.extend_from_slice(&rest[..rest.len() - next.len()]),
        }
        rest = next;
    }
    all.extend_from_slice(rest);
    (all, changed)
}

/// A piece of a payload of text with another packet, if there is one.
fn rewrite_piece(piece: &[u8], other: &impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let digits = piece.iter().position(|byte| *byte == TEXT_SEPARATOR)?;
    let packet = String::from_utf8(other(&piece[digits + 1..])?).ok()?;
    Some(format!("{}:{packet}", packet.encode_utf16().count()).into_bytes())
}

/// Where the first packet of a payload of text ends, if it does.
pub(crate) fn end_of_text(payload: &[u8]) -> Option<usize> {
    piece_end(payload)
}

/// The same of a payload of octets.
pub(crate) fn end_of_octets(payload: &[u8]) -> Option<usize> {
    first_of_octets(payload).map(|(_, _, next)| payload.len() - next.len())
}

/// The packet in a piece of a payload of text.
pub(crate) fn packet_of_text(piece: &[u8]) -> Option<&[u8]> {
    let digits = piece.iter().take(LONGEST_LENGTH).position(|byte| *byte == TEXT_SEPARATOR)?;
    Some(&piece[digits + 1..])
}

/// The same of a payload of octets, if it is text.
pub(crate) fn packet_of_octets(piece: &[u8]) -> Option<&[u8]> {
    let (kind, packet, _) = first_of_octets(piece)?;
    (kind == OCTETS_TEXT).then_some(packet)
}

/// A packet as a piece of a payload of text.
pub(crate) fn text_piece(packet: Vec<u8>) -> Vec<u8> {
    let units =
        std::str::from_utf8(&packet).map_or(packet.len(), |text| text.encode_utf16().count());
    [format!("{units}:").into_bytes(), packet].concat()
}

/// The same of a payload of octets.
pub(crate) fn octets_piece(packet: &[u8]) -> Vec<u8> {
    let mut piece = Vec::with_capacity(packet.len() + 8);
    write_octets(OCTETS_TEXT, &[packet], &mut piece);
    piece
}

/// The packets of a payload of text, each with its length; then, as one, what is none.
struct Pieces(Bytes);

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let Self(rest) = self;
        if rest.is_empty() {
            return None;
        }
        let end = piece_end(rest).unwrap_or(rest.len());
        Some(rest.split_to(end))
    }
}

/// The heads of the packets of a payload of text that a client sent, up to what is none.
pub(crate) fn heads_in_text(payload: &Bytes) -> impl Iterator<Item = PacketHead> {
    Pieces(payload.clone()).map_while(|piece| {
        let start = piece.iter().position(|byte| *byte == TEXT_SEPARATOR)?;
        Some(PacketHead::of(&piece[start + 1..]))
    })
}

/// The same of a payload of octets.
pub(crate) fn heads_in_octets(payload: &[u8]) -> impl Iterator<Item = PacketHead> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (_, packet, next) = first_of_octets(rest)?;
        rest = next;
        Some(PacketHead::of(packet))
    })
}

/// Whether one of the packets of a payload closes the session.
pub(crate) fn closes(payload: &Bytes, octets: bool) -> bool {
    if octets {
        let mut rest = &payload[..];
        let packets = std::iter::from_fn(|| {
            let (kind, packet, next) = first_of_octets(rest)?;
            rest = next;
            Some(kind == OCTETS_TEXT && packet.first() == Some(&CLOSE))
        });
        return packets.into_iter().any(|closes| closes);
    }
    Pieces(payload.clone()).any(|piece| {
        let start = piece.iter().position(|byte| *byte == TEXT_SEPARATOR);
        start.is_some_and(|start| piece.get(start + 1) == Some(&CLOSE))
    })
}

/// Where the first packet of a payload ends. It looks no further than that, however much follows.
fn piece_end(payload: &[u8]) -> Option<usize> {
    let digits = payload.iter().take(LONGEST_LENGTH).position(|byte| *byte == TEXT_SEPARATOR)?;
    let length: usize = std::str::from_utf8(&payload[..digits]).ok()?.parse().ok()?;
    let start = digits + 1;
    let mut left = length;
    let mut at = start;
    while left > 0 {
        // How many units a character has, its first byte tells; bytes of a character that are none, socketioxide finds.
        let (bytes, units) = match payload.get(at)? {
            ..0x80 => (1, 1),
            ..0xe0 => (2, 1),
            ..0xf0 => (3, 1),
            _ => (4, 2),
        };
        at += bytes;
        left = left.saturating_sub(units);
    }
    (at <= payload.len()).then_some(at)
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

/// Each packet again, binary ones as bytes with their type.
fn in_octets(payload: &[u8]) -> Option<Vec<u8>> {
    let mut rest = payload;
    let mut mended = Vec::with_capacity(payload.len() + 16);
    while !rest.is_empty() {
        let (kind, packet, next) = first_of_octets(rest)?;
        match packet.strip_prefix(b"b").filter(|_| kind == OCTETS_TEXT) {
            Some(base64) => {
                let mut binary = vec![MESSAGE];
                STANDARD.decode_vec(base64, &mut binary).ok()?;
                write_octets(OCTETS_BINARY, &[&binary], &mut mended);
            }
            None => write_octets(kind, &[packet], &mut mended),
        }
        rest = next;
    }
    Some(mended)
}

/// Appends a packet.
fn write_octets(kind: u8, packet: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = packet.iter().map(|part| part.len()).sum();
    out.push(kind);
    out.extend(length.to_string().bytes().map(|digit| digit - b'0'));
    out.push(OCTETS_SEPARATOR);
    out.extend(packet.iter().copied().flatten());
}

/// `<0 or 1><digits of the length in bytes><255><packet>`, again and again: the first, and what follows it.
fn first_of_octets(payload: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, behind) = payload.split_first()?;
    let digits = behind.iter().take(LONGEST_LENGTH).position(|byte| *byte == OCTETS_SEPARATOR);
    let digits = digits.filter(|at| *at > 0)?;
    let length = behind[..digits].iter().try_fold(0_usize, |length, digit| {
        length.checked_mul(10)?.checked_add(usize::from(*digit))
    })?;
    let (packet, next) = behind[digits + 1..].split_at_checked(length)?;
    Some((kind, packet, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mend(payload: &[u8], octets: bool) -> Bytes {
        mend_binary(Bytes::copy_from_slice(payload), octets)
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
    fn each_packet_that_is_sent_is_a_piece() {
        for (payload, pieces) in [
            ("1:2", vec!["1:2"]),
            ("1:21:26:42[\"é\"", vec!["1:2", "1:2", "6:42[\"é\""]),
            ("8:42[\"😀\"]1:2", vec!["8:42[\"😀\"]", "1:2"]),
            ("3:4€f0:1:2", vec!["3:4€f", "0:", "1:2"]),
            ("1:2x:11:2", vec!["1:2", "x:11:2"]),
            ("1:29:short", vec!["1:2", "9:short"]),
            ("1:2123", vec!["1:2", "123"]),
            ("99999999999999999999999:1", vec!["99999999999999999999999:1"]),
            ("", vec![]),
        ] {
            let found: Vec<Bytes> = Pieces(Bytes::copy_from_slice(payload.as_bytes())).collect();
            assert_eq!(found, pieces, "{payload}");
        }
        for broken in [b"1:2\x01:\xff1:2".as_slice(), b"2:4\xf0", b"1:\xf0\x9f"] {
            let found: Vec<Bytes> = Pieces(Bytes::copy_from_slice(broken)).collect();
            assert_eq!(found.concat(), broken);
        }
    }

    #[test]
    fn names_that_need_it_have_a_mark() {
        let mark = |piece: &str| {
            rewrite_piece(piece.as_bytes(), &event_name::mark)
                .map(|text| String::from_utf8(text).unwrap_or_default())
        };
        assert_eq!(mark("8:42[\"\\n\"]").as_deref(), Some("12:42[\"\x7f\",\"\\n\"]"));
        assert_eq!(mark("9:42[\"chat\"]"), None);
        let octets = Bytes::from_static(b"\0\x01\xff2\0\x06\xff42[15]\x01\x02\xff\x04b!");
        let marked = b"\0\x01\xff2\0\x01\0\xff42[\"\x7f\",15]\x01\x02\xff\x04b!";
        assert_eq!(received_octets(octets), marked.as_slice());
    }

    #[test]
    fn octets_too() {
        let payload = b"\0\x01\x01\xff42[\"hello\"]\0\x05\xffbAQL/\x01\x02\xff\x04b";
        let mended = b"\0\x01\x01\xff42[\"hello\"]\x01\x04\xff\x04\x01\x02\xff\x01\x02\xff\x04b";
        assert_eq!(mend(payload, true), mended.as_slice());
    }

    #[test]
    fn what_is_sent_is_mended_with_its_length() {
        for (sent, taken) in [
            ("40/é?a=é,", "40/é,{\"a\":\"é\"}"),
            ("40/😀?a=1,", "40/😀,{\"a\":\"1\"}"),
            ("b4Q\nQ", "b4QQ=="),
            ("b4QQ==", "b4QQ=="),
            ("42[\"é?\"]", "42[\"é?\"]"),
        ] {
            let text = |packet: &str| format!("{}:{packet}", packet.encode_utf16().count());
            let mended = rewrite_piece(text(sent).as_bytes(), &mend_packet);
            let expected = (sent != taken).then(|| text(taken).into_bytes());
            assert_eq!(mended, expected, "{sent}");

            let octets = |packet: &str| {
                let mut payload = Vec::new();
                for (kind, packet) in [(1, &b"\x04b4Q"[..]), (0, packet.as_bytes()), (0, b"2")] {
                    write_octets(kind, &[packet], &mut payload);
                }
                payload.push(7);
                payload
            };
            assert_eq!(received_octets(octets(sent).into()), octets(taken), "{sent}");
        }
    }

    #[test]
    fn anything_else_is_left_alone() {
        for payload in [b"".as_slice(), b"ok", b"9:short", b"\xff\xff", b"\0\x09\xffb"] {
            assert_eq!(mend(payload, false), payload);
            assert_eq!(mend(payload, true), payload);
        }
    }
}
