//! CONNECT with a query, in the frames of a WebSocket: finds such packets in what a client of version 2 sends, and has
//! `packets/connect_query.rs` write them again. All else passes as it comes; of a packet that may be one, no
//! more is held than may be one.

use super::header::{Frame, TEXT, write_whole};
use crate::edge::packets::connect_query::{CONNECT, LONGEST, mend_packet};

/// Where one is in what a client sends.
#[derive(Debug, Default)]
pub(crate) struct ConnectQueryFrames {
    /// The beginning of a frame.
    held: Vec<u8>,
    /// So many bytes pass: the rest of a frame that is of no interest.
    passes: u64,
}

enum Next {
    /// So many bytes tell more.
    Wants(usize),
    /// The frame has so many bytes, and is of no interest.
    Passes(u64),
    /// The frame is there, with this packet.
    Connects(Vec<u8>),
}

impl ConnectQueryFrames {
    /// Whether something has been kept that the client sent.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What passes of the bytes that have been read; nothing if more is to be read first.
    pub fn pass(&mut self, mut read: &[u8]) -> Vec<u8> {
        let mut passed = Vec::with_capacity(read.len());
        while !read.is_empty() {
            if self.passes > 0 {
                let length =
                    usize::try_from(self.passes).map_or(read.len(), |left| left.min(read.len()));
                passed.extend_from_slice(&read[..length]);
                self.passes -= length as u64;
                read = &read[length..];
                continue;
            }
            let Self { held, passes } = self;
            let next = loop {
                match next(held) {
                    Next::Wants(length) if !read.is_empty() => {
                        let (more, rest) = read.split_at(read.len().min(length - held.len()));
                        held.extend_from_slice(more);
                        read = rest;
                    }
                    next => break next,
                }
            };
            match next {
                Next::Wants(_) => {}
                Next::Passes(length) => {
                    *passes = length.saturating_sub(held.len() as u64);
                    passed.append(held);
                }
                Next::Connects(packet) => {
                    write_whole(TEXT, &mend_packet(&packet), &mut passed);
                    *held = Vec::new();
                }
            }
        }
        passed
    }
}

/// What is known of a frame by its beginning.
fn next(bytes: &[u8]) -> Next {
    let Some(frame) = Frame::read(bytes) else { return Next::Wants(bytes.len() + 1) };
    let is_text = frame.opcode == 1 && frame.is_last && !frame.is_extended;
    let may_be_one = (CONNECT.len() as u64..=LONGEST as u64).contains(&frame.length);
    if !is_text || frame.mask.is_none() || !may_be_one {
        return Next::Passes(frame.whole());
    }
    let told = frame.header + CONNECT.len();
    if bytes.len() < told {
        return Next::Wants(told);
    }
    let packet = unmasked(&frame, bytes);
    if !packet.starts_with(CONNECT) {
        return Next::Passes(frame.whole());
    }
    match frame.header + frame.length as usize {
        whole if bytes.len() < whole => Next::Wants(whole),
        _ => Next::Connects(packet),
    }
}

/// What is there of its payload.
fn unmasked(frame: &Frame, bytes: &[u8]) -> Vec<u8> {
    let payload = bytes[frame.header..].iter().enumerate();
    payload.map(|(at, byte)| byte ^ frame.mask_at(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A last frame of text.
    const TEXT: u8 = 0x81;
    const MASKED: u8 = 0x80;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 0, 255, 33];
        let mut frame = vec![first];
        match payload.len() {
            length @ ..126 => frame.push(MASKED | length as u8),
            length @ ..65_536 => {
                frame.push(MASKED | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(MASKED | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn queries_are_found_wherever_reads_end_and_all_else_passes() {
        let long = format!("40/chat?token={},", "x".repeat(300));
        let large = vec![b'4'; 70_000];
        let others = [
            frame(TEXT, b"2"),
            frame(TEXT, b""),
            frame(0x82, b"40/chat?a=1,"),
            frame(0x89, b"40/"),
            frame(TEXT, b"42[\"a\"]"),
            frame(TEXT, &large),
            vec![TEXT, 3, b'4', b'0', b'/'],
        ]
        .concat();
        let connect = frame(TEXT, b"40/chat?a=1,");
        let sent =
            [&others[..], &connect, &others, &frame(TEXT, long.as_bytes()), &others].concat();
        let mended = |packet: String| {
            let mut frame = vec![TEXT];
            match packet.len() {
                length @ ..126 => frame.push(MASKED | length as u8),
                length => frame.extend([MASKED | 126, (length >> 8) as u8, length as u8]),
            }
            [&frame[..], &[0; 4], packet.as_bytes()].concat()
        };
        let expected = [
            &others[..],
            &mended(r#"40/chat,{"a":"1"}"#.to_owned()),
            &others,
            &mended(format!(r#"40/chat,{{"token":"{}"}}"#, "x".repeat(300))),
            &others,
        ]
        .concat();
        for piece in [1, 2, 3, 7, 1000, sent.len()] {
            let mut frames = ConnectQueryFrames::default();
            let passed: Vec<u8> = sent.chunks(piece).flat_map(|read| frames.pass(read)).collect();
            assert!(passed == expected, "in pieces of {piece}");
            assert!(frames.held.is_empty());
        }
    }

    #[test]
    fn no_more_is_held_than_may_be_one() {
        let mut frames = ConnectQueryFrames::default();
        let endless =
            [&[TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0; 4]].concat();
        assert_eq!(frames.pass(&endless), endless);
        assert_eq!(frames.pass(&[0; 1000]).len(), 1000);
        assert!(frames.held.is_empty());
    }
}
