//! Publishing from a Rust program: to a socket, to rooms or to everyone, on all servers of the cluster.
//!
//! [`Roomcast`] is what Node calls `io`, [`BroadcastOperator`] what its `to` and `of` give. A handler has the operator of its
//! namespace from [`Socket::nsp`].

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{Cluster, Socket};
use crate::backplane::{
    Answered, Backplane, BackplaneError, ClientAnswers, ClusterError, Emit, EncodeError,
    PublishError, RemoteSocket, Source, Target, UnknownNamespace, is_reserved,
};

/// Publishes from a program, through the pod that it runs. Clones are the same; they may outlive the pod, and say so then.
///
/// ```no_run
/// # use roomcast::{Destination, Roomcast, RoomcastError};
/// # async fn example(roomcast: Roomcast) -> Result<(), RoomcastError> {
/// roomcast.ready().await?;
/// roomcast.send(Destination::Room("user:ada".into()), "paid", &42).await?;
/// roomcast.of("/chat").to("lobby").except("user:ada").emit("news", &("a", "b")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Roomcast(Arc<Inner>);

struct Inner {
    backplane: Backplane,
    name_length: usize,
    stage: watch::Sender<Stage>,
}

/// Where the pod of a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its tasks do not run, so nothing would leave it.
    Built,
    Runs,
    Stopped,
}

/// Ends the life of a handle when it is dropped: also for a pod whose future is given up.
pub struct Running(Roomcast);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Whom [`Roomcast::send`] is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// One socket, by its id.
    Socket(String),
    /// The members of a room.
    Room(String),
    /// Every socket of the namespace.
    Everyone,
}

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

impl Roomcast {
    pub(crate) fn new(backplane: Backplane, name_length: usize) -> Self {
        let stage = watch::Sender::new(Stage::Built);
        Self(Arc::new(Inner { backplane, name_length, stage }))
    }

    /// The pod runs, until the answer is dropped.
    pub(crate) fn run(&self) -> Running {
        self.0.stage.send_replace(Stage::Runs);
        Running(self.clone())
    }

    /// The pod publishes no more.
    pub(crate) fn stop(&self) {
        self.0.stage.send_replace(Stage::Stopped);
    }

    /// Waits until the pod runs, and has reached the others if it has a backplane. While Redis is away that takes as long
    /// as it is: who cannot wait puts a time-out around it.
    ///
    /// # Errors
    /// [`RoomcastError::Stopped`].
    pub async fn ready(&self) -> Result<(), RoomcastError> {
        let mut stages = self.0.stage.subscribe();
        let stopped = |stage: &Stage| *stage == Stage::Stopped;
        // The sender lives in `self`.
        let _ = stages.wait_for(|stage| *stage != Stage::Built).await;
        tokio::select! {
            biased; // a pod that has stopped is not ready, whatever its connections are
            _ = stages.wait_for(stopped) => Err(RoomcastError::Stopped),
            () = self.0.backplane.reached() => Ok(()),
        }
    }

    /// A namespace, on all servers: `io.of(…)`.
    pub fn of(&self, namespace: impl Into<String>) -> BroadcastOperator {
        let Inner { backplane, name_length, stage } = &*self.0;
        let stage = Some(stage.subscribe());
        BroadcastOperator::new(backplane.clone(), *name_length, namespace.into(), stage)
    }

    /// Sends data under a topic in the namespace `/`; [`BroadcastOperator::send`] does in others. It is queued when this
    /// is done: see [`BroadcastOperator::emit`].
    ///
    /// # Errors
    /// Those of [`BroadcastOperator::emit`].
    pub async fn send<T: Serialize + ?Sized>(
        &self,
        destination: Destination,
        topic: &str,
        data: &T,
    ) -> Result<(), RoomcastError> {
        self.of("/").send(destination, topic, data).await
    }
}

impl Socket {
    /// Its namespace, itself among its sockets, on all servers: `io.of(socket.nsp.name)` on Node. [`Socket::to`] and
    /// [`Socket::broadcast`] leave it out.
    pub fn nsp(&self) -> BroadcastOperator {
        let (backplane, length) = (self.member.backplane.clone(), self.member.limits.name_length);
        BroadcastOperator::new(backplane, length, self.namespace().to_owned(), None)
    }
}

/// Sockets of a namespace on all servers: all of them, or those of rooms. It outlives the handler.
#[derive(Clone)]
#[must_use]
pub struct BroadcastOperator {
    backplane: Backplane,
    name_length: usize,
    namespace: String,
    target: Target,
    volatile: bool,
    /// Whether a list of rooms was empty.
    no_rooms: bool,
    /// Where the pod is; for a handler, it runs.
    stage: Option<watch::Receiver<Stage>>,
}

