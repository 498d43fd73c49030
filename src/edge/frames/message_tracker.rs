//! Follows the WebSocket frames of a client (RFC 6455, section 5.2), and whether a message of it is
//! complete: its frames, and the binary attachments that its Socket.IO packet announced.

use super::header::LONGEST_MASKED;
use crate::edge::packets::{attachments::MissingAttachments, packet_head::PacketHead};

/// The first two bytes: opcode, mask bit and length.
const HEADER: usize = 2;
/// Bytes of a fragment with which it is no small one: browsers send large messages in pieces of at least so much.
pub(super) const LARGE_FRAGMENT: u64 = 4096;

/// Where a client is in what it sends. Keeps no more than a header and the first bytes of a message.
#[derive(Debug, Default)]
pub(crate) struct MessageTracker {
    header: [u8; LONGEST_MASKED],
    /// Bytes of the header that have been read.
    read: u8,
    /// Bytes of the payload that are left.
    left: u64,
    /// The message that the frames are part of is binary.
    binary: bool,
    /// A message has begun and its last frame has not come.
    fragmented: bool,
    /// The beginning of a text message.
    head: PacketHead,
    /// Attachments that were announced and have not come.
    missing: MissingAttachments,
    /// Messages that have been completed: as many as are read at once, at most.
    messages: u8,
    /// Frames that are no event, and none of its attachments: they control the connection, are small fragments, packets of
    /// Engine.IO's own, or attachments of nothing.
    others: u8,
}

impl MessageTracker {
    /// Whether the last message is complete and the next has not begun.
    pub fn at_boundary(&self) -> bool {
        self.read == 0 && !self.fragmented
    }

    /// Whether all that was begun is complete, attachments too.
    pub fn is_complete(&self) -> bool {
        self.at_boundary() && self.missing.none()
    }

    /// Whether a packet of the client was none.
    pub fn is_malformed(&self) -> bool {
        self.head.is_malformed()
    }

    /// Messages that have been completed since it was asked.
    pub fn take_messages(&mut self) -> u64 {
        std::mem::take(&mut self.messages).into()
    }

    /// Frames that are no event that have come since it was asked.
    pub fn take_others(&mut self) -> u8 {
        std::mem::take(&mut self.others)
    }

