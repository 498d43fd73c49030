//! What carries an emit to the sockets it is for, on this pod and on all others of its cluster.
//!
//! Everything that reaches a room goes through a [`NamespaceHandle`], whoever asked for it: a member that
//! relays, the HTTP API, a Rust handler. The sockets of this pod are served at once (`members`); for the
//! others the same goes over Redis (`cluster`), in the protocols of the Node packages (`wire`).

mod acks;
mod child_names;
mod cluster;
mod cluster_handle;
mod delivery;
mod elsewhere;
mod emit;
mod examine;
pub(crate) mod fuzz;
mod joined;
mod local;
mod local_namespace;
pub mod measured;
mod members;
mod namespace_handle;
mod namespaces;
mod payload;
mod publishing;
mod redis;
mod room_events;
mod shared;
mod slow;
mod spread;
mod stages;
mod traced;
mod transcode;
mod watch;
mod wire;

use std::sync::Arc;

use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide_core::{Sid, Value};
use tokio::task::JoinSet;

use crate::config;
use cluster::Cluster;
use namespaces::Namespaces;
use shared::Shared;
use watch::Measuring;
use wire::Format;

pub use child_names::ChildNames;
pub use cluster::{
    Answered, ClientAnswers, ClusterError, Pod, PodRecord, Pods, ServerAnswer, ServerSide,
};
pub use cluster_handle::ClusterHandle;
pub(crate) use delivery::{count_dropped, count_one};
pub use emit::{Emit, Source, Target};
pub(crate) use examine::examine;
pub use joined::Joined;
pub use local::Adapter;
pub use local_namespace::{LocalNamespace, SocketHandle};
pub use members::MemberSocket;
pub use namespace_handle::NamespaceHandle;
pub use payload::{EncodeError, SendError, encode_ack};
pub use publishing::Publishing;
pub(crate) use redis::{Entry, Notes, Pending, PublishStream, RedisError};
pub use redis::{Link, PublishError, SetupError};
pub use room_events::{RoomChange, RoomEvent};
pub use slow::Slow;
pub use spread::Spread;
pub(crate) use transcode::{
    Bounds, Reader as MsgpackReader, Token as MsgpackToken, TranscodeError, Unportable,
    check as check_portable,
};
pub use watch::Watch;
pub use wire::{ClientAnswer, RemoteSocket, all_of, is_reserved};

/// The Socket.IO server that a pod runs.
pub type Io = SocketIo<Adapter>;

/// The rooms of all namespaces, and the way to them. Clones are the same backplane.
#[derive(Clone)]
pub struct Backplane {
    namespaces: Arc<Namespaces>,
    /// The other pods; none for a pod on its own.
    cluster: Option<Arc<Cluster>>,
}

/// The namespace of an emit does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("namespace {0:?} does not exist; the configuration lists those that do")]
pub struct UnknownNamespace(pub String);

/// Something could not be done in the whole cluster.
#[derive(Debug, thiserror::Error)]
pub enum BackplaneError {
    /// Its namespace does not exist.
    #[error(transparent)]
    UnknownNamespace(#[from] UnknownNamespace),
    /// It did not reach the other pods.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl Backplane {
    /// A backplane for a pod of this id, alone or in a cluster as its settings say.
    pub fn new(
        settings: &config::Backplane,
        pod: &str,
        parser: config::Parser,
        limits: &config::Limits,
        telemetry: &config::Telemetry,
    ) -> Result<Self, SetupError> {
        let slow = Slow::new(limits.send_queue_bytes);
        let (measuring, format) = (Measuring::new(telemetry.slow_emit), Format::from(parser));
        let shared = Shared::new(slow, measuring, format, limits.into());
        let namespaces = Arc::new(Namespaces::new(shared, limits.child_namespaces));
        let cluster = Cluster::new(settings, pod.to_owned(), format, namespaces.clone())?;
        Ok(Self { namespaces, cluster: cluster.map(Arc::new) })
    }

    /// Joins the cluster, for as long as the answer lives. `pod` is asked what this pod is like.
    pub fn start(&self, pod: Arc<dyn Pod>) -> JoinSet<()> {
        self.cluster.as_ref().map_or_else(JoinSet::new, |cluster| cluster.start(pod))
    }

    /// The cluster that this pod is in.
    pub fn cluster(&self) -> ClusterHandle<'_> {
        ClusterHandle(self.cluster.as_ref())
    }

    /// A namespace, on all servers. It is looked up here, once for all that is done with it.
    ///
    /// # Errors
    /// If it does not exist, and is no child that other pods may have.
    pub fn namespace<'a>(&'a self, name: &'a str) -> Result<NamespaceHandle<'a>, UnknownNamespace> {
        Ok(NamespaceHandle { backplane: self, name, members: self.namespaces.find(name)? })
    }

    /// The part of a namespace that this pod has.
    pub fn local(&self, name: &str) -> Option<LocalNamespace> {
        self.namespaces.get(name).ok().map(LocalNamespace)
    }

    /// The children of dynamic namespaces.
    pub fn children(&self) -> ChildNames<'_> {
        ChildNames(&self.namespaces)
    }

    /// The same for the sockets of this pod alone, whatever others there are: Node's `local`.
    pub fn of_this_pod(&self) -> Self {
        Self { cluster: None, ..self.clone() }
    }

    /// The sockets that are behind with what they are sent; the edge knows which.
    pub fn slow(&self) -> Arc<Slow> {
        self.namespaces.shared.slow.clone()
    }

    /// What pods note for each other; `None` for a pod on its own.
    pub(crate) fn notes(&self) -> Option<Notes> {
        self.cluster.as_ref().map(|cluster| cluster.redis.notes())
    }

    /// Tells each socket of a session something, in all namespaces.
    pub fn tell_sockets(&self, session: Sid, tell: impl Fn(&dyn MemberSocket)) {
        for members in self.namespaces.all() {
            if let Some(member) = members.lookup().member(session) {
                tell(&*member);
            }
        }
    }

    /// Whether a room name is the id of a socket that is connected to this pod, in any namespace.
    pub fn is_socket(&self, room: &str) -> bool {
        room.parse::<Sid>().is_ok_and(|id| self.namespaces.has_socket(id))
    }

    /// Writes an event whose arguments are the text of an array, which is copied as it is.
    ///
    /// # Errors
    /// If it is no array, or cannot be written, or not be read by all that it may be for.
    pub fn encode_raw(
        &self,
        event: &str,
        arguments: Option<&RawValue>,
    ) -> Result<Value, EncodeError> {
        let shared = &self.namespaces.shared;
        payload::encode_raw(shared.format, shared.bounds, event, arguments)
    }
}

/// Whether a room name could be the id of a socket on another server: ids are 16 characters of
/// base64url here, 20 on Node.
pub(crate) fn could_be_socket_id(room: &str) -> bool {
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    matches!(room.len(), 16 | 20) && room.bytes().all(base64url)
}
