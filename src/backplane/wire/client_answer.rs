//! What a client answered: the values of its ack, however many, binary among them.
//!
//! Between servers the protocols of Node carry the first value alone, in `packet`. Pods of ours add `values`, all of them, where
//! that is not one; and `lost` for an answer that no other server could be given, so that who asked need not wait for it.
//! Node reads neither.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use socketioxide::AckError;
use socketioxide_core::{
    Value,
    parser::{Parse, ParserError, is_de_tuple},
};
use socketioxide_parser_common::CommonParser;

use super::{WireError, document};
use crate::backplane::transcode::{
    Bounds, check_json, check_msgpack, json_to_msgpack, mend_surrogates, msgpack_to_json,
    msgpack_value_to_json,
};

/// What a client answered: the values of its ack, however many they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAnswer {
    /// The text of an array, with placeholders for binary.
    json: String,
    attachments: VecDeque<Bytes>,
}

impl ClientAnswer {
    /// The values: the first as any type, or several as a tuple, or any number as [`Spread`](crate::Spread); `bytes::Bytes`
    /// for binary. The first of none is `()`, or `None`.
    ///
    /// # Errors
    /// [`AckError::Decode`] if they have another form.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, AckError> {
        if self.json == "[]" && !is_de_tuple::<T>() {
            let nothing = T::deserialize(serde_json::Value::Null);
            return nothing.map_err(|error| AckError::Decode(ParserError::new(error)));
        }
        let mut value = self.as_value();
        CommonParser.decode_value(&mut value, false).map_err(AckError::Decode)
    }

    /// The values as JSON; binary as Node's `JSON.stringify` writes a `Buffer`.
    ///
    /// # Errors
    /// [`AckError::Decode`] if JSON cannot hold them.
    pub fn all_arguments(&self) -> Result<Vec<serde_json::Value>, AckError> {
        let all = document::with_buffers(&self.json, &self.attachments);
        all.and_then(|all| Ok(serde_json::from_value(all)?))
            .map_err(|error| AckError::Decode(ParserError::new(error)))
    }

    /// The first of them as JSON; `null` if there is none.
    pub(crate) fn first_json(&self) -> Result<serde_json::Value, AckError> {
        Ok(self.all_arguments()?.into_iter().next().unwrap_or_default())
    }

    /// Reads the ack of a client. What not every server could be given is an error here too.
    pub(in crate::backplane) fn read(ack: &Value) -> Result<Self, WireError> {
        let (json, attachments) = match ack {
            Value::Str(text, attachments) => {
                // Text that was cut within a character is read as Node's UTF-8 has it.
                let text = mend_surrogates(text);
                check_json(&text, Bounds::ELSEWHERE.depth)?;
                let values: Vec<IgnoredAny> = serde_json::from_str(&text)?;
                let json = if values.is_empty() { "[]".to_owned() } else { text.into_owned() };
                (json, attachments.clone().unwrap_or_default())
            }
            Value::Bytes(bytes) => {
                check_msgpack(bytes, Bounds::ELSEWHERE)?;
                msgpack_to_json(bytes, 0..bytes.len())?
            }
        };
        Ok(Self { json, attachments })
    }

    /// Its bytes.
    pub(in crate::backplane) fn size(&self) -> usize {
        self.json.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    fn as_value(&self) -> Value {
        let attachments = (!self.attachments.is_empty()).then(|| self.attachments.clone());
        Value::Str(self.json.clone().into(), attachments)
    }

    fn values(&self) -> Result<Vec<&RawValue>, WireError> {
        Ok(serde_json::from_str(&self.json)?)
    }

    /// As a message in JSON has it: the first value, and all of them if they are not one. `None` if there is binary.
    pub(super) fn as_json(&self) -> Result<Option<(&str, Option<&str>)>, WireError> {
        if !self.attachments.is_empty() {
            return Ok(None);
        }
        let values = self.values()?;
        let first = values.first().map_or("null", |first| first.get());
        Ok(Some((first, (values.len() != 1).then_some(&*self.json))))
    }

    /// The same in msgpack: each a value of its own.
    pub(super) fn as_msgpack(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), WireError> {
        let attachments = (!self.attachments.is_empty()).then_some(&self.attachments);
        let written = |json: &str| -> Result<Vec<u8>, WireError> {
            let mut out = Vec::new();
            json_to_msgpack(json, attachments, &mut out)?;
            Ok(out)
        };
        let values = self.values()?;
        let first = written(values.first().map_or("null", |first| first.get()))?;
        let all = (values.len() != 1).then(|| written(&self.json)).transpose()?;
        Ok((first, all))
    }

    /// Reads what a server says: the first value, and all of them if they are not one.
    pub(super) fn from_json(first: Option<&RawValue>, all: Option<&RawValue>) -> Self {
        let json = match (all, first) {
            // What is no array was not written by a pod of ours.
            (Some(all), _) if all.get().starts_with('[') => all.get().to_owned(),
            (_, Some(first)) => format!("[{}]", first.get()),
            (_, None) => "[]".to_owned(),
        };
        Self { json, attachments: VecDeque::new() }
    }

    /// The same from msgpack.
    pub(super) fn from_msgpack(
        message: &Bytes,
        first: Option<Range<usize>>,
        all: Option<Range<usize>>,
    ) -> Result<Self, WireError> {
        if let Some(all) = all {
            let (json, attachments) = msgpack_to_json(message, all)?;
            return Ok(Self { json, attachments });
        }
        let Some(first) = first else { return Ok(Self::from_json(None, None)) };
        let (json, attachments) = msgpack_value_to_json(message, first)?;
        Ok(Self { json: format!("[{json}]"), attachments })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::Spread;

    fn answer(text: &str, attachments: &[&'static [u8]]) -> ClientAnswer {
        let attachments: VecDeque<_> =
            attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect();
        let attachments = (!attachments.is_empty()).then_some(attachments);
        ClientAnswer::read(&Value::Str(text.to_owned().into(), attachments)).unwrap()
    }

    #[test]
    fn values_are_read_as_one_as_several_and_as_any_number() {
        let two = answer(r#"["a",{"_placeholder":true,"num":0}]"#, &[b"\x01"]);
        assert_eq!(two.arguments::<String>().unwrap(), "a");
        let (text, bytes): (String, Bytes) = two.arguments().unwrap();
        assert_eq!((text.as_str(), &bytes[..]), ("a", &b"\x01"[..]));
        let buffer = json!({"type": "Buffer", "data": [1]});
        assert_eq!(two.all_arguments().unwrap(), [json!("a"), buffer]);
        let numbers = answer("[1,2,3]", &[]);
        assert_eq!(numbers.arguments::<Spread<u8>>().unwrap().0, [1, 2, 3]);
        let none = answer("[ ]", &[]);
        none.arguments::<()>().unwrap();
        assert_eq!(none.arguments::<Option<u8>>().unwrap(), None);
        assert_eq!(none.arguments::<Spread<u8>>().unwrap().0, [0; 0]);
        assert!(none.arguments::<u8>().is_err());
        assert_eq!(none.first_json().unwrap(), json!(null));
    }

    #[test]
    fn what_no_other_server_could_be_given_is_no_answer() {
        let deep = format!("[{}1{}]", "[".repeat(200), "]".repeat(200));
        for text in ["[1e400]", &deep, "[", "{}"] {
            let ack = Value::Str(text.to_owned().into(), None);
            assert!(ClientAnswer::read(&ack).is_err(), "{text}");
        }
        let cut = answer(r#"["a\ud83d"]"#, &[]);
        assert_eq!(cut.arguments::<String>().unwrap(), "a\u{fffd}");
    }

    #[test]
    fn all_values_pass_between_pods_in_json_and_in_msgpack() {
        for text in ["[]", "[null]", "[1]", r#"["a",[2],{"b":3}]"#] {
            let sent = answer(text, &[]);
            let (first, all) = sent.as_json().unwrap().unwrap();
            let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
            let (first, all) = (raw(first), all.map(raw));
            assert_eq!(ClientAnswer::from_json(Some(&first), all.as_deref()), sent);
        }
        let placeholder = |n: u8| format!(r#"{{"_placeholder":true,"num":{n}}}"#);
        let two = format!("[{},1,{}]", placeholder(0), placeholder(1));
        for sent in [answer(&two, &[b"a", b"b"]), answer(&format!("[{}]", placeholder(0)), &[b"a"])]
        {
            assert!(sent.as_json().unwrap().is_none());
            let (first, all) = sent.as_msgpack().unwrap();
            let whole = [first.as_slice(), all.as_deref().unwrap_or_default()].concat();
            let ranges = (0..first.len(), all.map(|_| first.len()..whole.len()));
            let read = ClientAnswer::from_msgpack(&whole.into(), Some(ranges.0), ranges.1).unwrap();
            assert_eq!(read, sent);
        }
    }
}
