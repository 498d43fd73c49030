//! Parses of an event what is needed to route it, and validates the rest: other clients must be able to read it.
//!
//! A relayed event goes on as it came, byte for byte. So it must be checked first: the stock client
//! closes its connection on a packet that it cannot decode, which would let one client take others
//! down. What the client refuses is listed in `socket.io-parser`: an event name that is reserved,
//! JSON that is none, and a placeholder for an attachment that does not exist. What not every parser and protocol can
//! carry is found by [`check_portable`], and refused too.

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use socketioxide_core::Value;

use crate::backplane::{
    Bounds, MsgpackReader, MsgpackToken, TranscodeError, Unportable, check_portable, is_reserved,
};

/// The parts of an event that route it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) struct EventHead<'a> {
    pub name: Cow<'a, str>,
    /// The first argument, if it is text: for a relayed event, the room.
    pub first: Option<Cow<'a, str>>,
}

/// Why an event is refused: other clients could not read it.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum EventError {
    #[error("not an array that begins with the name of an event: {0}")]
    Json(#[from] serde_json::Error),
    #[error("not an array that begins with the name of an event: {0}")]
    Msgpack(#[from] TranscodeError),
    #[error("not an event: {0}")]
    Broken(Unportable),
    #[error("the name {0:?} is reserved")]
    Reserved(String),
    /// It is an event, which a stock client may send, and not all clients could be given it.
    #[error("the arguments cannot reach all clients: {0}")]
    Unportable(Unportable),
}

impl From<Unportable> for EventError {
    fn from(error: Unportable) -> Self {
        match error {
            Unportable::Broken(_) => Self::Broken(error),
            _ => Self::Unportable(error),
        }
    }
}

/// Parses and validates a whole event.
pub(in crate::gateway) fn parse_event(
    value: &Value,
    bounds: Bounds,
) -> Result<EventHead<'_>, EventError> {
    check_portable(value, bounds)?;
    let head = match value {
        Value::Str(text, attachments) => {
            let attachments = attachments.as_ref().map(|all| RefCell::new(vec![false; all.len()]));
            let mut json = serde_json::Deserializer::from_str(text);
            let head = EventSeed { attachments: attachments.as_ref() }.deserialize(&mut json)?;
            json.end()?;
            head
        }
        Value::Bytes(bytes) => {
            let mut reader = MsgpackReader::new(bytes);
            let length = reader.read_array_len()?;
            let name = parse_name(&mut reader)?;
            let first = match length {
                ..2 => None,
                _ => match reader.token()? {
                    MsgpackToken::Text(text) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
                    _ => None,
                },
            };
            EventHead { name, first }
        }
    };
    if is_reserved(&head.name) {
        return Err(EventError::Reserved(head.name.into_owned()));
    }
    Ok(head)
}

/// The name of an event in msgpack. As on Node: a number is a name, too.
pub(in crate::gateway) fn parse_name<'a>(
    reader: &mut MsgpackReader<'a>,
) -> Result<Cow<'a, str>, TranscodeError> {
    let number = match reader.peek()? {
        MsgpackToken::Unsigned(number) => number as f64,
        MsgpackToken::Signed(number) => number as f64,
        MsgpackToken::Float(number) => number,
        _ => return reader.read_str().map(Cow::Borrowed),
    };
    reader.skip_value()?;
    Ok(number_to_name(number).into())
}

/// Reads an array: a name, a first argument, and more.
struct EventSeed<'a> {
    /// Whether a placeholder has taken each of the attachments that came with the event; `None` for an event without
    /// any, whose placeholders no client looks at.
    attachments: Option<&'a RefCell<Vec<bool>>>,
}

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = EventHead<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = EventHead<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let value = ValueSeed { attachments: self.attachments };
        // As on Node: a number is a name, the one that it has as a property.
        let name = match seq.next_element_seed(value)? {
            Some(ParsedValue::Text(name)) => name,
            Some(ParsedValue::Index(number)) => number_to_name(number as f64).into(),
            Some(ParsedValue::Number(number)) => number_to_name(number).into(),
            _ => return Err(de::Error::custom("no event name")),
        };
        let first = seq.next_element_seed(value)?.and_then(ParsedValue::text);
        while value.skip_element(&mut seq)? {}
        Ok(EventHead { name, first })
    }
}

/// What the parser has to know of a value.
#[derive(PartialEq)]
enum ParsedValue<'a> {
    Text(Cow<'a, str>),
    True,
    Index(usize),
    /// One that is no index.
    Number(f64),
    Other,
}

impl<'a> ParsedValue<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A number as JavaScript writes it (ECMAScript, "Number::toString").
fn number_to_name(number: f64) -> String {
    match number.abs() {
        0.0 => "0".into(),
        1e-6..1e21 => number.to_string(),
        1e21.. => format!("{number:e}").replace('e', "e+"),
        _ => format!("{number:e}"),
    }
}

/// Reads any value, and checks the placeholders in it if there are attachments.
#[derive(Clone, Copy)]
struct ValueSeed<'a> {
    attachments: Option<&'a RefCell<Vec<bool>>>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ParsedValue<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ParsedValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an argument")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(ParsedValue::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(ParsedValue::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(if value { ParsedValue::True } else { ParsedValue::Other })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(usize::try_from(number).map_or(ParsedValue::Number(number as f64), ParsedValue::Index))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(ParsedValue::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(ParsedValue::Number(number))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(ParsedValue::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while self.skip_element(&mut seq)? {}
        Ok(ParsedValue::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(attachments) = self.attachments else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(ParsedValue::Other);
        };
        // As in JavaScript, the last of several equal keys counts.
        let (mut placeholder, mut number) = (ParsedValue::Other, ParsedValue::Other);
        while let Some(Key(key)) = map.next_key()? {
            let value = map.next_value_seed(self)?;
            match &*key {
                "_placeholder" => placeholder = value,
                "num" => number = value,
                _ => {}
            }
        }
        if placeholder == ParsedValue::True {
            let mut attachments = attachments.borrow_mut();
            let taken = match number {
                ParsedValue::Index(index) => attachments.get_mut(index),
                _ => None,
            };
            match taken {
                Some(taken) if !*taken => *taken = true,
                // Between pods, binary has the place of its placeholder: each more is a copy.
                Some(_) => {
                    return Err(de::Error::custom("two placeholders for the same attachment"));
                }
                None => {
                    let message = "a placeholder for an attachment that is not there";
                    return Err(de::Error::custom(message));
                }
            }
        }
        Ok(ParsedValue::Other)
    }
}

