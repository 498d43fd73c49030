//! Frames of a client with which compressed messages were agreed, as frames of one with which none were (RFC 7692).
//!
//! What is compressed is inflated piece by piece, as it is asked for: whoever reads sees fragments, and refuses a message that
//! gets too large, as it does any other. A fragment of the client is one at least. What makes no sense is passed on as
//! a frame that whoever reads refuses.

use flate2::{Decompress, FlushDecompress, Status};

use super::header::{Frame, LAST, LONGEST_MASKED, fitting, write_header};

/// Bytes of a message that are inflated at once.
pub(crate) const PIECE: usize = 16 * 1024;
/// What is first made room for: most messages are small.
const FIRST: usize = 1024;
/// Bytes of a payload that are unmasked at once.
const UNMASKED: usize = 1024;
/// To begin anew takes time, and two bytes of a client: a sender does so once for a message, or for a fragment.
const MOST_ENDS: u8 = 64;
/// What a sender leaves out at the end of a message (section 7.2.1).
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The message is compressed.
pub(super) const COMPRESSED: u8 = 0x40;
/// The bits of extensions.
const RESERVED: u8 = 0x70;
/// A frame that nobody takes: all bits of extensions are set.
pub(crate) const REFUSED: [u8; 6] = [0xf1, 0x80, 0, 0, 0, 0];

/// Where a client is in what it sends.
#[derive(Debug)]
pub(crate) struct Inflater {
    /// Bytes that a compressed message may have.
    most: u64,
    header: [u8; LONGEST_MASKED],
    /// Bytes of the header that have been read.
    read: u8,
    state: State,
    /// A compressed message that has not ended.
    message: Option<Box<Message>>,
    /// More has been inflated since it was asked.
    progress: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    /// In a frame that passes as it is.
    Passing {
        left: u64,
    },
    /// In a frame that is inflated.
    Inflating {
        left: u64,
        last: bool,
        mask: [u8; 4],
    },
    /// What comes makes no sense, and is passed on as it is.
    Broken,
    /// It has been refused.
    Over,
}

#[derive(Debug)]
struct Message {
    inflate: Decompress,
    /// Bytes of all its frames so far.
    length: u64,
    /// The first byte of the next fragment: of the first one, what the message is.
    first: u8,
    /// What is inflated, and not passed on.
    piece: Vec<u8>,
    /// Something of this frame has been passed on.
    passed: bool,
    /// All room was taken: there may be more of what has come.
    is_full: bool,
    /// Bytes of [`TAIL`] that have been read.
    tail: u8,
    /// How often what is inflated came to an end by itself.
    ends: u8,
}

impl Inflater {
    /// `most`: bytes that a compressed message may have.
    pub fn new(most: u64) -> Self {
        Self {
            most,
            header: [0; LONGEST_MASKED],
            read: 0,
            state: State::Header,
            message: None,
            progress: false,
        }
    }

    /// Whether the client has begun what it has not sent enough of to be passed on.
    pub fn holds(&self) -> bool {
        self.read > 0 || self.message.is_some()
    }

    /// Whether there is something to pass on without more from the client.
    pub fn has_more(&self) -> bool {
        let State::Inflating { left, .. } = self.state else { return false };
        left == 0 || self.message.as_ref().is_some_and(|message| message.is_full)
    }

