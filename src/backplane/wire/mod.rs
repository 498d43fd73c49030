//! What the servers of a cluster say to each other, and the two protocols that carry it.
//!
//! Both are those of the Node packages: `classic` is that of `createAdapter`
//! (`@socket.io/redis-adapter` 8.3.0, `lib/index.ts`), `sharded` that of `createShardedAdapter`
//! (`lib/sharded-adapter.ts`, with the messages of `socket.io-adapter` 2.5.8,
//! `lib/cluster-adapter.ts`).

mod classic;
mod client_answer;
mod document;
mod envelope;
mod payload;
mod sharded;
#[cfg(test)]
mod strict;
mod write;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use socketioxide_core::Value;

use super::{
    Target,
    transcode::{Reader, Token, TranscodeError, Unportable},
};
use crate::config::{self, BackplaneKind, SubscriptionMode};

pub use classic::Classic;
pub use client_answer::ClientAnswer;
pub use envelope::Meta;
pub use payload::{Format, all_of, is_reserved};
pub use sharded::Sharded;

impl RemoteSocket {
    /// The claims of its token, wherever they are; `null` if it has none.
    pub fn token_claims(&self) -> &serde_json::Value {
        self.claims.as_ref().unwrap_or_else(|| &self.data["claims"])
    }
}

/// A message from one server to others.
#[derive(Debug, Clone)]
pub enum Message {
    /// An event for clients.
    Broadcast(Broadcast),
    /// Sockets are put in rooms.
    Join { target: Target, rooms: Vec<String> },
    /// Sockets are taken out of rooms.
    Leave { target: Target, rooms: Vec<String> },
    /// Sockets are disconnected; with `close`, their connections end.
    Disconnect { target: Target, close: bool },
    /// Which sockets are there?
    FetchSockets { question: String, target: Target },
    /// Which rooms are there? The classic protocol only.
    AllRooms { question: String },
    /// The ids of sockets. The classic protocol only: servers of old versions ask so.
    SocketIds { question: String, rooms: Vec<String> },
    /// An event for servers; with a question, each is to answer.
    ServerSideEmit { arguments: Vec<serde_json::Value>, question: Option<String> },
    /// An answer.
    Answer { question: String, answer: Answer },
}

/// An event for clients.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// The event, as the parser of this pod writes it.
    pub payload: Value,
    pub target: Target,
    pub volatile: bool,
    /// Each client is to answer.
    pub ask: Option<Ask>,
    /// What a pod of ours adds.
    pub meta: Option<Meta>,
}

/// A wish for the answers of clients.
#[derive(Debug, Clone)]
pub struct Ask {
    pub question: String,
    pub timeout: Duration,
}

/// What a server answers.
#[derive(Debug, Clone)]
pub enum Answer {
    Sockets(Vec<RemoteSocket>),
    SocketIds(Vec<String>),
    Rooms(Vec<String>),
    /// The answer to a server-side event.
    ServerSide(serde_json::Value),
    /// How many clients have been asked.
    AckCount(u64),
    /// The answer of one client; `None` for one that no other server could be given.
    Ack(Option<ClientAnswer>),
}

/// A socket of some server of the cluster.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RemoteSocket {
    /// Its id: of 20 characters on Node, of 16 here.
    pub id: String,
    /// The rooms that it is in, that of its own id among them.
    #[serde(default, deserialize_with = "envelope::names")]
    pub rooms: Vec<String>,
    /// What it began with: Node's `socket.handshake`.
    #[serde(default)]
    pub handshake: serde_json::Value,
    /// Node's `socket.data`: what handlers noted. Here `{"claims": …}` of its token too, where that is an object.
    #[serde(default)]
    pub data: serde_json::Value,
    /// The claims of its token, where its `data` is no object or has `claims` of its own. Node servers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Value>,
    /// The pod that holds it; Node servers do not say.
    #[serde(default)]
    pub pod: Option<String>,
}

/// A message that has arrived.
#[derive(Debug)]
pub struct Incoming {
    /// Who sent it; answers and emitters of some kinds do not say.
    pub from: Option<String>,
    pub message: Message,
}

/// A message on its way, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub channel: String,
    pub payload: Bytes,
}

