//! An event or an ack, between the form that the parser of this pod has and that of the wire.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::value::RawValue;
use socketioxide_core::Value;

use super::{WireError, document};
use crate::{
    backplane::transcode::{
        Bounds, Reader, Token, check_msgpack, contains_binary, json_to_msgpack, msgpack_to_json,
        with_legacy_dates,
    },
    config::Parser,
};

/// Event names that `socket.io-parser` keeps for itself (`RESERVED_EVENTS`).
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Whether a client would refuse an event of this name.
pub fn is_reserved(event: &str) -> bool {
    RESERVED.contains(&event)
}

/// What the parser of this pod reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON text, binary beside it.
    Json,
    /// Msgpack with binary in it.
    Msgpack,
}

impl From<Parser> for Format {
    fn from(parser: Parser) -> Self {
        match parser {
            Parser::Json => Self::Json,
            Parser::Msgpack => Self::Msgpack,
        }
    }
}

impl Format {
    /// An event from the msgpack in a part of a message.
    pub(super) fn event_from_msgpack(
        self,
        message: &Bytes,
        event: std::ops::Range<usize>,
    ) -> Result<Value, WireError> {
        let mut head = Reader::part(message, event.clone())?;
        head.read_array_len()?;
        match head.token()? {
            Token::Text(name) if std::str::from_utf8(name).is_ok_and(|name| !is_reserved(name)) => {
            }
            Token::Unsigned(_) | Token::Signed(_) => {}
            _ => return Err(WireError::BadEvent),
        }
        match self {
            Self::Msgpack => {
                let event = message.slice(event);
                // It goes to clients as it is: what none of them reads would disconnect them all.
                check_msgpack(&event, Bounds::ELSEWHERE)?;
                Ok(Value::Bytes(with_legacy_dates(&event)?.map_or(event, Bytes::from)))
            }
            Self::Json => {
                let (text, attachments) = msgpack_to_json(message, event)?;
                Ok(text_value(text, attachments))
            }
        }
    }

    /// An event from its JSON text, which holds no binary.
    pub(super) fn event_from_json(self, event: &RawValue) -> Result<Value, WireError> {
        /// Only the name matters; the rest is known to be JSON.
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Name<'a> {
            Text(#[serde(borrow)] std::borrow::Cow<'a, str>),
            Number(#[allow(dead_code)] f64),
        }

        let text = event.get();
        let name = text.strip_prefix('[').ok_or(WireError::BadEvent)?;
        let mut name = serde_json::Deserializer::from_str(name).into_iter::<Name<'_>>();
        match name.next() {
            Some(Ok(Name::Text(name))) if !is_reserved(&name) => {}
            Some(Ok(Name::Number(_))) => {}
            _ => return Err(WireError::BadEvent),
        }
        match self {
            Self::Json => Ok(text_value(text.to_owned(), VecDeque::new())),
            Self::Msgpack => {
                let mut bytes = Vec::with_capacity(text.len());
                json_to_msgpack(text, None, &mut bytes)?;
                Ok(Value::Bytes(bytes.into()))
            }
        }
    }
}

fn text_value(text: String, attachments: VecDeque<Bytes>) -> Value {
    Value::Str(text.into(), (!attachments.is_empty()).then_some(attachments))
}

/// Appends an event as msgpack.
pub(super) fn write_msgpack(event: &Value, out: &mut Vec<u8>) -> Result<(), WireError> {
    match event {
        Value::Str(text, attachments) => json_to_msgpack(text, attachments.as_ref(), out)?,
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
    }
    Ok(())
}

/// An event as JSON text; `None` if it holds binary.
pub(super) fn as_json(event: &Value) -> Result<Option<std::borrow::Cow<'_, str>>, WireError> {
    Ok(match event {
        Value::Str(text, None) => Some(text.as_str().into()),
        Value::Str(_, Some(attachments)) if !attachments.is_empty() => None,
        Value::Str(text, Some(_)) => Some(text.as_str().into()),
        Value::Bytes(bytes) if contains_binary(bytes) => None,
        Value::Bytes(bytes) => Some(msgpack_to_json(bytes, 0..bytes.len())?.0.into()),
    })
}

/// All values of an event or an ack, as JSON, with binary as Node's JSON writes it.
pub fn all_of(value: &Value) -> Result<Vec<serde_json::Value>, WireError> {
    let json = match value {
        Value::Str(text, None) => serde_json::from_str(text)?,
        Value::Str(text, Some(attachments)) => document::with_buffers(text, attachments)?,
        Value::Bytes(bytes) => {
            let (text, attachments) = msgpack_to_json(bytes, 0..bytes.len())?;
            document::with_buffers(&text, &attachments)?
        }
    };
    Ok(serde_json::from_value(json)?)
}
