//! What socketioxide writes to a WebSocket: its frames are counted, and its close packet is found.
//!
//! Gap: before it closes a WebSocket, socketioxide says so with an Engine.IO packet (`1`), which is for polling: Node
//! sends none. Clients in Python take it for a farewell, and do not come back. So it is withheld.

use super::header::LONGEST_UNMASKED;

/// Engine.IO's close packet, as socketioxide frames it. No other packet is written so: a message begins with its type.
pub(crate) const CLOSE: &[u8] = &[0x81, 1, b'1'];

/// The lengths of the header and of the payload of the first frame, if its header is there.
pub(crate) fn first_header(bytes: &[u8]) -> Option<(usize, usize)> {
    Some(match *bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (LONGEST_UNMASKED, usize::try_from(length).ok()?)
        }
        short => (2, usize::from(short)),
    })
}

/// Counts the frames in what has been written, wherever writes begin and end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FrameCounter {
    /// In a header, of which so many bytes have been seen.
    Header { bytes: [u8; LONGEST_UNMASKED], seen: u8 },
    /// In a payload, of which so many bytes are left.
    Payload { left: u64 },
}

impl Default for FrameCounter {
    fn default() -> Self {
        Self::Header { bytes: [0; LONGEST_UNMASKED], seen: 0 }
    }
}

impl FrameCounter {
    /// How many of the next bytes end a frame that has begun, or are part of its header; none if the next begins one.
    pub fn unfinished(&self) -> usize {
        match self {
            Self::Header { seen: 0, .. } => 0,
            Self::Header { .. } => 1,
            Self::Payload { left } => usize::try_from(*left).unwrap_or(usize::MAX),
        }
    }

    /// What the next bytes are, which are looked at once on their way to each client.
    #[inline]
    pub fn look(&self, bytes: &[u8]) -> FrameScan {
        if self.unfinished() == 0 && is_one_event(bytes) {
            return FrameScan { frames: 1, close: None, events: true, then: Self::default() };
        }
        self.look_at_each(bytes)
    }

    fn look_at_each(&self, bytes: &[u8]) -> FrameScan {
        let mut seen =
            FrameScan { frames: 0, close: None, events: self.unfinished() == 0, then: *self };
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if seen.then.unfinished() > 0 {
                at += seen.follow(rest);
                continue;
            }
            if seen.close.is_none() && rest.starts_with(CLOSE) {
                seen.close = Some(at);
            }
            match first_header(rest) {
                Some((header, length)) => {
                    seen.frames += 1;
                    seen.events &= is_event(rest, header);
                    let whole = header.saturating_add(length);
                    if whole > rest.len() {
                        seen.then = Self::Payload { left: (whole - rest.len()) as u64 };
                    }
                    at = at.saturating_add(whole);
                }
                None => at += seen.follow(rest),
            }
        }
        seen
    }

    /// How many frames begin in the next bytes.
    pub fn count(&mut self, bytes: &[u8]) -> u64 {
        let seen = self.look(bytes);
        *self = seen.then;
        seen.frames
    }
}

/// What was seen in the next bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameScan {
    /// How many frames begin there.
    pub frames: u64,
    /// Where a close packet begins. tungstenite has each in its buffer whole.
    pub close: Option<usize>,
    /// They begin with a frame, and all of them are events or acks in text.
    pub events: bool,
    /// What has been counted, once they are all written.
    pub then: FrameCounter,
}

impl FrameScan {
    /// Goes on in a frame that has begun, or in a header that is not whole, and says how far.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let taken = match &mut self.then {
            FrameCounter::Header { bytes: header, seen } => {
                header[usize::from(*seen)] = bytes[0];
                *seen += 1;
                if let Some(left) = length(header, *seen) {
                    self.then = FrameCounter::Payload { left };
                    self.frames += 1;
                }
                self.events = false;
                1
            }
            FrameCounter::Payload { left } => {
                let taken =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                taken
            }
        };
        if matches!(self.then, FrameCounter::Payload { left: 0 }) {
            self.then = FrameCounter::default();
        }
        taken
    }
}

/// Whether this is a frame with an event, and no more: as nearly all that is written.
fn is_one_event(bytes: &[u8]) -> bool {
    first_header(bytes)
        .is_some_and(|(header, length)| bytes.len() - header == length && is_event(bytes, header))
}

/// Whether a frame is an event or an ack in text: nothing of such a one is ever changed.
fn is_event(frame: &[u8], header: usize) -> bool {
    frame[0] == 0x81
        && matches!(frame.get(header..header + 2), Some([b'4', b'2' | b'3' | b'5' | b'6']))
}

/// The length of the payload, once so many bytes of the header tell it.
fn length(header: &[u8; LONGEST_UNMASKED], seen: u8) -> Option<u64> {
    let [_, short, long @ ..] = *header;
    match (seen, short & 0x7f) {
        (2, length @ 0..126) => Some(length.into()),
        (4, 126) => Some(u16::from_be_bytes([long[0], long[1]]).into()),
        (10, 127) => Some(u64::from_be_bytes(long)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::header::write_header, *};

    fn text(payload: &[u8], frames: &mut Vec<u8>) {
        write_header(0x81, payload.len() as u64, None, frames);
        frames.extend_from_slice(payload);
    }

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        text(payload, &mut frame);
        frame
    }

    #[test]
    fn a_close_packet_is_found_wherever_writes_begin() {
        let others = [frame(b"4"), frame(b"11"), frame(b""), vec![0x82, 1, b'1'], frame(CLOSE)];
        let others =
            [&others.concat()[..], &frame(&vec![b'x'; 300]), &frame(&CLOSE.repeat(30_000))];
        let bytes = [&others.concat()[..], CLOSE, &[0x88, 0]].concat();
        let place = bytes.len() - 5;
        for begin in 0..place {
            let mut counted = FrameCounter::default();
            counted.count(&bytes[..begin]);
            assert_eq!(counted.look(&bytes[begin..]).close, Some(place - begin), "from {begin}");
            if begin > 1000 && begin < place - 10 {
                assert_eq!(counted.look(&bytes[begin..begin + 3]).close, None);
            }
        }
        assert_eq!(FrameCounter::default().look(&bytes[..place]).close, None);
        assert_eq!(FrameCounter::default().look(&[]).close, None);
    }

    #[test]
    fn frames_are_counted_wherever_writes_end() {
        let lengths = [0, 1, 125, 126, 300, 65_535, 65_536];
        let mut bytes = Vec::new();
        for length in lengths {
            match length {
                65_536 => {
                    bytes.extend([0x82, 127]);
                    bytes.extend(65_536_u64.to_be_bytes());
                    bytes.extend(vec![7; length]);
                }
                _ => text(&vec![b'x'; length], &mut bytes),
            }
        }
        for piece in [1, 2, 3, 1000, bytes.len()] {
            let mut counted = FrameCounter::default();
            let frames: u64 = bytes.chunks(piece).map(|piece| counted.count(piece)).sum();
            assert_eq!(frames, lengths.len() as u64, "in pieces of {piece}");
        }
    }
}