impl ValueSeed<'_> {
    /// Reads one element of which nothing matters, as cheaply as can be. Says whether there was one.
    fn skip_element<'de, A: SeqAccess<'de>>(self, seq: &mut A) -> Result<bool, A::Error> {
        Ok(match self.attachments {
            Some(_) => seq.next_element_seed(self)?.is_some(),
            None => seq.next_element::<IgnoredAny>()?.is_some(),
        })
    }
}

/// A key of a map, not copied if it need not be.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;

    use super::*;

    const BOUNDS: Bounds = Bounds { depth: 64, attachments: 10 };

    fn inspect(value: &Value) -> Result<EventHead<'_>, EventError> {
        super::parse_event(value, BOUNDS)
    }

    fn json(text: &str) -> Value {
        Value::Str(text.to_owned().into(), None)
    }

    fn binary(text: &str, attachments: usize) -> Value {
        let attachments = VecDeque::from(vec![bytes::Bytes::from_static(b"x"); attachments]);
        Value::Str(text.to_owned().into(), Some(attachments))
    }

    #[test]
    fn name_and_first_argument_are_read() {
        for (text, name, first) in [
            (r#"["chat","public-a",{"deep":[1,null,true,1.5,-3]}]"#, "chat", Some("public-a")),
            (r#"["chat",{"room":"x"}]"#, "chat", None),
            (r#"["chat"]"#, "chat", None),
            (r#"["a\"b","c\u00e9"]"#, "a\"b", Some("c\u{e9}")),
            (r#"[1,"a"]"#, "1", Some("a")),
            ("[-0]", "0", None),
            ("[-1.50]", "-1.5", None),
            ("[1e3]", "1000", None),
            ("[12345678901234567890]", "12345678901234567000", None),
            ("[1e21]", "1e+21", None),
            ("[15e-8]", "1.5e-7", None),
        ] {
            let value = json(text);
            let head = inspect(&value).unwrap();
            assert_eq!((&*head.name, head.first.as_deref()), (name, first), "{text}");
        }
    }

    #[test]
    fn what_a_stock_client_may_send_and_not_all_can_have_is_told_from_what_is_no_event() {
        let broken = Value::Bytes(b"\x92\xa4chat\xc1".as_slice().into());
        assert!(matches!(inspect(&broken), Err(EventError::Broken(_))));
        let text = Value::Bytes(b"\x92\xa4chat\xa2\xff\xfe".as_slice().into());
        for event in [text, json(r#"["chat","\ud83d"]"#), json(r#"["chat","a",1e400]"#)] {
            assert!(matches!(inspect(&event), Err(EventError::Unportable(_))), "{event:?}");
        }
    }

    #[test]
    fn msgpack_is_read_too() {
        let bytes = rmp_serde::to_vec(&("chat", "public-a", 3, Some(1.5), [true])).unwrap();
        let value = Value::Bytes(bytes.into());
        let head = inspect(&value).unwrap();
        assert_eq!((&*head.name, head.first.as_deref()), ("chat", Some("public-a")));
        assert!(inspect(&Value::Bytes(b"\x93\xa4chat\x01".as_slice().into())).is_err());
    }

    #[test]
    fn what_would_take_another_client_down_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            "[null]",
            r#"["chat","a""#,
            r#"["chat","a"] and more"#,
            r#"["chat","a",{]"#,
            r#"["connect"]"#,
            r#"["disconnect","a"]"#,
        ] {
            assert!(inspect(&json(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn placeholders_must_have_their_attachment() {
        let good =
            r#"["f","a",{"_placeholder":true,"num":0},[{"x":{"num":1,"_placeholder":true}}]]"#;
        assert!(inspect(&binary(good, 2)).is_ok());
        for text in [
            good,
            r#"["f","a",{"_placeholder":true}]"#,
            r#"["f","a",{"_placeholder":true,"num":-1}]"#,
            r#"["f","a",{"_placeholder":true,"num":"0"}]"#,
            r#"["f","a",{"_placeholder":false,"_placeholder":true,"num":0,"num":7}]"#,
            r#"["f","a",{"_placeholder":{"_placeholder":true,"num":7}}]"#,
            r#"["f","a",{"num":{"_placeholder":true,"num":7}}]"#,
            r#"["f",{"_placeholder":true,"num":7}]"#,
            r#"["f",[{"_placeholder":true,"num":0}],{"_placeholder":true,"num":0}]"#,
        ] {
            assert!(inspect(&binary(text, 1)).is_err(), "{text}");
        }
        // No client looks for attachments in an event that has none.
        assert!(inspect(&json(good)).is_ok());
    }

    #[test]
    fn deep_nesting_ends_no_stack() {
        let deep = format!(r#"["chat","a",{}1{}]"#, "[".repeat(100_000), "]".repeat(100_000));
        for event in [json(&deep), binary(&deep, 1)] {
            assert!(matches!(inspect(&event), Err(EventError::Unportable(_))));
        }
    }
}
