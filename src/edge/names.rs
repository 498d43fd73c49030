//! Event names that socketioxide cannot read.
//!
//! Gap: socketioxide borrows the name of an event from the text of its packet. A name in which JSON escapes something
//! (`"say \"hi\""`, or `"\u00e9"` as Python and Java write it), and one that is a number, cannot be borrowed, and close
//! the client's connection. Way round: such an event gets a name before its own, [`MARK`], for which the gateway takes
//! the event out again ([`unmark`]) before anything else looks at it. Names that begin as that one does get it, too, so
//! that a client which makes it up itself says no more than it could say without. All other events pass as they are.
//! No upstream issue was found; the mend belongs in `read_event` of socketioxide-parser-common.
//!
//! In a WebSocket frame of the client (RFC 6455, section 5.2) the mark has a place of its own: as it is as long as the
//! mask, all that follows is masked as it was. The beginning of an event is held until its name has been seen, or so
//! much of it that a mark is put there unseen; an event whose name is plain can have one, too.

use std::borrow::Cow;

use bytes::Bytes;
use socketioxide_core::Value;

use super::traffic::SEPARATOR;

/// What is put behind the bracket of the list.
pub(crate) const MARK: [u8; 4] = *b"\"\x7f\",";
/// The beginning of a list with a mark.
const MARKED: &str = "[\"\x7f\",";
/// What the name in the mark is.
const MARK_NAME: u8 = 0x7f;
/// Bytes of a frame's payload in which the name is looked for.
const LOOKED_AT: usize = 1024;

/// The event as the client sent it.
pub(crate) fn unmark(payload: Value) -> Value {
    match payload {
        Value::Str(text, attachments) => match text.trim_start().strip_prefix(MARKED) {
            Some(rest) => Value::Str(format!("[{rest}").into(), attachments),
            None => Value::Str(text, attachments),
        },
        bytes @ Value::Bytes(_) => bytes,
    }
}

/// Where one is in the beginning of a packet.
#[derive(Debug, Clone, Copy, Default)]
enum Head {
    #[default]
    Start,
    Type,
    Attachments,
    /// Where a namespace may begin.
    Address,
    Namespace,
    /// In the id, or where it may begin.
    Id,
    /// Behind the bracket of the list.
    List,
    /// Where the name begins.
    NameStart,
    Name,
    /// It is known whether the event needs a mark.
    Over(bool),
}

impl Head {
    fn read(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start, b'4') => Self::Type,
            (Self::Type, b'2') => Self::Address,
            (Self::Type, b'5') => Self::Attachments,
            (Self::Attachments, b'0'..=b'9') => Self::Attachments,
            (Self::Attachments, b'-') => Self::Address,
            (Self::Address, b'/') => Self::Namespace,
            (Self::Namespace, b',') => Self::Id,
            (Self::Namespace, _) => Self::Namespace,
            (Self::Address | Self::Id, b'0'..=b'9' | b' ' | b'\t' | b'\n' | b'\r') => Self::Id,
            (Self::Address | Self::Id, b'[') => Self::List,
            (Self::List, b' ' | b'\t' | b'\n' | b'\r') => Self::List,
            (Self::List, b'"') => Self::NameStart,
            (Self::List, b'0'..=b'9' | b'-')
            | (Self::NameStart, MARK_NAME)
            | (Self::NameStart | Self::Name, b'\\') => Self::Over(true),
            (Self::NameStart | Self::Name, b'"') => Self::Over(false),
            (Self::NameStart | Self::Name, _) => Self::Name,
            _ => Self::Over(false),
        }
    }
}

/// Where in a packet of text a mark belongs, if it needs one.
fn place(packet: &[u8]) -> Option<usize> {
    let (mut head, mut list) = (Head::default(), 0);
    for (at, byte) in packet.iter().enumerate() {
        head = head.read(*byte);
        match head {
            Head::Over(needed) => return needed.then_some(list),
            Head::List if *byte == b'[' => list = at + 1,
            _ => {}
        }
    }
    None
}

/// A packet of text with its mark, if it needs one.
pub(super) fn mark(packet: &[u8]) -> Option<Vec<u8>> {
    let (start, rest) = packet.split_at(place(packet)?);
    Some([start, &MARK, rest].concat())
}

