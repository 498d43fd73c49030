//! Packets of Socket.IO 5, as the client side reads and writes them.
//!
//! socketioxide's parser does the work. What it has for servers only is added here: it refuses
//! `CONNECT_ERROR`, reads no event name with an escape in it, and takes a newtype for a list of
//! arguments.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use socketioxide_core::{
    Str, Value,
    packet::{Packet, PacketData},
    parser::{Parse, ParseConfig, ParseError, ParserState},
};
use socketioxide_parser_common::CommonParser;

use super::{ClientError, TransportError};

/// What came for a namespace.
#[derive(Debug)]
pub(super) struct Incoming {
    pub namespace: String,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The server let the socket in. The id is missing before Socket.IO 3.
    Connected(Option<String>),
    Disconnected,
    Refused(ConnectError),
    Event(Arguments, Option<i64>),
    Ack(Arguments, i64),
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct ConnectError {
    pub message: String,
    pub data: Option<serde_json::Value>,
}

/// Arguments of an event (its name first) or of an ack: JSON, and what it names as attachments.
#[derive(Debug, Clone)]
pub(super) struct Arguments(Value);

/// Reads packets, and keeps the one whose attachments are still to come.
pub(super) struct Decoder {
    config: ParseConfig,
    state: ParserState,
}

impl Decoder {
    pub fn new(max_message: usize, max_attachments: usize) -> Self {
        let config = ParseConfig {
            max_incoming_binary_buf_size: max_message,
            max_incoming_binaries: max_attachments,
            ..ParseConfig::default()
        };
        Self { config, state: ParserState::default() }
    }

    pub fn text(&self, text: String) -> Result<Option<Incoming>, TransportError> {
        if let Some(rest) = text.strip_prefix('4') {
            return connect_error(rest).map(Some);
        }
        self.read(CommonParser.decode_str(&self.config, &self.state, Str::from(text)))
    }

    pub fn binary(&self, bytes: Bytes) -> Result<Option<Incoming>, TransportError> {
        self.read(CommonParser.decode_bin(&self.config, &self.state, bytes))
    }

    fn read(&self, packet: Result<Packet, ParseError>) -> Result<Option<Incoming>, TransportError> {
        let Packet { inner, ns } = match packet {
            Err(ParseError::NeedsMoreBinaryData) => return Ok(None),
            packet => packet.map_err(protocol)?,
        };
        let kind = match inner {
            PacketData::Connect(data) => {
                #[derive(Deserialize)]
                struct Connected {
                    sid: Option<String>,
                }
                let data: Connected =
                    CommonParser.decode_default(data.as_ref()).map_err(protocol)?;
                Kind::Connected(data.sid)
            }
            PacketData::Disconnect => Kind::Disconnected,
            PacketData::Event(data, id) | PacketData::BinaryEvent(data, id) => {
                Kind::Event(Arguments(data), id)
            }
            PacketData::EventAck(data, id) | PacketData::BinaryAck(data, id) => {
                Kind::Ack(Arguments(data), id)
            }
            PacketData::ConnectError(message) => {
                Kind::Refused(ConnectError { message, data: None })
            }
        };
        Ok(Some(Incoming { namespace: ns.as_str().to_owned(), kind }))
    }
}

fn protocol(error: impl std::fmt::Display) -> TransportError {
    TransportError::Protocol(error.to_string())
}

/// `[/namespace,]{"message","data"?}`; the message alone before Socket.IO 3.
fn connect_error(rest: &str) -> Result<Incoming, TransportError> {
    let (namespace, data) = match rest.split_once(',') {
        Some((namespace, data)) if namespace.starts_with('/') => (namespace, data),
        _ => ("/", rest),
    };
    let error = serde_json::from_str(data).or_else(|_| {
        serde_json::from_str(data).map(|message| ConnectError { message, data: None })
    });
    let error = error.map_err(protocol)?;
    Ok(Incoming { namespace: namespace.to_owned(), kind: Kind::Refused(error) })
}

impl Arguments {
    /// Encodes the arguments of an event; a tuple is several, `()` none.
    pub fn of_event<T: Serialize + ?Sized>(event: &str, data: &T) -> Result<Self, ClientError> {
        let failed = |error: &dyn std::fmt::Display| ClientError::Encode(error.to_string());
        let name = serde_json::to_string(event).map_err(|error| failed(&error))?;
        // Only `()` and unit structs are without a size and become null.
        if size_of_val(data) == 0 && serde_json::to_string(data).is_ok_and(|json| json == "null") {
            return Ok(Self(Value::Str(format!("[{name}]").into(), None)));
        }
        let value = CommonParser.encode_value(data, Some(event)).map_err(|error| failed(&error))?;
        let whole = value.as_str().and_then(|text| text.as_str().strip_prefix('['));
        if whole.is_some_and(|text| text.starts_with(&name)) {
            return Ok(Self(value));
        }
        CommonParser.encode_value(&(data,), Some(event)).map(Self).map_err(|error| failed(&error))
    }

