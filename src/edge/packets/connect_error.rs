//! What a client is told whose CONNECT is refused.
//!
//! Gap: socketioxide tells it a text alone, `{"message":"…"}`, where Node's server has `{"message":"…","data":{…}}`; and
//! to a client of Engine.IO 3, which knows no such object, Node says the data alone, or the message if there is none.
//! Way round: the text holds all that is to be said, as JSON behind a mark, and takes the place of the object on the way
//! to the client. A connection says how many such texts are under way to it, so that what is written to others is not
//! looked at. No upstream issue was found; the mend belongs in `ConnectHandler::call_middleware` of socketioxide.
//!
//! Formats: Socket.IO protocol, revision 5, "Packet encoding"; `socket.io-msgpack-parser`, whose packets are maps.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::engine_io::SEPARATOR;

/// What the text begins with.
const MARK: char = '\u{1}';
/// What stands before it in JSON.
const IN_JSON: &[u8] = br#"{"message":"\u0001"#;
/// What stands before it in msgpack: a map of one, and its key.
const IN_MSGPACK: &[u8] = b"\x81\xa7message";

/// The text for socketioxide which has a client told this.
pub(crate) fn text(said: &Value) -> String {
    format!("{MARK}{said}")
}

/// A packet with what is to be said, if it is such a one: as text, with the type of Engine.IO before it, or in msgpack.
pub(crate) fn packet(packet: &[u8], binary: bool) -> Option<Vec<u8>> {
    let said = |text: &str| serde_json::from_str::<Value>(text.strip_prefix(MARK)?).ok();
    if binary {
        let at = find_last(packet, IN_MSGPACK)?;
        let said = said(rmp_serde::from_slice(&packet[at + IN_MSGPACK.len()..]).ok()?)?;
        let said = rmp_serde::to_vec_named(&said).ok()?;
        return Some([&packet[..at], &said].concat());
    }
    // A name of a namespace may be anything, but comes before; and within the text, quotes are escaped.
    let at = packet.starts_with(b"44").then(|| find_last(packet, IN_JSON))??;
    let error: Value = serde_json::from_slice(&packet[at..]).ok()?;
    let said = said(error["message"].as_str()?)?.to_string();
    Some([&packet[..at], said.as_bytes()].concat())
}

/// The same for one of a payload of Engine.IO 4, where binary is base64 behind a `b`; of Engine.IO 3, behind `b4`.
pub(crate) fn polled(text: &[u8]) -> Option<Vec<u8>> {
    let Some(base64) = text.strip_prefix(b"b") else { return packet(text, false) };
    let said = packet(&STANDARD.decode(base64).ok()?, true)?;
    Some([b"b", STANDARD.encode(said).as_bytes()].concat())
}

/// The answer to a poll of Engine.IO 4, and how many packets of it are others now.
pub(crate) fn in_payload(body: &[u8]) -> (Vec<u8>, u32) {
    let mut changed = 0;
    let packets = body.split(|byte| *byte == SEPARATOR).map(|packet| {
        let said = polled(packet);
        changed += u32::from(said.is_some());
        said.unwrap_or_else(|| packet.to_vec())
    });
    let packets: Vec<_> = packets.collect();
    (packets.join(&SEPARATOR), changed)
}

fn find_last(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).rposition(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn error(said: &Value) -> String {
        json!({ "message": text(said) }).to_string()
    }

    #[test]
    fn what_is_to_be_said_takes_the_place_of_the_text() {
        let said = json!({"message": "say {\"message\":\"\u{1}\"}", "data": {"code": "x"}});
        for (head, said) in [("44", &said), ("44/chat,", &said), ("44", &json!({"code": "x"}))] {
            let packet = super::packet(format!("{head}{}", error(said)).as_bytes(), false).unwrap();
            assert_eq!(String::from_utf8(packet).unwrap(), format!("{head}{said}"));
        }
    }

    #[test]
    fn nothing_else_is_changed() {
        for other in ["", "44", r#"44{"message":"Invalid namespace"}"#, "2", "42[\"a\"]"] {
            assert_eq!(packet(other.as_bytes(), false), None, "{other}");
            assert_eq!(packet(other.as_bytes(), true), None, "{other}");
        }
        let event = format!("42[\"a\",{}]", error(&json!(1)));
        assert_eq!(packet(event.as_bytes(), false), None);
    }

    #[test]
    fn msgpack_too() {
        let said = json!({"message": "no", "data": {"code": "x"}});
        let whole = |data: &Value| {
            rmp_serde::to_vec_named(&json!({"nsp": "/chat", "type": 4, "zdata": data})).unwrap()
        };
        let sent = whole(&json!({ "message": text(&said) }));
        assert_eq!(packet(&sent, true), Some(whole(&said)));
        let polled = format!("3\u{1e}b{}", STANDARD.encode(&sent));
        let right = format!("3\u{1e}b{}", STANDARD.encode(whole(&said)));
        assert_eq!(in_payload(polled.as_bytes()), (right.into_bytes(), 1));
        assert_eq!(in_payload(b"2\x1e3"), (b"2\x1e3".to_vec(), 0));
    }
}
