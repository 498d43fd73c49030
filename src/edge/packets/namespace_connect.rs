//! A client that asks to be let in a namespace, perhaps again, and what it sends there meanwhile.
//!
//! Gap: a CONNECT for a namespace that the client is in is passed over in silence. A client that calls `connect`,
//! `disconnect` before the answer is there, and `connect` again, drops that answer, and waits for another for ever. Way
//! round: the socket leaves first, as if the client had said so, and then comes in as a new one. No upstream issue was
//! found; the mend belongs in `Namespace::connect` of socketioxide.
//!
//! Gap: what comes for a namespace that the client is not in is passed over, too. A stock client can take the answer to
//! an earlier CONNECT, which was under way, for the one to its last, and emits at once: on Node that ends the connection if
//! letting it in takes time. Way round: what is for a namespace that the client is being let in waits until it is in, or
//! refused. What comes behind waits, too, as all of it is read in order; for no longer than a message may take.
//!
//! Packets: Socket.IO protocol, revision 5, "Packet encoding".

use std::time::Duration;

use crate::telemetry::Reached;

/// How long a client that has been let in, or refused, is not given what waited for that. Until socketioxide has left the
/// function that does it, which it has almost, the next CONNECT would be passed over.
pub(crate) const SETTLE: Duration = Duration::from_millis(5);
/// How long the socket of a client that is refused is waited for before that: a program may keep it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// Namespaces of one connection that are kept in mind at most: those that it asks for at the same time.
const MOST: usize = 8;
/// Bytes of a namespace that is kept in mind.
const LONGEST: usize = 1024;

/// The connection of a client, which knows where that is.
pub(crate) trait Door {
    /// It asks to be let in a namespace. `left` says that it has left it, of which nobody else has heard yet.
    fn asks(&self, namespace: &str, left: bool) -> Asks;
    /// Whether it is being let in that namespace: then something waits for it.
    fn is_entering(&self, namespace: &str) -> bool;
    /// Whether it is being let in any.
    fn is_entering_any(&self) -> bool;
    /// Whether its packets are those of `socket.io-msgpack-parser`.
    fn is_msgpack(&self) -> bool;
}

/// What is to be done with a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// It passes.
    Passes,
    /// The client is in: it leaves first.
    Leaves,
    /// It is being let in already, and may have been told so: it waits until that is done.
    Waits,
}

/// What is to be done with a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Passes,
    /// The client leaves first.
    Leaves,
    /// Until the client is let in this namespace, or refused.
    Waits(Box<str>),
}

/// What a packet is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect,
    Other,
}

/// Whether one has to look at a packet of text that begins so.
pub(crate) fn matters(packet: &[u8], door: &impl Door) -> bool {
    match packet {
        [b'4', b'0' | b'1', ..] => true,
        [b'4', _, ..] => door.is_entering_any(),
        _ => false,
    }
}

/// What a packet of text is, and the namespace that it is for; nothing if that does not end in what is there of it.
pub(crate) fn address(packet: &[u8], whole: bool) -> Option<(Kind, &str)> {
    let (kind, rest) = match packet {
        [b'4', b'0', rest @ ..] => (Kind::Connect, rest),
        [b'4', b'1', rest @ ..] => (Kind::Disconnect, rest),
        [b'4', b'5' | b'6', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (Kind::Other, rest.get(digits + 1..).unwrap_or_default())
        }
        [b'4', _, rest @ ..] => (Kind::Other, rest),
        _ => return None,
    };
    if rest.first() != Some(&b'/') {
        return (whole || !rest.is_empty()).then_some((kind, "/"));
    }
    // A query is part of the name, as on Node.
    let end = rest.iter().position(|byte| *byte == b',');
    let end = end.or_else(|| whole.then_some(rest.len()))?;
    Some((kind, std::str::from_utf8(&rest[..end]).ok()?))
}

/// The packet of text with which a client leaves a namespace.
pub(crate) fn leave(namespace: &str) -> Vec<u8> {
    match namespace {
        "/" => b"41".to_vec(),
        path => format!("41{path},").into_bytes(),
    }
}

/// The namespaces that a client has just left, of which nobody else has heard yet. One that is not noted is left twice,
/// which does nothing.
#[derive(Debug, Default)]
pub(crate) struct Left(Vec<Box<str>>);

impl Left {
    /// What is to be done with a packet.
    pub fn step(&mut self, (kind, namespace): (Kind, &str), door: &impl Door) -> Step {
        match kind {
            Kind::Connect => match door.asks(namespace, self.forget(namespace)) {
                Asks::Passes => Step::Passes,
                Asks::Leaves => Step::Leaves,
                Asks::Waits => Step::Waits(namespace.into()),
            },
            _ if door.is_entering(namespace) => Step::Waits(namespace.into()),
            Kind::Disconnect => {
                note(&mut self.0, namespace);
                Step::Passes
            }
            Kind::Other => Step::Passes,
        }
    }

    fn forget(&mut self, namespace: &str) -> bool {
        let at = self.0.iter().position(|name| **name == *namespace);
        at.inspect(|at| drop(self.0.swap_remove(*at))).is_some()
    }
}

/// Notes a namespace, if there is room for it.
fn note(all: &mut Vec<Box<str>>, namespace: &str) {
    let before = all.iter().any(|name| **name == *namespace);
    if !before && all.len() < MOST && namespace.len() <= LONGEST {
        all.push(namespace.into());
    }
}

/// The namespaces that a client is being let in.
#[derive(Debug, Default)]
pub(crate) struct Entering(Vec<Visit>);

#[derive(Debug)]
struct Visit {
    namespace: Box<str>,
    /// Something waits for it.
    awaited: bool,
    /// It is refused, or about to be: to ask again is something new.
    refused: bool,
}

impl Entering {
    /// It asks for one. Says whether it had before.
    pub fn begin(&mut self, namespace: &str) -> bool {
        let before = self.0.iter().any(|visit| *visit.namespace == *namespace);
        if before {
            return true;
        }
        if self.0.len() < MOST && namespace.len() <= LONGEST {
            self.0.push(Visit { namespace: namespace.into(), awaited: false, refused: false });
        } else {
            Reached::NamespacesAtOnce.count();
        }
        false
    }

    /// It is refused this one. The visit lasts until it is ended.
    pub fn refuse(&mut self, namespace: &str) {
        let visit = self.0.iter_mut().find(|visit| *visit.namespace == *namespace);
        if let Some(visit) = visit {
            (visit.awaited, visit.refused) = (true, true);
        }
    }

    /// Whether it is refused this one, which is not over yet.
    pub fn is_refused(&self, namespace: &str) -> bool {
        self.0.iter().any(|visit| visit.refused && *visit.namespace == *namespace)
    }

    /// Whether it is being let in this one: then something waits for that.
    pub fn awaits(&mut self, namespace: &str) -> bool {
        let mut visits = self.0.iter_mut();
        let visit = visits.find(|visit| *visit.namespace == *namespace);
        visit.is_some_and(|visit| {
            visit.awaited = true;
            true
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// It has been let in this one, or refused; unless something waits for it, and `anyway` does not say so. Says whether
    /// that is so.
    pub fn end(&mut self, namespace: &str, anyway: bool) -> bool {
        let awaited = self.0.iter().any(|visit| visit.awaited && *visit.namespace == *namespace);
        if anyway || !awaited {
            self.0.retain(|visit| *visit.namespace != *namespace);
            if self.0.is_empty() {
                self.0 = Vec::new();
            }
        }
        awaited
    }
}

#[cfg(test)]
pub(crate) mod tests;
