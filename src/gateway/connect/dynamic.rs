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
    attach::tell_connected,
    middleware::{ConnectResult, connect},
    refused::{refuse_connect, release_packets},
};
use crate::{
    backplane::{Adapter, Io},
    gateway::{
        namespaces::{
            namespace::Namespace,
            runtime::{NamespaceRuntime, Shared},
        },
        replies::refusal::{Refusal, codes},
    },
    tasks,
    telemetry::{
        metrics::{CHILD_NAMESPACES, INVALID_NAMESPACES},
        traces,
    },
};

/// What Node answers to a CONNECT for a namespace that does not exist.
const INVALID_NAMESPACE: &str = "Invalid namespace";
/// A room that a socket joins for a moment, to find out whether its namespace is the one that the backplane knows.
const PROBE_ROOM: &str = "\0here";
/// Two clients that ask for one namespace at once may each make one, if they are no further apart than a few instructions. The first
/// waits this long, and then looks again.
const RACE_DELAY: Duration = Duration::from_millis(5);

/// The task of the timers of a child, as that of any namespace.
const TIMERS: &str = "namespace deadlines";

/// How long an empty child is kept. A client that reconnects or reloads its page finds it, and so does one that connects while
/// the last one leaves.
const EMPTY_CHILD_TTL: Duration = Duration::from_secs(1);
/// Longest wait for the end of a connection that is closed, and the time between two checks.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_POLL: Duration = Duration::from_millis(20);

/// The children of all dynamic namespaces. Clones are the same.
#[derive(Clone)]
pub struct ChildNamespaces(Arc<Inner>);

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
    /// CONNECTs that are under way, of each connection.
    connecting: HashMap<Sid, usize>,
}

struct Child {
    /// CONNECTs that are under way.
    connecting: usize,
    /// `None` until it is known whether the namespace may exist.
    runtime: Option<Arc<NamespaceRuntime>>,
    /// Whether events of other servers arrive in it.
    subscribed: bool,
    timers: Option<AbortHandle>,
    /// When a client last connected or left.
    last_change: Instant,
    /// Whether a task removes it once it has been empty for a while.
    removal_scheduled: bool,
}

/// Lets clients make children of these namespaces. `cleanup`: they end when nobody is in them.
pub fn attach_dynamic(
    io: &Io,
    parents: Vec<Namespace>,
    shared: Shared,
    cleanup: bool,
) -> ChildNamespaces {
    let parents: Vec<_> = parents.into_iter().map(Arc::new).collect();
    let length = shared.limits.name_length;
    let named = parents.clone();
    shared.backplane.children().may_be(move |name| {
        is_valid_name(name, length)
            && named
                .iter()
                .flat_map(|parent| &parent.child_names)
                .any(|names| names.could_match(name))
    });
    let named = parents.clone();
    traces::patterns(move |name| {
        let is_of = |parent: &&Arc<Namespace>| {
            parent.child_names.iter().any(|names| names.could_match(name))
        };
        named.iter().find(is_of).map(|parent| parent.path.clone())
    });
    let inner = Inner { io: io.clone(), shared, parents, cleanup, state: Mutex::default() };
    let children = ChildNamespaces(Arc::new(inner));
    // The pattern is one that the router takes.
    let _ = io.dyn_ns("/{*name}", ChildConnector(children.clone()));
    children
}

/// Whether a name can be that of a namespace on all servers: `#` ends it in the names of channels, which patterns of Redis
/// name, too.
fn is_valid_name(name: &str, length: usize) -> bool {
    let special = |c: char| c.is_control() || "#,?*[]\\".contains(c);
    name.starts_with('/') && name.len() > 1 && name.len() <= length && !name.contains(special)
}

impl Child {
    fn new() -> Self {
        let (runtime, timers, last_change) = (None, None, Instant::now());
        Self {
            connecting: 0,
            runtime,
            subscribed: false,
            timers,
            last_change,
            removal_scheduled: false,
        }
    }
}

impl ChildNamespaces {
    /// Names of those of a parent that there are on this pod.
    pub fn of(&self, parent: &str) -> Vec<String> {
        let state = self.0.state.lock();
        let runtimes = state.all.values().filter_map(|child| child.runtime.as_ref());
        let ours = runtimes.filter(|runtime| runtime.namespace.path == parent);
        ours.map(|runtime| runtime.context.path.clone()).collect()
    }

    /// A client sends a CONNECT for a child, until the guard is dropped. `None` if there are too many.
    fn begin_connect(&self, path: &str, socket: Sid) -> Option<PendingConnect> {
        let Inner { shared, .. } = &*self.0;
        let limits = &shared.limits;
        let joined = shared.sessions.find(socket).map_or(0, |connection| connection.namespaces());
        let mut state = self.0.state.lock();
        let connecting = state.connecting.get(&socket).copied().unwrap_or_default();
        if joined + connecting >= limits.child_namespaces_per_connection
            || !state.all.contains_key(path) && state.all.len() >= limits.child_namespaces
        {
            return None;
        }
        *state.connecting.entry(socket).or_default() += 1;
        let child = state.all.entry(path.to_owned()).or_insert_with(Child::new);
        child.connecting += 1;
        child.last_change = Instant::now();
        Some(PendingConnect { children: self.clone(), path: path.to_owned(), socket })
    }

