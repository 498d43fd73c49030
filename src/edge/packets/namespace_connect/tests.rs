//! What waits, and for whom.

use std::cell::RefCell;

use super::*;

/// A client that is in these namespaces, and being let in those.
#[derive(Default)]
pub struct Client {
    pub is_in: Vec<&'static str>,
    pub entering: RefCell<PendingConnects>,
    pub is_msgpack: bool,
}

impl ClientNamespaces for Client {
    fn on_connect(&self, namespace: &str, left: bool) -> ConnectAction {
        self.entering.borrow_mut().begin(namespace);
        match self.is_in.contains(&namespace) && !left {
            true => ConnectAction::DisconnectFirst,
            false => ConnectAction::Forward,
        }
    }

    fn is_connecting(&self, namespace: &str) -> bool {
        self.entering.borrow_mut().mark_awaited(namespace)
    }

    fn is_connecting_any(&self) -> bool {
        !self.entering.borrow().is_empty()
    }

    fn is_msgpack(&self) -> bool {
        self.is_msgpack
    }
}

/// A client that is let in at once.
pub struct Swift;

impl ClientNamespaces for Swift {
    fn on_connect(&self, _: &str, _: bool) -> ConnectAction {
        ConnectAction::Forward
    }

    fn is_connecting(&self, _: &str) -> bool {
        false
    }

    fn is_connecting_any(&self) -> bool {
        false
    }

    fn is_msgpack(&self) -> bool {
        false
    }
}

#[test]
fn the_namespace_of_a_packet_is_found() {
    for (packet, found) in [
        ("40", Some((PacketKind::Connect, "/"))),
        ("40{}", Some((PacketKind::Connect, "/"))),
        ("40/chat,{}", Some((PacketKind::Connect, "/chat"))),
        ("40/chat?a=b,", Some((PacketKind::Connect, "/chat?a=b"))),
        ("41/chat", Some((PacketKind::Disconnect, "/chat"))),
        ("41", Some((PacketKind::Disconnect, "/"))),
        (r#"42["/a,"]"#, Some((PacketKind::Other, "/"))),
        (r#"42/é,7["a"]"#, Some((PacketKind::Other, "/é"))),
        (r#"4512-/chat,3["a"]"#, Some((PacketKind::Other, "/chat"))),
        (r#"461-["a"]"#, Some((PacketKind::Other, "/"))),
        ("3", None),
        ("4", None),
        ("", None),
    ] {
        assert_eq!(packet_address(packet.as_bytes(), true), found, "{packet}");
    }
    for unfinished in ["40", "40/ch", "42/chat", "451", "451-"] {
        assert_eq!(packet_address(unfinished.as_bytes(), false), None, "{unfinished}");
    }
    assert_eq!(packet_address(b"42[", false), Some((PacketKind::Other, "/")));
}

#[test]
fn what_is_for_a_namespace_waits_until_the_client_is_in() {
    let client = Client { is_in: vec!["/in"], ..Client::default() };
    let mut left = RecentDisconnects::default();
    let mut action_for =
        |packet: &str| left.action_for(packet_address(packet.as_bytes(), true).unwrap(), &client);
    assert_eq!(action_for("41/in,"), PacketAction::Forward);
    assert_eq!(action_for("40/in,"), PacketAction::Forward, "it has left");
    for packet in ["42/in,[1]", "41/in,", "430[1]", "42[1]"] {
        let waits = packet.contains("/in");
        let expected = if waits { PacketAction::Wait("/in".into()) } else { PacketAction::Forward };
        assert_eq!(action_for(packet), expected, "{packet}");
    }
    client.entering.borrow_mut().end("/in", true);
    assert_eq!(action_for("42/in,[1]"), PacketAction::Forward);
    assert_eq!(action_for("40/in,"), PacketAction::DisconnectFirst);
}

#[test]
fn what_is_noted_is_bounded() {
    let mut entering = PendingConnects::default();
    entering.begin(&"x".repeat(MAX_NAME_BYTES + 1));
    (0..100).for_each(|n| assert!(!entering.begin(&n.to_string())));
    assert_eq!(entering.0.len(), MAX_PENDING);
    let mut left = RecentDisconnects::default();
    (0..100).for_each(|n| note(&mut left.0, &n.to_string()));
    assert_eq!(left.0.len(), MAX_PENDING);
}

#[test]
fn what_is_awaited_ends_when_it_is_told_to() {
    let mut entering = PendingConnects::default();
    assert!(!entering.begin("/a") && entering.begin("/a") && !entering.begin("/b"));
    assert!(!entering.end("/b", false) && !entering.mark_awaited("/b"));
    assert!(
        entering.mark_awaited("/a") && entering.end("/a", false) && entering.mark_awaited("/a")
    );
    assert!(entering.end("/a", true) && entering.is_empty());
}

#[test]
fn who_is_refused_asks_again_once_that_is_over() {
    let mut entering = PendingConnects::default();
    entering.begin("/a");
    entering.refuse("/b");
    assert!(!entering.is_refused("/a") && !entering.is_refused("/b"));
    entering.refuse("/a");
    assert!(entering.is_refused("/a") && entering.mark_awaited("/a"));
    entering.end("/a", true);
    assert!(!entering.is_refused("/a") && entering.is_empty());
}
