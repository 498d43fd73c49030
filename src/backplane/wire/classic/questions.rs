//! Questions and answers in the classic protocol: requests, and responses to them.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value as Json, json, value::RawValue};

use crate::backplane::{
    Target,
    transcode::{Reader, Token},
    wire::{
        Answer, ClientAnswer, Incoming, Message, RemoteSocket, WireError, document,
        envelope::{Name, Options},
        write::{write_map, write_number, write_text},
    },
};

/// Types of requests and responses (`RequestType` of the package).
pub(super) mod kind {
    pub const SOCKETS: u64 = 0;
    pub const ALL_ROOMS: u64 = 1;
    pub const REMOTE_JOIN: u64 = 2;
    pub const REMOTE_LEAVE: u64 = 3;
    pub const REMOTE_DISCONNECT: u64 = 4;
    pub const REMOTE_FETCH: u64 = 5;
    pub const SERVER_SIDE_EMIT: u64 = 6;
    pub const BROADCAST: u64 = 7;
    pub const BROADCAST_CLIENT_COUNT: u64 = 8;
    pub const BROADCAST_ACK: u64 = 9;
}

/// A request in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    #[serde(rename = "type")]
    kind: u64,
    uid: Option<String>,
    request_id: Option<String>,
    #[serde(default, deserialize_with = "options")]
    opts: Option<Options<'static>>,
    rooms: Option<Vec<Name>>,
    #[serde(default)]
    close: bool,
    data: Option<Vec<Json>>,
    /// One socket, in requests of old versions.
    sid: Option<Name>,
    /// One room, in those.
    room: Option<Name>,
}

/// serde would also take a list, for the fields in their order: an empty one would be for everybody.
fn options<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Options<'static>>, D::Error> {
    match Json::deserialize(deserializer)? {
        Json::Null => Ok(None),
        options @ Json::Object(_) => {
            Options::deserialize(options).map(Some).map_err(de::Error::custom)
        }
        _ => Err(de::Error::custom("opts must be an object")),
    }
}

impl Request {
    pub fn into_incoming(self) -> Result<Incoming, WireError> {
        let question = |id: Option<String>| id.ok_or(WireError::Missing("requestId"));
        let names = |names: Option<Vec<Name>>, one: Option<Name>| -> Result<Vec<String>, _> {
            if names.is_none() && one.is_none() {
                return Err(WireError::Missing("rooms"));
            }
            let names = names.unwrap_or_default().into_iter().chain(one);
            Ok(names.map(|Name(name)| name).collect())
        };
        let target = match (self.opts, self.sid) {
            (Some(options), _) => options.into_target(),
            (None, Some(Name(sid))) => Target { rooms: vec![sid], except: Vec::new() },
            (None, None) if (kind::REMOTE_JOIN..=kind::REMOTE_FETCH).contains(&self.kind) => {
                return Err(WireError::Missing("opts"));
            }
            (None, None) => Target::default(),
        };
        let message = match self.kind {
            kind::SOCKETS => Message::SocketIds {
                question: question(self.request_id)?,
                // Node takes none for all: it is only asked which they are.
                rooms: names(Some(self.rooms.unwrap_or_default()), None)?,
            },
            kind::ALL_ROOMS => Message::AllRooms { question: question(self.request_id)? },
            kind::REMOTE_JOIN => Message::Join { target, rooms: names(self.rooms, self.room)? },
            kind::REMOTE_LEAVE => Message::Leave { target, rooms: names(self.rooms, self.room)? },
            kind::REMOTE_DISCONNECT => Message::Disconnect { target, close: self.close },
            kind::REMOTE_FETCH => {
                Message::FetchSockets { question: question(self.request_id)?, target }
            }
            kind::SERVER_SIDE_EMIT => Message::ServerSideEmit {
                arguments: self.data.ok_or(WireError::Missing("data"))?,
                question: self.request_id,
            },
            other => return Err(WireError::UnknownType(other)),
        };
        Ok(Incoming { from: self.uid, message })
    }
}

