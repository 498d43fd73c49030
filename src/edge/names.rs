//! Packets that socketioxide does not take: event names that it cannot read, and a second CONNECT.
//!
//! Gap: socketioxide borrows the name of an event from the text of its packet. A name in which JSON escapes something
//! (`"say \"hi\""`, or `"\u00e9"` as Python and Java write it), and one that is a number, cannot be borrowed, and close
//! the client's connection. Way round: such an event gets a name before its own, [`MARK`], for which the gateway takes
//! the event out again ([`unmark`]) before anything else looks at it. Names that begin as that one does get it, too, so
//! that a client which makes it up itself says no more than it could say without. All other events pass as they are.
//! No upstream issue was found; the mend belongs in `read_event` of socketioxide-parser-common.
//!
//! Gap: a CONNECT for a namespace that the client is in is passed over in silence. A client that calls `connect`,
//! `disconnect` before the answer is there, and `connect` again, drops that answer, and waits for another for ever. Way
//! round: the socket leaves first, as if the client had said so, and then comes in as a new one; what the client sent
//! behind, perhaps for it saw the first answer, waits for that. No upstream issue was
//! found; the mend belongs in `Namespace::connect` of socketioxide.
//!
//! In a WebSocket frame of the client (RFC 6455, section 5.2) the mark has a place of its own: as it is as long as the
//! mask, all that follows is masked as it was. The beginning of an event is held until its name has been seen, or so
//! much of it that a mark is put there unseen; an event whose name is plain can have one, too.

use std::borrow::Cow;

use bytes::Bytes;
use socketioxide_core::Value;

use super::{
    client_frame::{Frame, write_header, write_text},
    traffic::SEPARATOR,
};

/// What is put behind the bracket of the list.
pub(crate) const MARK: [u8; 4] = *b"\"\x7f\",";
/// The beginning of a list with a mark.
const MARKED: &str = "[\"\x7f\",";
/// What the name in the mark is.
const MARK_NAME: u8 = 0x7f;
/// The types of a packet that asks to be let in a namespace, and of one that leaves it.
const CONNECT: [u8; 2] = *b"40";
const DISCONNECT: [u8; 2] = *b"41";
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

/// The namespace of a packet of text, if it is of this kind.
fn namespace_of<'a>(kind: &[u8; 2], packet: &'a [u8]) -> Option<&'a str> {
    let rest = packet.strip_prefix(kind)?;
    if rest.first() != Some(&b'/') {
        return Some("/");
    }
    let end = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok()
}

/// The packet with which a client leaves a namespace.
fn leave(namespace: &str) -> Vec<u8> {
    match namespace {
        "/" => b"41".to_vec(),
        path => format!("41{path},").into_bytes(),
    }
}

/// What a client sent in a request of Engine.IO 4, in bodies of no more than `most` bytes unless a packet alone has more:
/// mostly the one as it came. `again` says whether the client is in a namespace.
pub(super) fn mark_payload(body: Bytes, most: usize, again: impl Fn(&str) -> bool) -> Vec<Bytes> {
    let packets = || body.split(|byte| *byte == SEPARATOR);
    if !packets().any(|packet| place(packet).is_some() || packet.starts_with(&CONNECT)) {
        return vec![body];
    }
    // The namespaces that it has just left, of which nobody else has heard yet.
    let mut left = Vec::new();
    let mut leaves = |packet| {
        if let Some(namespace) = namespace_of(&DISCONNECT, packet) {
            left.push(namespace.to_owned());
        }
        let namespace = namespace_of(&CONNECT, packet)?;
        (!forget(&mut left, namespace) && again(namespace)).then(|| leave(namespace))
    };
    let mut bodies = Vec::new();
    let mut next = Vec::with_capacity(body.len() + MARK.len());
    let mut add = |packet: &[u8], last: bool| {
        if !next.is_empty() {
            if next.len() + 1 + packet.len() > most {
                bodies.push(Bytes::from(std::mem::take(&mut next)));
            } else {
                next.push(SEPARATOR);
            }
        }
        next.extend_from_slice(packet);
        if last {
            bodies.push(Bytes::from(std::mem::take(&mut next)));
        }
    };
    for packet in packets() {
        if let Some(leave) = leaves(packet) {
            add(&leave, false);
            // What follows waits until it is let in.
            add(packet, true);
        } else {
            add(&mark(packet).map_or(Cow::Borrowed(packet), Cow::Owned), false);
        }
    }
    if !next.is_empty() {
        bodies.push(next.into());
    }
    bodies
}