    /// Encodes the arguments of an ack.
    pub fn of_ack<T: Serialize + ?Sized>(data: &T) -> Result<Self, ClientError> {
        let Self(value) = Self::of_event("", data)?;
        Ok(Self(match value {
            Value::Str(text, bins) => {
                let rest = text.as_str().trim_start_matches("[\"\"").trim_start_matches(',');
                Value::Str(format!("[{rest}").into(), bins)
            }
            value => value,
        }))
    }

    /// The name of the event.
    pub fn event(&self) -> Result<String, TransportError> {
        let first = *self.list()?.first().ok_or_else(|| protocol("an event without a name"))?;
        let name: Cow<'_, str> = serde_json::from_str(first.get()).map_err(protocol)?;
        Ok(name.into_owned())
    }

    /// Reads the arguments into a tuple, or the first of them into anything else.
    pub fn read<T: DeserializeOwned>(&self, of_event: bool) -> Result<T, ClientError> {
        let failed = |error: String| ClientError::Decode(error);
        let list = self.list().map_err(|error| failed(error.to_string()))?;
        let mut value = self.0.clone();
        // No argument is read as null, so that `()` and `Option` fit.
        if list.len() == usize::from(of_event) {
            let text = if of_event { "[\"\",null]" } else { "[null]" };
            value = Value::Str(text.into(), None);
        }
        let attachments = match &value {
            Value::Str(_, attachments) => attachments.clone(),
            Value::Bytes(_) => None,
        };
        CommonParser.decode_value(&mut value, of_event).or_else(|error| {
            // A newtype, perhaps: then it is the first argument.
            let first = list.get(usize::from(of_event)).map_or("null", |first| first.get());
            let mut first = Value::Str(format!("[{first}]").into(), attachments);
            let newtype: Result<(T,), _> = CommonParser.decode_value(&mut first, false);
            newtype.map(|(inner,)| inner).map_err(|_| failed(error.to_string()))
        })
    }

    fn list(&self) -> Result<Vec<&RawValue>, TransportError> {
        let text = self.0.as_str().map_or("", |text| text.as_str());
        serde_json::from_str(text).map_err(protocol)
    }
}

/// What goes over the wire for one packet: its text, and its attachments.
#[derive(Debug)]
pub(super) struct Encoded {
    pub text: Bytes,
    pub attachments: Vec<Bytes>,
}

impl Encoded {
    pub fn connect(namespace: &str, auth: Option<String>) -> Self {
        let auth = auth.map(|auth| Value::Str(auth.into(), None));
        Self::new(Packet::connect(namespace.to_owned(), auth))
    }

    pub fn disconnect(namespace: &str) -> Self {
        Self::new(Packet::disconnect(namespace.to_owned()))
    }

    pub fn event(namespace: &str, arguments: Arguments, id: Option<i64>) -> Self {
        let mut packet = Packet::event(namespace.to_owned(), arguments.0);
        if let Some(id) = id {
            packet.inner.set_ack_id(id);
        }
        Self::new(packet)
    }

    pub fn ack(namespace: &str, arguments: Arguments, id: i64) -> Self {
        Self::new(Packet::ack(namespace.to_owned(), arguments.0, id))
    }

    fn new(packet: Packet) -> Self {
        match CommonParser.encode(packet) {
            Value::Str(text, attachments) => Self {
                text: text.into(),
                attachments: attachments.map(Vec::from).unwrap_or_default(),
            },
            Value::Bytes(bytes) => Self { text: bytes, attachments: Vec::new() },
        }
    }

