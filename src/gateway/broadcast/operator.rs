//! The sockets of rooms on all servers, and what can be done with them: Node's `BroadcastOperator`.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{cluster::Cluster, error::RoomcastError};
use crate::backplane::{
    Answered, Backplane, ClientAnswers, Emit, NamespaceHandle, RemoteSocket, Source, Target,
    UnknownNamespace, is_reserved,
};

/// Whether the pod runs that an operator publishes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum PodState {
    /// It has been built. Its tasks do not run yet, so nothing would leave it.
    Built,
    Running,
    Stopped,
}

/// Whom [`BroadcastOperator::send`] is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// One socket, by its id.
    Socket(String),
    /// The members of a room.
    Room(String),
    /// Every socket of the namespace.
    Everyone,
}

/// Sockets of a namespace on all servers: all of them, or those of rooms. It outlives the handler.
#[derive(Clone)]
#[must_use]
pub struct BroadcastOperator {
    pub(in crate::gateway) backplane: Backplane,
    name_length: usize,
    pub(in crate::gateway) namespace: String,
    pub(in crate::gateway) target: Target,
    volatile: bool,
    /// Whether only the sockets of this pod are meant.
    local: bool,
    /// Whether a list of rooms was empty.
    no_rooms: bool,
    /// The state of the pod. `None` in a handler, which only a pod that runs calls.
    pod: Option<watch::Receiver<PodState>>,
}

impl BroadcastOperator {
    pub(in crate::gateway) fn new(
        backplane: Backplane,
        name_length: usize,
        namespace: String,
        pod: Option<watch::Receiver<PodState>>,
    ) -> Self {
        let target = Target::default();
        let (volatile, local, no_rooms) = (false, false, false);
        Self { backplane, name_length, namespace, target, volatile, local, no_rooms, pod }
    }

    /// The members of a room, or the socket of an id; called again, those of either. Node calls it `to`, and `in`.
    /// The name of a room that is called by a number is its text.
    pub fn to(self, room: impl ToString) -> Self {
        self.to_all([room])
    }

    /// The members of any of these rooms.
    pub fn to_all<R: ToString>(mut self, rooms: impl IntoIterator<Item = R>) -> Self {
        let before = self.target.rooms.len();
        self.target.rooms.extend(rooms.into_iter().map(|room| room.to_string()));
        self.no_rooms |= self.target.rooms.len() == before;
        self
    }

    /// But not the members of this room, or the socket of this id.
    pub fn except(mut self, room: impl ToString) -> Self {
        self.target.except.push(room.to_string());
        self
    }

    /// Only the sockets that are connected to this pod, for whatever is done with them: `io.local`.
    ///
    /// ```
    /// # async fn example(roomcast: roomcast::Roomcast) -> Result<(), roomcast::RoomcastError> {
    /// roomcast.of("/").local().emit("restarting", &()).await?;
    /// let here = roomcast.of("/").local().fetch_sockets().await?;
    /// # Ok(()) }
    /// ```
    pub fn local(mut self) -> Self {
        self.backplane = self.backplane.of_this_pod();
        self.local = true;
        self
    }