/// What a client sent in a request of Engine.IO 4, in bodies of no more than `most` bytes unless a packet alone has more:
/// mostly the one as it came.
pub(super) fn mark_payload(body: Bytes, most: usize) -> Vec<Bytes> {
    if !body.split(|byte| *byte == SEPARATOR).any(|packet| place(packet).is_some()) {
        return vec![body];
    }
    let mut bodies = Vec::new();
    let mut next = Vec::with_capacity(body.len() + MARK.len());
    for packet in body.split(|byte| *byte == SEPARATOR) {
        let packet = mark(packet).map_or(Cow::Borrowed(packet), Cow::Owned);
        if !next.is_empty() {
            if next.len() + 1 + packet.len() > most {
                bodies.push(Bytes::from(std::mem::take(&mut next)));
            } else {
                next.push(SEPARATOR);
            }
        }
        next.extend_from_slice(&packet);
    }
    bodies.push(next.into());
    bodies
}

/// Follows the frames of a client. Keeps nothing between two messages.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The beginning of a frame that is not yet passed on.
    held: Vec<u8>,
    /// Bytes of a frame that pass, whatever they are.
    left: u64,
    /// The beginning of a message that goes on in its next frame.
    open: Option<Head>,
}

impl Names {
    /// What is to be read in place of the next bytes: those, mostly.
    pub fn pass<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.held.is_empty() {
            return self.follow(bytes);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        Cow::Owned(self.follow(&all).into_owned())
    }

    /// Whether something has been kept that the client sent.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether a new one would do as well.
    pub fn is_idle(&self) -> bool {
        self.left == 0 && self.held.is_empty() && self.open.is_none()
    }

    fn follow<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut changed: Option<Vec<u8>> = None;
        // Where what has not been copied to it begins.
        let mut from = 0;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.left > 0 {
                let length =
                    usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
                self.left -= length as u64;
                at += length;
                continue;
            }
            let Some(frame) = Frame::read(rest) else {
                self.held = rest.to_vec();
                break;
            };
            match self.look(&frame, &rest[frame.header..]) {
                Seen::Passes => self.left = (frame.header as u64).saturating_add(frame.length),
                Seen::Open => {
                    self.held = rest.to_vec();
                    break;
                }
                Seen::Marked(place) => {
                    let out = changed.get_or_insert_with(|| Vec::with_capacity(bytes.len() + 16));
                    out.extend_from_slice(&bytes[from..at]);
                    frame.write_longer(rest[0], out);
                    out.extend_from_slice(&rest[frame.header..frame.header + place]);
                    out.extend(MARK.iter().zip(place..).map(|(byte, at)| byte ^ frame.mask_at(at)));
                    at += frame.header + place;
                    from = at;
                    self.left = frame.length - place as u64;
                }
            }
        }
        match changed {
            None => Cow::Borrowed(&bytes[..at]),
            Some(mut out) => {
                out.extend_from_slice(&bytes[from..at]);
                Cow::Owned(out)
            }
        }
    }

    /// Looks for the name in what is there of the payload of a frame.
    fn look(&mut self, frame: &Frame, payload: &[u8]) -> Seen {
        let head = match frame.opcode {
            0 => self.open,
            1 => Some(Head::default()),
            8.. => return Seen::Passes,
            _ => None,
        };
        let before = self.open.take();
        let Some(mut head) = head.filter(|_| !frame.is_extended) else { return Seen::Passes };
        let there =
            usize::try_from(frame.length).map_or(payload.len(), |all| all.min(payload.len()));
        let mut list = None;
        for (at, byte) in payload[..there].iter().take(LOOKED_AT).enumerate() {
            let byte = byte ^ frame.mask_at(at);
            head = head.read(byte);
            match (head, list) {
                (Head::Over(true), Some(place)) => return Seen::Marked(place),
                (Head::Over(_), _) => return Seen::Passes,
                (Head::List, None) => list = Some(at + 1),
                _ => {}
            }
        }
        let whole = there as u64 == frame.length;
        match list {
            _ if !whole && there < LOOKED_AT => {
                self.open = before;
                Seen::Open
            }
            // The name goes on where it is not looked at: it has one to be on the safe side.
            Some(place) if !(whole && frame.is_last) => Seen::Marked(place),
            None if whole && !frame.is_last => {
                self.open = Some(head);
                Seen::Passes
            }
            _ => Seen::Passes,
        }
    }
}

/// What is to be done with a frame.
enum Seen {
    /// It passes as it is.
    Passes,
    /// More of it has to be seen.
    Open,
    /// A mark belongs in this place of its payload.
    Marked(usize),
}

/// The header of a frame.
struct Frame {
    opcode: u8,
    is_last: bool,
    /// An extension has made something else of the payload.
    is_extended: bool,
    /// Bytes of the header, and of the payload.
    header: usize,
    length: u64,
    mask: Option<[u8; 4]>,
}

