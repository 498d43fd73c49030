//! The protocol of `createAdapter`: msgpack for broadcasts, JSON for most else.
//!
//! Channels, with `P` for the prefix and `N` for the namespace: `P#N#` and `P#N#room#` for broadcasts,
//! `P-request#N#` for questions, `P-response#N#` and `P-response#N#id#` for answers.

mod questions;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use self::questions::{Request, decode_json_answer, decode_msgpack_answer, encode_answer, kind};
use super::{
    Address, Ask, Broadcast, Format, Incoming, Message, Meta, Outgoing, WireError, document,
    envelope::Options,
    read_event_type, split_address,
    write::{write_array, write_document, write_event_packet, write_map, write_number, write_text},
};
use crate::backplane::transcode::{Reader, Token};

/// The classic protocol.
pub struct Classic {
    broadcasts: String,
    requests: String,
    responses: String,
    /// The id of this pod: what it sent comes back to it.
    pod: String,
    format: Format,
}

impl Classic {
    pub fn new(prefix: &str, pod: &str, format: Format) -> Self {
        Self {
            broadcasts: format!("{prefix}#"),
            requests: format!("{prefix}-request#"),
            responses: format!("{prefix}-response#"),
            pod: pod.to_owned(),
            format,
        }
    }

    /// The pattern of a namespace's broadcasts.
    pub fn pattern(&self, namespace: &str) -> String {
        let mut pattern = String::new();
        for c in self.broadcasts.chars().chain(namespace.chars()) {
            if "*?[]^-\\".contains(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "#*"
    }

    /// The channel of broadcasts to one room.
    pub fn room_channel(&self, namespace: &str, room: &str) -> String {
        format!("{}{namespace}#{room}#", self.broadcasts)
    }

    /// The channels that a server of a namespace listens on. The first is the one that is counted to
    /// know how many servers there are.
    pub fn channels(&self, namespace: &str) -> [String; 3] {
        [
            format!("{}{namespace}#", self.requests),
            format!("{}{namespace}#", self.responses),
            format!("{}{namespace}#{}#", self.responses, self.pod),
        ]
    }

    pub(super) fn address<'a>(&self, channel: &'a str) -> Option<Address<'a>> {
        if let Some(rest) = channel.strip_prefix(&self.broadcasts) {
            return split_address(rest);
        }
        let rest = channel
            .strip_prefix(&self.requests)
            .or_else(|| channel.strip_prefix(&self.responses))?;
        Some(Address { room: None, ..split_address(rest)? })
    }

    pub(super) fn encode(&self, namespace: &str, message: &Message) -> Result<Outgoing, WireError> {
        let pod = self.pod.as_str();
        let request = |fields: Json| Outgoing {
            channel: format!("{}{namespace}#", self.requests),
            payload: fields.to_string().into(),
        };
        Ok(match message {
            Message::Broadcast(broadcast) => self.encode_broadcast(namespace, broadcast)?,
            Message::Join { target, rooms } => request(json!({
                "type": kind::REMOTE_JOIN, "uid": pod,
                "opts": Options::new(target, false, None), "rooms": rooms,
            })),
            Message::Leave { target, rooms } => request(json!({
                "type": kind::REMOTE_LEAVE, "uid": pod,
                "opts": Options::new(target, false, None), "rooms": rooms,
            })),
            Message::Disconnect { target, close } => request(json!({
                "type": kind::REMOTE_DISCONNECT, "uid": pod,
                "opts": Options::new(target, false, None), "close": close,
            })),
            Message::FetchSockets { question, target } => request(json!({
                "type": kind::REMOTE_FETCH, "uid": pod, "requestId": question,
                "opts": Options::new(target, false, None),
            })),
            Message::AllRooms { question } => request(json!({
                "type": kind::ALL_ROOMS, "uid": pod, "requestId": question,
            })),
            Message::SocketIds { question, rooms } => request(json!({
                "type": kind::SOCKETS, "uid": pod, "requestId": question, "rooms": rooms,
            })),
            Message::ServerSideEmit { arguments, question } => {
                let mut fields = json!({
                    "type": kind::SERVER_SIDE_EMIT, "uid": pod, "data": arguments,
                });
                if let Some(question) = question {
                    fields["requestId"] = question.as_str().into();
                }
                request(fields)
            }
            Message::Answer { question, answer } => Outgoing {
                channel: format!("{}{namespace}#", self.responses),
                payload: encode_answer(question, answer)?,
            },
        })
    }

    fn encode_broadcast(
        &self,
        namespace: &str,
        broadcast: &Broadcast,
    ) -> Result<Outgoing, WireError> {
        let Broadcast { payload, target, volatile, ask, meta } = broadcast;
        let mut out = Vec::with_capacity(128);
        let options = Options::new(target, *volatile, ask.as_ref());
        if let Some(Ask { question, .. }) = ask {
            write_map(&mut out, if meta.is_some() { 6 } else { 5 });
            write_text(&mut out, "type");
            write_number(&mut out, kind::BROADCAST);
            write_text(&mut out, "uid");
            write_text(&mut out, &self.pod);
            write_text(&mut out, "requestId");
            write_text(&mut out, question);
            write_text(&mut out, "packet");
            write_event_packet(&mut out, Some(namespace), payload)?;
            write_text(&mut out, "opts");
            write_document(&mut out, &options);
            if let Some(meta) = meta {
                write_text(&mut out, "roomcast");
                write_document(&mut out, meta);
            }
            let channel = format!("{}{namespace}#", self.requests);
            return Ok(Outgoing { channel, payload: out.into() });
        }
        write_array(&mut out, if meta.is_some() { 4 } else { 3 });
        write_text(&mut out, &self.pod);
        write_event_packet(&mut out, Some(namespace), payload)?;
        write_document(&mut out, &options);
        if let Some(meta) = meta {
            write_document(&mut out, meta);
        }
        let channel = match &target.rooms[..] {
            [room] => self.room_channel(namespace, room),
            _ => format!("{}{namespace}#", self.broadcasts),
        };
        Ok(Outgoing { channel, payload: out.into() })
    }

