//! CONNECT packets: a client that connects to a namespace again, and what it sends there before it is connected.
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
pub(crate) const REFUSED_SOCKET_TIMEOUT: Duration = Duration::from_secs(1);
/// The most CONNECTs of one connection that are pending at the same time.
const MAX_PENDING: usize = 8;
/// The longest name of a namespace that is noted, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// What the connection of a client knows of its namespaces.
pub(crate) trait ClientNamespaces {
    /// The client sends a CONNECT. `left` says that it has just sent a DISCONNECT, of which nobody else knows yet.
    fn on_connect(&self, namespace: &str, left: bool) -> ConnectAction;
    /// Whether it is being connected to that namespace: then something waits for that from now on.
    fn is_connecting(&self, namespace: &str) -> bool;
    /// Whether it is being connected to any namespace.
    fn is_connecting_any(&self) -> bool;
    /// Whether its packets are those of `socket.io-msgpack-parser`.
    fn is_msgpack(&self) -> bool;
}

/// What is to be done with a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectAction {
    /// It goes to socketioxide as it is.
    Forward,
    /// The client is connected to the namespace already, so it has to disconnect first.
    DisconnectFirst,
    /// The client is being connected already, and may have been told so. The CONNECT waits until that is done.
    Wait,
}

/// What is to be done with a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PacketAction {
    /// It goes to socketioxide as it is.
    Forward,
    /// A DISCONNECT of the same namespace goes before it.
    DisconnectFirst,
    /// It waits until the client is connected to this namespace, or refused.
    Wait(Box<str>),
}

/// What a packet is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketKind {
    Connect,
    Disconnect,
    Other,
}

/// Whether a packet of text that begins so may have to wait, or may be a CONNECT or a DISCONNECT.
pub(crate) fn may_concern_namespace(packet: &[u8], namespaces: &impl ClientNamespaces) -> bool {
    match packet {
        [b'4', b'0' | b'1', ..] => true,
        [b'4', _, ..] => namespaces.is_connecting_any(),
        _ => false,
    }
}

/// The kind of a packet of text, and its namespace. `None` if the name of the namespace is not all there yet.
pub(crate) fn packet_address(packet: &[u8], whole: bool) -> Option<(PacketKind, &str)> {
    let (kind, rest) = match packet {
        [b'4', b'0', rest @ ..] => (PacketKind::Connect, rest),
        [b'4', b'1', rest @ ..] => (PacketKind::Disconnect, rest),
        [b'4', b'5' | b'6', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (PacketKind::Other, rest.get(digits + 1..).unwrap_or_default())
        }
        [b'4', _, rest @ ..] => (PacketKind::Other, rest),
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

/// The DISCONNECT packet of a namespace, as text.
pub(crate) fn disconnect_packet(namespace: &str) -> Vec<u8> {
    match namespace {
        "/" => b"41".to_vec(),
        path => format!("41{path},").into_bytes(),
    }
}

/// The namespaces that a client has just sent a DISCONNECT for, of which nobody else knows yet. If one is not noted, the
/// client is disconnected from it twice, which does nothing.
#[derive(Debug, Default)]
pub(crate) struct RecentDisconnects(Vec<Box<str>>);

impl RecentDisconnects {
    /// What is to be done with a packet.
    pub fn action_for(
        &mut self,
        (kind, namespace): (PacketKind, &str),
        namespaces: &impl ClientNamespaces,
    ) -> PacketAction {
        match kind {
            PacketKind::Connect => match namespaces.on_connect(namespace, self.forget(namespace)) {
                ConnectAction::Forward => PacketAction::Forward,
                ConnectAction::DisconnectFirst => PacketAction::DisconnectFirst,
                ConnectAction::Wait => PacketAction::Wait(namespace.into()),
            },
            _ if namespaces.is_connecting(namespace) => PacketAction::Wait(namespace.into()),
            PacketKind::Disconnect => {
                note(&mut self.0, namespace);
                PacketAction::Forward
            }
            PacketKind::Other => PacketAction::Forward,
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
    if !before && all.len() < MAX_PENDING && namespace.len() <= MAX_NAME_BYTES {
        all.push(namespace.into());
    }
}

/// The CONNECTs of a client that have not been answered.
#[derive(Debug, Default)]
pub(crate) struct PendingConnects(Vec<PendingConnect>);

#[derive(Debug)]
struct PendingConnect {
    namespace: Box<str>,
    /// Something waits for it.
    awaited: bool,
    /// It is refused, or about to be: to ask again is something new.
    refused: bool,
}

impl PendingConnects {
    /// A CONNECT begins. Says whether one of the same namespace had begun before.
    pub fn begin(&mut self, namespace: &str) -> bool {
        let before = self.0.iter().any(|pending| *pending.namespace == *namespace);
        if before {
            return true;
        }
        if self.0.len() < MAX_PENDING && namespace.len() <= MAX_NAME_BYTES {
            self.0.push(PendingConnect {
                namespace: namespace.into(),
                awaited: false,
                refused: false,
            });
        } else {
            Reached::NamespacesAtOnce.count();
        }
        false
    }

    /// A CONNECT is refused. It stays pending until it is ended.
    pub fn refuse(&mut self, namespace: &str) {
        let pending = self.0.iter_mut().find(|pending| *pending.namespace == *namespace);
        if let Some(pending) = pending {
            (pending.awaited, pending.refused) = (true, true);
        }
    }

    /// Whether a CONNECT of this namespace is refused, and still pending.
    pub fn is_refused(&self, namespace: &str) -> bool {
        self.0.iter().any(|pending| pending.refused && *pending.namespace == *namespace)
    }

    /// Notes that something waits for a CONNECT. Says whether there is one.
    pub fn mark_awaited(&mut self, namespace: &str) -> bool {
        let mut pendings = self.0.iter_mut();
        let pending = pendings.find(|pending| *pending.namespace == *namespace);
        pending.is_some_and(|pending| {
            pending.awaited = true;
            true
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A CONNECT has been answered. If something waits for it, it stays pending, unless `anyway` is set. Says whether
    /// something waits for it.
    pub fn end(&mut self, namespace: &str, anyway: bool) -> bool {
        let awaited =
            self.0.iter().any(|pending| pending.awaited && *pending.namespace == *namespace);
        if anyway || !awaited {
            self.0.retain(|pending| *pending.namespace != *namespace);
            if self.0.is_empty() {
                self.0 = Vec::new();
            }
        }
        awaited
    }
}

#[cfg(test)]
pub(crate) mod tests;
