//! Namespaces that are made when a client asks for them: children of dynamic ones.
//!
//! Gap: socketioxide's own (`dyn_ns`) makes one for each name that a client comes up with, without an end; two clients that ask
//! for the same one at once may each get one of their own, of which only the later gets packets; and what is deleted may just
//! be joined. Way round: one pattern takes all names, and what is behind it is counted, bounded and taken away here, in one
//! step with socketioxide's map (`backplane/namespaces.rs`). A socket that finds itself in one that is not in that map (seen
//! by a room that it joins for a moment) has its connection closed: the stock client comes back by itself. There is no
//! upstream issue.

use std::{
    collections::HashMap,
    fmt::Display,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, gauge};
use parking_lot::Mutex;
use socketioxide::{handler::ConnectHandler, socket::Socket as IoSocket};
use socketioxide_core::{Sid, Value};
use tokio::{runtime::Handle, task::AbortHandle};

use super::{
    Namespace, Refusal, Shared, codes,
    connect::{Entered, admit, keep_time, refused, runtime, stays_out},
    member::Runtime,
};
use crate::{
    backplane::{Adapter, Io},
    telemetry::{
        metrics::{CHILD_NAMESPACES, INVALID_NAMESPACES},
        traces,
    },
};

/// What Node answers to a client that asks for a namespace which there is not.
const INVALID: &str = "Invalid namespace";
/// The room that a socket is in for a moment, to see where it is.
const HERE: &str = "\0here";
/// How long two clients that ask for one namespace at once can be apart, so that each makes one: a few instructions.
const SETTLE: Duration = Duration::from_millis(5);

/// How long a child stays when nobody is in it: a client that comes back, or loads its page again, finds it there, and one
/// that is on its way in when the last one leaves.
const LINGER: Duration = Duration::from_secs(1);
/// How long a connection that is sent away is waited for, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// The children of all dynamic namespaces. Clones are the same.
#[derive(Clone)]
pub struct Children(Arc<Inner>);

struct Inner {
    io: Io,
    shared: Shared,
    parents: Vec<Arc<Namespace>>,
    cleanup: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    all: HashMap<String, Child>,
    /// How many are being let in, of each connection that asks.
    asking: HashMap<Sid, usize>,
}

struct Child {
    /// Clients that are being let in.
    visitors: usize,
    /// Nothing while it is not known whether it may be.
    runtime: Option<Arc<Runtime>>,
    /// Whether other servers are heard in it.
    heard: bool,
    clock: Option<AbortHandle>,
    /// When a client last came or went.
    moved: Instant,
    /// Whether it is looked at until somebody is in it, or it has ended.
    watched: bool,
}

/// Lets clients make children of these namespaces. `cleanup`: they end when nobody is in them.
pub fn attach_dynamic(io: &Io, parents: Vec<Namespace>, shared: Shared, cleanup: bool) -> Children {
    let parents: Vec<_> = parents.into_iter().map(Arc::new).collect();
    let length = shared.limits.name_length;
    let named = parents.clone();
    shared.backplane.may_be(move |name| {
        is_plain(name, length)
            && named.iter().flat_map(|parent| &parent.children).any(|which| which.may_be(name))
    });
    let named = parents.clone();
    traces::patterns(move |name| {
        let is_of =
            |parent: &&Arc<Namespace>| parent.children.iter().any(|which| which.may_be(name));
        named.iter().find(is_of).map(|parent| parent.path.clone())
    });
    let inner = Inner { io: io.clone(), shared, parents, cleanup, state: Mutex::default() };
    let children = Children(Arc::new(inner));
    // The pattern is one that the router takes.
    let _ = io.dyn_ns("/{*name}", Nursery(children.clone()));
    children
}

/// Whether a name can be that of a namespace on all servers: `#` ends it in the names of channels, which patterns of Redis
/// name, too.
fn is_plain(name: &str, length: usize) -> bool {
    let special = |c: char| c.is_control() || "#,?*[]\\".contains(c);
    name.starts_with('/') && name.len() > 1 && name.len() <= length && !name.contains(special)
}

impl Child {
    fn new() -> Self {
        let (runtime, clock, moved) = (None, None, Instant::now());
        Self { visitors: 0, runtime, heard: false, clock, moved, watched: false }
    }
}

impl Children {
    /// Names of those of a parent that there are on this pod.
    pub fn of(&self, parent: &str) -> Vec<String> {
        let state = self.0.state.lock();
        let runtimes = state.all.values().filter_map(|child| child.runtime.as_ref());
        let ours = runtimes.filter(|runtime| runtime.namespace.path == parent);
        ours.map(|runtime| runtime.path.clone()).collect()
    }

