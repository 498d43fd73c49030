//! Publishing from a Rust program: to a socket, to rooms or to everyone, on all servers of the cluster.
//!
//! [`Roomcast`] is what Node calls `io`, [`BroadcastOperator`] what its `to` and `of` give. A handler has the operator of its
//! namespace from [`Socket::nsp`](crate::Socket::nsp).

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tokio::sync::watch;

use crate::{
    backplane::Backplane,
    edge::Sessions,
    gateway::{
        broadcast::{
            error::RoomcastError,
            operator::{BroadcastOperator, Destination, PodState},
        },
        connect::dynamic::ChildNamespaces,
    },
};

/// Publishes from a program, through the pod that it runs. Clones are the same; they may outlive the pod, and say so then.
///
/// ```no_run
/// # use roomcast::{Destination, Roomcast, RoomcastError};
/// # async fn example(roomcast: Roomcast) -> Result<(), RoomcastError> {
/// roomcast.ready().await?;
/// roomcast.send(Destination::Room("user:ada".into()), "paid", &42).await?;
/// roomcast.of("/chat").to("lobby").except("user:ada").emit("news", &("a", "b")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Roomcast(Arc<Inner>);

struct Inner {
    backplane: Backplane,
    sessions: Arc<Sessions>,
    name_length: usize,
    pod: watch::Sender<PodState>,
    children: OnceLock<ChildNamespaces>,
}

/// Ends the life of a handle when it is dropped: also for a pod whose future is given up.
pub struct Running(Roomcast);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Roomcast {
    pub(crate) fn new(backplane: Backplane, sessions: Arc<Sessions>, name_length: usize) -> Self {
        let pod = watch::Sender::new(PodState::Built);
        Self(Arc::new(Inner { backplane, sessions, name_length, pod, children: OnceLock::new() }))
    }

    /// There are dynamic namespaces.
    pub(crate) fn has_children(&self, children: ChildNamespaces) {
        let _ = self.0.children.set(children);
    }

    /// The pod runs, until the answer is dropped.
    pub(crate) fn run(&self) -> Running {
        self.0.pod.send_replace(PodState::Running);
        Running(self.clone())
    }

    /// The pod publishes no more.
    pub(crate) fn stop(&self) {
        self.0.pod.send_replace(PodState::Stopped);
    }

    /// Waits until the pod runs, and has reached the others if it has a backplane. While Redis is away that takes as long
    /// as it is: who cannot wait puts a time-out around it.
    ///
    /// # Errors
    /// [`RoomcastError::Stopped`].
    pub async fn ready(&self) -> Result<(), RoomcastError> {
        let mut states = self.0.pod.subscribe();
        let stopped = |state: &PodState| *state == PodState::Stopped;
        // The sender lives in `self`.
        let _ = states.wait_for(|state| *state != PodState::Built).await;
        tokio::select! {
            biased; // a pod that has stopped is not ready, whatever its connections are
            _ = states.wait_for(stopped) => Err(RoomcastError::Stopped),
            () = self.0.backplane.cluster().reached() => Ok(()),
        }
    }

    /// A namespace, on all servers: `io.of(…)`.
    pub fn of(&self, namespace: impl Into<String>) -> BroadcastOperator {
        let Inner { backplane, name_length, pod, .. } = &*self.0;
        let pod = Some(pod.subscribe());
        BroadcastOperator::new(backplane.clone(), *name_length, namespace.into(), pod)
    }

    /// How many connections of clients this pod has, in whichever namespaces, and in none: `io.engine.clientsCount` on Node.
    ///
    /// ```
    /// # fn example(roomcast: roomcast::Roomcast) {
    /// println!("{} clients are here", roomcast.clients_count());
    /// # }
    /// ```
    pub fn clients_count(&self) -> usize {
        self.0.sessions.open()
    }

    /// The children of a dynamic namespace that clients of this pod are in, by the pattern or label that it was made with. Each
    /// is on all servers; as on Node, those that have only clients of other pods are not known here: an emit to all of a
    /// parent, `io.of(/re/).emit(…)`, is one to each of these.
    pub fn children(&self, parent: &str) -> Vec<BroadcastOperator> {
        let names = self.0.children.get().map(|children| children.of(parent)).unwrap_or_default();
        names.into_iter().map(|name| self.of(name)).collect()
    }

    /// Sends data under a topic in the namespace `/`; [`BroadcastOperator::send`] does in others. It is queued when this
    /// is done: see [`BroadcastOperator::emit`].
    ///
    /// # Errors
    /// Those of [`BroadcastOperator::emit`].
    pub async fn send<T: Serialize + ?Sized>(
        &self,
        destination: Destination,
        topic: &str,
        data: &T,
    ) -> Result<(), RoomcastError> {
        self.of("/").send(destination, topic, data).await
    }
}
