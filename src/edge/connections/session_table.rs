//! The open connections of a pod, by session id. The table knows nothing of what a connection is.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::RwLock;
use socketioxide_core::Sid;

/// The open connections. It does not keep them open.
#[derive(Debug)]
pub(crate) struct SessionTable<C>(RwLock<Open<C>>);

/// Each connection is in one of the maps: a second entry would take memory for every connection.
#[derive(Debug)]
struct Open<C> {
    /// Those whose session has no id yet, by their address in memory.
    without_id: HashMap<usize, Weak<C>>,
    by_id: HashMap<Sid, Weak<C>>,
}

impl<C> Default for SessionTable<C> {
    fn default() -> Self {
        let (without_id, by_id) = (HashMap::new(), HashMap::new());
        Self(RwLock::new(Open { without_id, by_id }))
    }
}

impl<C> SessionTable<C> {
    /// Adds a connection whose session has no id yet.
    pub fn insert(&self, connection: &Arc<C>) {
        self.0.write().without_id.insert(key::<C>(connection), Arc::downgrade(connection));
    }

    /// The session of a connection has this id from now on. Does nothing for a connection that has ended.
    pub fn set_id(&self, connection: &C, sid: Sid) {
        let mut open = self.0.write();
        if let Some(connection) = open.without_id.remove(&key::<C>(connection)) {
            open.by_id.insert(sid, connection);
        }
    }

    /// Removes a connection. `sid` is called under the lock, as the id may have been set a moment ago.
    pub fn remove(&self, connection: &C, sid: impl FnOnce() -> Option<Sid>) {
        let mut open = self.0.write();
        open.without_id.remove(&key::<C>(connection));
        if let Some(sid) = sid() {
            open.by_id.remove(&sid);
        }
    }

    /// The connection of a session.
    pub fn find(&self, sid: Sid) -> Option<Arc<C>> {
        self.0.read().by_id.get(&sid)?.upgrade()
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        let open = self.0.read();
        open.without_id.len() + open.by_id.len()
    }

    /// All that are open now.
    pub fn all(&self) -> Vec<Weak<C>> {
        let open = self.0.read();
        open.without_id.values().chain(open.by_id.values()).cloned().collect()
    }
}

/// What tells a connection from the others while its session has no id. The type is said at each call: of an `&Arc<C>`, the
/// address of the `Arc` would be taken else.
fn key<C>(connection: &C) -> usize {
    std::ptr::from_ref(connection).addr()
}
