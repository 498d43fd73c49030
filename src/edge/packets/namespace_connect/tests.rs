//! What waits, and for whom.

use std::cell::RefCell;

use super::*;

/// A client that is in these namespaces, and being let in those.
#[derive(Default)]
pub struct Client {
    pub is_in: Vec<&'static str>,
    pub entering: RefCell<Entering>,
    pub is_msgpack: bool,
}

impl Door for Client {
    fn asks(&self, namespace: &str, left: bool) -> Asks {
        self.entering.borrow_mut().begin(namespace);
        match self.is_in.contains(&namespace) && !left {
            true => Asks::Leaves,
            false => Asks::Passes,
        }
    }

    fn is_entering(&self, namespace: &str) -> bool {
        self.entering.borrow_mut().awaits(namespace)
    }

    fn is_entering_any(&self) -> bool {
        !self.entering.borrow().is_empty()
    }

    fn is_msgpack(&self) -> bool {
        self.is_msgpack
    }
}

/// A client that is let in at once.
pub struct Swift;

impl Door for Swift {
    fn asks(&self, _: &str, _: bool) -> Asks {
        Asks::Passes
    }

    fn is_entering(&self, _: &str) -> bool {
        false
    }

    fn is_entering_any(&self) -> bool {
        false
    }

    fn is_msgpack(&self) -> bool {
        false
    }
}

#[test]
fn the_namespace_of_a_packet_is_found() {
    for (packet, found) in [
        ("40", Some((Kind::Connect, "/"))),
        ("40{}", Some((Kind::Connect, "/"))),
        ("40/chat,{}", Some((Kind::Connect, "/chat"))),
        ("40/chat?a=b,", Some((Kind::Connect, "/chat?a=b"))),
        ("41/chat", Some((Kind::Disconnect, "/chat"))),
        ("41", Some((Kind::Disconnect, "/"))),
        (r#"42["/a,"]"#, Some((Kind::Other, "/"))),
        (r#"42/é,7["a"]"#, Some((Kind::Other, "/é"))),
        (r#"4512-/chat,3["a"]"#, Some((Kind::Other, "/chat"))),
        (r#"461-["a"]"#, Some((Kind::Other, "/"))),
        ("3", None),
        ("4", None),
        ("", None),
    ] {
        assert_eq!(address(packet.as_bytes(), true), found, "{packet}");
    }
    for unfinished in ["40", "40/ch", "42/chat", "451", "451-"] {
        assert_eq!(address(unfinished.as_bytes(), false), None, "{unfinished}");
    }
    assert_eq!(address(b"42[", false), Some((Kind::Other, "/")));
}

#[test]
fn what_is_for_a_namespace_waits_until_the_client_is_in() {
    let client = Client { is_in: vec!["/in"], ..Client::default() };
    let mut left = Left::default();
    let mut step = |packet: &str| left.step(address(packet.as_bytes(), true).unwrap(), &client);
    assert_eq!(step("41/in,"), Step::Passes);
    assert_eq!(step("40/in,"), Step::Passes, "it has left");
    for packet in ["42/in,[1]", "41/in,", "430[1]", "42[1]"] {
        let waits = packet.contains("/in");
        let expected = if waits { Step::Waits("/in".into()) } else { Step::Passes };
        assert_eq!(step(packet), expected, "{packet}");
    }
    client.entering.borrow_mut().end("/in", true);
    assert_eq!(step("42/in,[1]"), Step::Passes);
    assert_eq!(step("40/in,"), Step::Leaves);
}

#[test]
fn what_is_noted_is_bounded() {
    let mut entering = Entering::default();
    entering.begin(&"x".repeat(LONGEST + 1));
    (0..100).for_each(|n| assert!(!entering.begin(&n.to_string())));
    assert_eq!(entering.0.len(), MOST);
    let mut left = Left::default();
    (0..100).for_each(|n| note(&mut left.0, &n.to_string()));
    assert_eq!(left.0.len(), MOST);
}

#[test]
fn what_is_awaited_ends_when_it_is_told_to() {
    let mut entering = Entering::default();
    assert!(!entering.begin("/a") && entering.begin("/a") && !entering.begin("/b"));
    assert!(!entering.end("/b", false) && !entering.awaits("/b"));
    assert!(entering.awaits("/a") && entering.end("/a", false) && entering.awaits("/a"));
    assert!(entering.end("/a", true) && entering.is_empty());
}

#[test]
fn who_is_refused_asks_again_once_that_is_over() {
    let mut entering = Entering::default();
    entering.begin("/a");
    entering.refuse("/b");
    assert!(!entering.is_refused("/a") && !entering.is_refused("/b"));
    entering.refuse("/a");
    assert!(entering.is_refused("/a") && entering.awaits("/a"));
    entering.end("/a", true);
    assert!(!entering.is_refused("/a") && entering.is_empty());
}
