//! What a polling client sent in one request, in the parts in which it is handed over: mostly in one.

use std::borrow::Cow;

use axum::body::{Body, Bytes};

use super::{
    again::{self, Door, Left, Step},
    eio3, names,
    traffic::SEPARATOR,
};

/// How the packets of a payload are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Of Engine.IO 4, with a separator between two.
    V4,
    /// Of Engine.IO 3, each with its length.
    Text3,
    Octets3,
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// To be handed over.
    Ready(Bytes),
    /// Nothing, until the client is let in this namespace, or refused.
    Waits(Box<str>),
}

/// The parts that are left.
#[derive(Debug)]
pub(super) struct InParts {
    form: Form,
    /// Bytes of a part, unless a packet alone has more.
    most: usize,
    /// Nothing if all has been taken; at first, nothing sent is something.
    rest: Option<Bytes>,
    left: Left,
}

impl InParts {
    /// All of a body.
    pub fn new(body: Bytes, form: Form, most: usize) -> Self {
        Self { form, most, rest: Some(body), left: Left::default() }
    }

    /// The next one.
    pub fn next(&mut self, door: &impl Door) -> Option<Part> {
        let mut rest = self.rest.take()?;
        if !self.is_changed(&rest, door) {
            return Some(Part::Ready(rest));
        }
        let mut part = Vec::with_capacity(rest.len() + names::MARK.len());
        while let Some((piece, next)) = self.form.first(&rest) {
            let packet = self.form.text_of(&piece);
            let marked = match (packet, self.form) {
                (Some(packet), Form::V4) => names::mark(packet),
                // Its length is changed with it, later.
                _ => None,
            };
            let out = marked.map_or(Cow::Borrowed(&piece[..]), Cow::Owned);
            // With room for one more that says that it leaves.
            if !part.is_empty() && part.len() + out.len() + piece.len() + 4 > self.most {
                self.rest = Some(rest);
                return Some(Part::Ready(part.into()));
            }
            let looked_at = packet.filter(|packet| again::matters(packet, door));
            let address = looked_at.and_then(|packet| again::address(packet, true));
            match address.map(|address| self.left.step(address, door)) {
                Some(Step::Waits(namespace)) => {
                    self.rest = Some(rest);
                    let waits = part.is_empty();
                    let ready = || Part::Ready(part.into());
                    return Some(if waits { Part::Waits(namespace) } else { ready() });
                }
                Some(Step::Leaves(leave)) => self.form.add(&self.form.piece(leave), &mut part),
                Some(Step::Passes) | None => {}
            }
            self.form.add(&out, &mut part);
            match next {
                Some(next) => rest = next,
                None => break,
            }
        }
        Some(Part::Ready(part.into()))
    }

    /// Whether something of it may be another, or has to wait.
    fn is_changed(&self, rest: &Bytes, door: &impl Door) -> bool {
        let concerns = |packet: &[u8]| {
            (self.form == Form::V4 && names::needs_mark(packet)) || again::matters(packet, door)
        };
        let mut rest = Some(rest.clone());
        while let Some((piece, next)) = rest.as_ref().and_then(|rest| self.form.first(rest)) {
            if self.form.text_of(&piece).is_some_and(concerns) {
                return true;
            }
            rest = next;
        }
        false
    }
}

impl Form {
    /// The first piece of a payload, and what follows it. What is none is a piece, too.
    fn first(self, payload: &Bytes) -> Option<(Bytes, Option<Bytes>)> {
        let (end, skipped) = match self {
            Self::V4 => (payload.iter().position(|byte| *byte == SEPARATOR), 1),
            Self::Text3 => (eio3::end_of_text(payload), 0),
            Self::Octets3 => (eio3::end_of_octets(payload), 0),
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
            Self::Text3 => eio3::packet_of_text(piece),
            Self::Octets3 => eio3::packet_of_octets(piece),
        }
    }

    /// A packet of text as a piece.
    fn piece(self, packet: Vec<u8>) -> Vec<u8> {
        match self {
            Self::V4 => packet,
            Self::Text3 => eio3::text_piece(packet),
            Self::Octets3 => eio3::octets_piece(&packet),
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
            Self::Text3 => eio3::received(part, false),
            Self::Octets3 => eio3::received(part, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::again::tests::Client, *};

    /// The parts, and what is waited for; whoever is waited for is let in.
    fn parts(form: Form, body: &str, most: usize, client: &Client) -> Vec<String> {
        let mut parts = InParts::new(Bytes::copy_from_slice(body.as_bytes()), form, most);
        let mut all = Vec::new();
        while let Some(part) = parts.next(client) {
            all.push(match part {
                Part::Ready(part) => String::from_utf8_lossy(&part).into_owned(),
                Part::Waits(namespace) => {
                    again::forget(&mut client.entering.borrow_mut(), &namespace);
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
        assert_eq!(parts(Form::V4, plain, 5, &client), [plain]);
        assert_eq!(parts(Form::V4, "", 5, &client), [""]);
        let whole = parts(Form::V4, &body, 100, &client);
        assert_eq!(whole.len(), 1);
        for most in 1..60 {
            let parts = parts(Form::V4, &body, most, &client);
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
        assert_eq!(parts(Form::V4, &sent.join("\x1e"), 1000, &client()), right);
        let text = |packet: &&str| format!("{}:{packet}", packet.len());
        let sent: String = sent.iter().map(text).collect();
        let right = [
            "6:41/n,5:40/n,5:42[1]".replacen('6', "5", 1),
            "wait /n".to_owned(),
            "8:42/n,[2]5:41/n,5:40/n,".to_owned(),
            "wait /n".to_owned(),
            "8:42/n,[3]".to_owned(),
        ];
        assert_eq!(parts(Form::Text3, &sent, 1000, &client()), right);
    }

    #[test]
    fn octets_too() {
        let client = Client { is_in: vec!["/n"], ..Client::default() };
        let body = b"\0\x05\xff40/n,\x01\x02\xff\x04b\0\x08\xff42/n,[2]";
        let mut parts = InParts::new(Bytes::from_static(body), Form::Octets3, 1000);
        let first = b"\0\x05\xff41/n,\0\x05\xff40/n,\x01\x02\xff\x04b";
        assert_eq!(parts.next(&client), Some(Part::Ready(Bytes::from_static(first))));
        assert_eq!(parts.next(&client), Some(Part::Waits("/n".into())));
        client.entering.borrow_mut().clear();
        assert_eq!(parts.next(&client), Some(Part::Ready(Bytes::from_static(&body[13..]))));
        assert_eq!(parts.next(&client), None);
    }
}
