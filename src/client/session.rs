//! One connection, from the server's greeting to its end.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Auth, ClientError, Reason, State, TransportError,
    backoff::Delays,
    command::{Command, Stop},
    engine::{Frame, Packet},
    options::Options,
    outbox::{Bounds, Next, Outbox},
    packets::{Decoder, Encoded, Incoming, Kind},
    rooms,
    socket::Socket,
    transport::{self, Opened, Sink, Source, Transport},
};

/// How a connection ended.
pub(super) enum End {
    /// It shall be made again.
    Lost(TransportError),
    /// No socket needs it.
    Idle,
    Stop(Stop),
}

impl From<TransportError> for End {
    fn from(error: TransportError) -> Self {
        Self::Lost(error)
    }
}

/// What the tasks of a connection bring.
enum Done {
    Written(Result<(), TransportError>),
    /// The server may be reached by WebSocket, or not.
    Probed(Result<(Source, Sink), TransportError>),
    Credentials(Arc<Socket>, Result<String, ClientError>),
    Restored,
}

pub(super) struct Session {
    options: Arc<Options>,
    source: Source,
    outbox: Arc<Outbox>,
    decoder: Decoder,
    /// They end with the connection.
    tasks: JoinSet<Done>,
    /// How long the server may be silent.
    heartbeat_timeout: Duration,
    /// Namespaces that the server has to answer for, and until when.
    entering: HashMap<String, Instant>,
    /// Namespaces that were left before the server answered. It is told once it has: Node closes
    /// the connection of a client that leaves where it is not.
    left: HashSet<String>,
    /// The WebSocket that takes over once the last poll is answered.
    upgrade: Option<(Source, Sink, oneshot::Sender<Sink>)>,
}

