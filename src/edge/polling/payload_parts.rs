//! The payload of a POST, in the parts in which it is handed over to socketioxide: mostly in one.

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::edge::packets::{
    eio3_payload,
    engine_io::SEPARATOR,
    event_mark::MARK,
    event_name,
    lenient_base64::BINARY,
    msgpack::{self, PacketPrefix},
    namespace_connect::{self, ClientNamespaces, PacketAction, PacketKind, RecentDisconnects},
};

/// Bytes that a packet which leaves a namespace has more than the one that comes there, at most.
const LEAVE: usize = 16;

/// How the packets of a payload are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadFormat {
    /// Of Engine.IO 4, with a separator between two.
    V4,
    /// Of Engine.IO 3, each with its length.
    Text3,
    Octets3,
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// To be handed over.
    Ready(Bytes),
    /// Nothing, until the client is let in this namespace, or refused.
    Wait(Box<str>),
}

/// The parts that are left.
#[derive(Debug)]
pub(crate) struct PayloadParts {
    form: PayloadFormat,
    /// Bytes of a part, unless a packet alone has more.
    most: usize,
    /// Nothing if all has been taken; at first, nothing sent is something.
    rest: Option<Bytes>,
    recent: RecentDisconnects,
}

impl PayloadParts {
    /// All of a body.
    pub fn new(body: Bytes, form: PayloadFormat, most: usize) -> Self {
        Self { form, most, rest: Some(body), recent: RecentDisconnects::default() }
    }

    /// The next one.
    pub fn next(&mut self, namespaces: &impl ClientNamespaces) -> Option<Part> {
        let mut rest = self.rest.take()?;
        if !self.is_changed(&rest, namespaces) {
            return Some(Part::Ready(rest));
        }
        let mut part = Vec::with_capacity(rest.len() + MARK.len());
        while let Some((piece, next)) = self.form.first(&rest) {
            let read = self.read(&piece, namespaces);
            let out = read.marked.map_or(Cow::Borrowed(&piece[..]), Cow::Owned);
            // With room for one more that says that it leaves.
            let room = out.len() + piece.len() + LEAVE;
            if !part.is_empty() && part.len() + room > self.most {
                self.rest = Some(rest);
                return Some(Part::Ready(part.into()));
            }
            if let Some((kind, namespace)) = &read.address {
                match self.recent.action_for((*kind, namespace), namespaces) {
                    PacketAction::Wait(namespace) => {
                        self.rest = Some(rest);
                        let waits = part.is_empty();
                        let ready = || Part::Ready(part.into());
                        return Some(if waits { Part::Wait(namespace) } else { ready() });
                    }
                    PacketAction::DisconnectFirst => {
                        let leave = self.form.leave(namespace, read.binary);
                        self.form.add(&leave, &mut part);
                    }
                    PacketAction::Forward => {}
                }
            }
            self.form.add(&out, &mut part);
            match next {
                Some(next) => rest = next,
                None => break,
            }
        }
        Some(Part::Ready(part.into()))
    }

    /// What matters of a piece.
    fn read(&self, piece: &[u8], namespaces: &impl ClientNamespaces) -> Read {
        let mut read = Read::default();
        if let Some(packet) = self.binary(piece, namespaces) {
            let packet = STANDARD.decode(packet).unwrap_or_default();
            let found = PacketPrefix::read(&packet);
            let marked = msgpack::mark(&packet, found.name.as_ref());
            read.marked = marked.map(|marked| base64(&marked));
            read.address = found.address().map(|(kind, name)| (kind, name.into()));
            read.binary = true;
        } else if let Some(packet) = self.form.text_of(piece) {
            // Of Engine.IO 3, its length is changed with it, later.
            read.marked =
                Some(packet).filter(|_| self.form == PayloadFormat::V4).and_then(event_name::mark);
            let address = namespace_connect::may_concern_namespace(packet, namespaces)
                .then(|| namespace_connect::packet_address(packet, true));
            read.address = address.flatten().map(|(kind, name)| (kind, name.into()));
        }
        read
    }

