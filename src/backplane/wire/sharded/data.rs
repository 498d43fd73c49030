//! What is in the messages of the sharded protocol, but for broadcasts.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, value::RawValue};

use crate::backplane::{
    transcode::{Reader, Token},
    wire::{
        Answer, Argument, Message, RemoteSocket, WireError,
        envelope::{Name, Options},
    },
};

/// Types of messages (`MessageType` of `socket.io-adapter`).
pub(super) mod kind {
    pub const BROADCAST: u64 = 3;
    pub const SOCKETS_JOIN: u64 = 4;
    pub const SOCKETS_LEAVE: u64 = 5;
    pub const DISCONNECT_SOCKETS: u64 = 6;
    pub const FETCH_SOCKETS: u64 = 7;
    pub const FETCH_SOCKETS_RESPONSE: u64 = 8;
    pub const SERVER_SIDE_EMIT: u64 = 9;
    pub const SERVER_SIDE_EMIT_RESPONSE: u64 = 10;
    pub const BROADCAST_CLIENT_COUNT: u64 = 11;
    pub const BROADCAST_ACK: u64 = 12;
    /// Heartbeats and goodbyes, which these adapters do not use.
    pub const IGNORED: [u64; 3] = [1, 2, 13];
}

/// `data` of all types.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data<'a> {
    #[serde(default)]
    pub opts: Options<'static>,
    pub rooms: Option<Vec<Name>>,
    #[serde(default)]
    pub close: bool,
    pub request_id: Option<String>,
    #[serde(borrow)]
    pub packet: Option<&'a RawValue>,
    pub sockets: Option<Vec<RemoteSocket>>,
    pub client_count: Option<u64>,
}

impl Data<'_> {
    pub fn into_message(self, kind: u64) -> Result<Message, WireError> {
        let target = self.opts.into_target();
        let rooms =
            || -> Vec<String> { self.rooms.into_iter().flatten().map(|Name(name)| name).collect() };
        let question = self.request_id.clone().ok_or(WireError::Missing("requestId"));
        Ok(match kind {
            kind::SOCKETS_JOIN => Message::Join { target, rooms: rooms() },
            kind::SOCKETS_LEAVE => Message::Leave { target, rooms: rooms() },
            kind::DISCONNECT_SOCKETS => Message::Disconnect { target, close: self.close },
            kind::FETCH_SOCKETS => Message::FetchSockets { question: question?, target },
            kind::SERVER_SIDE_EMIT => Message::ServerSideEmit {
                arguments: self
                    .packet
                    .map_or_else(|| Ok(Vec::new()), |packet| serde_json::from_str(packet.get()))?,
                question: self.request_id,
            },
            kind::FETCH_SOCKETS_RESPONSE => Message::Answer {
                question: question?,
                answer: Answer::Sockets(self.sockets.unwrap_or_default()),
            },
            kind::SERVER_SIDE_EMIT_RESPONSE => {
                Message::Answer {
                    question: question?,
                    answer: Answer::ServerSide(self.packet.map_or_else(
                        || Ok(Json::Null),
                        |value| serde_json::from_str(value.get()),
                    )?),
                }
            }
            kind::BROADCAST_CLIENT_COUNT => Message::Answer {
                question: question?,
                answer: Answer::AckCount(self.client_count.unwrap_or_default()),
            },
            kind::BROADCAST_ACK => Message::Answer {
                question: question?,
                answer: Answer::Ack(self.packet.map_or_else(Argument::null, Argument::from_json)),
            },
            other => return Err(WireError::UnknownType(other)),
        })
    }
}

pub(super) fn msgpack_ack(
    payload: &Bytes,
    data: std::ops::Range<usize>,
) -> Result<Message, WireError> {
    let mut reader = Reader::part(payload, data)?;
    let (mut question, mut argument) = (None, Argument::null());
    for _ in 0..reader.read_map_len()? {
        match (reader.read_str()?, reader.peek()?) {
            ("requestId", Token::Text(_)) => question = Some(reader.read_str()?.to_owned()),
            ("packet", _) => argument = Argument::from_msgpack(payload, reader.skip_value()?)?,
            _ => reader.skip_value().map(drop)?,
        }
    }
    let question = question.ok_or(WireError::Missing("requestId"))?;
    Ok(Message::Answer { question, answer: Answer::Ack(argument) })
}