impl Session {
    pub fn begin(options: Arc<Options>, opened: Opened) -> Self {
        let Opened { handshake, source, sink, transport } = opened;
        tracing::debug!(?transport, "connected");
        let bounds = Bounds {
            packets: options.queue.0,
            bytes: options.queue.1,
            payload: handshake.max_payload,
        };
        let outbox = Outbox::new(bounds, transport == Transport::Polling);
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let outbox = outbox.clone();
            async move { Done::Written(write(sink, outbox).await) }
        });
        let may = options.transports.contains(&Transport::WebSocket)
            && handshake.upgrades.iter().any(|name| name == "websocket");
        if transport == Transport::Polling && may {
            let probing = transport::probe(options.address.clone(), handshake.sid.clone());
            tasks.spawn(async move { Done::Probed(probing.await) });
        }
        Self {
            source,
            outbox,
            decoder: Decoder::new(options.address.max_message, options.max_attachments),
            tasks,
            heartbeat_timeout: handshake.heartbeat_timeout(),
            entering: HashMap::new(),
            left: HashSet::new(),
            upgrade: None,
            options,
        }
    }

    /// Asks the server to let a socket in.
    pub fn enter(&mut self, socket: &Arc<Socket>) {
        match &socket.auth {
            Auth::None => self.ask_in(socket, None),
            Auth::Fixed(auth) => self.ask_in(socket, Some(auth.to_string())),
            Auth::Provider(_) => {
                let (options, socket) = (self.options.clone(), socket.clone());
                self.tasks.spawn(async move {
                    let credentials = credentials(&options, &socket).await;
                    Done::Credentials(socket, credentials)
                });
            }
        }
    }

    fn ask_in(&mut self, socket: &Socket, auth: Option<String>) {
        self.outbox.push_control(Encoded::connect(&socket.namespace, auth));
        let until = Instant::now() + self.options.address.timeout;
        self.entering.insert(socket.namespace.clone(), until);
    }

    pub async fn run(
        &mut self,
        active: &mut HashMap<String, Arc<Socket>>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> End {
        let mut alive = Instant::now() + self.heartbeat_timeout;
        loop {
            let late = self.entering.values().min().copied();
            let end = tokio::select! {
                packet = self.source.next() => {
                    // Whatever comes shows that the server lives.
                    alive = Instant::now() + self.heartbeat_timeout;
                    match packet {
                        Ok(Some(packet)) => self.packet(packet, active),
                        Ok(None) => { self.switch(); Ok(()) }
                        Err(error) => Err(error.into()),
                    }
                }
                command = commands.recv() => self.command(command, active),
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.done(done, active),
                    Err(error) => Err(TransportError::Unreachable(error.to_string()).into()),
                },
                () = sleep_until(alive) => Err(TransportError::PingTimeout.into()),
                () = sleep_until(late.unwrap_or(alive)), if late.is_some() => {
                    self.expire(active);
                    Ok(())
                }
            };
            match end {
                Err(End::Lost(error)) => {
                    self.outbox.abandon();
                    return End::Lost(error);
                }
                Err(end) => return self.close(end, active).await,
                Ok(()) if active.is_empty() => return self.close(End::Idle, active).await,
                Ok(()) => {}
            }
        }
    }

    fn packet(&mut self, packet: Packet, active: &mut Active) -> Result<(), End> {
        let incoming = match packet {
            Packet::Text(text) => self.decoder.text(text)?,
            Packet::Binary(bytes) => self.decoder.binary(bytes)?,
            Packet::Ping => {
                self.outbox.pong();
                None
            }
            Packet::Close => return Err(TransportError::Closed.into()),
            Packet::Open(_) | Packet::Pong | Packet::Noop => None,
        };
        match incoming {
            Some(incoming) => self.incoming(incoming, active),
            None => Ok(()),
        }
    }

    fn incoming(&mut self, incoming: Incoming, active: &mut Active) -> Result<(), End> {
        let Incoming { namespace, kind } = incoming;
        let Some(socket) = active.get(&namespace).cloned() else {
            tracing::debug!(namespace, "a packet for a namespace that was left");
            match kind {
                Kind::Connected(_) if self.left.remove(&namespace) => {
                    self.outbox.push_control(Encoded::disconnect(&namespace));
                }
                _ => {}
            }
            return Ok(());
        };
        match kind {
            Kind::Event(arguments, id) => socket.event(arguments, id)?,
            Kind::Ack(arguments, id) => socket.ack(arguments, id),
            Kind::Connected(id) => {
                let old =
                    || TransportError::Protocol("the server is older than Socket.IO 3".into());
                if self.entering.remove(&namespace).is_some() {
                    socket.connected(id.ok_or_else(old)?, self.outbox.clone());
                    self.tasks.spawn(async move {
                        rooms::restore(&socket).await;
                        Done::Restored
                    });
                }
            }
            Kind::Disconnected => {
                active.remove(&namespace);
                socket.disconnected(Reason::ServerDisconnect, State::Disconnected);
            }
            Kind::Refused(error) => {
                self.entering.remove(&namespace);
                let (message, data) = (error.message, error.data);
                refuse(&socket, active, &ClientError::Refused { message, data });
            }
        }
        Ok(())
    }

    fn command(&mut self, command: Option<Command>, active: &mut Active) -> Result<(), End> {
        match command {
            None => return Err(End::Stop(None)),
            Some(Command::Shutdown(done)) => return Err(End::Stop(Some(done))),
            Some(Command::Connect(socket)) => {
                if active.insert(socket.namespace.clone(), socket.clone()).is_none() {
                    self.enter(&socket);
                }
            }
            Some(Command::Disconnect(socket, done)) => {
                if active.remove(&socket.namespace).is_some() {
                    if self.entering.remove(&socket.namespace).is_some() {
                        self.left.insert(socket.namespace.clone());
                    } else if socket.id().is_some() {
                        self.outbox.push_control(Encoded::disconnect(&socket.namespace));
                    }
                }
                socket.restore.forget();
                socket.disconnected(Reason::ClientDisconnect, State::Disconnected);
                socket.refused(&ClientError::Cancelled, State::Disconnected);
                let _ = done.send(());
            }
        }
        Ok(())
    }

    fn done(&mut self, done: Done, active: &mut Active) -> Result<(), End> {
        match done {
            Done::Restored => {}
            Done::Written(Ok(())) => return Err(TransportError::Closed.into()),
            Done::Written(Err(error)) => return Err(error.into()),
            Done::Probed(Err(error)) => tracing::debug!(%error, "stays with polling"),
            Done::Probed(Ok((source, sink))) => {
                // The poll that the server holds is answered first, else what it carries is lost;
                // nothing is posted meanwhile.
                let (switch, switched) = oneshot::channel();
                self.outbox.upgrade(switched);
                self.source.pause();
                self.upgrade = Some((source, sink, switch));
            }
            Done::Credentials(socket, credentials) => {
                // It may have left meanwhile, or left and come back by another task.
                let entered = self.entering.contains_key(&socket.namespace);
                let waits = !entered && socket.id().is_none();
                if waits && active.contains_key(&socket.namespace) {
                    match credentials {
                        Ok(auth) => self.ask_in(&socket, Some(auth)),
                        Err(error) => refuse(&socket, active, &error),
                    }
                }
            }
        }
        Ok(())
    }

    fn switch(&mut self) {
        if let Some((source, sink, switch)) = self.upgrade.take() {
            tracing::debug!("upgraded to WebSocket");
            self.source = source;
            let _ = switch.send(sink);
        }
    }

    /// Namespaces that the server did not answer for.
    fn expire(&mut self, active: &mut Active) {
        let now = Instant::now();
        let late = self.entering.extract_if(|_, until| *until <= now);
        for (namespace, _) in late.collect::<Vec<_>>() {
            if let Some(socket) = active.get(&namespace).cloned() {
                self.left.insert(namespace);
                refuse(
                    &socket,
                    active,
                    &ClientError::NamespaceTimeout(self.options.address.timeout),
                );
            }
        }
    }

    /// Ends the connection in order: what waits is sent first, then the goodbye.
    async fn close(&mut self, end: End, active: &mut Active) -> End {
        for socket in active.values().filter(|socket| socket.id().is_some()) {
            self.outbox.push_control(Encoded::disconnect(&socket.namespace));
        }
        self.outbox.close();
        // A poll that is open would keep the server from answering the last POST.
        self.switch();
        let written = async {
            while let Some(done) = self.tasks.join_next().await {
                if matches!(done, Ok(Done::Written(_))) {
                    break;
                }
            }
        };
        if timeout(self.options.close_timeout, written).await.is_err() {
            tracing::debug!("the server did not take what was left in time");
        }
        self.outbox.abandon();
        end
    }
}

