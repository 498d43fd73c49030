//! A client in one namespace, as handlers see it, and the sockets that it can speak to.

use std::{
    any::Any, collections::BTreeMap, future::Future, str::FromStr, sync::Arc, time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use socketioxide::{AckError, socket::Socket as IoSocket};
use socketioxide_core::{Sid, Value, adapter::errors::SocketError};

use super::{
    Cluster, Refusal, auth::Claims, member::Member, reply::Reply, roomcast::RoomcastError,
};
use crate::backplane::{
    Adapter, Answered, Backplane, ClientAnswers, Emit, EncodeError, Joined, Occupant, SendError,
    Source, Target, count_dropped,
};

/// A client in one namespace. Clones are the same; to keep one keeps nothing of a client that has gone but its memory.
#[derive(Clone)]
pub struct Socket {
    pub(super) socket: Arc<IoSocket<Adapter>>,
    pub(super) member: Arc<Member>,
}

impl Socket {
    /// That which the backplane knows as this; nothing once it has gone.
    pub(super) fn known_as(occupant: Arc<dyn Occupant>) -> Option<Self> {
        let occupant: Arc<dyn Any + Send + Sync> = occupant;
        occupant.downcast::<Member>().ok()?.socket()
    }

    /// Its id, which is also the name of its own room.
    pub fn id(&self) -> String {
        self.socket.id.to_string()
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> &str {
        self.socket.ns()
    }

    /// What stands in the name of its namespace for a part of the pattern: `"7"` for `id` of
    /// [`Namespace::pattern`](crate::Namespace::pattern)`("/room-{id}")` in `/room-7`; of a regular expression, a group by its
    /// name, or by its number. Nothing if there is no such part, or it cannot be read as this type.
    ///
    /// ```
    /// # use roomcast::{Ack, Namespace, Socket};
    /// let rooms = Namespace::pattern("/room-{id}").on("number", |socket: Socket| {
    ///     Ack(socket.parameter::<u32>("id"))
    /// });
    /// # let _ = rooms;
    /// ```
    pub fn parameter<T: FromStr>(&self, name: &str) -> Option<T> {
        self.parameters().get(name)?.parse().ok()
    }

    /// All of these by name.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        self.member.namespace.parameters(self.namespace())
    }

    /// What its token said, or what it was granted as a guest; `None` without either.
    pub fn claims(&self) -> Option<Claims> {
        self.with_claims(|claims| claims.cloned())
    }

    /// Looks at what its token said, which may be much, without a copy of it.
    pub(super) fn with_claims<T>(&self, look: impl FnOnce(Option<&Claims>) -> T) -> T {
        look(self.member.identity().as_deref().map(|identity| &identity.claims))
    }

    /// Whether it is in its namespace: its CONNECT has been answered, and it has not gone.
    pub fn is_connected(&self) -> bool {
        self.socket.connected()
    }

    /// Whether it showed who it is: by a token, or to the namespace's authenticator.
    pub fn is_authenticated(&self) -> bool {
        self.member.is_authenticated()
    }

    /// How it came, as Node's `socket.handshake`: address, secure, time, url, query, the headers of `public.kept_headers`; and
    /// `auth`, if the namespace keeps it.
    pub fn handshake(&self) -> Json {
        let mut handshake = self.member.connection.handshake(Some(&self.socket.req_parts().uri));
        if self.member.namespace.keeps_auth {
            handshake["auth"] = self.auth();
        }
        handshake
    }

    /// What its client sent in `auth` with CONNECT, `{}` if nothing, if
    /// [`Namespace::keep_auth`](crate::Namespace::keep_auth) was called; else `null`.
    pub fn auth(&self) -> Json {
        self.member.auth()
    }

    /// The transport that its connection uses now, as Node's `socket.conn.transport.name`: `polling` or `websocket`.
    pub fn transport(&self) -> &'static str {
        self.member.connection.transport()
    }

    /// What handlers have noted of it, as Node's `socket.data`; `null` if nothing.
    pub fn data(&self) -> Json {
        self.member.noted()
    }

    /// Notes something, which `fetchSockets` on all servers shows. It takes the place of what was noted before.
    pub fn set_data(&self, data: Json) {
        self.member.note(data);
    }

    /// Sends it an event. Several arguments are a tuple, any number is [`Spread`](crate::Spread), and `()` is none.
    ///
    /// ```
    /// # use roomcast::{Namespace, Socket};
    /// let namespace = Namespace::new("/").on_connect(|socket: &Socket| {
    ///     let _ = socket.emit("ready", &());
    ///     let _ = socket.emit("welcome", &("ada", 3, bytes::Bytes::from_static(b"\x01")));
    ///     let _ = socket.volatile().emit("position", &(1.5, 2.5));
    /// });
    /// # let _ = namespace;
    /// ```
    ///
    /// # Errors
    /// If the arguments cannot be written, or not be given to every client; if too much waits for it; or if it is gone.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, arguments: &T) -> Result<(), SendError> {
        self.send(event, arguments, false)
    }

    /// What is sent to it through this may be dropped if its client is not ready for it: `socket.volatile`.
    pub fn volatile(&self) -> Volatile<'_> {
        Volatile(self)
    }

    fn send<T: Serialize + ?Sized>(
        &self,
        event: &str,
        arguments: &T,
        volatile: bool,
    ) -> Result<(), SendError> {
        let backplane = &self.member.backplane;
        let sent = self.encode(event, arguments).and_then(|payload| {
            Ok(backplane.send(self.namespace(), self.socket.id, payload, volatile)?)
        });
        sent.inspect_err(|error| unsent(&self.member, error))
    }

    /// Writes an event for it, if it is there.
    fn encode<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<Value, SendError> {
        if !self.is_connected() {
            return Err(SocketError::Closed.into());
        }
        Ok(self.member.backplane.encode(self.namespace(), event, data)?)
    }

    /// Sends it an event, and gives its answer: the first value of the ack as any type, several as a tuple, or any number as
    /// [`Spread`](crate::Spread); `bytes::Bytes` for binary, `()` or an `Option` where there may be none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use roomcast::{Ack, Namespace, Refusal, Socket};
    /// let namespace = Namespace::new("/").on("photo", async |socket: Socket| {
    ///     let failed = |error: &dyn std::fmt::Display| Refusal::new("no_photo", error.to_string());
    ///     let answer = socket.emit_with_ack("take", &(), Duration::from_secs(5));
    ///     // The client: socket.on("take", (callback) => callback("a.png", bytes))
    ///     let (name, image): (String, bytes::Bytes) =
    ///         answer.map_err(|error| failed(&error))?.await.map_err(|error| failed(&error))?;
    ///     Ok::<_, Refusal>(Ack((name, image.len())))
    /// });
    /// # let _ = namespace;
    /// ```
    ///
    /// # Errors
    /// As for [`Self::emit`], and if no answer of this form comes within `timeout`.
    pub fn emit_with_ack<T, A>(
        &self,
        event: &str,
        arguments: &T,
        timeout: Duration,
    ) -> Result<impl Future<Output = Result<A, AckError>> + Send + 'static, SendError>
    where
        T: Serialize + ?Sized,
        A: DeserializeOwned + Send + 'static,
    {
        let backplane = &self.member.backplane;
        let asked = self.encode(event, arguments).and_then(|payload| {
            Ok(backplane.ask(self.namespace(), self.socket.id, payload, timeout)?)
        });
        let answer = asked.inspect_err(|error| unsent(&self.member, error))?;
        let pending = self.member.connection.await_ack();
        Ok(async move {
            let answer = answer.await;
            drop(pending);
            answer?.arguments()
        })
    }

    /// The other sockets of a room.
    pub fn to(&self, room: impl ToString) -> Broadcast {
        self.broadcast().to(room)
    }

    /// All other sockets of its namespace.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast {
            backplane: self.member.backplane.clone(),
            namespace: self.namespace().to_owned(),
            rooms: Vec::new(),
            except: Vec::new(),
            from: self.socket.id,
            volatile: false,
            presence: false,
        }
    }

    /// The rooms it is in, without that of its own id.
    pub fn rooms(&self) -> Vec<String> {
        self.member.backplane.rooms_of(self.namespace(), self.socket.id)
    }

    /// Puts it in rooms. The sockets of this pod are heard in them at once, those of others as soon as
    /// Redis knows: [`Self::join_then`] waits for that.
    pub fn join(&self, rooms: Vec<String>) {
        let _ = self.begin_to_join(rooms);
    }

    /// Puts it in rooms, and replies when all servers of the cluster are heard in them.
    ///
    /// # Errors
    /// None of its own: it is for the end of a handler.
    pub fn join_then(&self, rooms: Vec<String>, reply: Reply) -> Result<Reply, Refusal> {
        let joined = self.begin_to_join(rooms);
        if joined.is_settled() {
            return Ok(reply);
        }
        Ok(Reply::later(async {
            joined.settled().await;
            Ok(reply)
        }))
    }

    pub(super) fn begin_to_join(&self, rooms: Vec<String>) -> Joined {
        self.member.backplane.join(self.namespace(), self.socket.id, rooms)
    }

    /// Its namespace, on all servers of the cluster.
    pub fn cluster(&self) -> Cluster {
        Cluster::new(self.member.backplane.clone(), self.namespace())
    }

    /// Takes it out of rooms.
    pub fn leave(&self, rooms: Vec<String>) {
        self.member.backplane.leave(self.namespace(), self.socket.id, rooms);
    }

    /// Whether it is in a room.
    pub fn is_in(&self, room: &str) -> bool {
        self.member.backplane.is_member(self.namespace(), self.socket.id, room)
    }

    /// Whether a room is that of the own id of a socket that is connected.
    pub fn is_id(&self, room: &str) -> bool {
        self.member.backplane.is_socket(room)
    }

    /// Puts it out of the namespace (`io server disconnect`): a stock client does not come back by itself. With
    /// `close`, its connection ends too, and with it the client's sockets in other namespaces.
    pub fn disconnect(&self, close: bool) {
        // One that cannot be told has gone.
        let _ = self.socket.clone().disconnect();
        if close {
            self.member.connection.close();
        }
    }
}