    /// A socket has left a child.
    fn left(&self, path: &str) {
        if let Some(child) = self.0.state.lock().all.get_mut(path) {
            child.last_change = Instant::now();
            self.schedule_removal(child, path);
        }
    }

    /// Removes a child once it has been empty for a while.
    fn schedule_removal(&self, child: &mut Child, path: &str) {
        // Without a runtime, the pod is over.
        if Handle::try_current().is_err() {
            return;
        }
        if child.runtime.is_none() || child.removal_scheduled || !self.0.cleanup {
            return;
        }
        child.removal_scheduled = true;
        let (children, path) = (self.clone(), path.to_owned());
        // Without it, the child would count for ever.
        let remove = move || {
            let (children, path) = (children.clone(), path.clone());
            async move { children.remove_when_empty(&path).await }
        };
        tasks::spawn_restarted("child namespaces", remove);
    }

    async fn remove_when_empty(self, path: &str) {
        loop {
            tokio::time::sleep(EMPTY_CHILD_TTL).await;
            let mut state = self.0.state.lock();
            let Some(child) = state.all.get_mut(path) else { return };
            // When the last of its sockets leaves, this begins again.
            if self.0.shared.backplane.local(path).is_some_and(|here| here.has_sockets()) {
                child.removal_scheduled = false;
                return;
            }
            if child.connecting == 0 && child.last_change.elapsed() >= EMPTY_CHILD_TTL {
                self.remove_if_unused(&mut state, path);
            }
        }
    }

    /// Removes a child that nobody needs. The caller holds the lock, so nobody asks for it meanwhile.
    fn remove_if_unused(&self, state: &mut State, path: &str) {
        let Inner { io, shared, cleanup, .. } = &*self.0;
        let stays = |child: &Child| child.connecting > 0 || child.runtime.is_some() && !cleanup;
        if state.all.get(path).is_some_and(stays)
            || !shared.backplane.children().remove(path, || io.delete_ns(path))
        {
            return;
        }
        if let Some(Child { runtime: Some(runtime), timers, .. }) = state.all.remove(path) {
            timers.inspect(AbortHandle::abort);
            count(&runtime.namespace).decrement(1);
        }
    }

    /// The child of this name. It is made if it may exist.
    async fn child(
        &self,
        path: &str,
        auth: &Option<Value>,
        socket: &Arc<IoSocket<Adapter>>,
    ) -> Option<Arc<NamespaceRuntime>> {
        let known = |state: &State| state.all.get(path)?.runtime.clone();
        if let Some(runtime) = known(&self.0.state.lock()) {
            return Some(runtime);
        }
        for parent in &self.0.parents {
            let Some(names) = &parent.child_names else { continue };
            if !names.matches(path, auth, socket).await {
                continue;
            }
            // Other clients that ask for it now have come here by then.
            tokio::time::sleep(RACE_DELAY).await;
            let mut state = self.0.state.lock();
            // This client keeps it there. It may have been made for another client meanwhile.
            let child = state.all.get_mut(path)?;
            if let Some(runtime) = &child.runtime {
                return Some(runtime.clone());
            }
            let runtime = self.make(path, parent);
            let timed = runtime.clone();
            // Its deadlines are noted in the namespace, and outlast them.
            let timers = tasks::spawn_restarted(TIMERS, move || timed.clone().run_timers());
            child.timers = Some(timers.abort_handle());
            child.runtime = Some(runtime.clone());
            return Some(runtime);
        }
        None
    }

    fn make(&self, path: &str, parent: &Arc<Namespace>) -> Arc<NamespaceRuntime> {
        let shared = self.0.shared.clone();
        parent.watch(&shared.backplane, path);
        count(parent).increment(1);
        let children = self.clone();
        let on_leave = Box::new(move |path: &str| children.left(path));
        NamespaceRuntime::new(path.to_owned(), parent.clone(), shared, Some(on_leave))
    }

    /// Waits until events of other servers arrive in a child.
    async fn wait_subscribed(&self, path: &str) {
        let subscribed =
            |state: &mut State| state.all.get(path).is_none_or(|child| child.subscribed);
        if subscribed(&mut self.0.state.lock()) {
            return;
        }
        self.0.shared.backplane.children().heard().settled().await;
        if let Some(child) = self.0.state.lock().all.get_mut(path) {
            child.subscribed = true;
        }
    }