    /// Whether what is held has grown since it was asked.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    /// Takes what the client sent, and says how much of it: not all once there is a piece to pass on.
    pub fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut rest = input;
        while out.len() < PIECE && (!rest.is_empty() || self.has_more()) {
            let taken = match self.state {
                State::Header => self.header(rest[0], out),
                State::Passing { left } => {
                    let taken = fitting(left, rest.len().min(PIECE));
                    out.extend_from_slice(&rest[..taken]);
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::Header } else { State::Passing { left } };
                    taken
                }
                State::Inflating { left, last, mask } => self.inflate(rest, left, last, mask, out),
                State::Broken => {
                    let taken = rest.len().min(PIECE);
                    out.extend_from_slice(&rest[..taken]);
                    taken
                }
                State::Over => rest.len(),
            };
            rest = &rest[taken..];
        }
        input.len() - rest.len()
    }

    fn header(&mut self, byte: u8, out: &mut Vec<u8>) -> usize {
        self.header[usize::from(self.read)] = byte;
        self.read += 1;
        let bytes = &self.header[..usize::from(self.read)];
        let Some(frame) = Frame::read(bytes) else { return 1 };
        let (first, is_control) = (bytes[0], frame.opcode & 0x08 != 0);
        let begins = self.message.is_none()
            && matches!(frame.opcode, 1 | 2)
            && first & RESERVED == COMPRESSED;
        let goes_on = self.message.is_some() && frame.opcode == 0 && !frame.is_extended;
        self.state = match frame.mask {
            Some(mask) if begins || goes_on => {
                let message =
                    self.message.get_or_insert_with(|| Box::new(Message::new(frame.opcode)));
                message.length = message.length.saturating_add(frame.length);
                self.read = 0;
                if message.length > self.most {
                    out.extend_from_slice(&REFUSED);
                    (self.state, self.message) = (State::Over, None);
                    return 1;
                }
                State::Inflating { left: frame.length, last: frame.is_last, mask }
            }
            mask => {
                out.extend_from_slice(bytes);
                let allowed =
                    mask.is_some() && !frame.is_extended && (is_control || self.message.is_none());
                match frame.length {
                    _ if !allowed => {
                        self.message = None;
                        State::Broken
                    }
                    0 => State::Header,
                    left => State::Passing { left },
                }
            }
        };
        self.read = 0;
        1
    }

    /// Inflates some of a frame, of which so many bytes are left.
    fn inflate(
        &mut self,
        input: &[u8],
        left: u64,
        last: bool,
        mask: [u8; 4],
        out: &mut Vec<u8>,
    ) -> usize {
        let Some(message) = &mut self.message else {
            self.state = State::Broken;
            return 0;
        };
        let mut unmasked = [0; UNMASKED];
        let compressed = if left > 0 {
            let length = fitting(left, input.len().min(UNMASKED));
            for (at, (to, from)) in unmasked.iter_mut().zip(&input[..length]).enumerate() {
                *to = from ^ mask[at % 4];
            }
            &unmasked[..length]
        } else if last {
            &TAIL[usize::from(message.tail)..]
        } else {
            &[]
        };
        let Some((taken, inflated)) = message.inflate(compressed) else {
            out.extend_from_slice(&REFUSED);
            (self.state, self.message) = (State::Over, None);
            return 0;
        };
        self.progress |= inflated > 0;
        if message.piece.len() >= PIECE {
            message.pass(false, out);
        }
        if left > 0 {
            let mut mask = mask;
            mask.rotate_left(taken % 4);
            self.state = State::Inflating { left: left - taken as u64, last, mask };
            return taken;
        }
        message.tail += taken as u8;
        // With room left, there is nothing more to come.
        if taken == compressed.len() && inflated == 0 {
            if last {
                message.pass(true, out);
                self.message = None;
            } else if !std::mem::take(&mut message.passed) {
                message.pass(false, out);
                message.passed = false;
            }
            self.state = State::Header;
        }
        0
    }
}

impl Message {
    fn new(opcode: u8) -> Self {
        Self {
            inflate: Decompress::new(false),
            length: 0,
            first: opcode,
            piece: Vec::new(),
            passed: false,
            is_full: false,
            tail: 0,
            ends: 0,
        }
    }

    /// Says how many bytes it took, and how many it made of them; none if they make no sense.
    fn inflate(&mut self, compressed: &[u8]) -> Option<(usize, usize)> {
        if self.piece.len() == self.piece.capacity() {
            self.piece.reserve_exact(self.piece.len().clamp(FIRST, PIECE));
        }
        let before = (self.inflate.total_in(), self.piece.len());
        let status =
            self.inflate.decompress_vec(compressed, &mut self.piece, FlushDecompress::None).ok()?;
        let taken = (self.inflate.total_in() - before.0) as usize;
        let inflated = self.piece.len() - before.1;
        self.is_full = self.piece.len() == self.piece.capacity();
        if status == Status::StreamEnd {
            // It need not be the end of the message (section 7.2.3.4).
            self.ends = self.ends.checked_add(1).filter(|ends| *ends <= MOST_ENDS)?;
            self.inflate.reset(false);
        } else if taken == 0 && inflated == 0 && !compressed.is_empty() {
            return None;
        }
        Some((taken, inflated))
    }

    /// Passes on what is inflated, as a fragment.
    fn pass(&mut self, last: bool, out: &mut Vec<u8>) {
        let first = self.first | if last { LAST } else { 0 };
        write_header(first, self.piece.len() as u64, Some([0; 4]), out);
        out.append(&mut self.piece);
        self.first = 0;
        self.passed = true;
    }
}

#[cfg(test)]
mod tests;
