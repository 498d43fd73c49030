//! The beginning of a packet of `socket.io-msgpack-parser`, which is one map: what it is, for which namespace, and whether
//! its name needs a mark (`event_name.rs`).
//!
//! Gap: socketioxide closes the client of an event whose name is a number, as in JSON; Node takes it. Way round: the same
//! mark. In the place of the header of the list and of the mark, there are always four bytes more than before.

use super::{event_mark::MARK_NAME, namespace_connect::PacketKind};
use crate::backplane::{MsgpackReader, MsgpackToken};

/// Types of a packet.
const CONNECT: u64 = 0;
const DISCONNECT: u64 = 1;
const EVENT: u64 = 2;
/// Keys that are looked at; socketioxide takes no more.
const MOST_KEYS: usize = 20;
/// The first element of a list with a mark: text of one byte, with a length of one, two or no bytes of its own.
const MARKS: [&[u8]; 2] = [&[0xda, 0, 1, MARK_NAME], &[0xa1, MARK_NAME]];

/// What is known of a packet by its beginning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PacketPrefix<'a> {
    pub kind: Option<PacketKind>,
    pub namespace: Option<&'a str>,
    /// Nothing if it is not yet known.
    pub name: Option<NameFix>,
}

/// What is to be done with a packet for the sake of its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NameFix {
    Unchanged,
    /// At `place`, `put` takes the place of so many bytes.
    Insert {
        place: usize,
        skip: usize,
        put: Vec<u8>,
    },
}

impl<'a> PacketPrefix<'a> {
    /// Reads as much as is there.
    pub fn read(packet: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut list = None;
        let mut reader = MsgpackReader::new(packet);
        let mut is_event = false;
        for _ in 0..reader.read_map_len().unwrap_or_default().min(MOST_KEYS) {
            match reader.read_str() {
                Ok("type") => match reader.read_u64() {
                    Ok(kind) => {
                        is_event = kind == EVENT;
                        found.kind = Some(match kind {
                            CONNECT => PacketKind::Connect,
                            DISCONNECT => PacketKind::Disconnect,
                            _ => PacketKind::Other,
                        });
                        continue;
                    }
                    Err(_) => break,
                },
                Ok("nsp") => match reader.read_str() {
                    Ok(namespace) => {
                        found.namespace = Some(namespace);
                        continue;
                    }
                    Err(_) => break,
                },
                Ok("data") => list = Some(reader.position()),
                Ok(_) => {}
                Err(_) => break,
            }
            if reader.skip_value().is_err() {
                break;
            }
        }
        found.name = match (found.kind, list) {
            (Some(_), _) if !is_event => Some(NameFix::Unchanged),
            (Some(_), Some(list)) => name(packet, list),
            _ => None,
        };
        found
    }

    /// Where it goes, if that is known.
    pub fn address(&self) -> Option<(PacketKind, &'a str)> {
        self.kind.zip(self.namespace)
    }
}

/// What is to be done with a list that begins in this place.
fn name(packet: &[u8], place: usize) -> Option<NameFix> {
    let list = packet.get(place..)?;
    let (skip, put) = match *list {
        [head @ 0x91..=0x9e, ..] => (1, [&[head + 1][..], MARKS[0]].concat()),
        [0x9f, ..] => (1, [&[0xdc, 0, 16][..], MARKS[1]].concat()),
        [0xdc, high, low, ..] => match u16::from_be_bytes([high, low]).checked_add(1) {
            Some(length) => (3, [&[0xdc][..], &length.to_be_bytes(), MARKS[0]].concat()),
            None => return Some(NameFix::Unchanged),
        },
        [0xdc] | [0xdc, _] | [] => return None,
        _ => return Some(NameFix::Unchanged),
    };
    let needed = match MsgpackReader::new(list.get(skip..)?).token() {
        Ok(MsgpackToken::Unsigned(_) | MsgpackToken::Signed(_) | MsgpackToken::Float(_)) => true,
        Ok(MsgpackToken::Text(name)) => name.first() == Some(&MARK_NAME),
        Ok(_) => false,
        Err(_) => return None,
    };
    Some(if needed { NameFix::Insert { place, skip, put } } else { NameFix::Unchanged })
}