/// Takes a namespace out of the list, if it is there.
fn forget(left: &mut Vec<String>, namespace: &str) -> bool {
    let at = left.iter().position(|name| name == namespace);
    at.is_some_and(|at| {
        left.swap_remove(at);
        true
    })
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
    /// The client has asked once more to be let in: what it sent behind that is held until it is.
    paused: bool,
}

impl Names {
    /// What is to be read in place of the next bytes: those, mostly. `again` says whether the client is in a namespace.
    pub fn pass<'a>(&mut self, bytes: &'a [u8], again: impl Fn(&str) -> bool) -> Cow<'a, [u8]> {
        self.paused = false;
        if self.held.is_empty() {
            return self.follow(bytes, again);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        Cow::Owned(self.follow(&all, again).into_owned())
    }

    /// Whether something has been kept that the client sent.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether what was held is to be passed once the client is let in.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether a new one would do as well.
    pub fn is_idle(&self) -> bool {
        !self.paused && self.left == 0 && self.held.is_empty() && self.open.is_none()
    }

    fn follow<'a>(&mut self, bytes: &'a [u8], again: impl Fn(&str) -> bool) -> Cow<'a, [u8]> {
        let mut changed: Option<Vec<u8>> = None;
        // The namespaces that it leaves here, of which nobody else has heard yet.
        let mut left = Vec::new();
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
                Seen::Passes => self.left = frame.whole(),
                Seen::Disconnect(namespace) => {
                    left.push(namespace);
                    self.left = frame.whole();
                }
                Seen::Connect(namespace) => {
                    let length = frame.whole();
                    if !forget(&mut left, &namespace) && again(&namespace) {
                        let out =
                            changed.get_or_insert_with(|| Vec::with_capacity(bytes.len() + 64));
                        out.extend_from_slice(&bytes[from..at]);
                        write_text(&leave(&namespace), out);
                        from = at;
                        if let Some(end) =
                            usize::try_from(length).ok().filter(|end| *end <= rest.len())
                        {
                            at += end;
                            self.held = bytes[at..].to_vec();
                            self.paused = true;
                            break;
                        }
                    }
                    self.left = length;
                }
                Seen::Open => {
                    self.held = rest.to_vec();
                    break;
                }
                Seen::Marked(place) => {
                    let out = changed.get_or_insert_with(|| Vec::with_capacity(bytes.len() + 16));
                    out.extend_from_slice(&bytes[from..at]);
                    let length = frame.length.wrapping_add(MARK.len() as u64);
                    write_header(rest[0], length, frame.mask, out);
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
        let whole = there as u64 == frame.length;
        if frame.opcode == 1 && frame.is_last && there >= CONNECT.len() {
            let looked = payload[..there].iter().take(LOOKED_AT).enumerate();
            let mut packet = looked.map(|(at, byte)| byte ^ frame.mask_at(at));
            let kind = [packet.next().unwrap_or(0), packet.next().unwrap_or(0)];
            if [CONNECT, DISCONNECT].contains(&kind) {
                let packet: Vec<u8> = kind.into_iter().chain(packet).collect();
                return match namespace_of(&kind, &packet).map(str::to_owned) {
                    // What follows it is to be told from it.
                    _ if !whole && there < LOOKED_AT => {
                        self.open = before;
                        Seen::Open
                    }
                    Some(namespace) if kind == CONNECT => Seen::Connect(namespace),
                    Some(namespace) => Seen::Disconnect(namespace),
                    None => Seen::Passes,
                };
            }
        }
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
        match list {
            _ if !whole && there < LOOKED_AT => {
                self.open = before;
                Seen::Open
            }
            // The name goes on where it is not looked at: it has one to be on the safe side.
            Some(place) if !(whole && frame.is_last && there <= LOOKED_AT) => Seen::Marked(place),
            None if whole && !frame.is_last && there <= LOOKED_AT => {
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
    /// It asks to be let in a namespace.
    Connect(String),
    /// It leaves one.
    Disconnect(String),
    /// More of it has to be seen.
    Open,
    /// A mark belongs in this place of its payload.
    Marked(usize),
}

#[cfg(test)]
mod tests;
