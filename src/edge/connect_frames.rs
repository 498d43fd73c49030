//! CONNECT with a query, in the frames of a WebSocket: finds such packets in what a client of version 2 sends, and has
//! [`connect_query`](super::connect_query) write them again. All else passes as it comes; of a packet that may be one, no
//! more is held than may be one.

use super::connect_query::{CONNECT, LONGEST, mend_packet};

/// A last frame of text.
const TEXT: u8 = 0x81;
/// The bit of the length that says that a frame is masked.
const MASKED: u8 = 0x80;
const MASK: usize = 4;

/// Where one is in what a client sends.
#[derive(Debug, Default)]
pub(super) struct ConnectFrames {
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
    /// The frame is there, its packet begins here.
    Connects(usize),
}

impl ConnectFrames {
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
                Next::Connects(start) => {
                    connect(held, start, &mut passed);
                    *held = Vec::new();
                }
            }
        }
        passed
    }
}

/// What is known of a frame by its beginning.
fn next(frame: &[u8]) -> Next {
    let &[first, short, ref long @ ..] = frame else { return Next::Wants(2) };
    let masked = short & MASKED != 0;
    let digits = match short & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let start = 2 + digits + if masked { MASK } else { 0 };
    if frame.len() < start {
        return Next::Wants(start);
    }
    let length = match digits {
        0 => u64::from(short & !MASKED),
        digits => long[..digits].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    let whole = (start as u64).saturating_add(length);
    if first != TEXT || !masked || !(CONNECT.len() as u64..=LONGEST as u64).contains(&length) {
        return Next::Passes(whole);
    }
    let told = start + CONNECT.len();
    if frame.len() < told {
        return Next::Wants(told);
    }
    if unmasked(&frame[..told], start) != CONNECT {
        return Next::Passes(whole);
    }
    match start + length as usize {
        whole if frame.len() < whole => Next::Wants(whole),
        _ => Next::Connects(start),
    }
}

fn unmasked(frame: &[u8], start: usize) -> Vec<u8> {
    let (head, payload) = frame.split_at(start);
    let mask = head[start - MASK..].iter().cycle();
    payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

/// Writes a frame again, masked with zeros.
fn connect(frame: &[u8], start: usize, passed: &mut Vec<u8>) {
    let packet = unmasked(frame, start);
    let packet = mend_packet(&packet);
    match u16::try_from(packet.len()) {
        Ok(length @ ..126) => passed.extend([TEXT, MASKED | length as u8]),
        Ok(length) => {
            passed.extend([TEXT, MASKED | 126]);
            passed.extend(length.to_be_bytes());
        }
        // Twice as long as any can become.
        Err(_) => return passed.extend_from_slice(frame),
    }
    passed.extend([0; MASK]);
    passed.extend_from_slice(&packet);
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let mut frames = ConnectFrames::default();
            let passed: Vec<u8> = sent.chunks(piece).flat_map(|read| frames.pass(read)).collect();
            assert!(passed == expected, "in pieces of {piece}");
            assert!(frames.held.is_empty());
        }
    }

    #[test]
    fn no_more_is_held_than_may_be_one() {
        let mut frames = ConnectFrames::default();
        let endless =
            [&[TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0; 4]].concat();
        assert_eq!(frames.pass(&endless), endless);
        assert_eq!(frames.pass(&[0; 1000]).len(), 1000);
        assert!(frames.held.is_empty());
    }
}