    /// The base64 of a packet of msgpack.
    fn binary<'a>(&self, piece: &'a [u8], namespaces: &impl ClientNamespaces) -> Option<&'a [u8]> {
        let of_msgpack = self.form == PayloadFormat::V4 && namespaces.is_msgpack();
        piece.strip_prefix(&[BINARY]).filter(|_| of_msgpack)
    }

    /// Whether something of it may be another, or has to wait.
    fn is_changed(&self, rest: &Bytes, namespaces: &impl ClientNamespaces) -> bool {
        let concerns = |packet: &[u8]| {
            (self.form == PayloadFormat::V4 && event_name::needs_mark(packet))
                || namespace_connect::may_concern_namespace(packet, namespaces)
        };
        let mut rest = Some(rest.clone());
        while let Some((piece, next)) = rest.as_ref().and_then(|rest| self.form.first(rest)) {
            let binary = self.binary(&piece, namespaces).is_some();
            if binary || self.form.text_of(&piece).is_some_and(concerns) {
                return true;
            }
            rest = next;
        }
        false
    }
}

/// What matters of a piece.
#[derive(Debug, Default)]
struct Read {
    marked: Option<Vec<u8>>,
    address: Option<(PacketKind, Box<str>)>,
    /// It is base64.
    binary: bool,
}

/// A binary packet of Engine.IO 4.
fn base64(packet: &[u8]) -> Vec<u8> {
    [&[BINARY], STANDARD.encode(packet).as_bytes()].concat()
}

impl PayloadFormat {
    /// The first piece of a payload, and what follows it. What is none is a piece, too.
    fn first(self, payload: &Bytes) -> Option<(Bytes, Option<Bytes>)> {
        let (end, skipped) = match self {
            Self::V4 => (payload.iter().position(|byte| *byte == SEPARATOR), 1),
            Self::Text3 => (eio3_payload::end_of_text(payload), 0),
            Self::Octets3 => (eio3_payload::end_of_octets(payload), 0),
        };
        let Some(end) = end else { return Some((payload.clone(), None)) };
        let next = payload.slice(end + skipped..);
        let over = self != Self::V4 && next.is_empty();
        Some((payload.slice(..end), (!over).then_some(next)))
    }

    /// The packet in a piece, if it is text.
    fn text_of(self, piece: &[u8]) -> Option<&[u8]> {
        match self {
            Self::V4 => Some(piece),
            Self::Text3 => eio3_payload::packet_of_text(piece),
            Self::Octets3 => eio3_payload::packet_of_octets(piece),
        }
    }

    /// The piece with which a client leaves a namespace.
    fn leave(self, namespace: &str, binary: bool) -> Vec<u8> {
        let packet = || namespace_connect::disconnect_packet(namespace);
        match self {
            Self::V4 if binary => base64(&msgpack::leave(namespace)),
            Self::V4 => packet(),
            Self::Text3 => eio3_payload::text_piece(packet()),
            Self::Octets3 => eio3_payload::octets_piece(&packet()),
        }
    }

    fn add(self, piece: &[u8], part: &mut Vec<u8>) {
        if self == Self::V4 && !part.is_empty() {
            part.push(SEPARATOR);
        }
        part.extend_from_slice(piece);
    }

