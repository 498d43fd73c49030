//! What becomes of frames, whatever way they arrive.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::edge::packets::{
    event_name::tests::{ODD, PLAIN, marked},
    namespace_connect::tests::{Client, Swift},
};

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
/// With a length of eight bytes and a mask.
const LONGEST_HEADER: usize = 14;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ ..126 => out.push(0x80 | length as u8),
        length @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// The frames that these bytes are, with their payloads.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let frame = Frame::read(bytes).unwrap();
        let end = frame.header + frame.length as usize;
        let payload = bytes[frame.header..end].iter().enumerate();
        let payload = payload.map(|(at, byte)| byte ^ frame.mask_at(at)).collect();
        all.push((bytes[0], payload));
        bytes = &bytes[end..];
    }
    all
}

fn pass(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut names = IncomingFrames::default();
    let passed =
        bytes.chunks(piece).flat_map(|piece| names.pass(piece, &Swift).into_owned()).collect();
    assert!(names.is_idle());
    passed
}

#[test]
fn frames_have_marks_whatever_way_they_arrive() {
    let long = format!(r#"42["{}\\",1]"#, "x".repeat(3 * LOOKED_AT));
    let longer = format!(r#"42["\\","{}"]"#, "x".repeat(70_000));
    let almost = format!(r#"42["\\","{}"]"#, "x".repeat(113));
    let mut events = ODD.to_vec();
    events.extend([(&*long, 3), (&*longer, 3), (&*almost, 3)]);
    let (mut sent, mut right) = (Vec::new(), Vec::new());
    for (packet, place) in events {
        sent.extend(frame(0x81, packet.as_bytes()));
        right.push((0x81, marked(packet, place)));
        for other in PLAIN {
            for (first, payload) in [(0x81, other), (0x89, "42[1]"), (0x82, "42[1]")] {
                sent.extend(frame(first, payload.as_bytes()));
                right.push((first, payload.into()));
            }
        }
    }
    for piece in [1, 2, 3, 7, 512, sent.len()] {
        assert!(frames(&pass(&sent, piece)) == right, "in pieces of {piece}");
    }
}

#[test]
fn a_message_in_fragments_has_one_too() {
    let (packet, place) = ODD[2];
    for cut in 0..packet.len() {
        for second in cut..packet.len() {
            let parts = [&packet[..cut], &packet[cut..second], &packet[second..]];
            let [first, next, last] = parts.map(str::as_bytes);
            let sent = [
                frame(0x01, first),
                frame(0x00, next),
                frame(0x89, b"ping"),
                frame(0x80, last),
                frame(0x81, b"42[\"plain\"]"),
            ];
            let passed = frames(&pass(&sent.concat(), 1));
            assert_eq!(passed, frames(&pass(&sent.concat(), 1000)));
            let message = passed[..4].iter().filter(|(first, _)| *first != 0x89);
            let message: Vec<u8> = message.flat_map(|(_, payload)| payload.clone()).collect();
            assert_eq!(message, marked(packet, place), "cut at {cut} and {second}");
            assert_eq!(passed[4].1, b"42[\"plain\"]");
        }
    }
}

#[test]
fn what_is_held_is_bounded() {
    let mut names = IncomingFrames::default();
    let endless = frame(0x81, format!("42/{}", "x".repeat(100_000)).as_bytes());
    for piece in endless.chunks(10) {
        names.pass(piece, &Swift);
        assert!(names.held.len() <= LOOKED_AT + LONGEST_HEADER);
    }
    assert!(!names.holds());
}

#[test]
fn who_asks_again_leaves_first() {
    for (packet, leaves) in [
        ("40", Some("41")),
        (r#"40{"token":"a,b"}"#, Some("41")),
        ("40/chat,", Some("41/chat,")),
        (r#"40/chat,{"a":1}"#, Some("41/chat,")),
        ("40/chat", Some("41/chat,")),
        ("40/chat?a=b,", None),
        ("40/new,", None),
        ("41", None),
        ("4", None),
    ] {
        let packets: Vec<_> = leaves.into_iter().chain([packet]).collect();
        let right: Vec<_> =
            packets.iter().map(|packet| (0x81, packet.as_bytes().to_vec())).collect();
        let sent = frame(0x81, packet.as_bytes());
        for piece in [1, 3, 100] {
            let client = Client { is_in: vec!["/", "/chat"], ..Client::default() };
            let mut names = IncomingFrames::default();
            let passed =
                sent.chunks(piece).flat_map(|piece| names.pass(piece, &client).into_owned());
            assert_eq!(frames(&passed.collect::<Vec<u8>>()), right, "{packet}");
            assert!(names.is_idle());
        }
    }
}

#[test]
fn what_is_said_to_a_namespace_waits_for_it() {
    let packets = ["40/n,", "42[1]", "42/n,[2]", "41/n,", "40/n,", "451-/n,[3]"];
    let sent: Vec<u8> = packets.iter().flat_map(|text| frame(0x81, text.as_bytes())).collect();
    let right = ["41/n,", "40/n,", "42[\"\x7f\",1]", "42/n,[\"\x7f\",2]", "41/n,", "40/n,"];
    for piece in [1, 3, 7, 100] {
        let client = Client { is_in: vec!["/n"], ..Client::default() };
        let mut names = IncomingFrames::default();
        let mut passed = Vec::new();
        for (n, bytes) in sent.chunks(piece).enumerate() {
            passed.extend(names.pass(bytes, &client).into_owned());
            assert!(n < 12 || names.awaited().is_none_or(|name| name == "/n"));
        }
        assert_eq!(frames(&passed).len(), 3, "in pieces of {piece}");
        for (awaited, so_far) in [(true, 3), (true, 6), (false, 7)] {
            assert_eq!(names.awaited(), awaited.then_some("/n"));
            assert_eq!(frames(&passed).len(), so_far);
            if awaited {
                client.entering.borrow_mut().end("/n", true);
                passed.extend(names.pass(&[], &client).into_owned());
            }
        }
        let passed = frames(&passed);
        for ((_, packet), right) in passed.iter().zip(right) {
            assert_eq!(String::from_utf8_lossy(packet), right);
        }
    }
}