/// A list without its mark, if it has one.
pub(super) fn unmark(list: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = match *list {
        [head @ 0x92..=0x9f, ref rest @ ..] => (vec![head - 1], rest),
        [0xdc, high, low, ref rest @ ..] => match u16::from_be_bytes([high, low]).checked_sub(1)? {
            15 => (vec![0x9f], rest),
            length => ([&[0xdc][..], &length.to_be_bytes()].concat(), rest),
        },
        _ => return None,
    };
    let rest = MARKS.iter().find_map(|mark| rest.strip_prefix(*mark))?;
    Some([&head, rest].concat())
}

/// A packet with its mark, if it needs one.
pub(crate) fn mark(packet: &[u8], name: Option<&NameFix>) -> Option<Vec<u8>> {
    match name? {
        NameFix::Unchanged => None,
        NameFix::Insert { place, skip, put } => {
            Some([&packet[..*place], put, packet.get(place + skip..)?].concat())
        }
    }
}

/// The packet with which a client leaves a namespace.
pub(crate) fn leave(namespace: &str) -> Vec<u8> {
    let mut packet = vec![0x82, 0xa4];
    packet.extend_from_slice(b"type");
    packet.extend_from_slice(&[1, 0xa3]);
    packet.extend_from_slice(b"nsp");
    packet.push(0xda);
    // It is a part of what was looked at, which is less.
    packet.extend_from_slice(&(namespace.len() as u16).to_be_bytes());
    packet.extend_from_slice(namespace.as_bytes());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[0xa0 | text.len() as u8], text.as_bytes()].concat()
    }

    /// A packet as the stock client writes it: the namespace last.
    fn packet(kind: u8, data: &[u8], namespace: &str) -> Vec<u8> {
        let parts = [&[0x83][..], &text("type"), &[kind], &text("data"), data, &text("nsp")];
        [&parts.concat()[..], &text(namespace)].concat()
    }

    #[test]
    fn a_name_that_needs_it_has_a_mark() {
        let mut odd = vec![vec![0x91, 7], vec![0x92, 0xff, 1], vec![0x91, 0xcd, 1, 0]];
        odd.push([&[0x91, 0xcb][..], &1.5_f64.to_be_bytes()].concat());
        odd.push([&[0x92][..], &text("\x7f"), &text("x")].concat());
        for length in [14_u8, 15, 16, 17, 255] {
            let head = if length < 16 { vec![0x90 | length] } else { vec![0xdc, 0, length] };
            odd.push([head, vec![3; length.into()]].concat());
        }
        for list in odd {
            let sent = packet(2, &list, "/n");
            let found = PacketPrefix::read(&sent);
            assert_eq!(found.address(), Some((PacketKind::Other, "/n")));
            let marked = mark(&sent, found.name.as_ref()).expect("a mark");
            assert_eq!(marked.len(), sent.len() + 4, "{list:x?}");
            let range = 12..marked.len() - 7;
            let mut reader = MsgpackReader::new(&marked[range.clone()]);
            reader.skip_value().expect("a whole list");
            reader.finish().expect("nothing else");
            assert_eq!(unmark(&marked[range]), Some(list));
        }
        for list in [&[0x90][..], &[0x91, 0xa1, b'a'], &[0x91, 0xc0], &[0x91, 0x91, 1], &[0x80]] {
            let sent = packet(2, list, "/");
            assert_eq!(PacketPrefix::read(&sent).name, Some(NameFix::Unchanged), "{list:x?}");
            assert_eq!(unmark(list), None);
        }
        assert_eq!(PacketPrefix::read(&packet(3, &[0x91, 7], "/")).name, Some(NameFix::Unchanged));
    }

    #[test]
    fn a_beginning_says_what_is_there() {
        let sent = packet(0, &[0x81, 0xa1, b'a', 1], "/n");
        for length in 0..=sent.len() {
            let found = PacketPrefix::read(&sent[..length]);
            let whole = length == sent.len();
            assert_eq!(found.address(), whole.then_some((PacketKind::Connect, "/n")), "{length}");
            assert_eq!(found.kind.is_some(), length > 6);
        }
        assert_eq!(
            PacketPrefix::read(&leave("/n")).address(),
            Some((PacketKind::Disconnect, "/n"))
        );
        assert_eq!(PacketPrefix::read(&leave("/n")).name, Some(NameFix::Unchanged));
        let event = packet(2, &[0x91, 0xcd, 1, 0], "/n");
        assert_eq!(PacketPrefix::read(&event[..15]).name, None);
        assert!(matches!(PacketPrefix::read(&event[..17]).name, Some(NameFix::Insert { .. })));
    }
}
