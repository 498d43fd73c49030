//! The task of one client: makes its connection, keeps it, makes it again.
//!
//! It alone decides which sockets shall be connected (`active`). Without any, there is no connection.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::{
    ClientError, State,
    backoff::Delays,
    command::{Command, Registry, Stop},
    options::Options,
    session::{End, Session},
    socket::Socket,
    transport::{self, Opened},
};

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

/// Runs the task of a client. If it panics, its sockets are closed, as by `shutdown`: nobody is to wait for it.
pub(super) async fn watched(task: impl Future<Output = ()>, registry: Registry) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        tracing::error!("the task of the client panicked: its sockets are closed");
        close_all(&registry);
    }
}

fn close_all(registry: &Registry) {
    let sockets: Vec<_> = registry.lock().drain().map(|(_, socket)| socket).collect();
    sockets.iter().for_each(|socket| socket.close());
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
        close_all(&self.registry);
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
                    socket.restore.forget();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::*;
    use crate::client::Auth;

    #[tokio::test]
    async fn a_panic_of_the_task_closes_its_sockets() {
        let socket = Arc::new(Socket::new("/".into(), Auth::None, Duration::ZERO));
        let registry: Registry =
            Arc::new(Mutex::new(HashMap::from([("/".into(), socket.clone())])));
        watched(async { panic!("as a bug would") }, registry.clone()).await;
        assert_eq!(*socket.state.borrow(), State::Closed);
        assert!(registry.lock().is_empty());
    }
}