    /// Follows the next bytes. Says whether they bring what was begun nearer to its end: while
    /// attachments are missing, a text in between (such as a pong) does not.
    pub fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut progress = false;
        while !bytes.is_empty() {
            // Before and after: the last piece of an attachment ends it.
            let attachment = self.binary;
            let taken = if self.left > 0 { self.payload(bytes) } else { self.header(bytes[0]) };
            progress |= attachment || self.binary || self.missing.none();
            bytes = &bytes[taken..];
        }
        progress
    }

    fn header(&mut self, byte: u8) -> usize {
        self.header[usize::from(self.read)] = byte;
        self.read += 1;
        if usize::from(self.read) == self.header_size() {
            self.left = self.length();
            self.begin_frame();
            if self.left == 0 {
                self.end_frame();
            }
        }
        1
    }

    fn payload(&mut self, bytes: &[u8]) -> usize {
        let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        if !self.binary && !self.is_control() {
            let (from, mask) = (self.length() - self.left, self.mask());
            for (&byte, at) in bytes[..taken].iter().zip(from..) {
                if !self.head.wants_more() {
                    break;
                }
                self.head.read(byte ^ mask[(at % 4) as usize]);
            }
        }
        self.left -= taken as u64;
        if self.left == 0 {
            self.end_frame();
        }
        taken
    }

    fn begin_frame(&mut self) {
        match self.opcode() {
            1 => {
                self.binary = false;
                // Once is enough, also when it is asked for after more was read.
                if !self.head.is_malformed() {
                    self.head = PacketHead::default();
                }
            }
            2 => self.binary = true,
            _ => {} // continues a message, or controls the connection
        }
    }

    fn end_frame(&mut self) {
        self.read = 0;
        let is_event = !self.is_control() && self.end_message();
        self.others = self.others.saturating_add((!is_event).into());
    }

    /// Whether it ended one that is an event or an attachment of one, or brought much of it.
    fn end_message(&mut self) -> bool {
        self.fragmented = self.header[0] & 0x80 == 0;
        if self.fragmented {
            return self.length() >= LARGE_FRAGMENT;
        }
        self.messages = self.messages.saturating_add(1);
        if std::mem::take(&mut self.binary) {
            let awaited = !self.missing.none();
            self.missing.binary();
            return awaited;
        }
        self.missing.text(&self.head);
        self.head.is_event()
    }

    fn opcode(&self) -> u8 {
        self.header[0] & 0x0f
    }

    fn is_control(&self) -> bool {
        self.opcode() & 0x08 != 0
    }

    /// Bytes of the length behind the first two, and of the mask.
    fn header_parts(&self) -> (usize, usize) {
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        (extended, if self.header[1] & 0x80 == 0 { 0 } else { 4 })
    }

    fn header_size(&self) -> usize {
        if usize::from(self.read) < HEADER {
            return HEADER;
        }
        let (extended, mask) = self.header_parts();
        HEADER + extended + mask
    }

    fn length(&self) -> u64 {
        let (extended, _) = self.header_parts();
        match extended {
            0 => u64::from(self.header[1] & 0x7f),
            size => self.header[HEADER..HEADER + size]
                .iter()
                .fold(0, |length, byte| (length << 8) | u64::from(*byte)),
        }
    }

    fn mask(&self) -> [u8; 4] {
        let (extended, mask) = self.header_parts();
        let mut key = [0; 4];
        key[..mask].copy_from_slice(&self.header[HEADER + extended..][..mask]);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

    /// A masked frame of a client.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn text(text: &str) -> Vec<u8> {
        frame(0x81, text.as_bytes())
    }

    #[test]
    fn boundaries_are_found_whatever_way_bytes_arrive() {
        let lengths = [0, 1, 125, 126, 127, 4000, 65535, 65536, 70_000, 0];
        let frames: Vec<_> = lengths.iter().map(|length| frame(0x82, &vec![7; *length])).collect();
        let ends: Vec<_> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        let bytes = frames.concat();
        for chunk in [1, 2, 3, 7, 512, 8192, bytes.len()] {
            let mut frames = MessageTracker::default();
            let mut boundaries = Vec::new();
            let mut at = 0;
            for piece in bytes.chunks(chunk) {
                frames.follow(piece);
                at += piece.len();
                if frames.at_boundary() {
                    boundaries.push(at);
                }
            }
            assert!(boundaries.iter().all(|boundary| ends.contains(boundary)), "{chunk}");
            assert_eq!(boundaries.last(), ends.last(), "{chunk}");
            if chunk == 1 {
                assert_eq!(boundaries, ends);
            }
        }
    }

    #[test]
    fn a_message_is_complete_with_its_last_frame_and_attachment() {
        let binary = frame(0x82, b"x");
        let steps = [
            (text("3"), true),
            (text(r#"42["chat","45-"]"#), true),
            (text(r#"452-["chat"]"#), false),
            (binary.clone(), false),
            (text("3"), false),
            (frame(0x89, b"ping"), false),
            (binary.clone(), true),
            (text(r#"461-/chat,7["x"]"#), false),
            (frame(0x02, b"first "), false),
            (frame(0x80, b"second"), true),
            (frame(0x01, b"4"), false),
            (frame(0x80, b"51-[]"), false),
            (binary, true),
            (text("45"), true),
            (text("459999999999-[]"), true), // no number that would be accepted
        ];
        for chunk in [1, 5, 1000] {
            let mut frames = MessageTracker::default();
            for (index, (bytes, complete)) in steps.iter().enumerate() {
                for piece in bytes.chunks(chunk) {
                    frames.follow(piece);
                }
                assert_eq!(frames.is_complete(), *complete, "step {index} in pieces of {chunk}");
            }
        }
    }

    #[test]
    fn a_malformed_packet_is_not_forgotten() {
        let mut frames = MessageTracker::default();
        frames.follow(&text("421[\"a\"]"));
        assert!(!frames.is_malformed());
        let mut both = text("429223372036854775999[\"a\"]");
        both.extend(text("42[\"a\"]"));
        frames.follow(&both);
        assert!(frames.is_malformed());
        // Each connection has one.
        assert_eq!(size_of::<MessageTracker>(), 40);
    }

    #[test]
    fn what_is_no_event_is_counted() {
        let mut frames = MessageTracker::default();
        for (bytes, others) in [
            (text(r#"42["chat"]"#), 0),
            (text("3"), 1),
            (text(""), 1),
            (frame(0x89, b"ping"), 1),
            (frame(0x8a, b""), 1),
            (frame(0x01, b"42[\"a"), 1),
            (frame(0x00, &[b'x'; 4096]), 0),
            (frame(0x80, b"\"]"), 0),
            (text(r#"451-["chat"]"#), 0),
            (frame(0x82, b"x"), 0),
            (frame(0x82, b"of nothing"), 1),
            (text("3").repeat(20), 20),
        ] {
            frames.follow(&bytes);
            assert_eq!(frames.take_others(), others, "{bytes:?}");
        }
    }

    #[test]
    fn a_pong_is_no_progress_of_an_attachment() {
        let mut frames = MessageTracker::default();
        frames.follow(&text(r#"452-["chat"]"#));
        let first = frame(0x82, b"abc");
        frames.follow(&first[..8]);
        assert!(frames.follow(&first[8..]), "the last piece, with another attachment to come");
        assert!(!frames.follow(&text("3")));
        let attachment = frame(0x82, b"xyz");
        frames.follow(&attachment[..6]);
        assert!(frames.follow(&attachment[6..7]));
        assert!(!frames.is_complete());
        assert!(frames.follow(&attachment[7..]));
        assert!(frames.is_complete());
    }
}
