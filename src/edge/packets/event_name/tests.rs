//! What is marked, and how it comes through.

#![allow(clippy::unwrap_used)]

use super::*;

/// Events that need a mark, and where its place is.
pub const ODD: [(&str, usize); 10] = [
    (r#"42["say \"hi\""]"#, 3),
    (r#"42["\u00e9",1]"#, 3),
    (r#"42/chat,17["a\tb"]"#, 11),
    (r#"451-["\\",{"_placeholder":true,"num":0}]"#, 5),
    (r#"4512-/chat,3[ "\n"]"#, 13),
    (r#"42[1,"x"]"#, 3),
    ("42[-1.5]", 3),
    (r#"42 ["\n"]"#, 4),
    ("42[\"\x7f\"]", 3),
    ("42[\"\x7f\",\"chat\"]", 3),
];
pub const PLAIN: [&str; 12] = [
    r#"42["chat","\u00e9"]"#,
    "42[\"\u{e9}\"]",
    "42[\"a\x7f\"]",
    r#"430["\n"]"#,
    r#"40{"a":"\n"}"#,
    r#"461-["\n"]"#,
    "42[]",
    "42[null]",
    "42{}",
    "2probe",
    "",
    "4",
];

pub fn marked(packet: &str, place: usize) -> Vec<u8> {
    [&packet.as_bytes()[..place], &MARK, &packet.as_bytes()[place..]].concat()
}

#[test]
fn only_names_that_need_it_have_a_mark() {
    for (packet, place) in ODD {
        assert_eq!(mark(packet.as_bytes()), Some(marked(packet, place)), "{packet}");
    }
    for packet in PLAIN {
        assert_eq!(mark(packet.as_bytes()), None, "{packet}");
    }
}

#[test]
fn what_was_marked_is_as_it_was_sent() {
    for (packet, place) in ODD {
        let text = String::from_utf8(marked(packet, place)).unwrap();
        let payload = Value::Str(text[place - 1..].to_owned().into(), None);
        let Value::Str(unmarked, _) = unmark(payload) else { panic!() };
        assert_eq!(unmarked.as_str(), &packet[place - 1..]);
    }
    let plain = Value::Str("[\"chat\"]".into(), None);
    assert_eq!(unmark(plain.clone()), plain);
}