    /// A client asks for one, until the answer is dropped; nothing if there are too many.
    fn visit(&self, path: &str, socket: Sid) -> Option<Visit> {
        let Inner { shared, .. } = &*self.0;
        let limits = &shared.limits;
        let joined = shared.sessions.find(socket).map_or(0, |connection| connection.namespaces());
        let mut state = self.0.state.lock();
        let asking = state.asking.get(&socket).copied().unwrap_or_default();
        if joined + asking >= limits.child_namespaces_per_connection
            || !state.all.contains_key(path) && state.all.len() >= limits.child_namespaces
        {
            return None;
        }
        *state.asking.entry(socket).or_default() += 1;
        let child = state.all.entry(path.to_owned()).or_insert_with(Child::new);
        child.visitors += 1;
        child.moved = Instant::now();
        Some(Visit { children: self.clone(), path: path.to_owned(), socket })
    }

    /// A socket has left one.
    pub(super) fn left(&self, path: &str) {
        if let Some(child) = self.0.state.lock().all.get_mut(path) {
            child.moved = Instant::now();
            self.watch(child, path);
        }
    }

    /// Has a child end once nobody has been in it for a while.
    fn watch(&self, child: &mut Child, path: &str) {
        // Without a runtime, the pod is over.
        let Ok(handle) = Handle::try_current() else { return };
        if child.runtime.is_none() || child.watched || !self.0.cleanup {
            return;
        }
        child.watched = true;
        let (children, path) = (self.clone(), path.to_owned());
        handle.spawn(async move {
            loop {
                tokio::time::sleep(LINGER).await;
                let mut state = children.0.state.lock();
                let Some(child) = state.all.get_mut(&path) else { return };
                // Who comes is followed by one who leaves, and then this begins again.
                if children.0.shared.backplane.has_sockets(&path) {
                    child.watched = false;
                    return;
                }
                if child.visitors == 0 && child.moved.elapsed() >= LINGER {
                    children.tidy(&mut state, &path);
                }
            }
        });
    }

    /// Ends a child that nobody needs. Under the lock: nobody asks for it meanwhile.
    fn tidy(&self, state: &mut State, path: &str) {
        let Inner { io, shared, cleanup, .. } = &*self.0;
        let stays = |child: &Child| child.visitors > 0 || child.runtime.is_some() && !cleanup;
        if state.all.get(path).is_some_and(stays)
            || !shared.backplane.remove(path, || io.delete_ns(path))
        {
            return;
        }
        if let Some(Child { runtime: Some(runtime), clock, .. }) = state.all.remove(path) {
            clock.inspect(AbortHandle::abort);
            count(&runtime.namespace).decrement(1);
        }
    }

    /// The child of this name: it is made if it may be.
    async fn child(
        &self,
        path: &str,
        auth: &Option<Value>,
        socket: &Arc<IoSocket<Adapter>>,
    ) -> Option<Arc<Runtime>> {
        let known = |state: &State| state.all.get(path)?.runtime.clone();
        if let Some(runtime) = known(&self.0.state.lock()) {
            return Some(runtime);
        }
        for parent in &self.0.parents {
            let Some(which) = &parent.children else { continue };
            if !which.takes(path, auth, socket).await {
                continue;
            }
            // Whoever else asks for it now is here by then.
            tokio::time::sleep(SETTLE).await;
            let mut state = self.0.state.lock();
            // There is this visit. It may have been made for another client meanwhile.
            let child = state.all.get_mut(path)?;
            if let Some(runtime) = &child.runtime {
                return Some(runtime.clone());
            }
            let runtime = self.make(path, parent);
            let time = keep_time(runtime.clone());
            child.clock = Some(tokio::spawn(async move { match time.await {} }).abort_handle());
            child.runtime = Some(runtime.clone());
            return Some(runtime);
        }
        None
    }

    fn make(&self, path: &str, parent: &Arc<Namespace>) -> Arc<Runtime> {
        let shared = self.0.shared.clone();
        if let Some(handler) = parent.server_side.clone() {
            let _ = shared.backplane.on_server_side(path, Box::new(handler));
        }
        parent.hear_rooms(&shared.backplane, path);
        count(parent).increment(1);
        runtime(path.to_owned(), parent.clone(), shared, Some(self.clone()))
    }

