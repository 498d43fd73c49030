//! All namespaces of this pod, and the way that joins and leaves take.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use socketioxide_core::Sid;

use super::{
    Slow, Target, UnknownNamespace,
    elsewhere::Elsewhere,
    members::{Local, Members},
    redis::{Changes, Subscribed},
    watch::Measuring,
};
use crate::config::{Limits, Telemetry};

/// Whether a namespace of this name may be made when a client asks for it.
pub(super) type MayBe = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// The namespaces by path. Those of the program are there when the pod begins; the children of dynamic ones come and go.
pub(super) struct Namespaces {
    all: RwLock<HashMap<String, Arc<Members>>>,
    /// Where changes of rooms are noted, if anyone follows them.
    changes: OnceLock<Arc<Changes>>,
    /// Where namespaces that come and go are noted, if there are other pods.
    listed: OnceLock<Arc<Changes>>,
    /// Which names children of dynamic namespaces may have.
    may_be: OnceLock<MayBe>,
    slow: Arc<Slow>,
    measuring: Arc<Measuring>,
    /// Those of other pods that are asked about.
    pub elsewhere: Arc<Elsewhere>,
}

impl Namespaces {
    /// None yet.
    pub fn new(limits: &Limits, telemetry: &Telemetry) -> Self {
        Self {
            all: RwLock::default(),
            changes: OnceLock::new(),
            listed: OnceLock::new(),
            may_be: OnceLock::new(),
            slow: Arc::new(Slow::new(limits.send_queue_bytes)),
            measuring: Arc::new(Measuring::new(telemetry.slow_emit)),
            elsewhere: Elsewhere::new(limits.child_namespaces),
        }
    }

    /// Adds a namespace; `begin` puts it among those of socketioxide. Both in one step: who is found here is found there.
    pub fn register(&self, local: Local, begin: impl FnOnce()) {
        let path = local.path().to_string();
        let members = Members::new(local, self.slow.clone(), self.measuring.clone());
        let members = Arc::new(members);
        let mut all = self.all.write();
        let displaced = all.insert(path, members);
        begin();
        drop(all);
        self.list();
        // Two clients asked for a child at once, and both made it: nothing that the first one sends would arrive.
        for occupant in displaced.iter().flat_map(|members| members.occupants()) {
            occupant.close_connection();
        }
    }

    /// Takes a namespace out, if nobody is in it; `end` takes it out of socketioxide. Says whether it did.
    pub fn remove(&self, path: &str, end: impl FnOnce()) -> bool {
        let mut all = self.all.write();
        if all.get(path).is_none_or(|members| !members.is_empty()) {
            return false;
        }
        all.remove(path);
        end();
        drop(all);
        self.list();
        true
    }

    /// Other servers are to be heard in the namespaces of now. Tells when they are.
    pub fn list(&self) -> Option<Subscribed> {
        Some(self.listed.get()?.note_namespaces())
    }

    /// From now on, namespaces that come and go are noted there.
    pub fn announce(&self, changes: Arc<Changes>) {
        // A pod has one backplane for life.
        let _ = self.listed.set(changes);
    }

    /// Which names children of dynamic namespaces may have.
    pub fn may_be(&self, may_be: MayBe) {
        // A pod is built once.
        let _ = self.may_be.set(may_be);
    }

    /// A namespace; nothing for a child that nobody of this pod is in. Others may have it.
    pub fn find(&self, path: &str) -> Result<Option<Arc<Members>>, UnknownNamespace> {
        match self.get(path) {
            Ok(members) => Ok(Some(members)),
            Err(_) if self.comes_and_goes(path) => Ok(None),
            Err(unknown) => Err(unknown),
        }
    }

    /// Whether a name is that of a child of a dynamic namespace.
    pub fn comes_and_goes(&self, path: &str) -> bool {
        self.may_be.get().is_some_and(|may_be| may_be(path))
    }

    /// Any namespace.
    pub fn any(&self) -> Option<Arc<Members>> {
        self.all.read().values().next().cloned()
    }

    /// The sockets that are behind.
    pub fn slow(&self) -> Arc<Slow> {
        self.slow.clone()
    }

    /// What measures emits.
    pub fn measuring(&self) -> &Measuring {
        &self.measuring
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

    /// Whether this pod has a namespace.
    pub fn is_here(&self, path: &str) -> bool {
        self.all.read().contains_key(path)
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
