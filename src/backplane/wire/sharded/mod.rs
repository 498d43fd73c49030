//! The protocol of `createShardedAdapter`: JSON, or msgpack for what holds binary.
//!
//! Channels, with `P` for the prefix and `N` for the namespace: `P#N#` for most, `P#N#id#` for answers to
//! one server, `P#N#room#` for broadcasts to one room.

mod data;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json, value::RawValue};

use self::data::{Data, kind, msgpack_ack};
use super::{
    Address, Answer, Ask, Broadcast, Format, Incoming, Message, Meta, Outgoing, WireError,
    document,
    envelope::Options,
    payload::as_json,
    read_event_type, split_address,
    write::{write_document, write_event_packet, write_map, write_number, write_text},
};
use crate::{
    backplane::transcode::{Reader, Token},
    config::SubscriptionMode,
};

/// How Node tells the room of a socket's own id from others: by its length.
const NODE_ID_LENGTH: usize = 20;

/// The sharded protocol.
pub struct Sharded {
    prefix: String,
    pod: String,
    format: Format,
    mode: SubscriptionMode,
    /// How the JSON broadcasts of this pod begin: they come back to it, and need not be read for that.
    own: String,
}

impl Sharded {
    pub fn new(prefix: &str, pod: &str, format: Format, mode: SubscriptionMode) -> Self {
        let own = format!("{{\"type\":{},\"uid\":\"{pod}\",", kind::BROADCAST);
        Self { prefix: format!("{prefix}#"), pod: pod.to_owned(), format, mode, own }
    }

    pub(super) fn mode(&self) -> SubscriptionMode {
        self.mode
    }

    /// The channels that a server of a namespace listens on. The first is the one that is counted to
    /// know how many servers there are.
    pub fn channels(&self, namespace: &str) -> [String; 2] {
        [self.channel(namespace, None), self.channel(namespace, Some(&self.pod))]
    }

    /// The channel of a room; `None` if it has none of its own.
    pub fn room_channel(&self, namespace: &str, room: &str) -> Option<String> {
        let has_one = match self.mode {
            SubscriptionMode::Static => false,
            SubscriptionMode::Dynamic => room.encode_utf16().count() != NODE_ID_LENGTH,
            SubscriptionMode::DynamicPrivate => true,
        };
        has_one.then(|| self.channel(namespace, Some(room)))
    }

    /// The channel that the pod subscribes to while it has members of a room; `None` if it hears of the room on
    /// those that it always listens on. A room may be named as the pod: when its last member leaves, the pod must
    /// not give up its own channel.
    pub fn room_subscription(&self, namespace: &str, room: &str) -> Option<String> {
        self.room_channel(namespace, room).filter(|_| room != self.pod)
    }

    fn channel(&self, namespace: &str, part: Option<&str>) -> String {
        match part {
            Some(part) => format!("{}{namespace}#{part}#", self.prefix),
            None => format!("{}{namespace}#", self.prefix),
        }
    }

