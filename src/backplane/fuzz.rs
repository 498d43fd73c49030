//! What the backplane reads of bytes from outside, opened for `tests/fuzz` and for nothing else.

use bytes::Bytes;

use super::{
    transcode::{json_to_msgpack, msgpack_value_to_json, with_legacy_dates},
    wire::{Classic, Format, Message, Sharded, Wire},
};
use crate::config::SubscriptionMode;

/// The classic protocol: broadcasts, requests, answers.
pub fn classic(input: &[u8]) {
    for format in [Format::Json, Format::Msgpack] {
        let wire = Wire::Classic(Classic::new("socket.io", "pod", format));
        for channel in
            ["socket.io#/#", "socket.io#/#room#", "socket.io-request#/#", "socket.io-response#/#"]
        {
            read(&wire, channel, input);
        }
    }
}

/// The sharded protocol.
pub fn sharded(input: &[u8]) {
    for format in [Format::Json, Format::Msgpack] {
        let mode = SubscriptionMode::Dynamic;
        let wire = Wire::Sharded(Sharded::new("socket.io", "pod", format, mode));
        for channel in ["socket.io#/#", "socket.io#/#room#", "socket.io#/#pod#"] {
            read(&wire, channel, input);
        }
    }
}

/// What one pod reads, it can tell others.
fn read(wire: &Wire, channel: &str, input: &[u8]) {
    let payload = Bytes::copy_from_slice(input);
    let Ok(Some(incoming)) = wire.decode(channel, &payload) else { return };
    if let Message::Broadcast(broadcast) = incoming.message {
        let _ = wire.encode("/", &Message::Broadcast(broadcast), None);
    }
}

/// Msgpack to JSON, and back.
pub fn transcode(input: &[u8]) {
    let message = Bytes::copy_from_slice(input);
    let _ = with_legacy_dates(input);
    if let Ok((text, attachments)) = msgpack_value_to_json(&message, 0..message.len()) {
        let json = serde_json::from_str::<serde::de::IgnoredAny>(&text);
        assert!(json.is_ok(), "no JSON: {text}");
        let mut out = Vec::new();
        let attachments = (!attachments.is_empty()).then_some(&attachments);
        let _ = json_to_msgpack(&text, attachments, &mut out);
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let mut out = Vec::new();
        let _ = json_to_msgpack(text, None, &mut out);
    }
}
