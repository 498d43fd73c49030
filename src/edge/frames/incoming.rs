//! The frames of a client's WebSocket, before socketioxide reads them: which packets have to wait ([`namespace_connect`]), and which
//! events get a mark (`packets/event_name.rs`).
//!
//! In a WebSocket frame of the client (RFC 6455, section 5.2) the mark has a place of its own: as it is as long as the
//! mask, all that follows is masked as it was. The beginning of an event is held until its name has been seen, or so
//! much of it that a mark is put there unseen; an event whose name is plain can have one, too.

use std::borrow::Cow;

use super::header::{Frame, fitting, write_header, write_whole};
use crate::{
    edge::packets::{
        event_mark::MARK,
        event_name::Head,
        msgpack,
        namespace_connect::{self, Door, Kind, Left, Step},
    },
    telemetry::Reached,
};

/// Bytes of a frame's payload in which the name is looked for.
const LOOKED_AT: usize = 1024;
/// The same of a packet of msgpack for its namespace, which stands behind the `auth` of a CONNECT.
const LOOKED_AT_MSGPACK: usize = 16 * 1024;

/// Follows the frames of a client. Keeps nothing between two messages.
#[derive(Debug, Default)]
pub(crate) struct IncomingFrames {
    /// The beginning of a frame that is not yet passed on.
    held: Vec<u8>,
    /// Bytes of a frame that pass, whatever they are.
    left: u64,
    /// The beginning of a message that goes on in its next frame.
    open: Option<Head>,
    /// What is held waits until the client is let in this namespace.
    awaited: Option<Box<str>>,
}

