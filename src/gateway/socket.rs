//! A client in one namespace, as handlers see it, and the sockets that it can speak to.

use std::{future::Future, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use socketioxide::{AckError, SendError, socket::Socket as IoSocket};
use socketioxide_core::{Sid, adapter::errors::SocketError};

use super::{Cluster, Refusal, auth::Claims, member::Member, reply::Reply};
use crate::backplane::{
    Adapter, Backplane, Emit, EncodeError, Joined, Source, Target, count_dropped,
};

/// A client in one namespace. Clones are the same; to keep one keeps nothing of a client that has gone but its memory.
#[derive(Clone)]
pub struct Socket {
    pub(super) socket: Arc<IoSocket<Adapter>>,
    pub(super) member: Arc<Member>,
}

impl Socket {
    /// Its id, which is also the name of its own room.
    pub fn id(&self) -> String {
        self.socket.id.to_string()
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> &str {
        self.socket.ns()
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
    pub fn handshake(&self) -> Value {
        let mut handshake = self.member.connection.handshake(Some(&self.socket.req_parts().uri));
        if self.member.namespace.keeps_auth {
            handshake["auth"] = self.auth();
        }
        handshake
    }

    /// What its client sent in `auth` with CONNECT, if [`Namespace::keep_auth`](crate::Namespace::keep_auth) was called; else
    /// `null`.
    pub fn auth(&self) -> Value {
        self.member.auth()
    }

    /// The transport that its connection uses now, as Node's `socket.conn.transport.name`: `polling` or `websocket`.
    pub fn transport(&self) -> &'static str {
        self.member.connection.transport()
    }

    /// What handlers have noted of it, as Node's `socket.data`; `null` if nothing.
    pub fn data(&self) -> Value {
        self.member.noted()
    }

    /// Notes something, which `fetchSockets` on all servers shows. It takes the place of what was noted before.
    pub fn set_data(&self, data: Value) {
        self.member.note(data);
    }

    /// Sends it an event. Several arguments are a tuple.
    ///
    /// # Errors
    /// If the arguments cannot be written, if its queue is full, or if it is gone.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, arguments: &T) -> Result<(), SendError> {
        self.socket.emit(event, arguments).inspect_err(|error| unsent(&self.member, error))
    }

    /// Sends it an event, and gives its answer: the first argument of the ack.
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
        let answer = self
            .socket
            .timeout(timeout)
            .emit_with_ack::<T, A>(event, arguments)
            .inspect_err(|error| unsent(&self.member, error))?;
        let pending = self.member.connection.await_ack();
        Ok(async move {
            let answer = answer.await;
            drop(pending);
            answer
        })
    }

    /// The other sockets of a room.
    pub fn to(&self, room: impl Into<String>) -> Broadcast {
        Broadcast { rooms: vec![room.into()], ..self.broadcast() }
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
    /// And those of another room.
    pub fn to(mut self, room: impl Into<String>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// But not those of this room.
    pub fn except(mut self, room: impl Into<String>) -> Self {
        self.except.push(room.into());
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

    /// Sends them an event. Several arguments are a tuple.
    ///
    /// # Errors
    /// If the arguments cannot be written.
    pub fn emit<T: Serialize + ?Sized>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(), EncodeError> {
        let emit = Emit {
            payload: self.backplane.encode(&self.namespace, event, arguments)?,
            target: Target { rooms: self.rooms, except: self.except },
            from: Some(self.from),
            volatile: self.volatile,
            source: if self.presence { Source::Presence } else { Source::Handler },
            traceparent: None,
        };
        Ok(self.backplane.emit(&self.namespace, emit)?)
    }
}
