//! Writes msgpack that is put together by hand. Memory takes all of it: nothing here can fail but
//! what is transcoded.

use rmp::encode;
use serde::Serialize;
use socketioxide_core::Value;

use super::{WireError, payload::write_msgpack};

/// The type of an event's packet (`PacketType.EVENT` of socket.io-parser).
pub(super) const EVENT: u64 = 2;

pub(super) fn write_array(out: &mut Vec<u8>, length: u32) {
    let _ = encode::write_array_len(out, length);
}

pub(super) fn write_map(out: &mut Vec<u8>, length: u32) {
    let _ = encode::write_map_len(out, length);
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    let _ = encode::write_str(out, text);
}

pub(super) fn write_number(out: &mut Vec<u8>, number: u64) {
    let _ = encode::write_uint(out, number);
}

/// A small structure, with the names of its fields.
pub(super) fn write_document<T: Serialize>(out: &mut Vec<u8>, document: &T) {
    let _ = rmp_serde::encode::write_named(out, document);
}

/// `{type, data, nsp}`.
pub(super) fn write_event_packet(
    out: &mut Vec<u8>,
    namespace: Option<&str>,
    event: &Value,
) -> Result<(), WireError> {
    write_map(out, if namespace.is_some() { 3 } else { 2 });
    write_text(out, "type");
    write_number(out, EVENT);
    write_text(out, "data");
    write_msgpack(event, out)?;
    if let Some(namespace) = namespace {
        write_text(out, "nsp");
        write_text(out, namespace);
    }
    Ok(())
}