impl BroadcastOperator {
    fn new(
        backplane: Backplane,
        name_length: usize,
        namespace: String,
        stage: Option<watch::Receiver<Stage>>,
    ) -> Self {
        let target = Target::default();
        Self { backplane, name_length, namespace, target, volatile: false, no_rooms: false, stage }
    }

    /// The members of a room, or the socket of an id; called again, those of either. Node calls it `to`, and `in`.
    pub fn to(self, room: impl Into<String>) -> Self {
        self.to_all([room])
    }

    /// The members of any of these rooms.
    pub fn to_all<R: Into<String>>(mut self, rooms: impl IntoIterator<Item = R>) -> Self {
        let before = self.target.rooms.len();
        self.target.rooms.extend(rooms.into_iter().map(Into::into));
        self.no_rooms |= self.target.rooms.len() == before;
        self
    }

    /// But not the members of this room, or the socket of this id.
    pub fn except(mut self, room: impl Into<String>) -> Self {
        self.target.except.push(room.into());
        self
    }

    /// May be dropped for a client that is not ready for it.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Sends an event; several arguments are a tuple. When this is done it is queued: Redis has confirmed it for the
    /// other servers (or `backplane.when_away` keeps it), and each socket of this pod has it in its queue. If it is
    /// given up before, other servers may have it, and this pod's sockets have not.
    ///
    /// # Errors
    /// Each [`RoomcastError`] but `VolatileAck`, `ServersHaveNoRooms` and `NoBackplane`. Nothing was sent, except for
    /// `BackplaneUnconfirmed`.
    pub async fn emit<T: Serialize + ?Sized>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(), RoomcastError> {
        let emit = self.prepare(event, arguments)?;
        Ok(self.backplane.begin(&self.namespace, emit)?.done().await?)
    }

    /// Sends an event, and collects the first argument of each client's ack within `timeout`:
    /// `timeout(…).emitWithAck(…)`. Clients that do not answer are counted, and so are servers that are not heard of.
    ///
    /// # Errors
    /// As for [`Self::emit`], and [`RoomcastError::VolatileAck`]. Without Redis, the clients of this pod are asked.
    pub async fn emit_with_ack<T: Serialize + ?Sized>(
        self,
        event: &str,
        arguments: &T,
        timeout: Duration,
    ) -> Result<Answered<ClientAnswers>, RoomcastError> {
        if self.volatile {
            return Err(RoomcastError::VolatileAck);
        }
        let emit = self.prepare(event, arguments)?;
        Ok(self.backplane.emit_with_ack(&self.namespace, emit, timeout).await?)
    }

    /// Sends data under a topic to one destination, in the place of the rooms that were named before.
    ///
    /// # Errors
    /// Those of [`Self::emit`].
    pub async fn send<T: Serialize + ?Sized>(
        mut self,
        destination: Destination,
        topic: &str,
        data: &T,
    ) -> Result<(), RoomcastError> {
        self.no_rooms = false;
        self.target.rooms = match destination {
            Destination::Socket(name) | Destination::Room(name) => vec![name],
            Destination::Everyone => Vec::new(),
        };
        self.emit(topic, data).await
    }

    /// Puts the sockets in rooms: `socketsJoin`.
    ///
    /// # Errors
    /// If the pod does not run, the namespace does not exist, no room is named, or Redis does not take it.
    pub async fn sockets_join<R: Into<String>>(
        self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), RoomcastError> {
        let rooms = self.named(rooms)?;
        Ok(self.backplane.join_all(&self.namespace, self.target, rooms).await?)
    }

    /// Takes the sockets out of rooms: `socketsLeave`.
    ///
    /// # Errors
    /// As for [`Self::sockets_join`].
    pub async fn sockets_leave<R: Into<String>>(
        self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), RoomcastError> {
        let rooms = self.named(rooms)?;
        Ok(self.backplane.leave_all(&self.namespace, self.target, rooms).await?)
    }

    /// Puts the sockets out of the namespace; with `close`, their connections end: `disconnectSockets`.
    ///
    /// # Errors
    /// If the pod does not run, the namespace does not exist, or Redis does not take it.
    pub async fn disconnect_sockets(self, close: bool) -> Result<(), RoomcastError> {
        self.check()?;
        Ok(self.backplane.disconnect_all(&self.namespace, self.target, close).await?)
    }