pub(super) fn encode_answer(question: &str, answer: &Answer) -> Result<Bytes, WireError> {
    let fields = match answer {
        Answer::Sockets(sockets) => json!({"requestId": question, "sockets": sockets}),
        Answer::SocketIds(ids) => json!({"requestId": question, "sockets": ids}),
        Answer::Rooms(rooms) => json!({"requestId": question, "rooms": rooms}),
        Answer::ServerSide(value) => {
            json!({"type": kind::SERVER_SIDE_EMIT, "requestId": question, "data": value})
        }
        Answer::AckCount(count) => json!({
            "type": kind::BROADCAST_CLIENT_COUNT, "requestId": question, "clientCount": count,
        }),
        Answer::Ack(Some(answer)) => {
            let (first, all) = answer.as_msgpack()?;
            let mut out = Vec::with_capacity(64 + first.len());
            write_map(&mut out, if all.is_some() { 4 } else { 3 });
            write_text(&mut out, "type");
            write_number(&mut out, kind::BROADCAST_ACK);
            write_text(&mut out, "requestId");
            write_text(&mut out, question);
            write_text(&mut out, "packet");
            out.extend(first);
            if let Some(all) = all {
                write_text(&mut out, "values");
                out.extend(all);
            }
            return Ok(out.into());
        }
        Answer::Ack(None) => {
            json!({"type": kind::BROADCAST_ACK, "requestId": question, "lost": true})
        }
    };
    Ok(fields.to_string().into())
}

pub(super) fn decode_json_answer(payload: &Bytes) -> Result<Option<Message>, WireError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Response<'a> {
        #[serde(rename = "type")]
        kind: Option<u64>,
        request_id: Option<String>,
        #[serde(borrow)]
        sockets: Option<Vec<&'a RawValue>>,
        rooms: Option<Vec<Name>>,
        data: Option<Json>,
        client_count: Option<u64>,
        packet: Option<&'a RawValue>,
        values: Option<&'a RawValue>,
        #[serde(default)]
        lost: bool,
    }

    let response: Response<'_> = serde_json::from_slice(payload)?;
    // Old servers confirm joins and leaves with nothing but the id of the request.
    let Some(question) = response.request_id else {
        return Err(WireError::Missing("requestId"));
    };
    let answer = match (response.kind, response.sockets, response.rooms) {
        (Some(kind::SERVER_SIDE_EMIT), _, _) => {
            Answer::ServerSide(response.data.unwrap_or_default())
        }
        (Some(kind::BROADCAST_CLIENT_COUNT), _, _) => {
            Answer::AckCount(response.client_count.ok_or(WireError::Missing("clientCount"))?)
        }
        (Some(kind::BROADCAST_ACK), _, _) => {
            let answer = ClientAnswer::from_json(response.packet, response.values);
            Answer::Ack((!response.lost).then_some(answer))
        }
        (_, Some(sockets), _) => {
            let sockets = sockets.into_iter().map(|socket| serde_json::from_str(socket.get()));
            Answer::Sockets(sockets.collect::<Result<Vec<RemoteSocket>, _>>()?)
        }
        (_, _, Some(rooms)) => Answer::Rooms(rooms.into_iter().map(|Name(name)| name).collect()),
        _ => return Ok(None),
    };
    Ok(Some(Message::Answer { question, answer }))
}

pub(super) fn decode_msgpack_answer(payload: &Bytes) -> Result<Option<Message>, WireError> {
    let mut reader = Reader::new(payload);
    let (mut kind, mut question, mut first, mut all) = (None, None, None, None);
    for _ in 0..reader.read_map_len()? {
        match (reader.read_str()?, reader.peek()?) {
            ("type", _) => kind = Some(reader.read_u64()?),
            ("requestId", Token::Text(_)) => question = Some(reader.read_str()?.to_owned()),
            ("packet", _) => first = Some(reader.skip_value()?),
            ("values", Token::Array(_)) => all = Some(reader.skip_value()?),
            _ => reader.skip_value().map(drop)?,
        }
    }
    if kind != Some(kind::BROADCAST_ACK) {
        // As msgpack it is unusual, but the same.
        let json = document::from_msgpack(payload)?.to_string();
        return decode_json_answer(&json.into());
    }
    let question = question.ok_or(WireError::Missing("requestId"))?;
    let answer = ClientAnswer::from_msgpack(payload, first, all)?;
    Ok(Some(Message::Answer { question, answer: Answer::Ack(Some(answer)) }))
}