impl IncomingFrames {
    /// What is to be read in place of the next bytes: those, mostly.
    pub fn pass<'a>(&mut self, bytes: &'a [u8], door: &impl Door) -> Cow<'a, [u8]> {
        self.awaited = None;
        if self.held.is_empty() {
            return self.follow(bytes, door);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        Cow::Owned(self.follow(&all, door).into_owned())
    }

    /// Whether something has been kept that the client sent.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The namespace that the client is to be let in, or refused, before what was held passes.
    pub fn awaited(&self) -> Option<&str> {
        self.awaited.as_deref()
    }

    /// Whether a new one would do as well.
    pub fn is_idle(&self) -> bool {
        self.left == 0 && self.held.is_empty() && self.open.is_none()
    }

    fn follow<'a>(&mut self, bytes: &'a [u8], door: &impl Door) -> Cow<'a, [u8]> {
        let mut changed: Option<Vec<u8>> = None;
        let mut left = Left::default();
        // Where what has not been copied to it begins.
        let mut from = 0;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.left > 0 {
                let length = fitting(self.left, rest.len());
                self.left -= length as u64;
                at += length;
                continue;
            }
            let Some(frame) = Frame::read(rest) else {
                self.held = rest.to_vec();
                break;
            };
            match self.look(&frame, &rest[frame.header..], &mut left, door) {
                Seen::Passes => self.left = frame.whole(),
                Seen::Leaves(leave) => {
                    let out = changed.get_or_insert_with(|| Vec::with_capacity(bytes.len() + 64));
                    out.extend_from_slice(&bytes[from..at]);
                    write_whole(frame.opcode, &leave, out);
                    from = at;
                    self.left = frame.whole();
                }
                Seen::Waits(namespace) => {
                    self.held = rest.to_vec();
                    self.awaited = Some(namespace);
                    break;
                }
                Seen::Open => {
                    self.held = rest.to_vec();
                    break;
                }
                Seen::Marked { place, skip, put } => {
                    let out = changed.get_or_insert_with(|| Vec::with_capacity(bytes.len() + 16));
                    out.extend_from_slice(&bytes[from..at]);
                    let length = frame.length.wrapping_add((put.len() - skip) as u64);
                    write_header(rest[0], length, frame.mask, out);
                    out.extend_from_slice(&rest[frame.header..frame.header + place]);
                    out.extend(put.iter().zip(place..).map(|(byte, at)| byte ^ frame.mask_at(at)));
                    at += frame.header + place + skip;
                    from = at;
                    self.left = frame.length - (place + skip) as u64;
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
    fn look(&mut self, frame: &Frame, payload: &[u8], left: &mut Left, door: &impl Door) -> Seen {
        if frame.opcode == 2 && door.is_msgpack() && !frame.is_extended {
            self.open = None;
            return look_at_msgpack(frame, payload, left, door);
        }
        let head = match frame.opcode {
            0 => self.open,
            1 => Some(Head::default()),
            8.. => return Seen::Passes,
            _ => None,
        };
        let before = self.open.take();
        let Some(mut head) = head.filter(|_| !frame.is_extended) else { return Seen::Passes };
        let there = fitting(frame.length, payload.len());
        let whole = there as u64 == frame.length;
        if frame.opcode == 1 && there > 1 {
            let looked = payload[..there].iter().take(LOOKED_AT).enumerate();
            let packet = || looked.clone().map(|(at, byte)| byte ^ frame.mask_at(at));
            let kind: Vec<u8> = packet().take(2).collect();
            if namespace_connect::matters(&kind, door) {
                let packet: Vec<u8> = packet().collect();
                match namespace_connect::address(&packet, whole) {
                    Some((kind, _)) if kind != Kind::Other && !frame.is_last => {}
                    Some(address) => match left.step(address, door) {
                        Step::Leaves => return Seen::Leaves(namespace_connect::leave(address.1)),
                        Step::Waits(namespace) => return Seen::Waits(namespace),
                        Step::Passes if address.0 != Kind::Other => return Seen::Passes,
                        Step::Passes => {}
                    },
                    None if !whole && there < LOOKED_AT => {
                        self.open = before;
                        return Seen::Open;
                    }
                    None => {}
                }
            }
        }
        let mut list = None;
        for (at, byte) in payload[..there].iter().take(LOOKED_AT).enumerate() {
            let byte = byte ^ frame.mask_at(at);
            head = head.read(byte);
            match (head, list) {
                (Head::Over(true), Some(place)) => return Seen::marked(place),
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
            Some(place) if !(whole && frame.is_last && there <= LOOKED_AT) => {
                if there >= LOOKED_AT {
                    Reached::EventName.count();
                }
                Seen::marked(place)
            }
            None if whole && !frame.is_last && there <= LOOKED_AT => {
                self.open = Some(head);
                Seen::Passes
            }
            _ => Seen::Passes,
        }
    }
}

/// Looks for the namespace and the name in what is there of the payload of a frame with a packet of msgpack.
fn look_at_msgpack(frame: &Frame, payload: &[u8], left: &mut Left, door: &impl Door) -> Seen {
    let there = fitting(frame.length, payload.len());
    let beginning = |most: usize| -> Vec<u8> {
        let looked = payload[..there].iter().take(most).enumerate();
        looked.map(|(at, byte)| byte ^ frame.mask_at(at)).collect()
    };
    let more = |most: usize| there < most && (there as u64) < frame.length;
    let packet = beginning(LOOKED_AT);
    let found = msgpack::Beginning::read(&packet);
    let for_all = match found.kind {
        None if more(LOOKED_AT) => return Seen::Open,
        None => return Seen::Passes,
        Some(Kind::Other) => false,
        Some(_) => true,
    };
    if for_all || door.is_entering_any() {
        let packet = beginning(LOOKED_AT_MSGPACK);
        match msgpack::Beginning::read(&packet).address() {
            Some(address) => match left.step(address, door) {
                Step::Leaves => return Seen::Leaves(msgpack::leave(address.1)),
                Step::Waits(namespace) => return Seen::Waits(namespace),
                Step::Passes if for_all => return Seen::Passes,
                Step::Passes => {}
            },
            None if more(LOOKED_AT_MSGPACK) => return Seen::Open,
            // What cannot be told for which namespace it is: one that is too large, or none at all.
            None => {}
        }
    }
    match found.name {
        Some(msgpack::Name::Marked { place, skip, put }) => Seen::Marked { place, skip, put },
        None if more(LOOKED_AT) => Seen::Open,
        _ => Seen::Passes,
    }
}

/// What is to be done with a frame.
enum Seen {
    /// It passes as it is.
    Passes,
    /// This packet goes before it.
    Leaves(Vec<u8>),
    /// It waits until the client is let in this namespace, or refused.
    Waits(Box<str>),
    /// More of it has to be seen.
    Open,
    /// In this place of its payload, so many bytes have others in theirs, a mark among them.
    Marked { place: usize, skip: usize, put: Vec<u8> },
}

impl Seen {
    fn marked(place: usize) -> Self {
        Self::Marked { place, skip: 0, put: MARK.to_vec() }
    }
}

#[cfg(test)]
mod tests;