    /// The sockets: `fetchSockets`. It is as complete as `pods.silent` is 0.
    ///
    /// # Errors
    /// If the pod does not run, or the namespace does not exist.
    pub async fn fetch_sockets(self) -> Result<Answered<Vec<RemoteSocket>>, RoomcastError> {
        self.check()?;
        Ok(self.backplane.fetch_sockets(&self.namespace, &self.target).await?)
    }

    /// Sends an event to the other servers themselves, not to their clients: `serverSideEmit`.
    /// [`Namespace::on_server_side`](super::Namespace::on_server_side) hears it.
    ///
    /// # Errors
    /// If the pod does not run, is on its own, or is cut off; if the name cannot be used; if rooms were named.
    pub async fn server_side_emit(
        self,
        event: &str,
        arguments: Vec<Value>,
    ) -> Result<(), RoomcastError> {
        Ok(self.servers(event)?.server_side_emit(event, arguments)?)
    }

    /// The same, and collects what they answer within `backplane.request_timeout`.
    ///
    /// # Errors
    /// As for [`Self::server_side_emit`]; one that is cut off counts the servers that were not heard of.
    pub async fn server_side_emit_with_ack(
        self,
        event: &str,
        arguments: Vec<Value>,
    ) -> Result<Answered<Vec<Value>>, RoomcastError> {
        Ok(self.servers(event)?.server_side_emit_with_ack(event, arguments).await)
    }

    fn servers(&self, event: &str) -> Result<Cluster, RoomcastError> {
        self.check()?;
        self.check_event(event)?;
        if self.volatile || self.target != Target::default() {
            return Err(RoomcastError::ServersHaveNoRooms);
        }
        if self.backplane.link().is_none() {
            return Err(RoomcastError::NoBackplane);
        }
        Ok(Cluster::new(self.backplane.clone(), &self.namespace))
    }

    fn prepare<T: Serialize + ?Sized>(
        &self,
        event: &str,
        arguments: &T,
    ) -> Result<Emit, RoomcastError> {
        self.check()?;
        self.check_event(event)?;
        Ok(Emit {
            payload: self.backplane.encode(&self.namespace, event, arguments)?,
            target: self.target.clone(),
            from: None,
            volatile: self.volatile,
            source: Source::Handler,
            traceparent: None,
        })
    }

    /// Whether the pod runs, and those who are meant are named.
    fn check(&self) -> Result<(), RoomcastError> {
        match self.stage.as_ref().map(|stage| *stage.borrow()) {
            Some(Stage::Built) => return Err(RoomcastError::NotStarted),
            Some(Stage::Stopped) => return Err(RoomcastError::Stopped),
            Some(Stage::Runs) | None => {}
        }
        if self.no_rooms {
            return Err(RoomcastError::NoRooms);
        }
        let Target { rooms, except } = &self.target;
        if rooms.iter().chain(except).any(String::is_empty) {
            return Err(RoomcastError::EmptyRoom);
        }
        Ok(())
    }

    fn check_event(&self, event: &str) -> Result<(), RoomcastError> {
        if event.is_empty() {
            return Err(RoomcastError::NoEvent);
        }
        if is_reserved(event) {
            return Err(RoomcastError::ReservedEvent(event.to_owned()));
        }
        self.check_length(event)
    }

    fn check_length(&self, name: &str) -> Result<(), RoomcastError> {
        let (length, max) = (name.len(), self.name_length);
        if length > max { Err(RoomcastError::NameTooLong { length, max }) } else { Ok(()) }
    }

    /// The rooms that sockets are put in or taken out of.
    fn named<R: Into<String>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<Vec<String>, RoomcastError> {
        self.check()?;
        let rooms: Vec<String> = rooms.into_iter().map(Into::into).collect();
        if rooms.is_empty() {
            return Err(RoomcastError::NoRooms);
        }
        if rooms.iter().any(String::is_empty) {
            return Err(RoomcastError::EmptyRoom);
        }
        rooms.iter().try_for_each(|room| self.check_length(room))?;
        Ok(rooms)
    }
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
        }
    }
}

impl From<BackplaneError> for RoomcastError {
    fn from(error: BackplaneError) -> Self {
        match error {
            BackplaneError::UnknownNamespace(error) => error.into(),
            BackplaneError::Cluster(ClusterError::Publish(error)) => match error {
                PublishError::Away => Self::BackplaneAway,
                PublishError::QueueFull => Self::QueueFull,
                PublishError::Unconfirmed => Self::BackplaneUnconfirmed,
            },
            BackplaneError::Cluster(ClusterError::Wire(error)) => Self::Encode(error.to_string()),
            BackplaneError::Cluster(ClusterError::Command(_)) => Self::BackplaneAway,
        }
    }
}
