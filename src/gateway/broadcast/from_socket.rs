//! What a socket sends to others: to the rooms of its namespace without itself, or through the operators of all servers.

use std::time::Duration;

use serde::Serialize;
use socketioxide_core::Sid;

use super::{cluster::Cluster, error::RoomcastError, operator::BroadcastOperator};
use crate::{
    backplane::{Answered, Backplane, ClientAnswers, Emit, EncodeError, Source, Target},
    gateway::sockets::socket::Socket,
};

impl Socket {
    /// The other sockets of a room.
    pub fn to(&self, room: impl ToString) -> Broadcast {
        self.broadcast().to(room)
    }

    /// All other sockets of its namespace.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast {
            backplane: self.state.namespace.backplane.clone(),
            namespace: self.namespace().to_owned(),
            rooms: Vec::new(),
            except: Vec::new(),
            from: self.io.id,
            volatile: false,
            presence: false,
        }
    }

    /// Its namespace, on all servers of the cluster.
    pub fn cluster(&self) -> Cluster {
        Cluster::new(self.state.namespace.backplane.clone(), self.namespace())
    }

    /// Its namespace, itself among its sockets, on all servers: `io.of(socket.nsp.name)` on Node. [`Socket::to`] and
    /// [`Socket::broadcast`] leave it out.
    pub fn nsp(&self) -> BroadcastOperator {
        let (backplane, length) = (self.state.namespace.backplane.clone(), self.name_length());
        BroadcastOperator::new(backplane, length, self.namespace().to_owned(), None)
    }

    /// Another namespace, on all servers: `socket.server.of(…)` on Node.
    pub fn of(&self, namespace: impl Into<String>) -> BroadcastOperator {
        let (backplane, length) = (self.state.namespace.backplane.clone(), self.name_length());
        BroadcastOperator::new(backplane, length, namespace.into(), None)
    }

    fn name_length(&self) -> usize {
        self.state.namespace.limits.name_length
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
    pub(in crate::gateway) fn of_presence(mut self) -> Self {
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
        backplane.namespace(&namespace)?.emit(emit);
        Ok(())
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
        Ok(backplane.namespace(&namespace)?.emit_with_ack(emit, timeout).await)
    }

    fn prepare<T: Serialize + ?Sized>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(Backplane, String, Emit), EncodeError> {
        let emit = Emit {
            payload: self.backplane.namespace(&self.namespace)?.encode(event, arguments)?,
            target: Target { rooms: self.rooms, except: self.except },
            from: Some(self.from),
            volatile: self.volatile,
            source: if self.presence { Source::Presence } else { Source::Handler },
            traceparent: None,
        };
        Ok((self.backplane, self.namespace, emit))
    }
}
