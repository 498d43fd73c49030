//! A client in one namespace, as handlers see it.

use std::{collections::BTreeMap, future::Future, str::FromStr, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use socketioxide::{AckError, socket::Socket as IoSocket};
use socketioxide_core::{Value, adapter::errors::SocketError};

use super::state::{SocketState, on_send_error};
use crate::{
    backplane::{Adapter, Joined, SendError},
    gateway::{
        replies::{refusal::Refusal, reply::Reply},
        tokens::Claims,
    },
};

/// A client in one namespace. Clones are the same; to keep one keeps nothing of a client that has gone but its memory.
#[derive(Clone)]
pub struct Socket {
    /// The socket of socketioxide.
    pub(in crate::gateway) io: Arc<IoSocket<Adapter>>,
    pub(in crate::gateway) state: Arc<SocketState>,
}

impl Socket {
    /// Its id, which is also the name of its own room.
    pub fn id(&self) -> String {
        self.io.id.to_string()
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> &str {
        self.io.ns()
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
        self.state.namespace.parameters.clone()
    }

    /// What its token said, or what it was granted as a guest; `None` without either.
    pub fn claims(&self) -> Option<Claims> {
        self.with_claims(|claims| claims.cloned())
    }

    /// Looks at what its token said, which may be much, without a copy of it.
    pub(in crate::gateway) fn with_claims<T>(&self, look: impl FnOnce(Option<&Claims>) -> T) -> T {
        look(self.state.identity().as_deref().map(|identity| &identity.claims))
    }

    /// Whether it is in its namespace: its CONNECT has been answered, and it has not gone.
    pub fn is_connected(&self) -> bool {
        self.io.connected()
    }

    /// Whether it showed who it is: by a token, or to the namespace's authenticator.
    pub fn is_authenticated(&self) -> bool {
        self.state.is_authenticated()
    }

    /// How it came, as Node's `socket.handshake`: address, secure, time, url, query, the headers of `public.kept_headers`; and
    /// `auth`, if the namespace keeps it.
    pub fn handshake(&self) -> Json {
        let mut handshake = self.state.connection.handshake(Some(&self.io.req_parts().uri));
        if self.state.namespace.keeps_auth {
            handshake["auth"] = self.auth();
        }
        handshake
    }

    /// What its client sent in `auth` with CONNECT, `{}` if nothing, if
    /// [`Namespace::keep_auth`](crate::Namespace::keep_auth) was called; else `null`.
    pub fn auth(&self) -> Json {
        self.state.auth()
    }

    /// The transport that its connection uses now, as Node's `socket.conn.transport.name`: `polling` or `websocket`.
    pub fn transport(&self) -> &'static str {
        self.state.connection.transport()
    }

    /// What handlers have noted of it, as Node's `socket.data`; `null` if nothing.
    pub fn data(&self) -> Json {
        self.state.data()
    }

    /// Notes something, which `fetchSockets` on all servers shows. It takes the place of what was noted before.
    pub fn set_data(&self, data: Json) {
        self.state.set_data(data);
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
        let sent = self
            .encode(event, arguments)
            .and_then(|payload| Ok(self.state.handle.send(payload, volatile)?));
        sent.inspect_err(|error| on_send_error(&self.state, error))
    }

    /// Writes an event for it, if it is there.
    fn encode<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<Value, SendError> {
        if !self.is_connected() {
            return Err(SocketError::Closed.into());
        }
        Ok(self.state.handle.encode(event, data)?)
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
        let asked = self
            .encode(event, arguments)
            .and_then(|payload| Ok(self.state.handle.ask(payload, timeout)?));
        let answer = asked.inspect_err(|error| on_send_error(&self.state, error))?;
        let pending = self.state.connection.await_ack();
        Ok(async move {
            let answer = answer.await;
            drop(pending);
            answer?.arguments()
        })
    }

    /// The rooms it is in, without that of its own id.
    pub fn rooms(&self) -> Vec<String> {
        self.state.handle.rooms()
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

    pub(in crate::gateway) fn begin_to_join(&self, rooms: Vec<String>) -> Joined {
        self.state.handle.join(rooms)
    }

    /// Takes it out of rooms.
    pub fn leave(&self, rooms: Vec<String>) {
        self.state.handle.leave(rooms);
    }

    /// Whether it is in a room.
    pub fn is_in(&self, room: &str) -> bool {
        self.state.handle.is_in(room)
    }

    /// Whether a room is that of the own id of a socket that is connected.
    pub fn is_id(&self, room: &str) -> bool {
        self.state.namespace.backplane.is_socket(room)
    }

    /// Puts it out of the namespace (`io server disconnect`): a stock client does not come back by itself. With
    /// `close`, its connection ends too, and with it the client's sockets in other namespaces.
    pub fn disconnect(&self, close: bool) {
        // One that cannot be told has gone.
        let _ = self.io.clone().disconnect();
        if close {
            self.state.connection.close();
        }
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
