//! What the application holds.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Auth, ClientError, Event, Events, JoinedRooms, LeftRooms, Reason, State, Unauthenticated,
    command::{Command, Registry},
    error::setting,
    options::Options,
    rooms,
    socket::{Socket, check_event},
};
use crate::config::Secret;

/// A socket in one namespace of a server: [the module](super) has an example.
///
/// Clones are the same socket; [`socket`](Self::socket) gives those of other namespaces over the same
/// connection. The connection ends with [`shutdown`](Self::shutdown), or with the last of them.
#[derive(Clone)]
pub struct Client {
    socket: Arc<Socket>,
    connection: Arc<Connection>,
}

struct Connection {
    options: Arc<Options>,
    commands: mpsc::Sender<Command>,
    registry: Registry,
}

impl Client {
    pub(super) fn new(
        namespace: String,
        options: Arc<Options>,
        commands: mpsc::Sender<Command>,
        registry: Registry,
    ) -> Result<Self, ClientError> {
        let auth = options.auth.clone();
        Self::of(Arc::new(Connection { options, commands, registry }), namespace, auth)
    }

    fn of(connection: Arc<Connection>, namespace: String, auth: Auth) -> Result<Self, ClientError> {
        if !namespace.starts_with('/') || namespace.contains([',', '?']) {
            return Err(setting("namespace", &namespace, "expected \"/name\""));
        }
        if connection.commands.is_closed() {
            return Err(ClientError::Closed);
        }
        let ack_timeout = connection.options.ack_timeout;
        let socket = connection
            .registry
            .lock()
            .entry(namespace)
            .or_insert_with_key(|name| Arc::new(Socket::new(name.clone(), auth, ack_timeout)))
            .clone();
        Ok(Self { socket, connection })
    }

    /// The socket of another namespace over the same connection, with the same credentials. It is
    /// disconnected at first; asked for again, it is the same one.
    ///
    /// # Errors
    /// [`ClientError::Setting`] if the name has no `/` first, [`ClientError::Closed`].
    pub fn socket(&self, namespace: &str) -> Result<Self, ClientError> {
        self.socket_with(namespace, self.connection.options.auth.clone())
    }

    /// As [`socket`](Self::socket), with credentials of its own.
    ///
    /// # Errors
    /// Those of `socket`.
    pub fn socket_with(&self, namespace: &str, auth: impl Into<Auth>) -> Result<Self, ClientError> {
        Self::of(self.connection.clone(), namespace.to_owned(), auth.into())
    }

    /// Connects, and waits until the server has let the socket in. While the server cannot be reached it tries again as
    /// [`Builder::reconnect`](super::Builder::reconnect) has it, by default for ever: `on_error` tells. Who gives up
    /// earlier calls [`disconnect`](Self::disconnect).
    ///
    /// # Errors
    /// [`ClientError::Refused`] by the server, [`ClientError::NamespaceTimeout`],
    /// [`ClientError::GaveUp`], [`ClientError::Transport`] if there is to be one attempt only,
    /// [`ClientError::Auth`], [`ClientError::Cancelled`], [`ClientError::Closed`].
    pub async fn connect(&self) -> Result<(), ClientError> {
        let (sender, connected) = oneshot::channel();
        self.socket.wait_for_connect(sender);
        self.command(Command::Connect(self.socket.clone())).await?;
        connected.await.unwrap_or(Err(ClientError::Closed))
    }

    /// Leaves the namespace: token and rooms are forgotten, what waits to be sent still is. The
    /// connection ends if no other namespace needs it. `connect` comes back.
    pub async fn disconnect(&self) {
        let (sender, done) = oneshot::channel();
        if self.command(Command::Disconnect(self.socket.clone(), sender)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Ends the connection and all its sockets in order: what waits is sent (for at most
    /// [`Builder::close_timeout`](super::Builder::close_timeout)), the server is told, the transport is closed.
    /// Callbacks and subscriptions are dropped.
    pub async fn shutdown(&self) {
        let (sender, done) = oneshot::channel();
        if self.command(Command::Shutdown(sender)).await.is_ok() {
            let _ = done.await;
        }
    }

    async fn command(&self, command: Command) -> Result<(), ClientError> {
        self.connection.commands.send(command).await.map_err(|_| ClientError::Closed)
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.socket.namespace
    }

    /// The id that the server gave the socket, while it is connected. Each connection has another.
    pub fn id(&self) -> Option<String> {
        self.socket.id()
    }

    /// Where the socket is now.
    pub fn state(&self) -> State {
        *self.socket.state.borrow()
    }

    /// Follows the state. The latest is kept, those between may be skipped.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.socket.state.subscribe()
    }

    /// Waits until the socket is in a state, such as `client.wait_for(State::is_connected)`.
    /// Gives the state; when the client is closed that is `Closed`, whatever was waited for.
    pub async fn wait_for(&self, wanted: impl Fn(State) -> bool) -> State {
        let mut states = self.watch();
        let found = states.wait_for(|state| wanted(*state) || *state == State::Closed).await;
        found.map_or(State::Closed, |state| *state)
    }

    /// Sends an event. It has been queued then, and is sent if the connection lasts.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], [`ClientError::NoEvent`], [`ClientError::ReservedEvent`],
    /// [`ClientError::QueueFull`], [`ClientError::TooLarge`], [`ClientError::Encode`].
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), ClientError> {
        self.socket.emit(event, data)
    }

    /// Sends an event and waits for the answer, at most [`Builder::ack_timeout`](super::Builder::ack_timeout). A tuple
    /// takes several arguments of the answer, anything else the first.
    ///
    /// # Errors
    /// Those of `emit`, [`ClientError::AckTimeout`], [`ClientError::Disconnected`],
    /// [`ClientError::Decode`].
    pub async fn emit_with_ack<T, A>(&self, event: &str, data: &T) -> Result<A, ClientError>
    where
        T: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        self.socket.ask(event, data, self.socket.ack_timeout).await
    }