    /// Bytes that it keeps in memory.
    pub fn size(&self) -> usize {
        self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event<T: Serialize + ?Sized>(data: &T) -> String {
        let encoded = Encoded::event("/", Arguments::of_event("e", data).unwrap(), None);
        String::from_utf8(encoded.text.to_vec()).unwrap()
    }

    fn read(text: &str) -> Incoming {
        Decoder::new(1000, 10).text(text.to_owned()).unwrap().unwrap()
    }

    #[test]
    fn a_tuple_is_several_arguments_and_nothing_is_none() {
        #[derive(Serialize)]
        struct Newtype(u8);
        #[derive(Serialize)]
        struct Unit;
        assert_eq!(event(&(1, "a")), r#"2["e",1,"a"]"#);
        assert_eq!(event(&()), r#"2["e"]"#);
        assert_eq!(event(&Unit), r#"2["e"]"#);
        assert_eq!(event(&None::<u8>), r#"2["e",null]"#);
        assert_eq!(event(&vec![1, 2]), r#"2["e",[1,2]]"#);
        assert_eq!(event("text"), r#"2["e","text"]"#);
        assert_eq!(event(&Newtype(7)), r#"2["e",7]"#);
        assert_eq!(event(&json!({"a": 1})), r#"2["e",{"a":1}]"#);
    }

    #[test]
    fn acks_have_no_name() {
        let ack = |arguments: Arguments| {
            String::from_utf8(Encoded::ack("/x", arguments, 3).text.to_vec()).unwrap()
        };
        assert_eq!(ack(Arguments::of_ack(&()).unwrap()), "3/x,3[]");
        assert_eq!(ack(Arguments::of_ack(&("", 2)).unwrap()), r#"3/x,3["",2]"#);
        assert_eq!(ack(Arguments::of_ack(",\"").unwrap()), r#"3/x,3[",\""]"#);
    }

    #[test]
    fn attachments_follow_the_text() {
        let data = (Bytes::from_static(b"ab"), json!({"n": 1}), Bytes::from_static(b"c"));
        let encoded = Encoded::event("/x", Arguments::of_event("e", &data).unwrap(), Some(4));
        let placeholder = |num| format!(r#"{{"_placeholder":true,"num":{num}}}"#);
        let text = format!(r#"52-/x,4["e",{},{{"n":1}},{}]"#, placeholder(0), placeholder(1));
        assert_eq!(encoded.text, text);
        assert_eq!(encoded.attachments, [&b"ab"[..], b"c"]);

        let decoder = Decoder::new(1000, 10);
        assert!(decoder.text(text).unwrap().is_none());
        assert!(decoder.binary(Bytes::from_static(b"ab")).unwrap().is_none());
        let incoming = decoder.binary(Bytes::from_static(b"c")).unwrap().unwrap();
        let Kind::Event(arguments, Some(4)) = incoming.kind else { panic!("{incoming:?}") };
        assert_eq!((incoming.namespace.as_str(), arguments.event().unwrap()), ("/x", "e".into()));
        let read: (Bytes, serde_json::Value, Bytes) = arguments.read(true).unwrap();
        assert_eq!(read, data);
    }

    #[test]
    fn what_servers_send() {
        assert!(matches!(read(r#"0{"sid":"abc"}"#).kind, Kind::Connected(Some(id)) if id == "abc"));
        assert!(matches!(read("0").kind, Kind::Connected(None)));
        assert!(matches!(read("1/x,").kind, Kind::Disconnected));
        for (text, namespace, message, data) in [
            (r#"4{"message":"no"}"#, "/", "no", None),
            (r#"4/x,{"message":"a, b","data":{"n":1}}"#, "/x", "a, b", Some(json!({"n": 1}))),
            (r#"4"old, and plain""#, "/", "old, and plain", None),
        ] {
            let incoming = read(text);
            assert_eq!(incoming.namespace, namespace);
            let Kind::Refused(error) = incoming.kind else { panic!("{text}") };
            assert_eq!(error, ConnectError { message: message.into(), data });
        }
    }

    #[test]
    fn arguments_are_read_by_type() {
        let arguments = |text: &str| match read(text).kind {
            Kind::Event(arguments, _) => arguments,
            kind => panic!("{kind:?}"),
        };
        let two = arguments(r#"2["e",1,"a"]"#);
        assert_eq!(two.read::<(u8, String)>(true).unwrap(), (1, "a".into()));
        assert_eq!(two.read::<u8>(true).unwrap(), 1);
        assert!(matches!(two.read::<bool>(true), Err(ClientError::Decode(_))));
        let none = arguments(r#"2["e"]"#);
        none.read::<()>(true).unwrap();
        assert_eq!(none.read::<Option<u8>>(true).unwrap(), None);
        assert_eq!(arguments(r#"2["a\"b\u00e9",1]"#).event().unwrap(), "a\"bé");
        #[derive(Deserialize)]
        struct Newtype(u8);
        assert_eq!(two.read::<Newtype>(true).unwrap().0, 1);
        let Kind::Ack(empty, 12) = read("312[]").kind else { panic!() };
        empty.read::<()>(false).unwrap();
    }

    #[test]
    fn what_is_no_packet_or_too_much_is_an_error() {
        let decoder = || Decoder::new(10, 2);
        for text in ["", "9", "x", "3[]", "5[]", "4", "4{}", "0[", "53-[]", "\u{e9}"] {
            assert!(decoder().text(text.into()).is_err(), "{text:?}");
        }
        assert!(decoder().binary(Bytes::from_static(b"a")).is_err());
        let heavy = decoder();
        assert!(heavy.text(r#"51-["e",{"_placeholder":true,"num":0}]"#.into()).unwrap().is_none());
        assert!(heavy.binary(Bytes::from(vec![0; 11])).is_err());
        for text in ["2", "2[]", "2[1]", "2{}", "2[\"e\""] {
            let incoming = decoder().text(text.into()).unwrap().unwrap();
            let Kind::Event(arguments, _) = incoming.kind else { panic!("{text}") };
            assert!(arguments.event().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_of_a_server_is_a_panic(text in "[0-6][-0-9/a-zé,\\[\\]{}\":_\\\\]{0,30}") {
            let decoder = Decoder::new(1000, 10);
            let mut incoming = decoder.text(text).ok().flatten();
            for _ in 0..3 {
                let more = decoder.binary(Bytes::from_static(b"x"));
                incoming = incoming.or(more.ok().flatten());
            }
            if let Some(Incoming { kind: Kind::Event(arguments, _) | Kind::Ack(arguments, _), .. }) = incoming {
                let _ = arguments.event();
                let _ = arguments.read::<(serde_json::Value, Bytes)>(true);
                let _ = arguments.read::<serde_json::Value>(false);
            }
        }
    }
}