/// A packet could not be put in the queue of a client: it is counted, and a client whose queue is full
/// goes.
pub(super) fn unsent(member: &Member, error: &SendError) {
    if let SendError::Socket(error) = error {
        count_dropped(error);
        if matches!(error, SocketError::InternalChannelFull) {
            member.connection.overflowed();
        }
    }
}

/// The sockets of rooms, or of the namespace, but for the one that speaks to them. It outlives the handler.
#[derive(Clone)]
pub struct Broadcast {
    backplane: Backplane,
    namespace: String,
    rooms: Vec<String>,
    except: Vec<String>,
    from: Sid,
    volatile: bool,
    /// Only for those who may know who is in the rooms.
    presence: bool,
}

impl Broadcast {
    /// And those of another room. The name of one that is called by a number is its text.
    pub fn to(mut self, room: impl ToString) -> Self {
        self.rooms.push(room.to_string());
        self
    }

    /// But not those of this room.
    pub fn except(mut self, room: impl ToString) -> Self {
        self.except.push(room.to_string());
        self
    }

    /// Only those that are connected to this pod: `socket.local`.
    pub fn local(mut self) -> Self {
        self.backplane = self.backplane.of_this_pod();
        self
    }

    /// May be dropped for a client that is not ready for it.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Only for those who may know who is in the rooms.
    pub(super) fn of_presence(mut self) -> Self {
        self.presence = true;
        self
    }

