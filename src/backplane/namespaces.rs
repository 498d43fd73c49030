//! All namespaces of this pod, and the way that joins and leaves take.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use socketioxide_core::Sid;

use super::{
    Target, UnknownNamespace,
    elsewhere::Elsewhere,
    members::{Local, Members},
    shared::Shared,
};

/// Whether a namespace of this name may be made when a client asks for it.
pub(super) type MayBe = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// The namespaces by path. Those of the program are there when the pod begins; the children of dynamic ones come and go.
pub(super) struct Namespaces {
    all: RwLock<HashMap<String, Arc<Members>>>,
    /// Which names children of dynamic namespaces may have.
    may_be: OnceLock<MayBe>,
    pub shared: Arc<Shared>,
    /// Those of other pods that are asked about.
    pub elsewhere: Arc<Elsewhere>,
}

impl Namespaces {
    /// None yet. `elsewhere`: how many of other pods are asked about at a time.
    pub fn new(shared: Shared, elsewhere: usize) -> Self {
        Self {
            all: RwLock::default(),
            may_be: OnceLock::new(),
            shared: Arc::new(shared),
            elsewhere: Elsewhere::new(elsewhere),
        }
    }

    /// Adds a namespace; `begin` puts it among those of socketioxide. Both in one step: who is found here is found there.
    pub fn register(&self, local: Local, begin: impl FnOnce()) {
        let path = local.path().to_string();
        let members = Arc::new(Members::new(local, self.shared.clone()));
        let mut all = self.all.write();
        let displaced = all.insert(path, members);
        begin();
        drop(all);
        let _ = self.shared.namespaces_changed();
        // Two clients asked for a child at once, and both made it: nothing that the first one sends would arrive.
        for member in displaced.iter().flat_map(|members| members.lookup().members()) {
            member.close_connection();
        }
    }

    /// Takes a namespace out, if nobody is in it; `end` takes it out of socketioxide. Says whether it did.
    pub fn remove(&self, path: &str, end: impl FnOnce()) -> bool {
        let mut all = self.all.write();
        if all.get(path).is_none_or(|members| !members.lookup().is_empty()) {
            return false;
        }
        all.remove(path);
        end();
        drop(all);
        let _ = self.shared.namespaces_changed();
        true
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

    /// A namespace that this pod has.
    pub fn get(&self, path: &str) -> Result<Arc<Members>, UnknownNamespace> {
        let all = self.all.read();
        all.get(path).cloned().ok_or_else(|| UnknownNamespace(path.to_owned()))
    }

    /// All that this pod has.
    pub fn all(&self) -> Vec<Arc<Members>> {
        self.all.read().values().cloned().collect()
    }

    /// Whether a room has a member on this pod.
    pub fn has(&self, namespace: &str, room: &str) -> bool {
        self.all.read().get(namespace).is_some_and(|members| members.lookup().has(room))
    }

    /// Whether there is a socket of this id in any namespace: a client has the same id in all that it
    /// connects to.
    pub fn has_socket(&self, id: Sid) -> bool {
        self.all.read().values().any(|members| members.lookup().has_socket(id))
    }

    /// Disconnects all sockets of a target from the namespace; with `close`, from all namespaces, and
    /// their connections end.
    pub fn disconnect_all(&self, members: &Members, target: &Target, close: bool) {
        let closing = if close { members.lookup().describe(target) } else { Vec::new() };
        members.queues().disconnect(target);
        // Those of this namespace have been told.
        let mut others = self.all();
        others.retain(|other| other.local.path() != members.local.path());
        for socket in closing {
            let everywhere = Target { rooms: vec![socket.id.to_string()], except: Vec::new() };
            others.iter().for_each(|members| members.queues().disconnect(&everywhere));
            socket.member.close_connection();
        }
    }
}
