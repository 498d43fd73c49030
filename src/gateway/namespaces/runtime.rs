//! A namespace that clients can connect to: its handlers, with what they work on.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::AtomicBool},
    time::{SystemTime, UNIX_EPOCH},
};

use metrics::{Counter, counter};

use super::{deadlines::Deadlines, namespace::Namespace};
use crate::{
    backplane::{Backplane, LocalNamespace},
    config::Limits,
    edge::Sessions,
    gateway::{sockets::state::NamespaceContext, tokens::Tokens},
    telemetry::metrics::EVENTS,
};

/// What all namespaces of a pod share.
#[derive(Clone)]
pub struct Shared {
    /// What carries emits.
    pub backplane: Backplane,
    /// Where connections are.
    pub sessions: Arc<Sessions>,
    /// What a client can send at most.
    pub limits: Limits,
    /// What tokens are checked with.
    pub tokens: Option<Tokens>,
}

/// Called when a socket has left its namespace.
pub(in crate::gateway) type LeaveFn = Box<dyn Fn(&str) + Send + Sync>;

/// A namespace that clients can connect to.
pub(in crate::gateway) struct NamespaceRuntime {
    /// The part that handles to sockets keep.
    pub context: Arc<NamespaceContext>,
    /// The handlers. All children of a dynamic namespace have those of their parent.
    pub namespace: Arc<Namespace>,
    /// The connections of the pod.
    pub sessions: Arc<Sessions>,
    pub tokens: Option<Tokens>,
    /// When sockets must have authenticated, or again.
    pub deadlines: Deadlines,
    /// Counts handled events. It is looked up once, because every event needs it.
    pub handled: Counter,
    /// Whether the log has warned that a socket was not put in all of its rooms.
    pub warned_of_rooms: AtomicBool,
    /// Counts the sockets of a child of a dynamic namespace.
    pub on_leave: Option<LeaveFn>,
}

impl NamespaceRuntime {
    /// The namespace at a path. The path of a child of a dynamic namespace is not that of its parent.
    pub fn new(
        path: String,
        namespace: Arc<Namespace>,
        shared: Shared,
        on_leave: Option<LeaveFn>,
    ) -> Arc<Self> {
        let Shared { backplane, sessions, limits, tokens } = shared;
        let label = namespace.path.clone();
        let handled = counter!(EVENTS.name, "nsp" => label.clone(), "result" => "ok");
        let context = NamespaceContext {
            parameters: namespace.parameters(&path),
            keeps_auth: namespace.keeps_auth,
            limits: namespace.limits.clone().unwrap_or(limits),
            path,
            label,
            backplane,
        };
        Arc::new(Self {
            context: Arc::new(context),
            namespace,
            sessions,
            tokens,
            deadlines: Deadlines::default(),
            handled,
            warned_of_rooms: AtomicBool::new(false),
            on_leave,
        })
    }

    /// Runs the deadlines of the namespace, and sends its heartbeats.
    pub async fn run_timers(self: Arc<Self>) -> Infallible {
        let heartbeats = async {
            let Some(interval) = self.namespace.heartbeat else {
                return std::future::pending().await;
            };
            loop {
                tokio::time::sleep(interval).await;
                let here = self.context.backplane.local(&self.context.path);
                for member in here.iter().flat_map(LocalNamespace::members) {
                    member.heartbeat(now_millis());
                }
            }
        };
        tokio::select! {
            never = self.deadlines.run() => never,
            never = heartbeats => never,
        }
    }
}

/// Milliseconds since 1970.
pub(in crate::gateway) fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
