//! What carries an emit to the sockets it is for, on this pod and on all others of its cluster.
//!
//! Everything that reaches a room goes through [`Backplane`], whoever asked for it: a member that
//! relays, the HTTP API, a Rust handler. The sockets of this pod are served at once (`members`); for the
//! others the same goes over Redis (`cluster`), in the protocols of the Node packages (`wire`).

mod acks;
mod cluster;
mod delivery;
mod elsewhere;
mod emit;
mod examine;
pub(crate) mod fuzz;
mod joined;
mod local;
pub mod measured;
mod members;
mod namespaces;
mod payload;
mod publishing;
mod redis;
mod room_events;
mod slow;
mod spread;
mod stages;
mod traced;
mod transcode;
mod watch;
mod wire;

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::StreamExt;
use metrics::Gauge;
use serde::Serialize;
use serde_json::{Value as Json, value::RawValue};
use socketioxide::{AckError, SocketIo};
use socketioxide_core::{
    Sid, Str, Value, adapter::errors::SocketError, packet::Packet, parser::ParserError,
};
use tokio::task::JoinSet;

use crate::config;
use cluster::{Cluster, local_answers};
use delivery::{Arrived, deliver};
use members::Members;
use namespaces::Namespaces;
use wire::{Broadcast, Format, Message};

pub use cluster::{
    Answered, ClientAnswers, ClusterError, Pod, PodRecord, Pods, ServerAnswer, ServerSide,
};
pub(crate) use delivery::{count_dropped, count_one};
pub use emit::{Emit, Source, Target};
pub(crate) use examine::examine;
pub use joined::Joined;
pub use local::Adapter;
pub use members::Occupant;
pub use payload::{EncodeError, SendError, encode_ack};
pub use publishing::Publishing;
pub(crate) use redis::{Entry, Notes, Pending, PublishStream, RedisError};
pub use redis::{Link, PublishError, SetupError};
pub use room_events::{RoomChange, RoomEvent};
pub use slow::Slow;
pub use spread::Spread;
pub(crate) use transcode::{
    Bounds, Reader as MsgpackReader, Token as MsgpackToken, TranscodeError, Unportable,
    check as check_portable,
};
pub use watch::Watch;
pub use wire::{ClientAnswer, RemoteSocket, all_of, is_reserved};

/// The Socket.IO server that a pod runs.
pub type Io = SocketIo<Adapter>;

/// The rooms of all namespaces, and the way to them. Clones are the same backplane.
#[derive(Clone)]
pub struct Backplane {
    namespaces: Arc<Namespaces>,
    /// What clients and their parser speak.
    format: Format,
    /// What an event may have.
    bounds: Bounds,
    /// The other pods; none for a pod on its own.
    cluster: Option<Arc<Cluster>>,
}

/// The namespace of an emit does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("namespace {0:?} does not exist; the configuration lists those that do")]
pub struct UnknownNamespace(pub String);

