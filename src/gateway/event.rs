//! An event from a client, and what a handler can do with it.

use std::{future::Future, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use socketioxide::{
    AckError, SendError, extract::Data, handler::FromMessageParts, socket::Socket as IoSocket,
};
use socketioxide_core::{Sid, Value, adapter::errors::SocketError};

use super::{Cluster, Refusal, auth::Claims, codes, connect::Member, payload::Head, reply::Reply};
use crate::backplane::{
    Adapter, Argument, Backplane, Emit, EncodeError, Joined, Source, Target, count_dropped,
};

/// Handles the events of a pattern. Called in the order in which a client sent them, before the
/// next packet of that client is read: it must not block.
pub trait Handler: Send + Sync + 'static {
    /// Handles one event. The reply, or the refusal, is its ack.
    fn handle(&self, event: &Event<'_>) -> Result<Reply, Refusal>;
}

impl<F> Handler for F
where
    F: Fn(&Event<'_>) -> Result<Reply, Refusal> + Send + Sync + 'static,
{
    fn handle(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        self(event)
    }
}

/// An event that a client sent.
pub struct Event<'a> {
    pub(super) socket: Socket<'a>,
    pub(super) payload: &'a Value,
    pub(super) head: Head<'a>,
}

impl<'a> Event<'a> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// Its first argument, if that is text: for a relayed event, the room.
    pub fn first_text(&self) -> Option<&str> {
        self.head.first.as_deref()
    }

    /// The socket it came from.
    pub fn socket(&self) -> &Socket<'a> {
        &self.socket
    }

    /// Its arguments: the first one as any type, or several as a tuple. Use `bytes::Bytes` for
    /// binary.
    ///
    /// # Errors
    /// A refusal with `bad_request` if they have another form.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        // Reading takes attachments out of the value, and a relay may still need them.
        let mut payload = self.payload.clone();
        Data::<T>::from_message_parts(&self.socket.socket, &mut payload, &None)
            .map(|Data(arguments)| arguments)
            .map_err(|error| Refusal::new(codes::BAD_REQUEST, error.to_string()))
    }

    /// Its arguments, however many they are, as JSON; binary as Node's `JSON.stringify` writes a
    /// `Buffer`.
    ///
    /// # Errors
    /// A refusal with `bad_request` if they cannot be read.
    pub fn all_arguments(&self) -> Result<Vec<serde_json::Value>, Refusal> {
        let mut all = Argument::all_of(self.payload)
            .map_err(|error| Refusal::new(codes::BAD_REQUEST, error.to_string()))?;
        // The name of the event comes first.
        Ok(all.split_off(all.len().min(1)))
    }

    /// Sends the event on as it came to the other sockets of a room; of the namespace, if `None`.
    pub fn relay(&self, room: Option<&str>) {
        let emit = Emit {
            payload: self.payload.clone(),
            target: Target {
                rooms: room.map(str::to_owned).into_iter().collect(),
                except: Vec::new(),
            },
            from: Some(self.socket.socket.id),
            volatile: false,
            source: Source::Client,
            traceparent: None,
        };
        // The namespace exists: this socket is in it.
        let _ = self.socket.member.backplane.emit(self.socket.namespace(), emit);
    }
}

/// A client in one namespace.
pub struct Socket<'a> {
    pub(super) socket: Arc<IoSocket<Adapter>>,
    pub(super) member: &'a Arc<Member>,
}

impl Socket<'_> {
    /// Its id, which is also the name of its own room.
    pub fn id(&self) -> String {
        self.socket.id.to_string()
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> &str {
        self.socket.ns()
    }

    /// What its token said; `None` without a valid one.
    pub fn claims(&self) -> Option<&Claims> {
        self.member.claims.as_ref()
    }

    /// Sends it an event. Several arguments are a tuple.
    ///
    /// # Errors
    /// If the arguments cannot be written, if its queue is full, or if it is gone.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, arguments: &T) -> Result<(), SendError> {
        self.socket.emit(event, arguments).inspect_err(|error| unsent(self.member, error))
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
            .inspect_err(|error| unsent(self.member, error))?;
        let pending = self.member.connection.await_ack();
        Ok(async move {
            let answer = answer.await;
            drop(pending);
            answer
        })
    }

    /// The other sockets of a room.
    pub fn to(&self, room: impl Into<String>) -> Broadcast {
        Broadcast {
            backplane: self.member.backplane.clone(),
            namespace: self.namespace().to_owned(),
            rooms: vec![room.into()],
            except: Vec::new(),
            from: self.socket.id,
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

    fn begin_to_join(&self, rooms: Vec<String>) -> Joined {
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

    /// Whether a room could be that of the own id of a socket on another server.
    pub(super) fn could_be_id_elsewhere(&self, room: &str) -> bool {
        self.member.backplane.could_be_elsewhere(room)
    }

    /// Whether a room is that of the own id of a socket that is connected.
    pub fn is_id(&self, room: &str) -> bool {
        self.member.backplane.is_socket(room)
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

/// The sockets of rooms, but for the one that speaks to them. It outlives the handler.
#[derive(Clone)]
pub struct Broadcast {
    backplane: Backplane,
    namespace: String,
    rooms: Vec<String>,
    except: Vec<String>,
    from: Sid,
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
            volatile: false,
            source: Source::Handler,
            traceparent: None,
        };
        Ok(self.backplane.emit(&self.namespace, emit)?)
    }
}
