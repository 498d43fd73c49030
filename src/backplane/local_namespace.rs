//! A namespace as it is on this pod, and a socket in it. Both are looked up once: by name when a namespace begins or a client
//! connects, and not with each event.

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::StreamExt;
use metrics::Gauge;
use serde::Serialize;
use socketioxide::AckError;
use socketioxide_core::{
    Sid, Value, adapter::errors::SocketError, packet::Packet, parser::ParserError,
};

use super::{
    ClientAnswer, EncodeError, Joined, MemberSocket, RoomEvent, SendError, ServerSide, Source,
    Target, delivery::count_one, members::Members, payload,
};

/// The part of a namespace that this pod has.
#[derive(Clone)]
pub struct LocalNamespace(pub(super) Arc<Members>);

impl LocalNamespace {
    /// From now on, its rooms that have members here are counted there.
    pub fn count_rooms(&self, rooms: Gauge) {
        self.0.count_rooms(rooms);
    }

    /// From now on, this hears of its rooms.
    pub fn on_room(&self, hear: impl Fn(RoomEvent<'_>) + Send + Sync + 'static) {
        self.0.room_events.listen(Box::new(hear));
    }

    /// Handles the events of other servers.
    pub fn on_server_side(&self, handler: Box<dyn ServerSide>) {
        self.0.server_side.set(handler);
    }

    /// From now on, its sockets hear of what they are sent ([`MemberSocket::outgoing`]).
    pub fn listen(&self) {
        self.0.queues().listen();
    }

    /// A socket of this id, which need not be there yet.
    pub fn socket(&self, id: Sid) -> SocketHandle {
        SocketHandle { members: self.0.clone(), id }
    }

    /// Its sockets.
    pub fn members(&self) -> Vec<Arc<dyn MemberSocket>> {
        self.0.lookup().members()
    }

    /// Those of a target.
    pub fn members_of(&self, target: &Target) -> Vec<Arc<dyn MemberSocket>> {
        let ids = self.0.recipients().matching(target).into_iter();
        ids.filter_map(|id| self.0.lookup().member(id)).collect()
    }

    /// One of them.
    pub fn member(&self, socket: Sid) -> Option<Arc<dyn MemberSocket>> {
        self.0.lookup().member(socket)
    }

    /// Whether it has sockets.
    pub fn has_sockets(&self) -> bool {
        !self.0.lookup().is_empty()
    }

    /// Whether a room of socketioxide has a socket.
    pub fn is_in_local(&self, socket: Sid, room: &str) -> bool {
        self.0.local.socket_rooms(socket).iter().any(|joined| *joined == *room)
    }
}

/// One socket of this pod. What is done with one that has gone does nothing.
#[derive(Clone)]
pub struct SocketHandle {
    members: Arc<Members>,
    id: Sid,
}

impl SocketHandle {
    /// Adds it to its namespace, in the room of its own id.
    pub fn enter(&self, member: Weak<dyn MemberSocket>) {
        self.members.enter(self.id, member);
    }

    /// Forgets it: it is gone. Twice does no harm.
    pub fn depart(&self, member: &Weak<dyn MemberSocket>) {
        self.members.depart(self.id, member);
    }

    /// It has still to authenticate. What is for all of its namespace is not for it, until [`Self::authenticated`].
    pub fn unauthenticated(&self) {
        self.members.set_unauthenticated(self.id, true);
    }

    /// It hears everything from now on.
    pub fn authenticated(&self) {
        self.members.set_unauthenticated(self.id, false);
    }

    /// Puts it in rooms. Tells when other servers know, if they have to.
    pub fn join(&self, rooms: Vec<String>) -> Joined {
        self.members.join(self.id, rooms)
    }

    /// Takes it out of rooms.
    pub fn leave(&self, rooms: Vec<String>) {
        self.members.leave(self.id, rooms);
    }

    /// The rooms that it is in, without that of its own id.
    pub fn rooms(&self) -> Vec<String> {
        self.members.lookup().rooms_of(self.id)
    }

    /// Whether it is in a room.
    pub fn is_in(&self, room: &str) -> bool {
        self.members.lookup().is_in(self.id, room)
    }

    /// Writes an event as the parser of the pod does. A tuple is several arguments.
    ///
    /// # Errors
    /// If its arguments cannot be written, or not be read by all that it may be for.
    pub fn encode<T: Serialize + ?Sized>(
        &self,
        event: &str,
        arguments: &T,
    ) -> Result<Value, EncodeError> {
        payload::encode(&self.members.local, self.members.shared.bounds, event, arguments)
    }

    /// Puts an event in its queue.
    ///
    /// # Errors
    /// If it is not there, or too much waits for it.
    pub fn send(&self, event: Value, volatile: bool) -> Result<(), SocketError> {
        let packet = Packet::event(self.members.local.path().clone(), event);
        self.members.queues().send(self.id, packet, volatile)?;
        count_one(Source::Handler);
        Ok(())
    }

    /// The same, and gives what its client answers.
    ///
    /// # Errors
    /// As for [`Self::send`].
    pub fn ask(
        &self,
        event: Value,
        timeout: Duration,
    ) -> Result<
        impl Future<Output = Result<ClientAnswer, AckError>> + Send + 'static + use<>,
        SocketError,
    > {
        let acks = self.members.queues().ask(self.id, event, timeout)?;
        count_one(Source::Handler);
        Ok(async move {
            let mut acks = std::pin::pin!(acks);
            let (_, ack) = acks.next().await.ok_or(AckError::Timeout)?;
            ClientAnswer::read(&ack?).map_err(|error| AckError::Decode(ParserError::new(error)))
        })
    }

    /// Answers an event of it, with the values of [`encode_ack`](super::encode_ack).
    ///
    /// # Errors
    /// If they cannot reach the client, that is not there, or too much waits for it.
    pub fn acknowledge(&self, id: i64, values: Value) -> Result<(), SendError> {
        let shared = &self.members.shared;
        let values = payload::ack_for(shared.format, shared.bounds, values)?;
        let packet = Packet::ack(self.members.local.path().clone(), values, id);
        Ok(self.members.queues().send(self.id, packet, false)?)
    }
}
