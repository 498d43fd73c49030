//! Writes an event with its arguments as the parser of the pod does.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::adapter::Emitter;
use socketioxide_core::{
    Value,
    adapter::{CoreLocalAdapter, errors::SocketError},
    parser::{Parse, ParserError},
};
use socketioxide_parser_common::CommonParser;

use super::{
    UnknownNamespace,
    transcode::{self, Bounds, Reader, Unportable, json_to_msgpack},
    wire::{Format, is_reserved},
};

/// An event could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Its namespace does not exist.
    #[error(transparent)]
    UnknownNamespace(#[from] UnknownNamespace),
    /// The parser refuses an argument.
    #[error("the arguments cannot be written: {0}")]
    Parser(#[from] ParserError),
    /// The clients of other pods, or of this one, could not be given them.
    #[error("the arguments cannot reach all clients: {0}")]
    Unportable(#[from] Unportable),
    /// The arguments are no array.
    #[error("the arguments cannot be written: {0}")]
    Json(String),
    /// Socket.IO keeps the name of the event for itself: stock clients end their connection on it.
    #[error("{0:?} is reserved by Socket.IO: choose another name for the event")]
    Reserved(String),
}

/// One socket was not sent an event, or its ack.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It could not be written, or not be given to every client.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Its client has gone, or does not read: too much waits for it, and it is closed for that.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

pub(super) fn encode<T: Serialize + ?Sized>(
    local: &CoreLocalAdapter<Emitter>,
    bounds: Bounds,
    event: &str,
    arguments: &T,
) -> Result<Value, EncodeError> {
    if is_reserved(event) {
        return Err(EncodeError::Reserved(event.to_owned()));
    }
    let payload = encode_with(&local.parser(), event, arguments)?;
    transcode::check(&payload, bounds)?;
    Ok(payload)
}

/// The values of an ack, before it is known which parser its client has: the text of an array, and its attachments.
///
/// # Errors
/// If they cannot be written.
pub fn encode_ack<T: Serialize + ?Sized>(values: &T) -> Result<Value, ParserError> {
    // With a name in front, it can be told whether a tuple was written; no value begins so by chance.
    const MARK: &str = "\0ack";
    const WRITTEN: &str = r#"["\u0000ack""#;
    let Value::Str(text, attachments) = encode_with(&CommonParser, MARK, values)? else {
        return Ok(Value::Str("[]".into(), None));
    };
    let values = text.strip_prefix(WRITTEN).unwrap_or("]");
    let values = values.strip_prefix(',').unwrap_or(values);
    Ok(Value::Str(format!("[{values}").into(), attachments))
}

/// The same as the parser of the pod writes it.
pub(super) fn ack_for(format: Format, bounds: Bounds, values: Value) -> Result<Value, EncodeError> {
    transcode::check(&values, bounds)?;
    match (format, values) {
        (Format::Msgpack, Value::Str(text, attachments)) => {
            let mut bytes = Vec::with_capacity(text.len());
            json_to_msgpack(&text, attachments.as_ref(), &mut bytes)
                .map_err(|error| EncodeError::Json(error.to_string()))?;
            Ok(Value::Bytes(bytes.into()))
        }
        (_, values) => Ok(values),
    }
}

/// Writes an event: a tuple is several arguments, `()` none, everything else one.
///
/// Gap: socketioxide writes `()` as `null`, which Node does not, and takes a struct of one unnamed field for a tuple, of which it then
/// writes the value without the name of the event (no upstream issue was found). So the first is written as an empty tuple,
/// and what does not begin with the name as a tuple of one.
fn encode_with<T: Serialize + ?Sized>(
    parser: &impl Parse,
    event: &str,
    arguments: &T,
) -> Result<Value, ParserError> {
    const NOTHING: [(); 0] = [];
    if size_of_val(arguments) == 0
        && serde_json::to_string(arguments).is_ok_and(|text| text == "null")
    {
        return parser.encode_value(&NOTHING, Some(event));
    }
    let payload = parser.encode_value(arguments, Some(event))?;
    if begins_with(&payload, event) {
        return Ok(payload);
    }
    parser.encode_value(&(arguments,), Some(event))
}

fn begins_with(payload: &Value, event: &str) -> bool {
    match payload {
        Value::Str(text, _) => {
            let rest = text.strip_prefix('[').map(serde_json::Deserializer::from_str);
            let first = rest.and_then(|rest| rest.into_iter::<Cow<'_, str>>().next());
            matches!(first, Some(Ok(name)) if name == event)
        }
        Value::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            let length = reader.read_array_len();
            length.is_ok() && reader.read_str().is_ok_and(|name| name == event)
        }
    }
}

pub(super) fn encode_raw(
    format: Format,
    bounds: Bounds,
    event: &str,
    arguments: Option<&RawValue>,
) -> Result<Value, EncodeError> {
    let failed = |error: &dyn std::fmt::Display| EncodeError::Json(error.to_string());
    let mut text =
        Vec::with_capacity(event.len() + arguments.map_or(0, |text| text.get().len()) + 4);
    text.push(b'[');
    serde_json::to_writer(&mut text, event).map_err(|error| failed(&error))?;
    let arguments = arguments.map_or("[]", RawValue::get);
    // What is between the brackets goes on in the array that the name begins.
    let inner = arguments
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .ok_or_else(|| failed(&"they are no array"))?;
    if !inner.trim_ascii().is_empty() {
        text.push(b',');
        text.extend_from_slice(inner.as_bytes());
    }
    text.push(b']');
    let text = String::from_utf8(text).map_err(|error| failed(&error))?;
    transcode::check_json(&text, bounds.depth)?;
    match format {
        Format::Json => Ok(Value::Str(text.into(), None)),
        Format::Msgpack => {
            let mut bytes = Vec::with_capacity(text.len());
            json_to_msgpack(&text, None, &mut bytes).map_err(|error| failed(&error))?;
            Ok(Value::Bytes(bytes.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::*;
    use crate::Spread;

    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Id(u8);
    #[derive(Serialize)]
    struct Ids(Vec<&'static str>);

    fn event(arguments: &(impl Serialize + ?Sized)) -> String {
        match encode_with(&CommonParser, "é\"", arguments).unwrap() {
            Value::Str(text, _) => text.to_string(),
            Value::Bytes(_) => String::new(),
        }
    }

    fn ack(values: &impl Serialize) -> (String, usize) {
        match encode_ack(values).unwrap() {
            Value::Str(text, bytes) => (text.to_string(), bytes.map_or(0, |bytes| bytes.len())),
            Value::Bytes(_) => (String::new(), 0),
        }
    }

    #[test]
    fn a_tuple_is_several_arguments_nothing_is_none_and_all_else_is_one() {
        for (written, arguments) in [
            (event(&()), ""),
            (event(&Unit), ""),
            (event(&None::<u8>), ",null"),
            (event(&"a"), r#","a""#),
            (event("a"), r#","a""#),
            (event(&(1, "b")), r#",1,"b""#),
            (event(&vec![1, 2]), ",[1,2]"),
            (event(&Id(7)), ",7"),
            (event(&Ids(vec!["a"])), r#",["a"]"#),
            (event(&Spread(vec![1, 2])), ",1,2"),
            (event(&Spread(Vec::<u8>::new())), ""),
        ] {
            assert_eq!(written, format!(r#"["é\""{arguments}]"#));
        }
    }

    #[test]
    fn an_ack_is_written_as_an_event_is() {
        assert_eq!(ack(&()), ("[]".into(), 0));
        assert_eq!(ack(&7), ("[7]".into(), 0));
        assert_eq!(ack(&Id(7)), ("[7]".into(), 0));
        assert_eq!(ack(&Ids(vec!["a"])), (r#"[["a"]]"#.into(), 0));
        assert_eq!(ack(&Spread(Vec::<u8>::new())), ("[]".into(), 0));
        let (text, attachments) = ack(&("a", Bytes::from_static(b"b")));
        assert_eq!((&*text, attachments), (r#"["a",{"_placeholder":true,"num":0}]"#, 1));
    }
}