    /// A part as socketioxide takes it.
    pub fn body(self, part: Bytes) -> Body {
        match self {
            Self::V4 => Body::from(part),
            Self::Text3 => eio3_payload::received(part, false),
            Self::Octets3 => eio3_payload::received(part, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::packets::namespace_connect::tests::Client;

    /// The parts, and what is waited for; whoever is waited for is let in.
    fn parts(form: PayloadFormat, body: &str, most: usize, client: &Client) -> Vec<String> {
        let mut parts = PayloadParts::new(Bytes::copy_from_slice(body.as_bytes()), form, most);
        let mut all = Vec::new();
        while let Some(part) = parts.next(client) {
            all.push(match part {
                Part::Ready(part) => String::from_utf8_lossy(&part).into_owned(),
                Part::Wait(namespace) => {
                    client.entering.borrow_mut().end(&namespace, true);
                    format!("wait {namespace}")
                }
            });
        }
        all
    }

    #[test]
    fn a_part_stays_within_its_bound() {
        let body = [r#"42["\n"]"#, "3", r#"42["plain"]"#, "42[7]"].join("\x1e");
        let client = Client::default();
        let plain = "42[\"a\"]\x1e3";
        assert_eq!(parts(PayloadFormat::V4, plain, 5, &client), [plain]);
        assert_eq!(parts(PayloadFormat::V4, "", 5, &client), [""]);
        let whole = parts(PayloadFormat::V4, &body, 100, &client);
        assert_eq!(whole.len(), 1);
        for most in 1..60 {
            let parts = parts(PayloadFormat::V4, &body, most, &client);
            assert!(parts.iter().all(|part| part.len() <= most || !part.contains('\x1e')));
            assert_eq!(parts.join("\x1e"), whole[0]);
        }
    }

    #[test]
    fn what_is_said_to_a_namespace_waits_for_it() {
        let client = || Client { is_in: vec!["/", "/n"], ..Client::default() };
        let sent = ["40/n,", "42[1]", "42/n,[2]", "41/n,", "40/n,", "42/n,[3]"];
        let right = [
            "41/n,\x1e40/n,\x1e42[\"\x7f\",1]",
            "wait /n",
            "42/n,[\"\x7f\",2]\x1e41/n,\x1e40/n,",
            "wait /n",
            "42/n,[\"\x7f\",3]",
        ];
        assert_eq!(parts(PayloadFormat::V4, &sent.join("\x1e"), 1000, &client()), right);
        let text = |packet: &&str| format!("{}:{packet}", packet.len());
        let sent: String = sent.iter().map(text).collect();
        let right = [
            "6:41/n,5:40/n,5:42[1]".replacen('6', "5", 1),
            "wait /n".to_owned(),
            "8:42/n,[2]5:41/n,5:40/n,".to_owned(),
            "wait /n".to_owned(),
            "8:42/n,[3]".to_owned(),
        ];
        assert_eq!(parts(PayloadFormat::Text3, &sent, 1000, &client()), right);
    }

    #[test]
    fn packets_of_msgpack_too() {
        let client = Client { is_in: vec!["/n"], is_msgpack: true, ..Client::default() };
        let connect = base64(b"\x82\xa4type\0\xa3nsp\xa2/n");
        let event = base64(b"\x83\xa4type\x02\xa3nsp\xa2/n\xa4data\x91\x07");
        let marked = base64(b"\x83\xa4type\x02\xa3nsp\xa2/n\xa4data\x92\xda\0\x01\x7f\x07");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (connect, event, marked) = (text(connect), text(event), text(marked));
        let leave = text(base64(&msgpack::leave("/n")));
        let sent = ["3", &connect, "3", &event, &event].join("\x1e");
        let right = [
            ["3", &leave, &connect, "3"].join("\x1e"),
            "wait /n".to_owned(),
            [marked.clone(), marked].join("\x1e"),
        ];
        assert_eq!(parts(PayloadFormat::V4, &sent, 1000, &client), right);
    }

    #[test]
    fn octets_too() {
        let client = Client { is_in: vec!["/n"], ..Client::default() };
        let body = b"\0\x05\xff40/n,\x01\x02\xff\x04b\0\x08\xff42/n,[2]";
        let mut parts = PayloadParts::new(Bytes::from_static(body), PayloadFormat::Octets3, 1000);
        let first = b"\0\x05\xff41/n,\0\x05\xff40/n,\x01\x02\xff\x04b";
        assert_eq!(parts.next(&client), Some(Part::Ready(Bytes::from_static(first))));
        assert_eq!(parts.next(&client), Some(Part::Wait("/n".into())));
        client.entering.borrow_mut().end("/n", true);
        assert_eq!(parts.next(&client), Some(Part::Ready(Bytes::from_static(&body[13..]))));
        assert_eq!(parts.next(&client), None);
    }
}