    pub(super) fn address<'a>(&self, channel: &'a str) -> Option<Address<'a>> {
        let address = split_address(channel.strip_prefix(&self.prefix)?)?;
        Some(Address { room: address.room.filter(|room| *room != self.pod), ..address })
    }

    pub(super) fn encode(
        &self,
        namespace: &str,
        message: &Message,
        to: Option<&str>,
    ) -> Result<Outgoing, WireError> {
        let options = |target| Options::new(target, false, None);
        let (kind, data) = match message {
            Message::Broadcast(broadcast) => return self.encode_broadcast(namespace, broadcast),
            Message::Join { target, rooms } => {
                (kind::SOCKETS_JOIN, json!({"opts": options(target), "rooms": rooms}))
            }
            Message::Leave { target, rooms } => {
                (kind::SOCKETS_LEAVE, json!({"opts": options(target), "rooms": rooms}))
            }
            Message::Disconnect { target, close } => {
                (kind::DISCONNECT_SOCKETS, json!({"opts": options(target), "close": close}))
            }
            Message::FetchSockets { question, target } => {
                (kind::FETCH_SOCKETS, json!({"opts": options(target), "requestId": question}))
            }
            Message::AllRooms { .. } | Message::SocketIds { .. } => {
                return Err(WireError::Missing("a request for this in the sharded protocol"));
            }
            Message::ServerSideEmit { arguments, question } => {
                let mut data = json!({"packet": arguments});
                if let Some(question) = question {
                    data["requestId"] = question.as_str().into();
                }
                (kind::SERVER_SIDE_EMIT, data)
            }
            Message::Answer { question, answer } => match self.encode_answer(question, answer)? {
                Encoded::Json(kind, data) => (kind, data),
                Encoded::Msgpack(kind, data) => {
                    let payload = self.msgpack_envelope(namespace, kind, &data, None);
                    return Ok(Outgoing { channel: self.channel(namespace, to), payload });
                }
            },
        };
        let fields = json!({"type": kind, "uid": self.pod, "nsp": namespace, "data": data});
        let channel = self.channel(namespace, to);
        Ok(Outgoing { channel, payload: fields.to_string().into() })
    }

    fn encode_broadcast(
        &self,
        namespace: &str,
        broadcast: &Broadcast,
    ) -> Result<Outgoing, WireError> {
        let Broadcast { payload, target, volatile, ask, meta } = broadcast;
        let options = Options::new(target, *volatile, ask.as_ref());
        let question = ask.as_ref().map(|Ask { question, .. }| question.as_str());
        let room = match &target.rooms[..] {
            [room] if ask.is_none() => self.room_channel(namespace, room),
            _ => None,
        };
        let channel = room.unwrap_or_else(|| self.channel(namespace, None));
        let payload = match as_json(payload)? {
            Some(event) => self.json_broadcast(namespace, &event, &options, question, meta)?,
            None => {
                let mut data = Vec::with_capacity(256);
                write_map(&mut data, if question.is_some() { 3 } else { 2 });
                write_text(&mut data, "packet");
                write_event_packet(&mut data, None, payload)?;
                write_text(&mut data, "opts");
                write_document(&mut data, &options);
                if let Some(question) = question {
                    write_text(&mut data, "requestId");
                    write_text(&mut data, question);
                }
                self.msgpack_envelope(namespace, kind::BROADCAST, &data, meta.as_ref())
            }
        };
        Ok(Outgoing { channel, payload })
    }

    /// The text of the event is copied as it is.
    fn json_broadcast(
        &self,
        namespace: &str,
        event: &str,
        options: &Options<'_>,
        question: Option<&str>,
        meta: &Option<Meta>,
    ) -> Result<Bytes, WireError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Rest<'a> {
            opts: &'a Options<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            request_id: Option<&'a str>,
        }

        let mut out = Vec::with_capacity(event.len() + 256);
        out.extend_from_slice(self.own.as_bytes());
        out.extend_from_slice(b"\"nsp\":");
        serde_json::to_writer(&mut out, namespace)?;
        out.extend_from_slice(b",\"data\":{\"packet\":{\"type\":2,\"data\":");
        out.extend_from_slice(event.as_bytes());
        // The fields of `Rest` go on in the same object.
        out.extend_from_slice(b"},");
        let rest = serde_json::to_vec(&Rest { opts: options, request_id: question })?;
        out.extend_from_slice(rest.get(1..).unwrap_or_default());
        if let Some(meta) = meta {
            out.extend_from_slice(b",\"roomcast\":");
            serde_json::to_writer(&mut out, meta)?;
        }
        out.push(b'}');
        Ok(out.into())
    }

    fn msgpack_envelope(
        &self,
        namespace: &str,
        kind: u64,
        data: &[u8],
        meta: Option<&Meta>,
    ) -> Bytes {
        let mut out = Vec::with_capacity(data.len() + 64);
        write_map(&mut out, if meta.is_some() { 5 } else { 4 });
        write_text(&mut out, "type");
        write_number(&mut out, kind);
        write_text(&mut out, "uid");
        write_text(&mut out, &self.pod);
        write_text(&mut out, "nsp");
        write_text(&mut out, namespace);
        write_text(&mut out, "data");
        out.extend_from_slice(data);
        if let Some(meta) = meta {
            write_text(&mut out, "roomcast");
            write_document(&mut out, meta);
        }
        out.into()
    }

    fn encode_answer(&self, question: &str, answer: &Answer) -> Result<Encoded, WireError> {
        Ok(match answer {
            Answer::Sockets(sockets) => {
                let data = json!({"requestId": question, "sockets": sockets});
                Encoded::Json(kind::FETCH_SOCKETS_RESPONSE, data)
            }
            Answer::ServerSide(value) => {
                let data = json!({"requestId": question, "packet": value});
                Encoded::Json(kind::SERVER_SIDE_EMIT_RESPONSE, data)
            }
            Answer::AckCount(count) => {
                let data = json!({"requestId": question, "clientCount": count});
                Encoded::Json(kind::BROADCAST_CLIENT_COUNT, data)
            }
            Answer::Ack(None) => {
                let data = json!({"requestId": question, "lost": true});
                Encoded::Json(kind::BROADCAST_ACK, data)
            }
            Answer::Ack(Some(answer)) => match answer.as_json()? {
                Some((first, all)) => {
                    let first: Json = serde_json::from_str(first)?;
                    let mut data = json!({"requestId": question, "packet": first});
                    if let Some(all) = all {
                        data["values"] = serde_json::from_str(all)?;
                    }
                    Encoded::Json(kind::BROADCAST_ACK, data)
                }
                None => {
                    let (first, all) = answer.as_msgpack()?;
                    let mut data = Vec::with_capacity(64 + first.len());
                    write_map(&mut data, if all.is_some() { 3 } else { 2 });
                    write_text(&mut data, "requestId");
                    write_text(&mut data, question);
                    write_text(&mut data, "packet");
                    data.extend(first);
                    if let Some(all) = all {
                        write_text(&mut data, "values");
                        data.extend(all);
                    }
                    Encoded::Msgpack(kind::BROADCAST_ACK, data)
                }
            },
            Answer::Rooms(_) | Answer::SocketIds(_) => {
                return Err(WireError::Missing("an answer of this kind in the sharded protocol"));
            }
        })
    }

    pub(super) fn decode(
        &self,
        channel: &str,
        payload: &Bytes,
    ) -> Result<Option<Incoming>, WireError> {
        let Some(address) = self.address(channel) else {
            return Ok(None);
        };
        if payload.starts_with(self.own.as_bytes()) {
            return Ok(None);
        }
        if payload.starts_with(b"{") {
            self.decode_json(address.namespace, payload)
        } else {
            self.decode_msgpack(address.namespace, payload)
        }
    }

    fn decode_json(&self, namespace: &str, payload: &Bytes) -> Result<Option<Incoming>, WireError> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(rename = "type")]
            kind: u64,
            #[serde(borrow)]
            uid: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            nsp: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
            #[serde(borrow)]
            roomcast: Option<&'a RawValue>,
        }

        let envelope: Envelope<'_> = serde_json::from_slice(payload)?;
        if envelope.uid == self.pod
            || envelope.nsp != namespace
            || kind::IGNORED.contains(&envelope.kind)
        {
            return Ok(None);
        }
        let data = envelope.data.ok_or(WireError::Missing("data"))?;
        let data = Data::read(data)?;
        let message = if envelope.kind == kind::BROADCAST {
            #[derive(Deserialize)]
            struct Packet<'a> {
                /// As [`read_event_type`] reads it.
                #[serde(rename = "type")]
                kind: Option<f64>,
                #[serde(borrow)]
                data: &'a RawValue,
            }

            let opts = data.options()?;
            let packet = data.packet.ok_or(WireError::Missing("packet"))?;
            if !packet.get().starts_with('{') {
                return Err(WireError::Odd("packet"));
            }
            let packet: Packet<'_> = serde_json::from_str(packet.get())?;
            if packet.kind.is_some_and(|kind| kind != 2.0 && kind != 5.0) {
                return Err(WireError::Odd("packet.type"));
            }
            let ask =
                data.request_id.map(|question| Ask { question, timeout: opts.flags.ack_timeout() });
            Message::Broadcast(Broadcast {
                payload: self.format.event_from_json(packet.data)?,
                volatile: opts.flags.volatile,
                target: opts.into_target(),
                ask,
                meta: envelope.roomcast.and_then(|meta| serde_json::from_str(meta.get()).ok()),
            })
        } else {
            data.into_message(envelope.kind)?
        };
        Ok(Some(Incoming { from: Some(envelope.uid.into_owned()), message }))
    }

    fn decode_msgpack(
        &self,
        namespace: &str,
        payload: &Bytes,
    ) -> Result<Option<Incoming>, WireError> {
        let mut reader = Reader::new(payload);
        let (mut kind, mut from, mut of, mut data, mut meta) = (None, None, None, None, None);
        for _ in 0..reader.read_map_len()? {
            match (reader.read_str()?, reader.peek()?) {
                ("type", _) => kind = Some(reader.read_u64()?),
                ("uid", Token::Text(_)) => from = Some(reader.read_str()?),
                ("nsp", Token::Text(_)) => of = Some(reader.read_str()?),
                ("data", _) => data = Some(reader.skip_value()?),
                ("roomcast", _) => {
                    meta = rmp_serde::from_slice::<Meta>(&payload[reader.skip_value()?]).ok();
                }
                _ => reader.skip_value().map(drop)?,
            }
        }
        let kind = kind.ok_or(WireError::Missing("type"))?;
        let from = from.ok_or(WireError::Missing("uid"))?;
        if from == self.pod || of != Some(namespace) || kind::IGNORED.contains(&kind) {
            return Ok(None);
        }
        let data = data.ok_or(WireError::Missing("data"))?;
        let message = match kind {
            kind::BROADCAST => {
                let broadcast = self.msgpack_broadcast(payload, data)?;
                Message::Broadcast(Broadcast { meta, ..broadcast })
            }
            kind::BROADCAST_ACK => msgpack_ack(payload, data)?,
            _ => {
                let data = document::from_msgpack(&payload.slice(data))?;
                let data = serde_json::value::to_raw_value(&data)?;
                Data::read(&data)?.into_message(kind)?
            }
        };
        Ok(Some(Incoming { from: Some(from.to_owned()), message }))
    }

    fn msgpack_broadcast(
        &self,
        payload: &Bytes,
        data: std::ops::Range<usize>,
    ) -> Result<Broadcast, WireError> {
        let mut reader = Reader::part(payload, data)?;
        let (mut event, mut options, mut question) = (None, None, None);
        for _ in 0..reader.read_map_len()? {
            match (reader.read_str()?, reader.peek()?) {
                ("packet", Token::Map(_)) => {
                    for _ in 0..reader.read_map_len()? {
                        match reader.read_str()? {
                            "type" => read_event_type(&mut reader)?,
                            "data" => event = Some(reader.skip_value()?),
                            _ => reader.skip_value().map(drop)?,
                        }
                    }
                }
                ("opts", _) => options = Some(Options::read(&mut reader)?),
                ("requestId", Token::Text(_)) => question = Some(reader.read_str()?.to_owned()),
                // A question whose answers nobody could send is no plain emit.
                ("requestId", token) if !matches!(token, Token::Nil | Token::Undefined) => {
                    return Err(WireError::Odd("requestId"));
                }
                _ => reader.skip_value().map(drop)?,
            }
        }
        let options = options.ok_or(WireError::Missing("opts"))?;
        let event = event.ok_or(WireError::Missing("packet.data"))?;
        let timeout = options.flags.ack_timeout();
        Ok(Broadcast {
            payload: self.format.event_from_msgpack(payload, event)?,
            volatile: options.flags.volatile,
            target: options.into_target(),
            ask: question.map(|question| Ask { question, timeout }),
            meta: None,
        })
    }
}

/// An answer, in the encoding that can hold it.
enum Encoded {
    Json(u64, Json),
    Msgpack(u64, Vec<u8>),
}