    /// Sends them an event; the arguments are as for [`Socket::emit`].
    ///
    /// # Errors
    /// If the arguments cannot be written, or not be given to every client.
    pub fn emit<T: Serialize + ?Sized>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(), EncodeError> {
        let (backplane, namespace, emit) = self.prepare(event, arguments)?;
        Ok(backplane.emit(&namespace, emit)?)
    }

    /// Sends them an event, and collects what their clients answer within `timeout`, on all servers:
    /// `socket.to(…).timeout(…).emitWithAck(…)`.
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
        let (backplane, namespace, emit) = self.prepare(event, arguments)?;
        Ok(backplane.emit_with_ack(&namespace, emit, timeout).await?)
    }

    fn prepare<T: Serialize + ?Sized>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(Backplane, String, Emit), EncodeError> {
        let emit = Emit {
            payload: self.backplane.encode(&self.namespace, event, arguments)?,
            target: Target { rooms: self.rooms, except: self.except },
            from: Some(self.from),
            volatile: self.volatile,
            source: if self.presence { Source::Presence } else { Source::Handler },
            traceparent: None,
        };
        Ok((self.backplane, self.namespace, emit))
    }
}

/// Sends a socket what may be dropped: [`Socket::volatile`].
#[derive(Clone, Copy)]
pub struct Volatile<'a>(&'a Socket);

impl Volatile<'_> {
    /// Sends it an event, unless its client is not ready for it.
    ///
    /// # Errors
    /// As for [`Socket::emit`]; that it was dropped is none.
    pub fn emit<T: Serialize + ?Sized>(self, event: &str, arguments: &T) -> Result<(), SendError> {
        self.0.send(event, arguments, true)
    }
}