    pub(super) fn decode(
        &self,
        channel: &str,
        payload: &Bytes,
    ) -> Result<Option<Incoming>, WireError> {
        let (Some(address), json) = (self.address(channel), payload.starts_with(b"{")) else {
            return Ok(None);
        };
        if channel.starts_with(&self.broadcasts) {
            return self.decode_broadcast(address.namespace, payload);
        }
        if channel.starts_with(&self.requests) {
            if !json && let Some(message) = self.decode_ask(payload)? {
                return Ok(message.filter(|incoming| !self.is_own(incoming)));
            }
            let request: Request = if json {
                serde_json::from_slice(payload)?
            } else {
                serde_json::from_value(document::from_msgpack(payload)?)?
            };
            let incoming = request.into_incoming()?;
            return Ok(Some(incoming).filter(|incoming| !self.is_own(incoming)));
        }
        let message =
            if json { decode_json_answer(payload)? } else { decode_msgpack_answer(payload)? };
        Ok(message.map(|message| Incoming { from: None, message }))
    }

    fn is_own(&self, incoming: &Incoming) -> bool {
        incoming.from.as_deref() == Some(&self.pod)
    }

    fn decode_broadcast(
        &self,
        namespace: &str,
        payload: &Bytes,
    ) -> Result<Option<Incoming>, WireError> {
        let mut reader = Reader::new(payload);
        let length = reader.read_array_len()?;
        if length < 3 {
            return Err(WireError::Missing("opts"));
        }
        let from = reader.read_str()?;
        if from == self.pod {
            return Ok(None);
        }
        let packet = Packet::read(&mut reader)?;
        if packet.namespace.unwrap_or("/") != namespace {
            return Ok(None);
        }
        let options = Options::read(&mut reader)?;
        let meta = if length > 3 {
            let meta = reader.skip_value()?;
            rmp_serde::from_slice::<Meta>(&payload[meta]).ok()
        } else {
            None
        };
        let event = packet.event.ok_or(WireError::Missing("packet.data"))?;
        let broadcast = Broadcast {
            payload: self.format.event_from_msgpack(payload, event)?,
            volatile: options.flags.volatile,
            target: options.into_target(),
            ask: None,
            meta,
        };
        Ok(Some(Incoming { from: Some(from.to_owned()), message: Message::Broadcast(broadcast) }))
    }

    /// A broadcast whose clients are to answer. `None` if the request is another one.
    fn decode_ask(&self, payload: &Bytes) -> Result<Option<Option<Incoming>>, WireError> {
        let mut reader = Reader::new(payload);
        let (mut kind, mut from, mut question) = (None, None, None);
        let (mut packet, mut options, mut meta) = (None, None, None);
        for _ in 0..reader.read_map_len()? {
            match (reader.read_str()?, reader.peek()?) {
                ("type", _) => kind = Some(reader.read_u64()?),
                ("uid", Token::Text(_)) => from = Some(reader.read_str()?.to_owned()),
                ("requestId", Token::Text(_)) => question = Some(reader.read_str()?.to_owned()),
                ("packet", Token::Map(_)) => packet = Some(Packet::read(&mut reader)?),
                ("opts", _) => options = Some(Options::read(&mut reader)?),
                ("roomcast", _) => {
                    meta = rmp_serde::from_slice::<Meta>(&payload[reader.skip_value()?]).ok();
                }
                _ => reader.skip_value().map(drop)?,
            }
        }
        if kind != Some(kind::BROADCAST) {
            return Ok(None);
        }
        let event = packet.and_then(|packet| packet.event);
        let event = event.ok_or(WireError::Missing("packet.data"))?;
        // Without, it would ask everybody.
        let options = options.ok_or(WireError::Missing("opts"))?;
        let timeout = options.flags.ack_timeout();
        let broadcast = Broadcast {
            payload: self.format.event_from_msgpack(payload, event)?,
            volatile: false,
            target: options.into_target(),
            ask: Some(Ask { question: question.ok_or(WireError::Missing("requestId"))?, timeout }),
            meta,
        };
        Ok(Some(Some(Incoming { from, message: Message::Broadcast(broadcast) })))
    }
}

/// The packet of an event.
struct Packet<'a> {
    namespace: Option<&'a str>,
    /// Where its `data` is.
    event: Option<std::ops::Range<usize>>,
}

impl<'a> Packet<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let mut packet = Self { namespace: None, event: None };
        for _ in 0..reader.read_map_len()? {
            match (reader.read_str()?, reader.peek()?) {
                ("nsp", Token::Text(_)) => packet.namespace = Some(reader.read_str()?),
                // One that is not there is "/"; one that cannot be read must not be.
                ("nsp", token) if token != Token::Undefined => {
                    return Err(WireError::Odd("packet.nsp"));
                }
                ("type", _) => read_event_type(reader)?,
                ("data", Token::Array(_)) => packet.event = Some(reader.skip_value()?),
                _ => reader.skip_value().map(drop)?,
            }
        }
        Ok(packet)
    }
}
