//! CONNECT with a query, as clients of version 2 send it: `40/chat?token=x,`.
//!
//! Gap: socketioxide takes `/chat?token=x` for the name of a namespace, which there is none of, and says nothing. Way
//! round: the query goes where Node puts it, into the `auth` of the handshake, as clients of later versions send theirs:
//! `40/chat,{"token":"x"}`. No upstream issue was found; the mend belongs in `Client::on_message` of socketioxide.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::form_urlencoded;

/// A packet that connects to a namespace which has a name.
pub(crate) const CONNECT: &[u8] = b"40/";
/// Bytes of a packet that may have a query; nobody's name and query are longer.
pub(crate) const LONGEST: usize = 8 * 1024;

/// A packet of a client of Engine.IO v3, its query as `auth`.
pub(crate) fn mend_packet(packet: &[u8]) -> Cow<'_, [u8]> {
    match with_auth(packet) {
        Some(packet) => Cow::Owned(packet),
        None => Cow::Borrowed(packet),
    }
}

fn with_auth(packet: &[u8]) -> Option<Vec<u8>> {
    if !packet.starts_with(CONNECT) || packet.len() > LONGEST {
        return None;
    }
    let address = packet.split(|byte| *byte == b',').next()?;
    let question = address.iter().position(|byte| *byte == b'?')?;
    let (name, query) = (&address[..question], &address[question + 1..]);
    // Such a client is in the root already.
    if name == CONNECT {
        return None;
    }
    let query = query.split(|byte| *byte == b'#').next()?;
    let mut auth = Map::new();
    for (key, value) in form_urlencoded::parse(query) {
        let value = Value::String(value.into_owned());
        match auth.get_mut(&*key) {
            None => {
                auth.insert(key.into_owned(), value);
            }
            // As Node's `querystring`: several of one name are a list.
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    let auth = serde_json::to_vec(&auth).ok()?;
    Some([name, b",", &auth].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_auth() {
        for (sent, mended) in [
            ("40/chat?token=x,", r#"40/chat,{"token":"x"}"#),
            ("40/chat?token=x", r#"40/chat,{"token":"x"}"#),
            ("40/chat?a=b%20c+d&e,", r#"40/chat,{"a":"b c d","e":""}"#),
            ("40/chat?a=%22%5C&b=%C3%A9", r#"40/chat,{"a":"\"\\","b":"é"}"#),
            ("40/chat?a=1&a=2&a=3,", r#"40/chat,{"a":["1","2","3"]}"#),
            ("40/chat?a=1#top,", r#"40/chat,{"a":"1"}"#),
            ("40/chat?,", "40/chat,{}"),
            ("40/é?a=1,", r#"40/é,{"a":"1"}"#),
            ("40/chat?a=%ff%", "40/chat,{\"a\":\"\u{fffd}%\"}"),
        ] {
            assert_eq!(mend_packet(sent.as_bytes()), mended.as_bytes(), "{sent}");
        }
    }

    #[test]
    fn nothing_else_is_changed() {
        let long = format!("40/chat?a={},", "x".repeat(LONGEST));
        for packet in [
            "40/chat,",
            "40",
            "40?a=1",
            "40/?a=1,",
            "42/chat?a=1,[\"a\"]",
            "40/chat,{\"a\":\"?\"}",
            "",
            &long,
        ] {
            assert_eq!(mend_packet(packet.as_bytes()), packet.as_bytes(), "{packet}");
        }
    }
}
