//! The task of one client: makes its connection, keeps it, makes it again.
//!
//! It alone decides which sockets shall be connected (`active`). Without any, there is no connection.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{
    ClientError, State,
    backoff::Delays,
    builder::Options,
    session::{End, Session},
    socket::Socket,
    transport::{self, Opened},
};

/// What handles of the client ask for.
pub(super) enum Command {
    /// The socket shall be connected. It has whom to tell.
    Connect(Arc<Socket>),
    Disconnect(Arc<Socket>, oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// All sockets there are, by namespace.
pub(super) type Registry = Arc<Mutex<HashMap<String, Arc<Socket>>>>;

/// `shutdown` was called by one who waits, or the last handle is gone.
pub(super) type Stop = Option<oneshot::Sender<()>>;

pub(super) struct Manager {
    options: Arc<Options>,
    commands: mpsc::Receiver<Command>,
    registry: Registry,
    active: HashMap<String, Arc<Socket>>,
    delays: Delays,
}

/// How some work ended that was done while commands were listened to.
enum Meanwhile<T> {
    Done(T),
    /// No socket shall be connected any more.
    Idle,
    Stop(Stop),
}

impl Manager {
    pub fn new(
        options: Arc<Options>,
        commands: mpsc::Receiver<Command>,
        registry: Registry,
    ) -> Self {
        let delays = Delays::new(options.reconnect.clone());
        Self { options, commands, registry, active: HashMap::new(), delays }
    }

    pub async fn run(mut self) {
        let stop = loop {
            if self.active.is_empty() {
                self.delays.reset();
                match self.meanwhile(std::future::pending::<()>()).await {
                    Meanwhile::Stop(stop) => break stop,
                    Meanwhile::Done(()) | Meanwhile::Idle => continue,
                }
            }
            let Options { address, transports, .. } = &*self.options;
            let opening = transport::open(address.clone(), transports.clone());
            let lost = match self.meanwhile(opening).await {
                Meanwhile::Idle => continue,
                Meanwhile::Stop(stop) => break stop,
                Meanwhile::Done(Err(error)) => {
                    tracing::debug!(%error, "no connection");
                    let error = ClientError::Transport(error);
                    self.active.values().for_each(|socket| socket.hooks.error.call(&error));
                    error
                }
                Meanwhile::Done(Ok(opened)) => {
                    self.delays.reset();
                    match self.serve(opened).await {
                        End::Idle => continue,
                        End::Stop(stop) => break stop,
                        End::Lost(error) => ClientError::Transport(error),
                    }
                }
            };
            let Some(delay) = self.delays.next() else {
                self.give_up(lost);
                continue;
            };
            tracing::debug!(?delay, "tries again");
            match self.meanwhile(tokio::time::sleep(delay)).await {
                Meanwhile::Stop(stop) => break stop,
                Meanwhile::Done(()) | Meanwhile::Idle => {}
            }
        };
        let sockets: Vec<_> = self.registry.lock().drain().map(|(_, socket)| socket).collect();
        sockets.iter().for_each(|socket| socket.close());
        // Nobody is left hanging who asked meanwhile.
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::Connect(socket) => socket.refused(&ClientError::Closed, State::Closed),
                Command::Disconnect(_, done) | Command::Shutdown(done) => drop(done.send(())),
            }
        }
        if let Some(done) = stop {
            let _ = done.send(());
        }
    }

    async fn serve(&mut self, opened: Opened) -> End {
        let mut session = Session::begin(self.options.clone(), opened);
        for socket in self.active.values() {
            session.enter(socket);
        }
        let end = session.run(&mut self.active, &mut self.commands).await;
        match &end {
            End::Lost(error) => {
                tracing::debug!(%error, "the connection is lost");
                for socket in self.active.values() {
                    socket.disconnected(error.into(), State::Reconnecting);
                }
            }
            End::Idle | End::Stop(_) => {}
        }
        end
    }

    /// Works, and does meanwhile what handles ask for.
    async fn meanwhile<F: Future>(&mut self, work: F) -> Meanwhile<F::Output> {
        let was_idle = self.active.is_empty();
        tokio::pin!(work);
        loop {
            let command = tokio::select! {
                result = &mut work => return Meanwhile::Done(result),
                command = self.commands.recv() => command,
            };
            match command {
                None => return Meanwhile::Stop(None),
                Some(Command::Shutdown(done)) => return Meanwhile::Stop(Some(done)),
                Some(Command::Connect(socket)) => {
                    self.active.insert(socket.namespace.clone(), socket);
                }
                Some(Command::Disconnect(socket, done)) => {
                    self.active.remove(&socket.namespace);
                    socket.forget();
                    socket.refused(&ClientError::Cancelled, State::Disconnected);
                    let _ = done.send(());
                }
            }
            if self.active.is_empty() != was_idle {
                return Meanwhile::Idle;
            }
        }
    }

    fn give_up(&mut self, last: ClientError) {
        let error = match (last, self.delays.made()) {
            (ClientError::Transport(last), attempts @ 1..) => {
                ClientError::GaveUp { attempts, last }
            }
            (last, _) => last,
        };
        for (_, socket) in self.active.drain() {
            socket.refused(&error, State::Disconnected);
            if matches!(error, ClientError::GaveUp { .. }) {
                socket.hooks.error.call(&error);
            }
        }
    }
}