    /// Closes a connection. A stock client that is refused does not come back by itself; one whose connection closes does.
    async fn close_connection(&self, socket: Sid) {
        let sessions = &self.0.shared.sessions;
        if let Some(connection) = sessions.find(socket) {
            connection.rebalance();
        }
        let gone = async {
            while sessions.find(socket).is_some() {
                tokio::time::sleep(CLOSE_POLL).await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, gone).await;
    }

    async fn let_in(&self, socket: Arc<IoSocket<Adapter>>, auth: &Option<Value>) -> ConnectResult {
        let path = socket.ns().to_owned();
        let backplane = &self.0.shared.backplane;
        let invalid = || {
            // Other names have been counted before.
            if backplane.children().contain(&path) {
                counter!(INVALID_NAMESPACES.name).increment(1);
            }
            Err(Box::new(INVALID_NAMESPACE) as Box<dyn Display + Send>)
        };
        if !is_valid_name(&path, self.0.shared.limits.name_length) {
            self.remove_if_unused(&mut self.0.state.lock(), &path);
            return invalid();
        }
        let Some(_pending) = self.begin_connect(&path, socket.id) else {
            self.remove_if_unused(&mut self.0.state.lock(), &path);
            let Some(parent) = self.parent_of(&path) else { return invalid() };
            let message = "there are as many namespaces of this kind as there may be";
            let refusal = Refusal::new(codes::NAMESPACE_LIMIT, message);
            return Err(refuse_connect(&self.0.shared.sessions, parent, &socket, &refusal));
        };
        let Some(runtime) = self.child(&path, auth, &socket).await else { return invalid() };
        socket.join(PROBE_ROOM);
        let here = backplane.local(&path);
        let here = here.is_some_and(|here| here.is_in_local(socket.id, PROBE_ROOM));
        socket.leave(PROBE_ROOM);
        if !here {
            tracing::debug!(namespace = path, socket = %socket.id, "made twice at once; the client is to come back");
            self.close_connection(socket.id).await;
            return Err(Box::new(INVALID_NAMESPACE));
        }
        self.wait_subscribed(&path).await;
        connect(&runtime, socket, auth).await
    }

    /// A CONNECT that could not be answered for a bug of ours.
    fn refuse_panicked(&self, socket: &Arc<IoSocket<Adapter>>) -> ConnectResult {
        let Some(parent) = self.parent_of(socket.ns()) else {
            return Err(Box::new(INVALID_NAMESPACE));
        };
        let sessions = &self.0.shared.sessions;
        Err(refuse_connect(sessions, parent, socket, &Refusal::internal_error()))
    }

    /// The first dynamic namespace whose child this name may be.
    fn parent_of(&self, name: &str) -> Option<&Arc<Namespace>> {
        let could_match = |parent: &&Arc<Namespace>| {
            parent.child_names.as_ref().is_some_and(|names| names.could_match(name))
        };
        self.0.parents.iter().find(could_match)
    }
}

fn count(parent: &Namespace) -> metrics::Gauge {
    gauge!(CHILD_NAMESPACES.name, "nsp" => parent.path.clone())
}

/// A CONNECT that is under way.
struct PendingConnect {
    children: ChildNamespaces,
    path: String,
    socket: Sid,
}

impl Drop for PendingConnect {
    fn drop(&mut self) {
        let mut state = self.children.0.state.lock();
        if let Some(connecting) = state.connecting.get_mut(&self.socket) {
            *connecting -= 1;
            if *connecting == 0 {
                state.connecting.remove(&self.socket);
            }
        }
        if let Some(child) = state.all.get_mut(&self.path) {
            child.connecting -= 1;
            if child.runtime.is_some() {
                // If the client was refused, the child may be empty.
                self.children.schedule_removal(child, &self.path);
                return;
            }
        }
        self.children.remove_if_unused(&mut state, &self.path);
    }
}

/// Called when a client connects to a name that is no fixed namespace.
#[derive(Clone)]
struct ChildConnector(ChildNamespaces);

impl ConnectHandler<Adapter, Self> for ChildConnector {
    fn call_middleware<'a>(
        &'a self,
        socket: Arc<IoSocket<Adapter>>,
        auth: &'a Option<Value>,
    ) -> Pin<Box<dyn Future<Output = ConnectResult> + Send + 'a>> {
        Box::pin(async move {
            let asked = tasks::caught("connect", self.0.let_in(socket.clone(), auth)).await;
            let result = asked.unwrap_or_else(|| self.0.refuse_panicked(&socket));
            if result.is_err() {
                release_packets(&self.0.0.shared.sessions, &socket);
            }
            result
        })
    }

    fn call(&self, socket: Arc<IoSocket<Adapter>>, _: Option<Value>) {
        tell_connected(&self.0.0.shared.backplane, &socket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_elsewhere_are_none() {
        assert!(is_valid_name("/room-7", 256));
        for bad in ["", "/", "room", "/a#b", "/a,b", "/a*", "/a?", "/[ab]", "/a\\b", "/a\n"] {
            assert!(!is_valid_name(bad, 256), "{bad}");
        }
        assert!(!is_valid_name("/room-7", 3));
    }
}
