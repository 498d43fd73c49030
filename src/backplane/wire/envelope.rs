//! The parts that messages of both protocols are made of.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Ask, WireError};
use crate::{
    backplane::{
        Target,
        transcode::{Reader, Token},
    },
    telemetry::traces::Trace,
};

/// The form of [`Meta`] that this version writes.
const VERSION: u32 = 1;

/// Milliseconds that clients have to answer a server that does not say how many.
const ACK_TIMEOUT: f64 = 5000.0;
/// The most that they get: what waits for them costs memory.
const MAX_ACK_TIMEOUT: f64 = 600_000.0;

/// What our pods add to a broadcast: a fourth element of the classic array, a field `roomcast` of the
/// sharded envelope. Node reads neither. A pod of another version ignores what it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Which form this is.
    v: u32,
    /// When it was published: milliseconds since 1970, by the clock of the pod that did.
    pub t: u64,
    /// W3C trace context of what caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    /// What goes with it of systems on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
    /// Whether it is only for those who may know who is in its rooms.
    #[serde(default, skip_serializing_if = "is_false")]
    pub presence: bool,
}

impl Meta {
    pub fn new(published: u64, trace: Option<Trace>, presence: bool) -> Self {
        let traceparent = trace.as_ref().map(Trace::traceparent);
        let tracestate = trace.as_ref().and_then(Trace::tracestate).map(str::to_owned);
        Self { v: VERSION, t: published, traceparent, tracestate, presence }
    }

    /// What caused it, as it was written.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// What caused it.
    pub fn trace(&self) -> Option<Trace> {
        Trace::read(self.traceparent.as_deref()?, self.tracestate.as_deref())
    }
}

/// Whom something is for, as it is written: `opts` of all messages.
///
/// No rooms means everybody. So what is read as "no rooms" is what means that in every emitter: an empty
/// list, none at all (absent or nil), and the empty text of the emitter for Python. All else that is no list
/// of names is refused: on Node it throws, or names rooms that nobody is in.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Options<'a> {
    #[serde(deserialize_with = "names")]
    pub rooms: Cow<'a, [String]>,
    #[serde(deserialize_with = "names")]
    pub except: Cow<'a, [String]>,
    #[serde(deserialize_with = "flags")]
    pub flags: Flags,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Flags {
    #[serde(skip_serializing_if = "is_false", deserialize_with = "flag")]
    pub volatile: bool,
    /// Milliseconds that the clients have to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
}

impl<'a> Options<'a> {
    pub fn new(target: &'a Target, volatile: bool, ask: Option<&Ask>) -> Self {
        let timeout = ask.map(|ask| ask.timeout.as_millis() as f64);
        Self {
            rooms: Cow::Borrowed(&target.rooms),
            except: Cow::Borrowed(&target.except),
            flags: Flags { volatile, timeout },
        }
    }

    pub fn into_target(self) -> Target {
        Target { rooms: self.rooms.into_owned(), except: self.except.into_owned() }
    }

    /// Reads them from msgpack.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut options = Self::default();
        if !matches!(reader.peek()?, Token::Map(_)) {
            return Err(WireError::Odd("opts"));
        }
        for _ in 0..reader.read_map_len()? {
            match reader.read_str()? {
                "rooms" => options.rooms = Cow::Owned(read_names(reader, "opts.rooms")?),
                "except" => options.except = Cow::Owned(read_names(reader, "opts.except")?),
                "flags" => options.flags = Flags::read(reader)?,
                _ => reader.skip_value().map(drop)?,
            }
        }
        Ok(options)
    }
}

impl Flags {
    /// How long clients have to answer.
    pub fn ack_timeout(&self) -> Duration {
        let milliseconds = self.timeout.unwrap_or(ACK_TIMEOUT).clamp(0.0, MAX_ACK_TIMEOUT);
        Duration::from_millis(milliseconds as u64)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut flags = Self::default();
        match reader.peek()? {
            Token::Map(_) => {}
            // PHP writes a map without entries as a list, the emitter for Python as a text.
            Token::Nil | Token::Undefined | Token::Array(0) | Token::Text(b"") => {
                reader.skip_value()?;
                return Ok(flags);
            }
            _ => return Err(WireError::Odd("opts.flags")),
        }
        for _ in 0..reader.read_map_len()? {
            let name = reader.read_str()?;
            match (name, reader.peek()?) {
                (_, Token::Nil | Token::Undefined) => {}
                ("volatile", Token::Bool(volatile)) => flags.volatile = volatile,
                ("volatile", _) => return Err(WireError::Odd("opts.flags.volatile")),
                ("timeout", Token::Unsigned(timeout)) => flags.timeout = Some(timeout as f64),
                ("timeout", Token::Signed(timeout)) => flags.timeout = Some(timeout as f64),
                ("timeout", Token::Float(timeout)) => flags.timeout = Some(timeout),
                ("timeout", _) => return Err(WireError::Odd("opts.flags.timeout")),
                _ => {}
            }
            reader.skip_value()?;
        }
        Ok(flags)
    }
}

/// The names of rooms. On Node a room may also be a number.
fn read_names(reader: &mut Reader<'_>, of: &'static str) -> Result<Vec<String>, WireError> {
    let count = match reader.token()? {
        Token::Array(count) => count,
        Token::Nil | Token::Undefined | Token::Text(b"") => 0,
        _ => return Err(WireError::Odd(of)),
    };
    let name = |token| {
        Ok(match token {
            // A name that is no UTF-8 would become another one.
            Token::Text(text) => {
                std::str::from_utf8(text).map_err(|_| WireError::Odd(of))?.to_owned()
            }
            Token::Unsigned(number) => number.to_string(),
            Token::Signed(number) => number.to_string(),
            Token::Float(number) => number.to_string(),
            _ => return Err(WireError::Odd(of)),
        })
    };
    // Skipping a list of rooms that cannot be read would leave those that can: fewer than were meant, or with
    // `except` more. So it is all of them or none.
    (0..count).map(|_| name(reader.token()?)).collect()
}

/// The same from JSON.
pub(super) fn names<'de, D: Deserializer<'de>, T: From<Vec<String>>>(
    deserializer: D,
) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of the names of rooms")]
    enum Names {
        List(Vec<Name>),
        Text(String),
    }

    let names = match Option::<Names>::deserialize(deserializer)? {
        Some(Names::List(names)) => names.into_iter().map(|Name(name)| name).collect(),
        Some(Names::Text(text)) if !text.is_empty() => {
            return Err(de::Error::custom("expected a list of the names of rooms"));
        }
        Some(Names::Text(_)) | None => Vec::new(),
    };
    Ok(names.into())
}

/// Flags from JSON, with what emitters write for none.
fn flags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Flags, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => Ok(Flags::default()),
        serde_json::Value::String(text) if text.is_empty() => Ok(Flags::default()),
        serde_json::Value::Array(list) if list.is_empty() => Ok(Flags::default()),
        // serde would take a list for the fields in their order.
        flags @ serde_json::Value::Object(_) => {
            Flags::deserialize(flags).map_err(de::Error::custom)
        }
        _ => Err(de::Error::custom("opts.flags must be an object")),
    }
}

/// One that is not there may also be `null`.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The name of a room: text, or a number.
pub(super) struct Name(pub String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(name) => Ok(Self(name)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(de::Error::custom("the name of a room is text or a number")),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it
fn is_false(flag: &bool) -> bool {
    !flag
}