    /// Waits until other servers are heard in a child.
    async fn heard(&self, path: &str) {
        let heard = |state: &mut State| state.all.get(path).is_none_or(|child| child.heard);
        if heard(&mut self.0.state.lock()) {
            return;
        }
        self.0.shared.backplane.heard().settled().await;
        if let Some(child) = self.0.state.lock().all.get_mut(path) {
            child.heard = true;
        }
    }

    /// Closes a connection. An answer would be the last word to the client: it comes back only if it gets none.
    async fn send_away(&self, socket: Sid) {
        let sessions = &self.0.shared.sessions;
        if let Some(connection) = sessions.find(socket) {
            connection.rebalance();
        }
        let gone = async {
            while sessions.find(socket).is_some() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, gone).await;
    }

    async fn let_in(&self, socket: Arc<IoSocket<Adapter>>, auth: &Option<Value>) -> Entered {
        let path = socket.ns().to_owned();
        let backplane = &self.0.shared.backplane;
        let invalid = || {
            // Others were counted before they came here.
            if backplane.comes_and_goes(&path) {
                counter!(INVALID_NAMESPACES.name).increment(1);
            }
            Err(Box::new(INVALID) as Box<dyn Display + Send>)
        };
        if !is_plain(&path, self.0.shared.limits.name_length) {
            self.tidy(&mut self.0.state.lock(), &path);
            return invalid();
        }
        let Some(_visit) = self.visit(&path, socket.id) else {
            self.tidy(&mut self.0.state.lock(), &path);
            let parents = &self.0.parents;
            let may_be = |parent: &&Arc<Namespace>| {
                parent.children.as_ref().is_some_and(|which| which.may_be(&path))
            };
            let Some(parent) = parents.iter().find(may_be) else { return invalid() };
            let message = "there are as many namespaces of this kind as there may be";
            let refusal = Refusal::new(codes::NAMESPACE_LIMIT, message);
            return Err(refused(&self.0.shared.sessions, parent, &socket, &refusal));
        };
        let Some(runtime) = self.child(&path, auth, &socket).await else { return invalid() };
        socket.join(HERE);
        let here = backplane.is_in_local(&path, socket.id, HERE);
        socket.leave(HERE);
        if !here {
            tracing::debug!(namespace = path, socket = %socket.id, "made twice at once; the client is to come back");
            self.send_away(socket.id).await;
            return Err(Box::new(INVALID));
        }
        self.heard(&path).await;
        admit(&runtime, socket, auth).await
    }
}

fn count(parent: &Namespace) -> metrics::Gauge {
    gauge!(CHILD_NAMESPACES.name, "nsp" => parent.path.clone())
}

/// A client is being let in.
struct Visit {
    children: Children,
    path: String,
    socket: Sid,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.children.0.state.lock();
        if let Some(asking) = state.asking.get_mut(&self.socket) {
            *asking -= 1;
            if *asking == 0 {
                state.asking.remove(&self.socket);
            }
        }
        if let Some(child) = state.all.get_mut(&self.path) {
            child.visitors -= 1;
            if child.runtime.is_some() {
                // If it was not let in, nobody may be there.
                self.children.watch(child, &self.path);
                return;
            }
        }
        self.children.tidy(&mut state, &self.path);
    }
}

/// Lets clients in to the children of dynamic namespaces, and makes them.
#[derive(Clone)]
struct Nursery(Children);

impl ConnectHandler<Adapter, Self> for Nursery {
    fn call_middleware<'a>(
        &'a self,
        socket: Arc<IoSocket<Adapter>>,
        auth: &'a Option<Value>,
    ) -> Pin<Box<dyn Future<Output = Entered> + Send + 'a>> {
        Box::pin(async move {
            let entered = self.0.let_in(socket.clone(), auth).await;
            if entered.is_err() {
                stays_out(&self.0.0.shared.sessions, &socket);
            }
            entered
        })
    }

    fn call(&self, socket: Arc<IoSocket<Adapter>>, _: Option<Value>) {
        let backplane = &self.0.0.shared.backplane;
        if let Some(occupant) = backplane.occupant(socket.ns(), socket.id) {
            occupant.connected();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_elsewhere_are_none() {
        assert!(is_plain("/room-7", 256));
        for bad in ["", "/", "room", "/a#b", "/a,b", "/a*", "/a?", "/[ab]", "/a\\b", "/a\n"] {
            assert!(!is_plain(bad, 256), "{bad}");
        }
        assert!(!is_plain("/room-7", 3));
    }
}
