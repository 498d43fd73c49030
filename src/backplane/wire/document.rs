//! Small messages, as a tree: questions and answers, never what is on the way of a broadcast.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::WireError;
use crate::backplane::transcode::msgpack_value_to_json;

/// A message in msgpack.
pub(super) fn from_msgpack(message: &Bytes) -> Result<Value, WireError> {
    let (text, attachments) = msgpack_value_to_json(message, 0..message.len())?;
    with_buffers(&text, &attachments)
}

/// JSON with placeholders, whose attachments are put in their places as Node's `JSON.stringify` writes
/// a `Buffer`.
pub(super) fn with_buffers(text: &str, attachments: &VecDeque<Bytes>) -> Result<Value, WireError> {
    let mut value = serde_json::from_str(text)?;
    if !attachments.is_empty() {
        fill(&mut value, attachments);
    }
    Ok(value)
}

fn fill(value: &mut Value, attachments: &VecDeque<Bytes>) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| fill(value, attachments)),
        Value::Object(fields) => match placeholder(fields).and_then(|at| attachments.get(at)) {
            Some(bytes) => *value = json!({"type": "Buffer", "data": bytes[..]}),
            None => fields.values_mut().for_each(|value| fill(value, attachments)),
        },
        _ => {}
    }
}

fn placeholder(fields: &Map<String, Value>) -> Option<usize> {
    (fields.get("_placeholder") == Some(&Value::Bool(true))).then_some(())?;
    usize::try_from(fields.get("num")?.as_u64()?).ok()
}
