//! What is in the messages of the sharded protocol, but for broadcasts.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, value::RawValue};

use crate::backplane::{
    transcode::{Reader, Token},
    wire::{
        Answer, ClientAnswer, Message, RemoteSocket, WireError,
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
    #[serde(borrow)]
    opts: Option<&'a RawValue>,
    pub rooms: Option<Vec<Name>>,
    #[serde(default)]
    pub close: bool,
    pub request_id: Option<String>,
    #[serde(borrow)]
    pub packet: Option<&'a RawValue>,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
    #[serde(default)]
    lost: bool,
    pub sockets: Option<Vec<RemoteSocket>>,
    pub client_count: Option<u64>,
}

impl<'a> Data<'a> {
    /// Reads it from its JSON. serde would also take a list, for the fields in their order.
    pub fn read(data: &'a RawValue) -> Result<Self, WireError> {
        if !data.get().starts_with('{') {
            return Err(WireError::Odd("data"));
        }
        Ok(serde_json::from_str(data.get())?)
    }

    /// Whom it is for. Without, everybody would be put in a room, or disconnected.
    pub fn options(&self) -> Result<Options<'static>, WireError> {
        let options = self.opts.ok_or(WireError::Missing("opts"))?.get();
        if !options.starts_with('{') {
            return Err(WireError::Odd("opts"));
        }
        Ok(serde_json::from_str(options)?)
    }

    pub fn into_message(self, kind: u64) -> Result<Message, WireError> {
        let options = self.options();
        let opts = || options.map(Options::into_target);
        let rooms = || -> Result<Vec<String>, WireError> {
            let rooms = self.rooms.ok_or(WireError::Missing("rooms"))?;
            Ok(rooms.into_iter().map(|Name(name)| name).collect())
        };
        let question = self.request_id.clone().ok_or(WireError::Missing("requestId"));
        Ok(match kind {
            kind::SOCKETS_JOIN => Message::Join { target: opts()?, rooms: rooms()? },
            kind::SOCKETS_LEAVE => Message::Leave { target: opts()?, rooms: rooms()? },
            kind::DISCONNECT_SOCKETS => Message::Disconnect { target: opts()?, close: self.close },
            kind::FETCH_SOCKETS => Message::FetchSockets { question: question?, target: opts()? },
            kind::SERVER_SIDE_EMIT => Message::ServerSideEmit {
                arguments: serde_json::from_str(
                    self.packet.ok_or(WireError::Missing("packet"))?.get(),
                )?,
                question: self.request_id,
            },
            kind::FETCH_SOCKETS_RESPONSE => Message::Answer {
                question: question?,
                answer: Answer::Sockets(self.sockets.ok_or(WireError::Missing("sockets"))?),
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
                answer: Answer::AckCount(
                    self.client_count.ok_or(WireError::Missing("clientCount"))?,
                ),
            },
            kind::BROADCAST_ACK => Message::Answer {
                question: question?,
                answer: Answer::Ack(
                    (!self.lost).then(|| ClientAnswer::from_json(self.packet, self.values)),
                ),
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
    let (mut question, mut first, mut all) = (None, None, None);
    for _ in 0..reader.read_map_len()? {
        match (reader.read_str()?, reader.peek()?) {
            ("requestId", Token::Text(_)) => question = Some(reader.read_str()?.to_owned()),
            ("packet", _) => first = Some(reader.skip_value()?),
            ("values", Token::Array(_)) => all = Some(reader.skip_value()?),
            _ => reader.skip_value().map(drop)?,
        }
    }
    let question = question.ok_or(WireError::Missing("requestId"))?;
    let answer = ClientAnswer::from_msgpack(payload, first, all)?;
    Ok(Message::Answer { question, answer: Answer::Ack(Some(answer)) })
}
