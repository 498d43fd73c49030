//! What carries an emit to the sockets it is for.
//!
//! Everything that reaches a room goes through [`Backplane::emit`], whoever asked for it: a member
//! that relays, the HTTP API, a Rust handler. In this version that is the sockets of this pod; a
//! backplane with other pods behind it takes the same calls.

mod local;
mod payload;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use socketioxide::{SocketIo, adapter::Emitter};
use socketioxide_core::{
    Sid, Value,
    adapter::{BroadcastFlags, BroadcastOptions, CoreLocalAdapter, Room, errors::SocketError},
    packet::Packet,
};

use crate::telemetry::metrics::{EMIT_DURATION, EMITS, PACKETS_DROPPED};

pub use local::Adapter;
pub use payload::EncodeError;

/// The Socket.IO server that a pod runs.
pub type Io = SocketIo<Adapter>;

/// The sockets of one namespace on this pod.
type Local = Arc<CoreLocalAdapter<Emitter>>;

/// The rooms of all namespaces, and the way to them. Clones are the same backplane.
#[derive(Clone, Default)]
pub struct Backplane(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// By the path of the namespace. Filled while the pod is built, then only read.
    namespaces: RwLock<HashMap<String, Local>>,
}

/// Who asked for an emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client whose event is relayed.
    Client,
    /// The HTTP API.
    Api,
    /// A handler of a Rust program.
    Handler,
}

/// An event, and the sockets it is for.
#[derive(Debug, Clone)]
pub struct Emit {
    /// The event: its name and arguments, as the parser of the pod writes them.
    pub payload: Value,
    /// Rooms (or socket ids) that it is for. Empty: every socket of the namespace.
    pub rooms: Vec<String>,
    /// Rooms (or socket ids) whose members do not get it.
    pub except: Vec<String>,
    /// The socket that it comes from, which does not get it.
    pub from: Option<Sid>,
    /// May be dropped for a client that is not ready for it.
    pub volatile: bool,
    /// Who asked for it.
    pub source: Source,
}

/// The namespace of an emit does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("namespace {0:?} does not exist; the configuration lists those that do")]
pub struct UnknownNamespace(pub String);

impl Backplane {
    /// Puts an emit in the queue of each socket that it is for.
    ///
    /// What cannot be queued is counted and logged: a client that does not read, or has left.
    pub fn emit(&self, namespace: &str, emit: Emit) -> Result<(), UnknownNamespace> {
        let begun = Instant::now();
        let local = self.namespace(namespace)?;
        let mut options = BroadcastOptions::default();
        options.add_flag(BroadcastFlags::Broadcast);
        if emit.volatile {
            options.add_flag(BroadcastFlags::Volatile);
        }
        options.sid = emit.from;
        options.rooms.extend(emit.rooms.into_iter().map(Room::Owned));
        options.except.extend(emit.except.into_iter().map(Room::Owned));

        let packet = Packet::event(local.path().clone(), emit.payload);
        if let Err(errors) = local.broadcast(packet, options) {
            report_dropped(namespace, &errors);
        }
        let (emits, duration) = handles(emit.source);
        emits.increment(1);
        duration.record(begun.elapsed());
        Ok(())
    }

    /// Puts a socket of this pod in rooms.
    pub fn join(&self, namespace: &str, socket: Sid, rooms: Vec<String>) {
        if let Ok(local) = self.namespace(namespace) {
            local.add_all(socket, rooms);
        }
    }

    /// Takes a socket of this pod out of rooms.
    pub fn leave(&self, namespace: &str, socket: Sid, rooms: Vec<String>) {
        if let Ok(local) = self.namespace(namespace) {
            local.del(socket, rooms);
        }
    }

    /// The rooms that a socket of this pod is in, that of its own id among them.
    pub fn rooms_of(&self, namespace: &str, socket: Sid) -> Vec<String> {
        self.namespace(namespace).map_or_else(
            |_| Vec::new(),
            |local| local.socket_rooms(socket).into_iter().map(Room::into_owned).collect(),
        )
    }

    /// Whether a socket of this pod is in a room.
    pub fn is_member(&self, namespace: &str, socket: Sid, room: &str) -> bool {
        self.namespace(namespace).is_ok_and(|local| local.socket_rooms(socket).contains(room))
    }

    /// Whether a room name is the id of a socket that is connected to this pod, in any namespace: a
    /// client has the same id in all that it connects to.
    pub fn is_socket(&self, room: &str) -> bool {
        let namespaces = self.0.namespaces.read();
        room.parse::<Sid>()
            .is_ok_and(|id| namespaces.values().any(|local| !local.socket_rooms(id).is_empty()))
    }

    /// Writes an event as the parser of the pod does. A tuple is several arguments.
    ///
    /// # Errors
    /// If the namespace does not exist, or its arguments cannot be written.
    pub fn encode<T: Serialize + ?Sized>(
        &self,
        namespace: &str,
        event: &str,
        arguments: &T,
    ) -> Result<Value, EncodeError> {
        let local = self.namespace(namespace)?;
        payload::encode(&local, event, arguments)
    }

    fn namespace(&self, path: &str) -> Result<Local, UnknownNamespace> {
        let namespaces = self.0.namespaces.read();
        namespaces.get(path).cloned().ok_or_else(|| UnknownNamespace(path.to_owned()))
    }

    fn register(&self, local: Local) {
        let path = local.path().to_string();
        self.0.namespaces.write().insert(path, local);
    }
}

/// The metrics of an emit, looked up once: this is on the way of every message.
fn handles(source: Source) -> &'static (Counter, Histogram) {
    use std::sync::LazyLock;

    fn register(source: &'static str) -> (Counter, Histogram) {
        (
            counter!(EMITS.name, "source" => source),
            histogram!(EMIT_DURATION.name, "source" => source),
        )
    }
    static CLIENT: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("client"));
    static API: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("api"));
    static HANDLER: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("handler"));
    match source {
        Source::Client => &CLIENT,
        Source::Api => &API,
        Source::Handler => &HANDLER,
    }
}

/// Gap: a broadcast says how many sockets it could not reach, not which (no upstream issue was found).
/// So they are counted here, and end by `limits.write_timeout`.
fn report_dropped(namespace: &str, errors: &[SocketError]) {
    errors.iter().for_each(count_dropped);
    let full =
        errors.iter().filter(|error| matches!(error, SocketError::InternalChannelFull)).count();
    if full > 0 && once_a_second() {
        tracing::warn!(
            namespace,
            clients = full,
            "packets dropped: clients do not read, limits.send_queue is full"
        );
    }
}

/// Counts a packet that a client will not get.
pub(crate) fn count_dropped(error: &SocketError) {
    let reason = match error {
        SocketError::InternalChannelFull => "queue full",
        SocketError::Closed => "closed",
    };
    counter!(PACKETS_DROPPED.name, "reason" => reason).increment(1);
}

/// Lets one line a second into the log: the metric has the rest.
fn once_a_second() -> bool {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock();
    let due = last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1));
    if due {
        *last = Some(Instant::now());
    }
    due
}