/// Something could not be done in the whole cluster.
#[derive(Debug, thiserror::Error)]
pub enum BackplaneError {
    /// Its namespace does not exist.
    #[error(transparent)]
    UnknownNamespace(#[from] UnknownNamespace),
    /// It did not reach the other pods.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl Backplane {
    /// A backplane for a pod of this id, alone or in a cluster as its settings say.
    pub fn new(
        settings: &config::Backplane,
        pod: &str,
        parser: config::Parser,
        limits: &config::Limits,
        telemetry: &config::Telemetry,
    ) -> Result<Self, SetupError> {
        let namespaces = Arc::new(Namespaces::new(limits, telemetry));
        let format = Format::from(parser);
        let cluster = Cluster::new(settings, pod.to_owned(), format, namespaces.clone())?;
        Ok(Self { namespaces, format, bounds: limits.into(), cluster: cluster.map(Arc::new) })
    }

    /// Joins the cluster, for as long as the answer lives. `pod` is asked what this pod is like.
    pub fn start(&self, pod: Arc<dyn Pod>) -> JoinSet<()> {
        self.cluster().map_or_else(JoinSet::new, |cluster| cluster.start(pod))
    }

    /// Tells the other pods now what this one is like.
    pub fn renew(&self) {
        if let Some(cluster) = self.cluster() {
            cluster.renew();
        }
    }

    /// The sockets that are behind with what they are sent; the edge knows which.
    pub fn slow(&self) -> Arc<Slow> {
        self.namespaces.slow()
    }

    /// Another pod of the cluster, by its id.
    pub async fn pod(&self, id: &str) -> Option<PodRecord> {
        self.cluster()?.pod(id).await
    }

    /// Waits until a pod that was there has gone.
    pub async fn lost(&self, id: &str) {
        if let Some(cluster) = self.cluster() {
            cluster.lost(id).await;
        }
    }

    /// Leaves it.
    pub async fn close(&self, limit: Duration) {
        if let Some(cluster) = self.cluster() {
            cluster.close(limit).await;
        }
    }

    /// How this pod is connected to the others; `None` for a pod on its own.
    pub fn link(&self) -> Option<Link> {
        self.cluster().map(|cluster| cluster.health().link())
    }

    /// Follows it.
    pub fn follow_link(&self) -> Option<tokio::sync::watch::Receiver<Link>> {
        self.cluster().map(|cluster| cluster.health().follow())
    }

    /// Whether the other pods find this one and its sessions; always for a pod on its own.
    pub fn has_met(&self) -> bool {
        self.cluster().is_none_or(|cluster| cluster.has_met())
    }

    /// All pods of the cluster, this one among them, as they were a heartbeat ago; none for a pod on its own. `None` while
    /// this one cannot know them all: it is cut off, or has not met them yet.
    pub fn seen(&self) -> Option<Vec<PodRecord>> {
        self.cluster().map_or_else(|| Some(Vec::new()), |cluster| cluster.seen())
    }

    /// The same as they are now, or as they were before Redis went away; this pod tells them of itself first. `None` while
    /// that cannot be known.
    pub async fn look(&self) -> Option<Vec<PodRecord>> {
        match self.cluster() {
            Some(cluster) => cluster.look().await,
            None => Some(Vec::new()),
        }
    }

    /// Waits until what this pod publishes reaches the others; not at all for a pod on its own.
    pub async fn reached(&self) {
        if let Some(cluster) = self.cluster() {
            let mut link = cluster.health().follow();
            // The sender lives as long as the cluster.
            let _ = link.wait_for(|link| *link == Link::Up).await;
        }
    }

    fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// The same for the sockets of this pod alone, whatever others there are: Node's `local`.
    pub fn of_this_pod(&self) -> Self {
        Self { cluster: None, ..self.clone() }
    }

    /// Puts an event in the queue of one socket of this pod.
    ///
    /// # Errors
    /// If it is not there, or too much waits for it.
    pub fn send(
        &self,
        namespace: &str,
        socket: Sid,
        event: Value,
        volatile: bool,
    ) -> Result<(), SocketError> {
        let members = self.namespaces.get(namespace).map_err(|_| SocketError::Closed)?;
        let packet = Packet::event(members.local.path().clone(), event);
        members.send(socket, packet, volatile)?;
        count_one(Source::Handler);
        Ok(())
    }

    /// The same, and gives what its client answers.
    ///
    /// # Errors
    /// As for [`Self::send`].
    pub fn ask(
        &self,
        namespace: &str,
        socket: Sid,
        event: Value,
        timeout: Duration,
    ) -> Result<impl Future<Output = Result<ClientAnswer, AckError>> + Send + 'static, SocketError>
    {
        let members = self.namespaces.get(namespace).map_err(|_| SocketError::Closed)?;
        let acks = members.ask(socket, event, timeout)?;
        count_one(Source::Handler);
        Ok(async move {
            let mut acks = std::pin::pin!(acks);
            let (_, ack) = acks.next().await.ok_or(AckError::Timeout)?;
            ClientAnswer::read(&ack?).map_err(|error| AckError::Decode(ParserError::new(error)))
        })
    }

    /// Answers an event of one socket of this pod, with the values of [`encode_ack`].
    ///
    /// # Errors
    /// If they cannot reach the client, that is not there, or too much waits for it.
    pub fn acknowledge(
        &self,
        namespace: &str,
        socket: Sid,
        id: i64,
        values: Value,
    ) -> Result<(), SendError> {
        let members = self.namespaces.get(namespace).map_err(EncodeError::from)?;
        let values = payload::ack_for(self.format, self.bounds, values)?;
        let packet = Packet::ack(members.local.path().clone(), values, id);
        Ok(members.send(socket, packet, false)?)
    }

    /// From now on, the rooms of a namespace that have members here are counted there.
    pub fn count_rooms(&self, namespace: &str, rooms: Gauge) -> Result<(), UnknownNamespace> {
        self.namespaces.get(namespace)?.count_rooms(rooms);
        Ok(())
    }

    /// From now on, the sockets of a namespace hear of what they are sent ([`Occupant::outgoing`]).
    pub fn listen(&self, namespace: &str) -> Result<(), UnknownNamespace> {
        self.namespaces.get(namespace)?.listen();
        Ok(())
    }

    /// Puts an emit in the queue of each socket that it is for, and sends it to the other pods.
    ///
    /// What cannot be queued or sent is counted and logged: there is nobody to tell.
    pub fn emit(&self, namespace: &str, mut emit: Emit) -> Result<(), UnknownNamespace> {
        let members = self.namespaces.find(namespace)?;
        let arrived = Arrived::now();
        let _sending = traced::sending(namespace, &mut emit);
        if let Some(cluster) = self.cluster()
            && let Err(error) = cluster.emit(&path(namespace, &members), &emit, &arrived)
        {
            tracing::debug!(%error, "an emit did not go to other pods");
        }
        if let Some(members) = members {
            let giving = traced::giving(&members, &emit);
            let _here = giving.enter();
            deliver(&members, emit, arrived);
        }
        Ok(())
    }

    /// The same for a publisher that can be told: when it is done, it reaches the sockets of this pod only if
    /// the other pods get it too, or will get it when Redis is back. Emits of one publisher reach each
    /// socket in the order in which they began if it waits for them in that order.
    pub fn begin(&self, namespace: &str, mut emit: Emit) -> Result<Publishing, BackplaneError> {
        let members = self.namespaces.find(namespace)?;
        let arrived = Arrived::now();
        let span = traced::sending(namespace, &mut emit);
        let receipt = match self.cluster() {
            Some(cluster) => cluster.begin(&path(namespace, &members), &emit, &arrived)?,
            None => None,
        };
        Ok(Publishing { members, emit, arrived, receipt, span })
    }

    /// The stream that backends publish to, with these settings; `None` for a pod on its own. It must be asked
    /// for before the start.
    pub(crate) fn stream(
        &self,
        settings: &config::PublishStream,
    ) -> Result<Option<PublishStream>, SetupError> {
        self.cluster().map(|cluster| cluster.redis.stream(&cluster.pod, settings)).transpose()
    }

    /// What pods note for each other; `None` for a pod on its own.
    pub(crate) fn notes(&self) -> Option<Notes> {
        self.cluster().map(|cluster| cluster.redis.notes())
    }

    /// Emits, and collects what the clients answer within `timeout`.
    pub async fn emit_with_ack(
        &self,
        namespace: &str,
        emit: Emit,
        timeout: Duration,
    ) -> Result<Answered<ClientAnswers>, UnknownNamespace> {
        let members = self.namespaces.find(namespace)?;
        let mut emit = emit;
        let _sending = traced::sending(namespace, &mut emit);
        // A socket is also a room, of which it alone is a member.
        emit.target.except.extend(emit.from.map(|socket| socket.to_string()));
        let _giving = members.as_deref().map(|members| traced::giving(members, &emit));
        let Some(cluster) = self.cluster() else {
            let members = members.as_deref();
            let source = emit.source;
            let answers = local_answers(members, emit.payload, &emit.target, source, timeout).await;
            return Ok(alone(answers));
        };
        let broadcast = Broadcast {
            payload: emit.payload,
            target: emit.target,
            volatile: false,
            ask: None,
            // Who asks for answers asks for nothing else.
            meta: emit.traceparent.and_then(|trace| Arrived::now().stamp(Some(trace), false)),
        };
        let members = members.as_deref();
        Ok(cluster.emit_with_ack(namespace, members, broadcast, emit.source, timeout).await)
    }

    /// The sockets of a target, on all servers.
    pub async fn fetch_sockets(
        &self,
        namespace: &str,
        target: &Target,
    ) -> Result<Answered<Vec<RemoteSocket>>, UnknownNamespace> {
        let members = self.namespaces.find(namespace)?;
        let members = members.as_deref();
        Ok(match self.cluster() {
            Some(cluster) => cluster.fetch_sockets(namespace, members, target).await,
            None => alone(members.map(|m| cluster::describe(None, m, target)).unwrap_or_default()),
        })
    }

    /// The rooms that have members, on all servers.
    pub async fn rooms(
        &self,
        namespace: &str,
    ) -> Result<Answered<BTreeSet<String>>, UnknownNamespace> {
        let members = self.namespaces.find(namespace)?;
        let members = members.as_deref();
        Ok(match self.cluster() {
            Some(cluster) => cluster.rooms(namespace, members).await,
            None => alone(members.into_iter().flat_map(Members::rooms).collect()),
        })
    }

    /// Puts sockets in rooms, on all servers.
    pub async fn join_all(
        &self,
        namespace: &str,
        target: Target,
        rooms: Vec<String>,
    ) -> Result<(), BackplaneError> {
        let members = self.namespaces.find(namespace)?;
        let message = Message::Join { target: target.clone(), rooms: rooms.clone() };
        self.tell(namespace, &message).await?;
        if let Some(members) = members {
            self.namespaces.join_all(&members, &target, &rooms);
        }
        Ok(())
    }

    /// Takes sockets out of rooms, on all servers.
    pub async fn leave_all(
        &self,
        namespace: &str,
        target: Target,
        rooms: Vec<String>,
    ) -> Result<(), BackplaneError> {
        let members = self.namespaces.find(namespace)?;
        let message = Message::Leave { target: target.clone(), rooms: rooms.clone() };
        self.tell(namespace, &message).await?;
        if let Some(members) = members {
            self.namespaces.leave_all(&members, &target, &rooms);
        }
        Ok(())
    }

    /// Disconnects sockets, on all servers; with `close`, their connections end.
    pub async fn disconnect_all(
        &self,
        namespace: &str,
        target: Target,
        close: bool,
    ) -> Result<(), BackplaneError> {
        let members = self.namespaces.find(namespace)?;
        self.tell(namespace, &Message::Disconnect { target: target.clone(), close }).await?;
        if let Some(members) = members {
            self.namespaces.disconnect_all(&members, &target, close);
        }
        Ok(())
    }

    /// Sends an event to the other servers themselves.
    pub fn server_side_emit(
        &self,
        namespace: &str,
        arguments: Vec<Json>,
    ) -> Result<(), BackplaneError> {
        self.namespaces.find(namespace)?;
        if let Some(cluster) = self.cluster() {
            let message = Message::ServerSideEmit { arguments, question: None };
            cluster.send(namespace, &message, None)?;
        }
        Ok(())
    }

    /// The same, and collects what they answer.
    pub async fn server_side_ask(
        &self,
        namespace: &str,
        arguments: Vec<Json>,
    ) -> Result<Answered<Vec<Json>>, UnknownNamespace> {
        self.namespaces.find(namespace)?;
        Ok(match self.cluster() {
            Some(cluster) => cluster.server_side_ask(namespace, arguments).await,
            None => alone(Vec::new()),
        })
    }

    /// Tells each socket of a session something, in all namespaces.
    pub fn tell_sockets(&self, session: Sid, tell: impl Fn(&dyn Occupant)) {
        for members in self.namespaces.all() {
            if let Some(occupant) = members.occupant(session) {
                tell(&*occupant);
            }
        }
    }

    /// Handles the events of other servers in a namespace.
    pub fn on_server_side(
        &self,
        namespace: &str,
        handler: Box<dyn ServerSide>,
    ) -> Result<(), UnknownNamespace> {
        self.namespaces.get(namespace)?.handle_server_side(handler);
        Ok(())
    }

    /// From now on, this hears of the rooms of a namespace of this pod.
    pub fn on_room(
        &self,
        namespace: &str,
        hear: impl Fn(RoomEvent<'_>) + Send + Sync + 'static,
    ) -> Result<(), UnknownNamespace> {
        self.namespaces.get(namespace)?.room_events.listen(Box::new(hear));
        Ok(())
    }

    /// The pods of the cluster, and how many servers of another kind are in a namespace. `None` for a
    /// pod on its own.
    pub async fn pods(
        &self,
        namespace: &str,
    ) -> Result<Option<(Vec<PodRecord>, usize)>, ClusterError> {
        let Some(cluster) = self.cluster() else {
            return Ok(None);
        };
        let (pods, servers) = tokio::try_join!(cluster.pods(), cluster.server_count(namespace))?;
        let others = servers.saturating_sub(pods.len());
        Ok(Some((pods, others)))
    }

    async fn tell(&self, namespace: &str, message: &Message) -> Result<(), ClusterError> {
        match self.cluster() {
            Some(cluster) => cluster.tell(namespace, message).await,
            None => Ok(()),
        }
    }

    /// Which names children of dynamic namespaces may have: what is for one of them goes to the other pods also where
    /// nobody of this pod is in it.
    pub fn may_be(&self, may_be: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.namespaces.may_be(Box::new(may_be));
    }

    /// Whether there is a namespace of this name, or may be.
    pub fn may_exist(&self, namespace: &str) -> bool {
        self.namespaces.find(namespace).is_ok()
    }

    /// Whether a name may be that of a child of a dynamic namespace.
    pub fn comes_and_goes(&self, namespace: &str) -> bool {
        self.namespaces.comes_and_goes(namespace)
    }

    /// Takes a namespace out, if nobody is in it; `end` takes it out of socketioxide.
    pub fn remove(&self, namespace: &str, end: impl FnOnce()) -> bool {
        self.namespaces.remove(namespace, end)
    }

    /// Whether a namespace has sockets on this pod.
    pub fn has_sockets(&self, namespace: &str) -> bool {
        self.namespaces.get(namespace).is_ok_and(|members| !members.is_empty())
    }

    /// Whether a room of socketioxide has a socket, in the namespace of this name that is there now.
    pub fn is_in_local(&self, namespace: &str, socket: Sid, room: &str) -> bool {
        let members = self.namespaces.get(namespace);
        members.is_ok_and(|members| {
            members.local.socket_rooms(socket).iter().any(|joined| *joined == *room)
        })
    }

    /// Tells when other servers are heard in all namespaces of now.
    pub fn heard(&self) -> Joined {
        Joined {
            subscribed: self.namespaces.list().filter(|_| self.link() == Some(Link::Up)),
            limit: self.cluster().map_or(Duration::ZERO, |cluster| cluster.redis_timeout()),
        }
    }

    /// Adds a socket of this pod, in the room of its own id.
    pub fn enter(&self, namespace: &str, socket: Sid, occupant: Weak<dyn Occupant>) {
        if let Ok(members) = self.namespaces.get(namespace) {
            members.enter(socket, occupant);
        }
    }

    /// The sockets of this pod in a namespace.
    pub fn occupants(&self, namespace: &str) -> Vec<Arc<dyn Occupant>> {
        let members = self.namespaces.get(namespace);
        members.map_or_else(|_| Vec::new(), |members| members.occupants())
    }

    /// Those of a target.
    ///
    /// # Errors
    /// If the namespace does not exist.
    pub fn occupants_of(
        &self,
        namespace: &str,
        target: &Target,
    ) -> Result<Vec<Arc<dyn Occupant>>, UnknownNamespace> {
        let Some(members) = self.namespaces.find(namespace)? else { return Ok(Vec::new()) };
        let ids = members.matching(target).into_iter();
        Ok(ids.filter_map(|id| members.occupant(id)).collect())
    }

    /// One of them.
    pub fn occupant(&self, namespace: &str, socket: Sid) -> Option<Arc<dyn Occupant>> {
        self.namespaces.get(namespace).ok()?.occupant(socket)
    }

    /// Keeps from a socket what is for all of its namespace, until [`Self::release`].
    pub fn hold(&self, namespace: &str, socket: Sid) {
        if let Ok(members) = self.namespaces.get(namespace) {
            members.hold(socket, true);
        }
    }

    /// A socket that was held hears everything from now on.
    pub fn release(&self, namespace: &str, socket: Sid) {
        if let Ok(members) = self.namespaces.get(namespace) {
            members.hold(socket, false);
        }
    }

    /// Forgets a socket that is gone. Twice does no harm.
    pub fn depart(&self, namespace: &str, socket: Sid, occupant: &Weak<dyn Occupant>) {
        if let Ok(members) = self.namespaces.get(namespace) {
            let rooms = members.depart(socket, occupant);
            self.namespaces.changed(&members, rooms);
        }
    }

    /// Puts a socket of this pod in rooms. Tells when other servers know, if they have to.
    pub fn join(&self, namespace: &str, socket: Sid, rooms: Vec<String>) -> Joined {
        let members = self.namespaces.get(namespace).ok();
        Joined {
            subscribed: members
                .and_then(|members| self.namespaces.join(&members, socket, rooms))
                .filter(|_| self.link() == Some(Link::Up)),
            limit: self.cluster().map_or(Duration::ZERO, |cluster| cluster.redis_timeout()),
        }
    }

    /// Takes a socket of this pod out of rooms.
    pub fn leave(&self, namespace: &str, socket: Sid, rooms: Vec<String>) {
        if let Ok(members) = self.namespaces.get(namespace) {
            self.namespaces.leave(&members, socket, rooms);
        }
    }

    /// The rooms that a socket of this pod is in, without that of its own id.
    pub fn rooms_of(&self, namespace: &str, socket: Sid) -> Vec<String> {
        let members = self.namespaces.get(namespace);
        members.map_or_else(|_| Vec::new(), |members| members.rooms_of(socket))
    }

    /// Whether a socket of this pod is in a room.
    pub fn is_member(&self, namespace: &str, socket: Sid, room: &str) -> bool {
        self.namespaces.get(namespace).is_ok_and(|members| members.is_in(socket, room))
    }

    /// Whether a room name is the id of a socket that is connected to this pod, in any namespace.
    pub fn is_socket(&self, room: &str) -> bool {
        room.parse::<Sid>().is_ok_and(|id| self.namespaces.has_socket(id))
    }

    /// Whether a room name could be the id of a socket on another server: ids are 16 characters of
    /// base64url here, 20 on Node.
    pub fn could_be_elsewhere(&self, room: &str) -> bool {
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        self.cluster.is_some() && matches!(room.len(), 16 | 20) && room.bytes().all(base64url)
    }

    /// Writes an event as the parser of the pod does. A tuple is several arguments.
    ///
    /// # Errors
    /// If the namespace does not exist, or its arguments cannot be written, or not be read by all that it may be for.
    pub fn encode<T: Serialize + ?Sized>(
        &self,
        namespace: &str,
        event: &str,
        arguments: &T,
    ) -> Result<Value, EncodeError> {
        let here = self.namespaces.find(namespace)?.or_else(|| self.namespaces.any());
        // All have the same parser.
        let here = here.ok_or_else(|| UnknownNamespace(namespace.to_owned()))?;
        payload::encode(&here.local, self.bounds, event, arguments)
    }

    /// The same from the text of an array, which is copied as it is.
    ///
    /// # Errors
    /// If it is no array, or cannot be written, or not be read by all that it may be for.
    pub fn encode_raw(
        &self,
        event: &str,
        arguments: Option<&RawValue>,
    ) -> Result<Value, EncodeError> {
        payload::encode_raw(self.format, self.bounds, event, arguments)
    }
}

/// The name of a namespace, to keep: without a copy if it is here.
fn path(namespace: &str, members: &Option<Arc<Members>>) -> Str {
    let here = members.as_ref().map(|members| members.local.path().clone());
    here.unwrap_or_else(|| namespace.to_owned().into())
}

/// The answer of a pod on its own.
fn alone<T>(answer: T) -> Answered<T> {
    Answered { answer, pods: Pods { asked: 1, silent: 0 } }
}
