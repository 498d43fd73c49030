//! What handlers can find out about a socket, and what is noted of it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use parking_lot::Mutex;
use serde_json::Value;
use socketioxide_core::{Sid, adapter::errors::SocketError};

use super::rate_limit::RateLimit;
use crate::{
    backplane::{Backplane, SendError, SocketHandle, count_dropped},
    config::{Limits, Secret},
    edge::InNamespace,
    gateway::tokens::Claims,
};

/// What the sockets of one namespace share.
pub(in crate::gateway) struct NamespaceContext {
    /// The name of the namespace.
    pub path: String,
    /// The label `nsp` of its metrics. Children of a dynamic namespace have the pattern of their parent.
    pub label: String,
    /// What stands in the name for the parts of the pattern, if the namespace is dynamic.
    pub parameters: BTreeMap<String, String>,
    /// Whether what clients send in `auth` is kept.
    pub keeps_auth: bool,
    pub limits: Limits,
    pub backplane: Backplane,
}

/// What is known of a socket. It lives as long as a handle to the socket does.
pub(in crate::gateway) struct SocketState {
    pub namespace: Arc<NamespaceContext>,
    pub connection: InNamespace,
    pub id: Sid,
    /// The socket in the backplane.
    pub handle: SocketHandle,
    /// A box, because most sockets are idle and many have no details.
    details: Mutex<Option<Box<Details>>>,
}

/// What only some sockets have.
#[derive(Default)]
struct Details {
    identity: Option<Arc<Identity>>,
    /// What handlers noted.
    data: Value,
    /// What the client sent in `auth`, if the namespace keeps it.
    auth: Value,
    /// The rooms that hooks are being asked about, each with the number of the request.
    pending_joins: Vec<(u64, String)>,
    last_join: u64,
    /// The rate limit of presence requests. It is made when the socket asks for the first time.
    presence_rate: Option<Option<Box<RateLimit>>>,
}

/// Who a client is.
pub(in crate::gateway) struct Identity {
    pub claims: Claims,
    /// Whether the client proved it: by a token, or to the authenticator. If not, it is a guest that was given claims.
    pub authenticated: bool,
    /// The token, if it is checked again before handlers are called.
    pub token: Option<Secret>,
    /// When the token expires.
    pub expires: Option<Instant>,
}

impl Identity {
    /// An identity that does not expire.
    pub fn without_token(claims: Claims, authenticated: bool) -> Self {
        Self { claims, authenticated, token: None, expires: None }
    }
}

impl SocketState {
    /// The state of a socket that connects.
    pub fn new(
        namespace: Arc<NamespaceContext>,
        id: Sid,
        handle: SocketHandle,
        connection: InNamespace,
    ) -> Arc<Self> {
        Arc::new(Self { namespace, connection, id, handle, details: Mutex::new(None) })
    }

    /// Reads the details. `None` means that they are what they were at first.
    fn read<T>(&self, read: impl FnOnce(&Details) -> T) -> Option<T> {
        self.details.lock().as_deref().map(read)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Details) -> T) -> T {
        change(self.details.lock().get_or_insert_default())
    }

    /// Who the client is, if that is known.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.read(|details| details.identity.clone()).flatten()
    }

    /// Who the client proved to be.
    pub fn authenticated_identity(&self) -> Option<Arc<Identity>> {
        self.identity().filter(|identity| identity.authenticated)
    }

    /// Whether the client proved who it is.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated_identity().is_some()
    }

    /// Sets or removes the identity.
    pub fn set_identity(&self, identity: Option<Arc<Identity>>) {
        if identity.is_some() || self.identity().is_some() {
            self.change(|details| details.identity = identity);
        }
    }

    /// What the client sent in `auth`, if it was kept.
    pub fn auth(&self) -> Value {
        self.read(|details| details.auth.clone()).unwrap_or_default()
    }

    /// Keeps what the client sent in `auth`.
    pub fn set_auth(&self, auth: Value) {
        if !auth.is_null() {
            self.change(|details| details.auth = auth);
        }
    }

    /// What handlers noted: Node's `socket.data`.
    pub fn data(&self) -> Value {
        self.read(|details| details.data.clone()).unwrap_or_default()
    }

    /// Replaces what handlers noted.
    pub fn set_data(&self, data: Value) {
        self.change(|details| details.data = data);
    }

    /// Whether the socket may send one more presence request now.
    pub fn check_presence_rate(&self) -> bool {
        let new = || RateLimit::new(self.namespace.limits.presence_per_second, 0).map(Box::new);
        self.change(|details| {
            details.presence_rate.get_or_insert_with(new).as_deref().is_none_or(RateLimit::check)
        })
    }

    /// Notes that a hook is asked about rooms, until the guard is dropped.
    pub fn begin_join(self: &Arc<Self>, rooms: &[String]) -> PendingJoin {
        let number = self.change(|details| {
            details.last_join += 1;
            let number = details.last_join;
            details.pending_joins.extend(rooms.iter().map(|room| (number, room.clone())));
            number
        });
        PendingJoin { state: self.clone(), number }
    }

    /// The client leaves rooms that a hook is still asked about: it does not get into them.
    pub fn cancel_joins(&self, rooms: &[String]) {
        if self.read(|details| !details.pending_joins.is_empty()).unwrap_or_default() {
            self.change(|details| details.pending_joins.retain(|(_, room)| !rooms.contains(room)));
        }
    }
}

/// Accounts for a packet that could not be queued for a client. A client whose queue is full is disconnected.
pub(in crate::gateway) fn on_send_error(state: &SocketState, error: &SendError) {
    if let SendError::Socket(error) = error {
        count_dropped(error);
        if matches!(error, SocketError::InternalChannelFull) {
            state.connection.overflowed();
        }
    }
}

/// A hook is being asked about rooms.
pub(in crate::gateway) struct PendingJoin {
    state: Arc<SocketState>,
    number: u64,
}

impl PendingJoin {
    /// Whether the client has not left the room meanwhile.
    pub fn is_wanted(&self, room: &str) -> bool {
        let is_this = |(number, pending): &(u64, String)| *number == self.number && pending == room;
        self.state.read(|details| details.pending_joins.iter().any(is_this)).unwrap_or_default()
    }
}

impl Drop for PendingJoin {
    fn drop(&mut self) {
        self.state.change(|details| {
            details.pending_joins.retain(|(number, _)| *number != self.number);
            // A request for many rooms should not cost memory for as long as the socket lives.
            details.pending_joins.shrink_to_fit();
        });
    }
}