/// A message that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error(transparent)]
    Transcode(#[from] TranscodeError),
    #[error("not the JSON of a message: {0}")]
    Json(#[from] serde_json::Error),
    #[error("unknown type {0}")]
    UnknownType(u64),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("what clients cannot read: {0}")]
    Unportable(#[from] Unportable),
    /// It would be guesswork whom it is for, or what it asks; a guess may reach more than was meant.
    #[error("{0} is of a type that it cannot be")]
    Odd(&'static str),
    #[error("an event that clients would refuse")]
    BadEvent,
}

/// Where a message came in.
#[derive(Debug, PartialEq, Eq)]
pub struct Address<'a> {
    pub namespace: &'a str,
    /// The one room that it is for. Without, what is inside says whom it is for.
    pub room: Option<&'a str>,
}

/// One of the two protocols.
pub enum Wire {
    Classic(Classic),
    Sharded(Sharded),
}

impl Wire {
    /// The protocol of a pod's settings; `None` for a pod on its own.
    pub fn new(settings: &config::Backplane, pod: &str, format: Format) -> Option<Self> {
        let prefix = settings.channel_prefix.as_str();
        match settings.kind() {
            BackplaneKind::Auto | BackplaneKind::None => None,
            BackplaneKind::Pubsub => Some(Self::Classic(Classic::new(prefix, pod, format))),
            BackplaneKind::Sharded => {
                let mode = settings.subscription_mode;
                Some(Self::Sharded(Sharded::new(prefix, pod, format, mode)))
            }
        }
    }

    /// Writes a message for the servers of a namespace. Answers go to `to`, who asked.
    pub fn encode(
        &self,
        namespace: &str,
        message: &Message,
        to: Option<&str>,
    ) -> Result<Outgoing, WireError> {
        match self {
            Self::Classic(wire) => wire.encode(namespace, message),
            Self::Sharded(wire) => wire.encode(namespace, message, to),
        }
    }

    /// The channels on which the servers of a namespace answer this pod.
    pub fn answers(&self, namespace: &str) -> Vec<String> {
        match self {
            Self::Classic(wire) => {
                let [_, shared, own] = wire.channels(namespace);
                vec![shared, own]
            }
            Self::Sharded(wire) => {
                let [_, own] = wire.channels(namespace);
                vec![own]
            }
        }
    }

    /// Where a message came in; `None` if the channel is not one of this protocol.
    pub fn address<'a>(&self, channel: &'a str) -> Option<Address<'a>> {
        match self {
            Self::Classic(wire) => wire.address(channel),
            Self::Sharded(wire) => wire.address(channel),
        }
    }

    /// Reads a message. `None` if it is not for this pod: its own, or of another namespace.
    pub fn decode(&self, channel: &str, payload: &Bytes) -> Result<Option<Incoming>, WireError> {
        match self {
            Self::Classic(wire) => wire.decode(channel, payload),
            Self::Sharded(wire) => wire.decode(channel, payload),
        }
    }

    /// Whether servers have one subscription for each room, so that a pod must follow its members.
    pub fn follows_rooms(&self) -> bool {
        matches!(self, Self::Sharded(wire) if wire.mode() != SubscriptionMode::Static)
    }
}

/// Makes sure that a packet is an event. Node hands others on to its clients as they are: a DISCONNECT would be
/// an event here. Type 5 is an event with binary, as older emitters write it.
fn read_event_type(reader: &mut Reader<'_>) -> Result<(), WireError> {
    match reader.token()? {
        Token::Unsigned(2 | 5) | Token::Signed(2 | 5) => Ok(()),
        Token::Float(number) if number == 2.0 || number == 5.0 => Ok(()),
        _ => Err(WireError::Odd("packet.type")),
    }
}

/// What is behind `prefix#`: the namespace, and the room if one is named.
fn split_address(rest: &str) -> Option<Address<'_>> {
    let (namespace, room) = rest.strip_suffix('#')?.split_once('#').map_or_else(
        || (rest.strip_suffix('#').unwrap_or(rest), None),
        |(namespace, room)| (namespace, Some(room)),
    );
    namespace.starts_with('/').then_some(Address { namespace, room })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_at_its_first_hash() {
        let address = |namespace, room| Some(Address { namespace, room });
        assert_eq!(split_address("/#"), address("/", None));
        assert_eq!(split_address("/chat#a#"), address("/chat", Some("a")));
        assert_eq!(split_address("/chat#a#b##"), address("/chat", Some("a#b#")));
        assert_eq!(split_address("/chat"), None);
        assert_eq!(split_address("chat#"), None);
    }
}
