//! Frames for a client with which compressed messages were agreed: large ones are compressed (RFC 7692), others pass as they are.
//!
//! Nothing is kept for a connection but what is compressed and not yet written: a message is compressed in pieces, each by
//! itself, which go out as fragments of it. The one that compresses belongs to the thread.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

use super::{
    header::{Frame, LAST, LONGEST_UNMASKED, fitting, write_header},
    inflate::{COMPRESSED, TAIL},
    permessage_deflate::DeflateParams,
};
use crate::edge::streams::write_buffer::WriteBuffer;

/// More than compression adds to a piece that it makes no smaller.
const ROOM: usize = 256;

thread_local! {
    static COMPRESS: RefCell<(Compress, Vec<u8>)> =
        RefCell::new((Compress::new(Compression::fast(), false), Vec::new()));
}

/// Where a server is in what it writes.
#[derive(Debug)]
pub(crate) struct Deflater {
    agreed: DeflateParams,
    state: State,
    /// What is to be written before all else.
    pub out: WriteBuffer,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a header, of which these bytes have been taken.
    Header { bytes: [u8; LONGEST_UNMASKED], read: u8 },
    /// In a frame that passes as it is: its header is part of it.
    Passing { left: u64 },
    /// In the payload of a message that is compressed; the first byte of its next fragment.
    Deflating { left: u64, first: u8 },
}

/// Between two frames.
const BETWEEN: State = State::Header { bytes: [0; LONGEST_UNMASKED], read: 0 };

impl Deflater {
    pub fn new(agreed: DeflateParams) -> Self {
        Self { agreed, state: BETWEEN, out: WriteBuffer::default() }
    }

    /// How many of the next bytes pass as they are.
    pub fn passes(&self, bytes: &[u8]) -> usize {
        let mut at = match self.state {
            State::Passing { left } => fitting(left, bytes.len()),
            State::Header { read: 0, .. } => 0,
            _ => return 0,
        };
        while let Some(frame) = Frame::read(&bytes[at..]).filter(|frame| !self.compresses(frame)) {
            at += fitting(frame.whole(), bytes.len() - at);
        }
        at
    }

    /// So many of them have been written.
    pub fn passed(&mut self, bytes: &[u8], length: usize) {
        let mut at = 0;
        if let State::Passing { left } = self.state {
            at = fitting(left, length);
            self.state = passing(left - at as u64);
        }
        while let Some(frame) = Frame::read(&bytes[at..]).filter(|_| at < length) {
            let taken = fitting(frame.whole(), length - at);
            at += taken;
            self.state = passing(frame.whole() - taken as u64);
        }
    }

    /// Takes some of the next bytes, of which none pass as they are, and says how many. What is to be written for them is then
    /// in `out`, which must be empty.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        match self.state {
            State::Header { bytes: mut header, mut read } => {
                for (at, byte) in bytes.iter().enumerate() {
                    header[usize::from(read)] = *byte;
                    read += 1;
                    let header = &header[..usize::from(read)];
                    let Some(frame) = Frame::read(header) else { continue };
                    let taken = at + 1;
                    if !self.compresses(&frame) {
                        self.out.bytes = header.to_vec();
                        self.state = passing(frame.length);
                        return taken;
                    }
                    let first = frame.opcode;
                    self.state = State::Deflating { left: frame.length, first };
                    return taken + self.deflate(&bytes[taken..], frame.length, first);
                }
                self.state = State::Header { bytes: header, read };
                bytes.len()
            }
            State::Deflating { left, first } => self.deflate(bytes, left, first),
            State::Passing { .. } => 0,
        }
    }

    /// Compresses a piece of a message, of which so much is left.
    fn deflate(&mut self, bytes: &[u8], left: u64, first: u8) -> usize {
        let length = fitting(left, bytes.len().min(self.agreed.window()));
        let piece = &bytes[..length];
        if piece.is_empty() {
            return 0;
        }
        let rest = left - length as u64;
        let last = if rest == 0 { LAST } else { 0 };
        let is_begun = first == 0;
        let mut payload = match compressed(piece) {
            Some(compressed) => compressed,
            None if is_begun => stored(piece),
            None => {
                // Neither would the rest get smaller: images, for example.
                write_header(LAST | first, left, None, &mut self.out.bytes);
                self.out.bytes.extend_from_slice(piece);
                self.state = passing(rest);
                return length;
            }
        };
        if rest == 0 {
            payload.truncate(payload.len() - TAIL.len());
        }
        let first = if is_begun { 0 } else { first | COMPRESSED };
        write_header(last | first, payload.len() as u64, None, &mut self.out.bytes);
        self.out.bytes.append(&mut payload);
        self.state = if rest == 0 { BETWEEN } else { State::Deflating { left: rest, first: 0 } };
        length
    }

    fn compresses(&self, frame: &Frame) -> bool {
        frame.is_last
            && !frame.is_extended
            && matches!(frame.opcode, 1 | 2)
            && frame.length > 0
            && frame.length >= self.agreed.threshold as u64
    }
}

/// With so much left of a frame that passes.
fn passing(left: u64) -> State {
    if left == 0 { BETWEEN } else { State::Passing { left } }
}

/// A piece and [`TAIL`], if that is smaller than the piece.
fn compressed(piece: &[u8]) -> Option<Vec<u8>> {
    COMPRESS.with_borrow_mut(|(compress, into)| {
        compress.reset();
        into.clear();
        into.reserve(piece.len() + ROOM);
        compress.compress_vec(piece, into, FlushCompress::Sync).ok()?;
        let is_whole = compress.total_in() == piece.len() as u64 && into.ends_with(&TAIL);
        (is_whole && into.len() < piece.len()).then(|| into.clone())
    })
}

/// The same, not compressed (RFC 1951, section 3.2.4).
fn stored(piece: &[u8]) -> Vec<u8> {
    let length = piece.len() as u16;
    let mut block = Vec::with_capacity(piece.len() + 2 * (1 + TAIL.len()));
    block.push(0);
    block.extend(length.to_le_bytes());
    block.extend((!length).to_le_bytes());
    block.extend_from_slice(piece);
    block.push(0);
    block.extend(TAIL);
    block
}

#[cfg(test)]
mod tests;
