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
        event_name::EventNameState,
        msgpack,
        namespace_connect::{self, ClientNamespaces, PacketAction, PacketKind, RecentDisconnects},
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
    open: Option<EventNameState>,
    /// What is held waits until the client is let in this namespace.
    awaited: Option<Box<str>>,
}

impl IncomingFrames {
    /// What is to be read in place of the next bytes: those, mostly.
    pub fn pass<'a>(
        &mut self,
        bytes: &'a [u8],
        namespaces: &impl ClientNamespaces,
    ) -> Cow<'a, [u8]> {
        self.awaited = None;
        if self.held.is_empty() {
            return self.follow(bytes, namespaces);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        Cow::Owned(self.follow(&all, namespaces).into_owned())
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

    fn follow<'a>(&mut self, bytes: &'a [u8], namespaces: &impl ClientNamespaces) -> Cow<'a, [u8]> {
        let mut changed: Option<Vec<u8>> = None;
        let mut recent = RecentDisconnects::default();
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
            match self.look(&frame, &rest[frame.header..], &mut recent, namespaces) {
                FrameAction::Forward => self.left = frame.whole(),
                FrameAction::DisconnectFirst(leave) => {
                    let out = changed.get_or_insert_with(|| Vec::with_capacity(bytes.len() + 64));
                    out.extend_from_slice(&bytes[from..at]);
                    write_whole(frame.opcode, &leave, out);
                    from = at;
                    self.left = frame.whole();
                }
                FrameAction::Wait(namespace) => {
                    self.held = rest.to_vec();
                    self.awaited = Some(namespace);
                    break;
                }
                FrameAction::NeedMore => {
                    self.held = rest.to_vec();
                    break;
                }
                FrameAction::Mark { place, skip, put } => {
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
    fn look(
        &mut self,
        frame: &Frame,
        payload: &[u8],
        recent: &mut RecentDisconnects,
        namespaces: &impl ClientNamespaces,
    ) -> FrameAction {
        if frame.opcode == 2 && namespaces.is_msgpack() && !frame.is_extended {
            self.open = None;
            return look_at_msgpack(frame, payload, recent, namespaces);
        }
        let head = match frame.opcode {
            0 => self.open,
            1 => Some(EventNameState::default()),
            8.. => return FrameAction::Forward,
            _ => None,
        };
        let before = self.open.take();
        let Some(mut head) = head.filter(|_| !frame.is_extended) else {
            return FrameAction::Forward;
        };
        let there = fitting(frame.length, payload.len());
        let whole = there as u64 == frame.length;
        if frame.opcode == 1 && there > 1 {
            let looked = payload[..there].iter().take(LOOKED_AT).enumerate();
            let packet = || looked.clone().map(|(at, byte)| byte ^ frame.mask_at(at));
            let kind: Vec<u8> = packet().take(2).collect();
            if namespace_connect::may_concern_namespace(&kind, namespaces) {
                let packet: Vec<u8> = packet().collect();
                match namespace_connect::packet_address(&packet, whole) {
                    Some((kind, _)) if kind != PacketKind::Other && !frame.is_last => {}
                    Some(address) => match recent.action_for(address, namespaces) {
                        PacketAction::DisconnectFirst => {
                            return FrameAction::DisconnectFirst(
                                namespace_connect::disconnect_packet(address.1),
                            );
                        }
                        PacketAction::Wait(namespace) => return FrameAction::Wait(namespace),
                        PacketAction::Forward if address.0 != PacketKind::Other => {
                            return FrameAction::Forward;
                        }
                        PacketAction::Forward => {}
                    },
                    None if !whole && there < LOOKED_AT => {
                        self.open = before;
                        return FrameAction::NeedMore;
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
                (EventNameState::Over(true), Some(place)) => return FrameAction::mark(place),
                (EventNameState::Over(_), _) => return FrameAction::Forward,
                (EventNameState::List, None) => list = Some(at + 1),
                _ => {}
            }
        }
        match list {
            _ if !whole && there < LOOKED_AT => {
                self.open = before;
                FrameAction::NeedMore
            }
            // The name goes on where it is not looked at: it has one to be on the safe side.
            Some(place) if !(whole && frame.is_last && there <= LOOKED_AT) => {
                if there >= LOOKED_AT {
                    Reached::EventName.count();
                }
                FrameAction::mark(place)
            }
            None if whole && !frame.is_last && there <= LOOKED_AT => {
                self.open = Some(head);
                FrameAction::Forward
            }
            _ => FrameAction::Forward,
        }
    }
}

/// Looks for the namespace and the name in what is there of the payload of a frame with a packet of msgpack.
fn look_at_msgpack(
    frame: &Frame,
    payload: &[u8],
    recent: &mut RecentDisconnects,
    namespaces: &impl ClientNamespaces,
) -> FrameAction {
    let there = fitting(frame.length, payload.len());
    let beginning = |most: usize| -> Vec<u8> {
        let looked = payload[..there].iter().take(most).enumerate();
        looked.map(|(at, byte)| byte ^ frame.mask_at(at)).collect()
    };
    let more = |most: usize| there < most && (there as u64) < frame.length;
    let packet = beginning(LOOKED_AT);
    let found = msgpack::PacketPrefix::read(&packet);
    let for_all = match found.kind {
        None if more(LOOKED_AT) => return FrameAction::NeedMore,
        None => return FrameAction::Forward,
        Some(PacketKind::Other) => false,
        Some(_) => true,
    };
    if for_all || namespaces.is_connecting_any() {
        let packet = beginning(LOOKED_AT_MSGPACK);
        match msgpack::PacketPrefix::read(&packet).address() {
            Some(address) => match recent.action_for(address, namespaces) {
                PacketAction::DisconnectFirst => {
                    return FrameAction::DisconnectFirst(msgpack::leave(address.1));
                }
                PacketAction::Wait(namespace) => return FrameAction::Wait(namespace),
                PacketAction::Forward if for_all => return FrameAction::Forward,
                PacketAction::Forward => {}
            },
            None if more(LOOKED_AT_MSGPACK) => return FrameAction::NeedMore,
            // What cannot be told for which namespace it is: one that is too large, or none at all.
            None => {}
        }
    }
    match found.name {
        Some(msgpack::NameFix::Insert { place, skip, put }) => {
            FrameAction::Mark { place, skip, put }
        }
        None if more(LOOKED_AT) => FrameAction::NeedMore,
        _ => FrameAction::Forward,
    }
}

/// What is to be done with a frame.
enum FrameAction {
    /// It passes as it is.
    Forward,
    /// This packet goes before it.
    DisconnectFirst(Vec<u8>),
    /// It waits until the client is connected to this namespace, or refused.
    Wait(Box<str>),
    /// More of it has to be there to decide.
    NeedMore,
    /// At `place` of its payload, `put` takes the place of `skip` bytes. A mark is among it.
    Mark { place: usize, skip: usize, put: Vec<u8> },
}

impl FrameAction {
    fn mark(place: usize) -> Self {
        Self::Mark { place, skip: 0, put: MARK.to_vec() }
    }
}

#[cfg(test)]
mod tests;
