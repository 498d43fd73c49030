//! All namespaces of this pod, and the way that joins and leaves take.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use socketioxide_core::Sid;

use super::{
    Slow, Target, UnknownNamespace,
    members::{Local, Members},
    redis::{Changes, Subscribed},
};

/// The namespaces by path. Filled while the pod is built, then only read.
#[derive(Default)]
pub(super) struct Namespaces {
    all: RwLock<HashMap<String, Arc<Members>>>,
    /// Where changes of rooms are noted, if anyone follows them.
    changes: OnceLock<Arc<Changes>>,
    slow: Arc<Slow>,
}

impl Namespaces {
    /// None yet. So many bytes may wait for each client.
    pub fn new(send_queue_bytes: usize) -> Self {
        Self { slow: Arc::new(Slow::new(send_queue_bytes)), ..Self::default() }
    }

    pub fn register(&self, local: Local) {
        let path = local.path().to_string();
        self.all.write().insert(path, Arc::new(Members::new(local, self.slow.clone())));
    }

    /// The sockets that are behind.
    pub fn slow(&self) -> Arc<Slow> {
        self.slow.clone()
    }

    /// From now on, changes of rooms are noted there.
    pub fn follow(&self, changes: Arc<Changes>) {
        // A pod has one backplane for life.
        let _ = self.changes.set(changes);
    }

    pub fn get(&self, path: &str) -> Result<Arc<Members>, UnknownNamespace> {
        let all = self.all.read();
        all.get(path).cloned().ok_or_else(|| UnknownNamespace(path.to_owned()))
    }

    pub fn all(&self) -> Vec<Arc<Members>> {
        self.all.read().values().cloned().collect()
    }

    /// Whether a room has a member on this pod.
    pub fn has(&self, namespace: &str, room: &str) -> bool {
        self.all.read().get(namespace).is_some_and(|members| members.has(room))
    }

    /// Whether there is a socket of this id in any namespace: a client has the same id in all that it
    /// connects to.
    pub fn has_socket(&self, id: Sid) -> bool {
        self.all.read().values().any(|members| members.has_socket(id))
    }

    /// Puts a socket in rooms. Tells when other servers know.
    pub fn join(&self, members: &Members, socket: Sid, rooms: Vec<String>) -> Option<Subscribed> {
        members.join(socket, &rooms);
        self.changed(members, rooms)
    }

    /// Takes it out.
    pub fn leave(&self, members: &Members, socket: Sid, rooms: Vec<String>) {
        members.leave(socket, &rooms);
        self.changed(members, rooms);
    }

    /// Puts all sockets of a target in rooms.
    pub fn join_all(&self, members: &Members, target: &Target, rooms: &[String]) {
        for socket in members.matching(target) {
            members.join(socket, rooms);
        }
        self.changed(members, rooms.to_vec());
    }

    /// Takes them out.
    pub fn leave_all(&self, members: &Members, target: &Target, rooms: &[String]) {
        for socket in members.matching(target) {
            members.leave(socket, rooms);
        }
        self.changed(members, rooms.to_vec());
    }

    /// Disconnects all sockets of a target from the namespace; with `close`, from all namespaces, and
    /// their connections end.
    pub fn disconnect_all(&self, members: &Members, target: &Target, close: bool) {
        let closing = if close { members.describe(target) } else { Vec::new() };
        members.disconnect(target);
        // Those of this namespace have been told.
        let mut others = self.all();
        others.retain(|other| other.local.path() != members.local.path());
        for socket in closing {
            let everywhere = Target { rooms: vec![socket.id.to_string()], except: Vec::new() };
            others.iter().for_each(|members| members.disconnect(&everywhere));
            socket.occupant.close_connection();
        }
    }

    /// Rooms have got or lost members.
    pub fn changed(&self, members: &Members, rooms: Vec<String>) -> Option<Subscribed> {
        let changes = self.changes.get()?;
        (!rooms.is_empty()).then(|| changes.note(members.local.path(), rooms))
    }
}
