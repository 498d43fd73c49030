//! Writes an event with its arguments as the parser of the pod does.

use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::adapter::Emitter;
use socketioxide_core::{
    Value,
    adapter::CoreLocalAdapter,
    parser::{Parse, ParserError},
};

use super::{
    UnknownNamespace,
    transcode::{self, Bounds, Unportable, json_to_msgpack},
    wire::Format,
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
}

pub(super) fn encode<T: Serialize + ?Sized>(
    local: &CoreLocalAdapter<Emitter>,
    bounds: Bounds,
    event: &str,
    arguments: &T,
) -> Result<Value, EncodeError> {
    let payload = local.parser().encode_value(arguments, Some(event))?;
    transcode::check(&payload, bounds)?;
    Ok(payload)
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