    /// May be dropped for a client that is not ready for it.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Sends an event; several arguments are a tuple, any number is [`Spread`](crate::Spread), `()` is none. When this is done it is queued: Redis has confirmed it for the
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
        Ok(self.namespace()?.begin(emit)?.done().await?)
    }

    /// Sends an event, and collects what each client answers within `timeout`: `timeout(…).emitWithAck(…)`. Clients that do
    /// not answer are counted, and so are servers that are not heard of. Of clients on Node servers it is the first
    /// value of the ack.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn example(roomcast: roomcast::Roomcast) -> Result<(), Box<dyn std::error::Error>> {
    /// let asked = roomcast.of("/").to("players").emit_with_ack("vote", &"map?", Duration::from_secs(5));
    /// let answered = asked.await?.answer;
    /// println!("{} of {} voted", answered.answers.len(), answered.expected());
    /// for vote in &answered.answers {
    ///     let (map, weight): (String, u32) = vote.arguments()?; // callback("castle", 2)
    /// #   let _ = (map, weight);
    /// }
    /// # Ok(()) }
    /// ```
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
        Ok(self.namespace()?.emit_with_ack(emit, timeout).await)
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
    pub async fn sockets_join<R: ToString>(
        self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), RoomcastError> {
        let rooms = self.named(rooms)?;
        Ok(self.backplane.namespace(&self.namespace)?.join_all(self.target, rooms).await?)
    }

    /// Takes the sockets out of rooms: `socketsLeave`.
    ///
    /// # Errors
    /// As for [`Self::sockets_join`].
    pub async fn sockets_leave<R: ToString>(
        self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), RoomcastError> {
        let rooms = self.named(rooms)?;
        Ok(self.backplane.namespace(&self.namespace)?.leave_all(self.target, rooms).await?)
    }

    /// Puts the sockets out of the namespace; with `close`, their connections end: `disconnectSockets`.
    ///
    /// # Errors
    /// If the pod does not run, the namespace does not exist, or Redis does not take it.
    pub async fn disconnect_sockets(self, close: bool) -> Result<(), RoomcastError> {
        self.check()?;
        Ok(self.backplane.namespace(&self.namespace)?.disconnect_all(self.target, close).await?)
    }

    /// The sockets: `fetchSockets`. It is as complete as `pods.silent` is 0.
    ///
    /// # Errors
    /// If the pod does not run, or the namespace does not exist.
    pub async fn fetch_sockets(self) -> Result<Answered<Vec<RemoteSocket>>, RoomcastError> {
        self.check()?;
        Ok(self.namespace()?.fetch_sockets(&self.target).await)
    }

    /// The rooms that the sockets are in, those of their own ids among them; of the whole namespace `adapter.allRooms()`, and
    /// with [`Self::local`] `adapter.rooms`. It is as complete as `pods.silent` is 0.
    ///
    /// ```
    /// # async fn example(roomcast: roomcast::Roomcast) -> Result<(), roomcast::RoomcastError> {
    /// let all = roomcast.of("/").rooms().await?.answer;
    /// let of_one = roomcast.of("/").to("the id of a socket").rooms().await?.answer;
    /// # let _ = (all, of_one);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the pod does not run, or the namespace does not exist.
    pub async fn rooms(self) -> Result<Answered<BTreeSet<String>>, RoomcastError> {
        if self.target == Target::default() {
            self.check()?;
            return Ok(self.namespace()?.rooms().await);
        }
        let Answered { answer, pods } = self.fetch_sockets().await?;
        let rooms = answer.into_iter().flat_map(|socket| socket.rooms).collect();
        Ok(Answered { answer: rooms, pods })
    }

    /// Sends an event to the other servers themselves, not to their clients: `serverSideEmit`.
    /// [`Namespace::on_server_side`](crate::Namespace::on_server_side) hears it.
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
        Ok(self.servers(event)?.server_side_emit_with_ack(event, arguments).await?)
    }

    pub(in crate::gateway) fn namespace(&self) -> Result<NamespaceHandle<'_>, UnknownNamespace> {
        self.backplane.namespace(&self.namespace)
    }

    fn servers(&self, event: &str) -> Result<Cluster, RoomcastError> {
        self.check()?;
        self.check_event(event)?;
        if self.volatile || self.local || self.target != Target::default() {
            return Err(RoomcastError::ServersHaveNoRooms);
        }
        if self.backplane.cluster().link().is_none() {
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
            payload: self.namespace()?.encode(event, arguments)?,
            target: self.target.clone(),
            from: None,
            volatile: self.volatile,
            source: Source::Handler,
            traceparent: None,
        })
    }

    /// Whether the pod runs, and those who are meant are named.
    pub(in crate::gateway) fn check(&self) -> Result<(), RoomcastError> {
        match self.pod.as_ref().map(|pod| *pod.borrow()) {
            Some(PodState::Built) => return Err(RoomcastError::NotStarted),
            Some(PodState::Stopped) => return Err(RoomcastError::Stopped),
            Some(PodState::Running) | None => {}
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
    fn named<R: ToString>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<Vec<String>, RoomcastError> {
        self.check()?;
        let rooms: Vec<String> = rooms.into_iter().map(|room| room.to_string()).collect();
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
