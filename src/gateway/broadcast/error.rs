//! Why a program cannot publish, and what to do about it.

use crate::backplane::{BackplaneError, ClusterError, EncodeError, PublishError, UnknownNamespace};

/// Why nothing was published. The text of each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomcastError {
    /// It was used before the pod runs.
    #[error("the pod does not run yet: spawn `Listening::run`, and wait for `Roomcast::ready`")]
    NotStarted,
    /// The pod has ended.
    #[error("the pod has stopped: publish through one that runs")]
    Stopped,
    /// The namespace does not exist on this pod.
    #[error(
        "namespace {0:?} does not exist: add it with `Builder::namespace`, or to the configuration"
    )]
    UnknownNamespace(String),
    /// The event (topic) has no name.
    #[error("the name of the event is empty: name the event")]
    NoEvent,
    /// Socket.IO keeps the name of the event for itself.
    #[error("{0:?} is reserved by Socket.IO: choose another name for the event")]
    ReservedEvent(String),
    /// A name is longer than names may be.
    #[error("a name of {length} bytes: shorten it, or raise limits.name_length ({max})")]
    NameTooLong {
        /// Its bytes.
        length: usize,
        /// `limits.name_length`.
        max: usize,
    },
    /// A list of rooms came out empty. It must not mean everyone.
    #[error("the list of rooms is empty: leave it out to reach the whole namespace")]
    NoRooms,
    /// A room, or the id of a socket, is empty.
    #[error("the name of a room is empty: name the room, or leave it out to reach everyone")]
    EmptyRoom,
    /// Clients that may be left out cannot be asked.
    #[error("a volatile emit has no acks: leave out `volatile`")]
    VolatileAck,
    /// Servers are in no rooms.
    #[error("`server_side_emit` is for servers, which are in no rooms: leave out what narrows it")]
    ServersHaveNoRooms,
    /// There are no other servers.
    #[error(
        "this pod is on its own: set backplane.kind and backplane.url to Redis, for other servers"
    )]
    NoBackplane,
    /// The arguments cannot be written.
    #[error("the arguments cannot be encoded: {0}; use what JSON can hold, and `Bytes` for binary")]
    Encode(String),
    /// Redis is away; nothing was sent.
    #[error(
        "cut off from Redis, nothing was sent: see that it runs and that backplane.url is right; try again, or set backplane.when_away = \"queue\""
    )]
    BackplaneAway,
    /// Redis did not confirm it.
    #[error(
        "Redis did not confirm it: it may have reached other pods, and did not reach the sockets of this one; to send it again may send it twice"
    )]
    BackplaneUnconfirmed,
    /// Too much waits for Redis.
    #[error("too much waits for Redis: publish less, or raise backplane.publish_queue")]
    QueueFull,
}

impl From<UnknownNamespace> for RoomcastError {
    fn from(UnknownNamespace(namespace): UnknownNamespace) -> Self {
        Self::UnknownNamespace(namespace)
    }
}

impl From<EncodeError> for RoomcastError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::UnknownNamespace(error) => error.into(),
            EncodeError::Parser(error) => Self::Encode(error.to_string()),
            EncodeError::Json(error) => Self::Encode(error),
            EncodeError::Reserved(event) => Self::ReservedEvent(event),
            EncodeError::Unportable(error) => Self::Encode(error.to_string()),
        }
    }
}

impl From<BackplaneError> for RoomcastError {
    fn from(error: BackplaneError) -> Self {
        match error {
            BackplaneError::UnknownNamespace(error) => error.into(),
            BackplaneError::Cluster(error) => error.into(),
        }
    }
}

impl From<ClusterError> for RoomcastError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Publish(PublishError::Away) => Self::BackplaneAway,
            ClusterError::Publish(PublishError::QueueFull) => Self::QueueFull,
            ClusterError::Publish(PublishError::Unconfirmed) => Self::BackplaneUnconfirmed,
            ClusterError::Wire(error) => Self::Encode(error.to_string()),
            ClusterError::Command(_) => Self::BackplaneAway,
        }
    }
}