    /// As [`emit_with_ack`](Self::emit_with_ack), for an answer that takes another time.
    ///
    /// # Errors
    /// Those of `emit_with_ack`.
    pub async fn emit_with_timeout<T, A>(
        &self,
        event: &str,
        data: &T,
        timeout: Duration,
    ) -> Result<A, ClientError>
    where
        T: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        self.socket.ask(event, data, timeout).await
    }

    /// Calls back for each event of this name. An event that has a callback already keeps that one:
    /// `false` then. So it does no harm to subscribe again after each reconnection.
    ///
    /// # Errors
    /// [`ClientError::NoEvent`], [`ClientError::ReservedEvent`].
    pub fn subscribe(
        &self,
        event: &str,
        callback: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<bool, ClientError> {
        check_event(event)?;
        Ok(self.socket.subscriptions.add(event, Arc::new(callback), true))
    }

    /// Calls back for each event of this name, besides the callbacks that it has.
    ///
    /// # Errors
    /// [`ClientError::NoEvent`], [`ClientError::ReservedEvent`].
    pub fn subscribe_also(
        &self,
        event: &str,
        callback: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<(), ClientError> {
        check_event(event)?;
        self.socket.subscriptions.add(event, Arc::new(callback), false);
        Ok(())
    }

    /// One callback for several events; [`Event::name`] tells which. Those that have one already are
    /// skipped. Says how many were not.
    ///
    /// # Errors
    /// [`ClientError::NoEvent`], [`ClientError::ReservedEvent`]: then nothing is subscribed to.
    pub fn subscribe_many<'a>(
        &self,
        events: impl IntoIterator<Item = &'a str>,
        callback: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<usize, ClientError> {
        let events: Vec<_> = events.into_iter().collect();
        events.iter().try_for_each(|event| check_event(event))?;
        let callback = Arc::new(callback);
        let added = |event: &&&str| self.socket.subscriptions.add(event, callback.clone(), true);
        Ok(events.iter().filter(added).count())
    }

    /// The events of one name as a stream, besides its callbacks. At most `capacity` wait in it; who
    /// is slower is told how many were lost.
    ///
    /// # Errors
    /// [`ClientError::NoEvent`], [`ClientError::ReservedEvent`].
    pub fn events(&self, event: &str, capacity: usize) -> Result<Events, ClientError> {
        check_event(event)?;
        Ok(self.socket.subscriptions.stream(event, capacity))
    }

    /// Ends all subscriptions to an event. Says whether there were any.
    pub fn unsubscribe(&self, event: &str) -> bool {
        self.socket.subscriptions.remove(event)
    }

    /// Sends a token in the event `authenticate`, and waits for `authenticated` or
    /// `unauthenticated`. An accepted token is sent again after each reconnection.
    ///
    /// # Errors
    /// [`ClientError::Unauthenticated`]: the server disconnects the socket then. Those of
    /// [`emit_with_ack`](Self::emit_with_ack).
    pub async fn authenticate(&self, token: impl Into<String>) -> Result<(), ClientError> {
        self.socket.authenticate(Secret::new(token)).await
    }

    /// Joins rooms, by the event `join`. Those that it joined are joined again after each
    /// reconnection; `on_error` tells if that fails ([`ClientError::RoomsLost`]).
    ///
    /// # Errors
    /// [`ClientError::Rejected`] if the server refuses the event as a whole, and those of
    /// [`emit_with_ack`](Self::emit_with_ack).
    pub async fn join_rooms<R: Into<String>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<JoinedRooms, ClientError> {
        rooms::join(&self.socket, &names(rooms)).await
    }

    /// Leaves rooms, by the event `leave`.
    ///
    /// # Errors
    /// Those of [`join_rooms`](Self::join_rooms).
    pub async fn leave_rooms<R: Into<String>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<LeftRooms, ClientError> {
        rooms::leave(&self.socket, &names(rooms)).await
    }

    /// Called each time the server has let the socket in.
    pub fn on_connected(&self, callback: impl Fn() + Send + Sync + 'static) {
        self.socket.hooks.connected.add(Arc::new(move |()| callback()));
    }

    /// Called each time the socket was connected and is not any more.
    pub fn on_disconnected(&self, callback: impl Fn(Reason) + Send + Sync + 'static) {
        self.socket.hooks.disconnected.add(Arc::new(callback));
    }

    /// Called for what no call returns: attempts to connect that failed, refusals of the server
    /// (`connect_error`), credentials and rooms that were not there for a new connection.
    pub fn on_error(&self, callback: impl Fn(ClientError) + Send + Sync + 'static) {
        self.socket.hooks.error.add(Arc::new(callback));
    }

    /// Called each time the server accepted a token (event `authenticated`).
    pub fn on_authenticated(&self, callback: impl Fn() + Send + Sync + 'static) {
        self.socket.hooks.authenticated.add(Arc::new(move |()| callback()));
    }

    /// Called each time the server did not accept a token (event `unauthenticated`).
    pub fn on_unauthenticated(&self, callback: impl Fn(Unauthenticated) + Send + Sync + 'static) {
        self.socket.hooks.unauthenticated.add(Arc::new(callback));
    }
}

fn names<R: Into<String>>(rooms: impl IntoIterator<Item = R>) -> Vec<String> {
    rooms.into_iter().map(Into::into).collect()
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("namespace", &self.socket.namespace)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