impl Frame {
    /// Reads it, if all of it is there.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*length).into(), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (mask, rest) = match second & 0x80 {
            0 => (None, rest),
            _ => rest.split_first_chunk().map(|(mask, rest)| (Some(*mask), rest))?,
        };
        Some(Self {
            opcode: first & 0x0f,
            is_last: first & 0x80 != 0,
            is_extended: first & 0x70 != 0,
            header: bytes.len() - rest.len(),
            length,
            mask,
        })
    }

    fn mask_at(&self, at: usize) -> u8 {
        self.mask.map_or(0, |mask| mask[at % 4])
    }

    /// Writes it for a payload with a mark. Its first byte stays.
    fn write_longer(&self, first: u8, out: &mut Vec<u8>) {
        let length = self.length.saturating_add(MARK.len() as u64);
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(first);
        match length {
            0..126 => out.push(masked | length as u8),
            126..=0xffff => {
                out.push(masked | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
    /// With a length of eight bytes and a mask.
    const LONGEST_HEADER: usize = 14;

    /// Events that need a mark, and where its place is.
    const ODD: [(&str, usize); 10] = [
        (r#"42["say \"hi\""]"#, 3),
        (r#"42["\u00e9",1]"#, 3),
        (r#"42/chat,17["a\tb"]"#, 11),
        (r#"451-["\\",{"_placeholder":true,"num":0}]"#, 5),
        (r#"4512-/chat,3[ "\n"]"#, 13),
        (r#"42[1,"x"]"#, 3),
        ("42[-1.5]", 3),
        (r#"42 ["\n"]"#, 4),
        ("42[\"\x7f\"]", 3),
        ("42[\"\x7f\",\"chat\"]", 3),
    ];
    const PLAIN: [&str; 12] = [
        r#"42["chat","\u00e9"]"#,
        "42[\"\u{e9}\"]",
        "42[\"a\x7f\"]",
        r#"430["\n"]"#,
        r#"40{"a":"\n"}"#,
        r#"461-["\n"]"#,
        "42[]",
        "42[null]",
        "42{}",
        "2probe",
        "",
        "4",
    ];

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

    fn marked(packet: &str, place: usize) -> Vec<u8> {
        [&packet.as_bytes()[..place], &MARK, &packet.as_bytes()[place..]].concat()
    }

    fn pass(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut names = Names::default();
        let passed = bytes.chunks(piece).flat_map(|piece| names.pass(piece).into_owned()).collect();
        assert!(names.is_idle());
        passed
    }

    #[test]
    fn only_names_that_need_it_have_a_mark() {
        for (packet, place) in ODD {
            assert_eq!(mark(packet.as_bytes()), Some(marked(packet, place)), "{packet}");
        }
        for packet in PLAIN {
            assert_eq!(mark(packet.as_bytes()), None, "{packet}");
        }
    }

    #[test]
    fn what_was_marked_is_as_it_was_sent() {
        for (packet, place) in ODD {
            let text = String::from_utf8(marked(packet, place)).unwrap();
            let payload = Value::Str(text[place - 1..].to_owned().into(), None);
            let Value::Str(unmarked, _) = unmark(payload) else { panic!() };
            assert_eq!(unmarked.as_str(), &packet[place - 1..]);
        }
        let plain = Value::Str("[\"chat\"]".into(), None);
        assert_eq!(unmark(plain.clone()), plain);
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
        let mut names = Names::default();
        let endless = frame(0x81, format!("42/{}", "x".repeat(100_000)).as_bytes());
        for piece in endless.chunks(10) {
            names.pass(piece);
            assert!(names.held.len() <= LOOKED_AT + LONGEST_HEADER);
        }
        assert!(!names.holds());
    }

    #[test]
    fn a_body_stays_within_its_bound() {
        let packets = [r#"42["\n"]"#, "3", r#"42["plain"]"#, "42[7]"];
        let body = Bytes::from(packets.join("\x1e"));
        assert_eq!(mark_payload(Bytes::from("42[\"a\"]\x1e3"), 5), ["42[\"a\"]\x1e3"]);
        let whole = mark_payload(body.clone(), 100);
        assert_eq!(whole.len(), 1);
        for most in 1..60 {
            let bodies = mark_payload(body.clone(), most);
            assert!(bodies.iter().all(|body| body.len() <= most || !body.contains(&SEPARATOR)));
            assert_eq!(bodies.join(&SEPARATOR), whole[0]);
        }
    }
}
