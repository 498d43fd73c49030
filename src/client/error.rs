//! What can go wrong, and what to do about it.

use std::{fmt, time::Duration};

use super::State;

/// Why a call of the client failed. The text of each says what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The builder was given something that it cannot use.
    #[error("{setting} {value:?}: {problem}")]
    Setting {
        /// The method of the builder.
        setting: &'static str,
        /// What it was given.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificates cannot be read.
    #[error(
        "no TLS: {0}; check the certificates given to `ca_certificates`, or those of the system"
    )]
    Tls(String),
    /// The client was built outside of a tokio runtime.
    #[error("a client runs on tokio: build it inside of a runtime, such as in `#[tokio::main]`")]
    NoRuntime,
    /// The name of an event is empty.
    #[error("the name of the event is empty: name the event")]
    NoEvent,
    /// Socket.IO keeps the name of an event for itself.
    #[error("{0:?} is reserved by Socket.IO: choose another name for the event")]
    ReservedEvent(String),
    /// There is no connection now.
    #[error("not connected ({0}): wait for `State::Connected`, or call `connect`")]
    NotConnected(State),
    /// What is to be sent comes faster than the server takes it.
    #[error("{packets} packets of {bytes} bytes wait to be sent: send less, or raise `queue`")]
    QueueFull {
        /// How many wait.
        packets: usize,
        /// Their size.
        bytes: usize,
    },
    /// The server would close the connection for it.
    #[error("{size} bytes, and the server takes {max} at once: send less, or raise its limit")]
    TooLarge {
        /// What it would be on the wire, in bytes.
        size: usize,
        /// What the server takes, as it said at connect.
        max: usize,
    },
    /// Arguments that JSON cannot hold.
    #[error("the arguments cannot be encoded: {0}")]
    Encode(String),
    /// Arguments of another form.
    #[error("the arguments are of another form: {0}")]
    Decode(String),
    /// The server did not answer in time. It may have got the event.
    #[error(
        "no answer within {0:?}: the server has no ack for the event, or is slow (`ack_timeout`)"
    )]
    AckTimeout(Duration),
    /// The connection was lost before the answer came. The server may have got the event.
    #[error(
        "disconnected ({0}) before the answer came: it may have been done; ask again when connected"
    )]
    Disconnected(Reason),
    /// An event is answered once.
    #[error("the server asked for no ack of the event, or has it already")]
    NothingToAck,
    /// The server refused the namespace (`connect_error`). The client does not try again by itself.
    #[error(
        "the server refused the namespace: {message}; change what it refuses, then `connect` again"
    )]
    Refused {
        /// The server's message.
        message: String,
        /// What else it said: `data` of the error.
        data: Option<serde_json::Value>,
    },
    /// The server took the connection and did not answer for the namespace.
    #[error(
        "no answer for the namespace within {0:?}: is it a Socket.IO server of version 3 or later?"
    )]
    NamespaceTimeout(Duration),
    /// What gives the credentials failed.
    #[error("the provider of `auth` failed: {0}")]
    Auth(String),
    /// The server did not accept the token (event `unauthenticated`).
    #[error("{0}; get a new token, then `connect` and `authenticate` again")]
    Unauthenticated(Unauthenticated),
    /// The server refused an event in its ack, `{"error":{"code","message"}}`.
    #[error("refused with {code}: {message}")]
    Rejected {
        /// A stable code, of docs/errors.md if the server is Roomcast.
        code: String,
        /// For people.
        message: String,
    },
    /// After a reconnection the server did not let the client into rooms that it had been in.
    #[error("not in its rooms any more: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    RoomsLost(Vec<RejectedRoom>),
    /// An attempt to connect failed. The client tries again, unless it was the last one.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// All attempts to connect failed.
    #[error(
        "gave up after {attempts} attempts to reconnect, the last one: {last}; call `connect` to begin again"
    )]
    GaveUp {
        /// How many there were after the first.
        attempts: u32,
        /// What the last one met.
        last: TransportError,
    },
    /// `disconnect` was called before the connection was there.
    #[error("`disconnect` was called: call `connect` to begin again")]
    Cancelled,
    /// `shutdown` was called, or no runtime is left.
    #[error("the client has been shut down: build a new one")]
    Closed,
}

/// An error of the builder.
pub(super) fn setting(
    setting: &'static str,
    value: &str,
    problem: impl fmt::Display,
) -> ClientError {
    ClientError::Setting { setting, value: value.to_owned(), problem: problem.to_string() }
}

/// Why a connection could not be made, or ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No TCP or TLS connection, or it broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server answered with another status than 200, or 101 for a WebSocket.
    #[error("the server answered {status}: {body}")]
    Status {
        /// Of HTTP: 503 from a server that drains, 400 for a session it does not know.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// It took too long.
    #[error("no answer within {0:?} (`connect_timeout`)")]
    Timeout(Duration),
    /// The server ended the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server stopped sending pings.
    #[error("no ping of the server came in time")]
    PingTimeout,
    /// More than `max_message`.
    #[error("more than {0} bytes at once: raise `max_message` if that is what the server sends")]
    TooLarge(usize),
    /// What came is not Engine.IO 4, or not Socket.IO 5.
    #[error("not the protocol of Socket.IO 3 or later: {0}")]
    Protocol(String),
}

/// Why a socket was disconnected, under the names that Socket.IO's client has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// `io server disconnect`: the server disconnected the socket. The client does not reconnect.
    ServerDisconnect,
    /// `io client disconnect`: `disconnect` or `shutdown`.
    ClientDisconnect,
    /// `ping timeout`: no ping came within `pingInterval + pingTimeout`.
    PingTimeout,
    /// `transport close`: the connection ended.
    TransportClose,
    /// `transport error`: the connection broke, or a request failed.
    TransportError,
    /// `parse error`: the server sent what is not Socket.IO.
    ParseError,
}

impl Reason {
    /// Socket.IO's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerDisconnect => "io server disconnect",
            Self::ClientDisconnect => "io client disconnect",
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&TransportError> for Reason {
    fn from(error: &TransportError) -> Self {
        match error {
            TransportError::Closed => Self::TransportClose,
            TransportError::PingTimeout => Self::PingTimeout,
            TransportError::Protocol(_) | TransportError::TooLarge(_) => Self::ParseError,
            TransportError::Unreachable(_)
            | TransportError::Status { .. }
            | TransportError::Timeout(_) => Self::TransportError,
        }
    }
}

/// The payload of `unauthenticated`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Unauthenticated {
    /// Why the server refused.
    #[serde(default)]
    pub message: String,
    /// When, in the server's form.
    #[serde(default)]
    pub time: serde_json::Value,
    /// A stable code, of docs/errors.md if the server is Roomcast: `token_invalid`, `authentication_timeout` … Servers of
    /// Node have none of their own.
    #[serde(default, deserialize_with = "text")]
    pub code: Option<String>,
}

/// A text; anything else is none, so that it does not hide the message.
fn text<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let value = <serde_json::Value as serde::Deserialize>::deserialize(value)?;
    Ok(value.as_str().map(str::to_owned))
}

impl fmt::Display for Unauthenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server did not accept the token: {}", self.message)?;
        match &self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

/// A room that the server refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct RejectedRoom {
    /// Its name.
    pub room: String,
    /// Why, as a stable code: docs/errors.md.
    pub code: String,
}

impl fmt::Display for RejectedRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.room, self.code)
    }
}
