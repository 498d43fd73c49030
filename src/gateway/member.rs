//! What the gateway knows of a socket.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use metrics::{Counter, gauge};
use parking_lot::{Mutex, Once};
use serde_json::{Value, json};
use socketioxide::{SendError, socket::Socket as IoSocket};
use socketioxide_core::Sid;

use super::{
    Claims, Namespace, Socket, Tokens,
    deadlines::{Deadline, Deadlines},
    limits::Pace,
    socket::unsent,
};
use crate::{
    backplane::{Adapter, Backplane, Occupant},
    config::{Limits, Secret},
    edge::{InNamespace, Sessions},
    telemetry::metrics::SOCKETS,
};

/// What is shared by the sockets of one namespace.
pub(super) struct Runtime {
    pub namespace: Namespace,
    pub backplane: Backplane,
    pub limits: Limits,
    /// Where the connections of sockets are.
    pub sessions: Arc<Sessions>,
    /// Events that were handled, looked up once: it is on the way of every message.
    pub handled: Counter,
    pub tokens: Option<Tokens>,
    /// When sockets must have authenticated, or again.
    pub deadlines: Deadlines,
}

/// What the gateway knows of a socket. It lives in the socket's extensions, and dies with it.
pub(super) struct Member {
    pub runtime: Arc<Runtime>,
    pub connection: InNamespace,
    pub id: Sid,
    /// The socket that this belongs to.
    socket: Weak<IoSocket<Adapter>>,
    /// Itself.
    this: Weak<Member>,
    /// What only some sockets have.
    state: Mutex<Option<Box<State>>>,
    /// How fast it may send, if that is limited.
    pub pace: Option<Box<Pace>>,
    /// Events that wait for their answers.
    pending: AtomicU32,
    /// Whether it has been announced to the program.
    announced: Once,
}

/// What only some sockets have. It is a box in the member: most sockets are idle, and many have none of it.
#[derive(Default)]
struct State {
    identity: Option<Arc<Identity>>,
    /// When it must have authenticated, or again.
    deadline: Option<Deadline>,
    /// What handlers noted of it.
    noted: Value,
    /// The id that its client had before, by its own word.
    previous: Option<String>,
}

/// Who a client showed to be.
pub(super) struct Identity {
    pub claims: Claims,
    /// Its token, where that is checked again.
    pub token: Option<Secret>,
    /// When it is no longer who it was.
    pub until: Option<Instant>,
}

impl std::ops::Deref for Member {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        &self.runtime
    }
}

impl Member {
    /// A socket that is about to be let in.
    pub fn new(
        runtime: &Arc<Runtime>,
        socket: &Arc<IoSocket<Adapter>>,
        connection: InNamespace,
    ) -> Arc<Self> {
        gauge!(SOCKETS.name, "namespace" => runtime.namespace.path.clone()).increment(1);
        Arc::new_cyclic(|this| Self {
            runtime: runtime.clone(),
            connection,
            id: socket.id,
            socket: Arc::downgrade(socket),
            this: this.clone(),
            state: Mutex::new(None),
            pace: Pace::new(&runtime.limits).map(Box::new),
            pending: AtomicU32::new(0),
            announced: Once::new(),
        })
    }

    /// Itself, as the backplane knows it.
    pub fn occupant(&self) -> Weak<dyn Occupant> {
        self.this.clone()
    }

    /// The socket, as handlers see it; nothing once it has gone.
    pub fn socket(&self) -> Option<Socket> {
        Some(Socket { socket: self.socket.upgrade()?, member: self.this.upgrade()? })
    }

    /// The backplane need not know it any longer.
    pub fn depart(&self) {
        self.deadlines.forget(self);
        self.backplane.depart(&self.namespace.path, self.id, &self.occupant());
    }

    /// Looks at its state; what it lacks is as it would be at first.
    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Option<T> {
        self.state.lock().as_deref().map(read)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(self.state.lock().get_or_insert_default())
    }

    /// Who it showed to be.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.read(|state| state.identity.clone()).flatten()
    }

    /// It showed to be this, or is nobody any longer.
    pub fn identify(&self, identity: Option<Arc<Identity>>) {
        if identity.is_some() || self.identity().is_some() {
            self.change(|state| state.identity = identity);
        }
    }

    /// Notes its deadline, and gives the one before.
    pub fn exchange_deadline(&self, deadline: Option<Deadline>) -> Option<Deadline> {
        let before = self.read(|state| state.deadline).flatten();
        if deadline != before {
            self.change(|state| state.deadline = deadline);
        }
        before
    }

    /// Notes the id that its client had before.
    pub fn came_from(&self, previous: String) {
        self.change(|state| state.previous = Some(previous));
    }

    /// Announces it to the program, once, before its first event is handled.
    pub fn announce(&self, socket: &Socket) {
        self.announced.call_once(|| {
            let namespace = &self.namespace;
            let previous = self.read(|state| state.previous.clone()).flatten();
            match (&namespace.on_reconnect, previous, &namespace.on_connect) {
                (Some(again), Some(previous), _) => again(socket, &previous),
                (_, _, Some(first)) => first(socket),
                _ => {}
            }
        });
    }

    /// An event begins to wait for its answer, until this is dropped; nothing if too many do.
    pub fn begin_pending(self: &Arc<Self>) -> Option<Pending> {
        let most = self.limits.acks_pending;
        let begun = self.pending.fetch_update(Ordering::AcqRel, Ordering::Acquire, |pending| {
            (pending < most).then_some(pending + 1)
        });
        begun.ok().map(|_| Pending(self.clone()))
    }

    /// What handlers noted of it.
    pub fn noted(&self) -> Value {
        self.read(|state| state.noted.clone()).unwrap_or_default()
    }

    /// Notes something.
    pub fn note(&self, data: Value) {
        self.change(|state| state.noted = data);
    }

    /// Sends it an event of the gateway's own.
    pub fn tell(&self, event: &str, argument: &Value) {
        let Some(socket) = self.socket.upgrade() else { return };
        let sent: Result<(), SendError> = socket.emit(event, argument);
        if let Err(error) = sent {
            unsent(self, &error);
        }
    }
}

/// An event waits for its answer.
pub(super) struct Pending(Arc<Member>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Occupant for Member {
    fn handshake(&self) -> Value {
        let socket = self.socket.upgrade();
        let uri = socket.as_ref().map(|socket| &socket.req_parts().uri);
        self.connection.handshake(uri)
    }

    fn data(&self) -> Value {
        let mut data = match self.noted() {
            Value::Object(noted) => noted,
            Value::Null => serde_json::Map::new(),
            other => [("data".to_owned(), other)].into_iter().collect(),
        };
        if let Some(identity) = self.identity() {
            data.insert("claims".into(), json!(identity.claims));
        }
        Value::Object(data)
    }

    fn close_connection(&self) {
        self.connection.close();
    }

    fn overflowed(&self) {
        self.connection.overflowed();
    }

    fn heartbeat(&self, time: u64) {
        if self.identity().is_some() {
            self.tell("heartbeat", &json!({ "time": time }));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Also for a socket whose connection ended before it was let in.
        self.depart();
        gauge!(SOCKETS.name, "namespace" => self.namespace.path.clone()).decrement(1);
    }
}
