//! What is written to a WebSocket whose client wants no binary (`b64=1`): binary packets as text, `b` and base64, in
//! Engine.IO v3 `b4` and base64.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::header::{Frame, LAST, LONGEST_UNMASKED, fitting, write_header};
use crate::edge::{packets::lenient_base64::BINARY, streams::write_buffer::WriteBuffer};

/// Bytes of a message that become text at once: none of them is part of a group of three.
const PIECE: usize = 12 * 1024;
const TEXT_MESSAGE: u8 = 1;
const BINARY_MESSAGE: u8 = 2;

/// Where a server is in what it writes.
#[derive(Debug)]
pub(crate) struct BinaryToBase64 {
    eio3: bool,
    state: State,
    /// What is to be written before all else.
    pub out: WriteBuffer,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a header, of which these bytes have been taken.
    Header { bytes: [u8; LONGEST_UNMASKED], read: u8 },
    /// In a frame that passes as it is.
    Passing { left: u64 },
    /// At the type of a packet.
    Type { left: u64 },
    /// In a binary packet, with bytes of a group of three.
    Encoding { left: u64, group: [u8; 3], read: u8 },
}

/// Between two frames.
const BETWEEN: State = State::Header { bytes: [0; LONGEST_UNMASKED], read: 0 };

impl BinaryToBase64 {
    pub fn new(eio3: bool) -> Self {
        Self { eio3, state: BETWEEN, out: WriteBuffer::default() }
    }

    /// Takes some of the next bytes, and says how many. What is to be written for them is then in `out`, which must be empty.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Some(&byte) = rest.first()
            && self.out.bytes.len() < PIECE
        {
            let taken = match self.state {
                State::Header { .. } => self.header(byte),
                State::Passing { left } => {
                    let piece = &rest[..fitting(left, rest.len().min(PIECE))];
                    self.out.bytes.extend_from_slice(piece);
                    self.state = match left - piece.len() as u64 {
                        0 => BETWEEN,
                        left => State::Passing { left },
                    };
                    piece.len()
                }
                State::Type { left } => {
                    self.out.bytes.push(b'0' | byte);
                    self.state = encoding(left - 1, [0; 3], 0);
                    1
                }
                State::Encoding { left, group, read } => self.encode(rest, left, group, read),
            };
            rest = &rest[taken..];
        }
        bytes.len() - rest.len()
    }

    fn header(&mut self, byte: u8) -> usize {
        let State::Header { bytes, read } = &mut self.state else { return 0 };
        bytes[usize::from(*read)] = byte;
        *read += 1;
        let header = &bytes[..usize::from(*read)];
        let Some(frame) = Frame::read(header) else { return 1 };
        if frame.opcode != BINARY_MESSAGE || (self.eio3 && frame.length == 0) {
            self.out.bytes.extend_from_slice(header);
            self.state = match frame.length {
                0 => BETWEEN,
                left => State::Passing { left },
            };
            return 1;
        }
        // `b`, the type, and four characters for three bytes.
        let kind = u64::from(self.eio3);
        let base64 = (frame.length - kind).div_ceil(3).saturating_mul(4);
        let length = base64.saturating_add(1 + kind);
        write_header(LAST | TEXT_MESSAGE, length, None, &mut self.out.bytes);
        self.out.bytes.push(BINARY);
        self.state = match self.eio3 {
            true => State::Type { left: frame.length },
            false => encoding(frame.length, [0; 3], 0),
        };
        1
    }

    fn encode(&mut self, bytes: &[u8], left: u64, mut group: [u8; 3], mut read: u8) -> usize {
        let there = fitting(left, bytes.len());
        let whole = (there - there % 3).min(PIECE);
        if read == 0 && whole > 0 {
            self.append(&bytes[..whole]);
            self.state = encoding(left - whole as u64, group, 0);
            return whole;
        }
        group[usize::from(read)] = bytes[0];
        read += 1;
        if read == 3 || left == 1 {
            self.append(&group[..usize::from(read)]);
            read = 0;
        }
        self.state = encoding(left - 1, group, read);
        1
    }

    fn append(&mut self, bytes: &[u8]) {
        self.out.bytes.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    }
}

/// With so much left of a binary packet.
fn encoding(left: u64, group: [u8; 3], read: u8) -> State {
    if left == 0 { BETWEEN } else { State::Encoding { left, group, read } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write_header(first, payload.len() as u64, None, &mut frame);
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn binary_becomes_text_wherever_writes_end_and_all_else_passes() {
        let large: Vec<u8> = (0..40_001_u32).map(|at| (at * 7) as u8).collect();
        for eio3 in [false, true] {
            let prefix = if eio3 { "b4" } else { "b" };
            let text = |bytes: &[u8]| {
                frame(0x81, format!("{prefix}{}", STANDARD.encode(bytes)).as_bytes())
            };
            let binary = |bytes: &[u8]| match eio3 {
                true => frame(0x82, &[&[4], bytes].concat()),
                false => frame(0x82, bytes),
            };
            let others = [
                frame(0x81, b"42[\"a\"]"),
                frame(0x81, b""),
                frame(0x8a, b"x"),
                frame(0x81, &large),
            ];
            let (mut sent, mut expected) = (others.concat(), others.concat());
            for bytes in
                [&b""[..], b"a", b"ab", b"abc", b"abcd", &large, &large[..12_289], &large[..300]]
            {
                sent.extend(binary(bytes));
                expected.extend(text(bytes));
                sent.extend(frame(0x81, b"2"));
                expected.extend(frame(0x81, b"2"));
            }
            for piece in [1, 2, 3, 7, 1000, sent.len()] {
                let mut as_text = BinaryToBase64::new(eio3);
                let mut written = Vec::new();
                for mut bytes in sent.chunks(piece) {
                    while !bytes.is_empty() {
                        let taken = as_text.take(bytes);
                        assert!(taken > 0);
                        bytes = &bytes[taken..];
                        assert!(as_text.out.left().len() < PIECE * 3);
                        written.extend_from_slice(as_text.out.left());
                        as_text.out.wrote(as_text.out.left().len());
                    }
                }
                assert!(written == expected, "in pieces of {piece}");
            }
        }
    }
}