type Active = HashMap<String, Arc<Socket>>;

fn refuse(socket: &Arc<Socket>, active: &mut Active, error: &ClientError) {
    active.remove(&socket.namespace);
    socket.refused(error, State::Disconnected);
    socket.hooks.error.call(error);
}

/// Writes what the outbox has until it is closed, or the connection breaks.
async fn write(mut sink: Sink, outbox: Arc<Outbox>) -> Result<(), TransportError> {
    loop {
        match outbox.next(sink.batch()).await {
            Next::Send(frames) => sink.send(frames).await?,
            Next::Close => return sink.close().await,
            Next::Upgrade(ready) => {
                if let Ok(upgraded) = ready.await {
                    sink = upgraded;
                    sink.send(vec![Frame::Upgrade]).await?;
                }
            }
        }
    }
}

/// What the application gives as credentials. A failure is tried again after the same delays as a
/// lost connection.
async fn credentials(options: &Options, socket: &Socket) -> Result<String, ClientError> {
    let mut delays = Delays::new(options.reconnect.clone());
    loop {
        let Auth::Provider(provider) = &socket.auth else { return Ok("{}".to_owned()) };
        let error = match timeout(options.address.timeout, provider()).await {
            Ok(Ok(auth)) => return Ok(auth.to_string()),
            Ok(Err(error)) => ClientError::Auth(error.to_string()),
            Err(_) => ClientError::Auth("it took longer than `connect_timeout`".into()),
        };
        match delays.next() {
            Some(delay) => {
                socket.hooks.error.call(&error);
                tokio::time::sleep(delay).await;
            }
            None => return Err(error),
        }
    }
}
