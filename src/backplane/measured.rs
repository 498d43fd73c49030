//! The codecs of the backplane, opened for `load/benches` and for nothing else.

use bytes::Bytes;
use socketioxide_core::Value;

use super::{
    Target,
    wire::{Broadcast, Classic, Format, Message, Outgoing, Sharded, Wire},
};
use crate::config::SubscriptionMode;

/// One of the two protocols, between two pods.
pub struct Codec {
    sender: Wire,
    receiver: Wire,
}

impl Codec {
    /// That of `pubsub`.
    pub fn classic() -> Self {
        let wire = |pod| Wire::Classic(Classic::new("socket.io", pod, Format::Json));
        Self { sender: wire("from"), receiver: wire("to") }
    }

    /// That of `sharded`.
    pub fn sharded() -> Self {
        let mode = SubscriptionMode::Dynamic;
        let wire = |pod| Wire::Sharded(Sharded::new("socket.io", pod, Format::Json, mode));
        Self { sender: wire("from"), receiver: wire("to") }
    }

    /// Writes an event for a room: its channel, and the message.
    ///
    /// # Panics
    /// If the event is no JSON array that begins with a name.
    #[allow(clippy::expect_used)]
    pub fn encode(&self, event: Value) -> (String, Bytes) {
        let target = Target { rooms: vec!["room".into()], except: Vec::new() };
        let broadcast =
            Broadcast { payload: event, target, volatile: false, ask: None, meta: None };
        let message = Message::Broadcast(broadcast);
        let Outgoing { channel, payload } =
            self.sender.encode("/", &message, None).expect("the event is valid");
        (channel, payload)
    }

    /// Reads such a message, and gives the event.
    pub fn decode(&self, channel: &str, message: &Bytes) -> Option<Value> {
        match self.receiver.decode(channel, message).ok()??.message {
            Message::Broadcast(broadcast) => Some(broadcast.payload),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn what_one_pod_writes_another_reads() {
        let plain = Value::Str(r#"["news",{"a":[1,-2,2.5,null,true,"é\n"]}]"#.into(), None);
        let placeholder = r#"["news",{"_placeholder":true,"num":0}]"#;
        let attachments = VecDeque::from([Bytes::from_static(b"\0\x01")]);
        let binary = Value::Str(placeholder.into(), Some(attachments));
        for codec in [Codec::classic(), Codec::sharded()] {
            for event in [&plain, &binary] {
                let (channel, message) = codec.encode(event.clone());
                assert_eq!(channel, "socket.io#/#room#");
                assert_eq!(codec.decode(&channel, &message).as_ref(), Some(event));
            }
        }
    }
}
