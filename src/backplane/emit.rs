//! What is emitted, whom it is for; and a join, that takes time to be known everywhere.

use std::{sync::Arc, time::Duration};

use socketioxide_core::{Sid, Str, Value};

use super::{
    BackplaneError, ClusterError,
    delivery::{Arrived, deliver},
    members::Members,
    redis::{Receipt, Subscribed},
    stages::Accepted,
    traced,
    wire::{Broadcast, Message},
};
use crate::telemetry::traces::{Span, Trace};

/// Who asked for an emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client whose event is relayed.
    Client,
    /// The HTTP API.
    Api,
    /// The publish stream.
    Stream,
    /// A handler of a Rust program.
    Handler,
    /// The gateway, which tells those who may know it who comes to their rooms and goes.
    Presence,
    /// A Redis emitter of another program.
    Emitter,
    /// A hook, with its answer to an event.
    Hook,
    /// Another server.
    Backplane,
}

impl Source {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self::Client,
        Self::Api,
        Self::Stream,
        Self::Handler,
        Self::Presence,
        Self::Emitter,
        Self::Hook,
        Self::Backplane,
    ];

    /// Its name in metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Api => "api",
            Self::Stream => "stream",
            Self::Handler | Self::Presence => "handler",
            Self::Emitter => "emitter",
            Self::Hook => "hook",
            Self::Backplane => "backplane",
        }
    }
}

/// Sockets of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Rooms (or socket ids) whose members are meant. Empty: every socket of the namespace.
    pub rooms: Vec<String>,
    /// Rooms (or socket ids) whose members are not.
    pub except: Vec<String>,
}

/// An event, and the sockets it is for.
#[derive(Debug, Clone)]
pub struct Emit {
    /// The event: its name and arguments, as the parser of the pod writes them.
    pub payload: Value,
    /// Who gets it.
    pub target: Target,
    /// The socket that it comes from, which does not get it.
    pub from: Option<Sid>,
    /// May be dropped for a client that is not ready for it.
    pub volatile: bool,
    /// Who asked for it.
    pub source: Source,
    /// W3C trace context of what caused it.
    pub traceparent: Option<Trace>,
}

impl Emit {
    /// As other servers are told, with the time of its publishing.
    pub(super) fn message(&self, arrived: &Arrived) -> Message {
        let mut target = self.target.clone();
        // A socket is also a room, of which it alone is a member.
        target.except.extend(self.from.map(|socket| socket.to_string()));
        Message::Broadcast(Broadcast {
            payload: self.payload.clone(),
            target,
            volatile: self.volatile,
            ask: None,
            meta: arrived.stamp(self.traceparent.clone(), self.source == Source::Presence),
        })
    }

    /// What the log has of it if Redis takes long to confirm it.
    pub(super) fn accepted(&self, namespace: Str, arrived: &Arrived) -> Accepted {
        Accepted {
            at: arrived.at,
            namespace,
            source: self.source,
            trace: self.traceparent.as_ref().map(Trace::id),
        }
    }
}

/// An emit that is on its way to the other pods. The sockets of this pod get it when it is done, and not at all
/// if it is dropped.
#[must_use]
pub struct Publishing {
    /// Nothing for a child of a dynamic namespace that nobody of this pod is in.
    pub(super) members: Option<Arc<Members>>,
    pub(super) emit: Emit,
    pub(super) arrived: Arrived,
    pub(super) receipt: Option<Receipt>,
    /// Until it is done.
    pub(super) span: Span,
}

impl Publishing {
    /// Waits until Redis has confirmed it, then serves the sockets of this pod.
    pub async fn done(self) -> Result<(), BackplaneError> {
        let Self { members, emit, arrived, receipt, span } = self;
        if let Some(receipt) = receipt {
            let confirmed = receipt.confirmed().await.map_err(ClusterError::from);
            confirmed.inspect_err(|_| span.failed("unconfirmed"))?;
        }
        if let Some(members) = members {
            let giving = traced::giving(&members, &emit);
            let _here = giving.enter();
            deliver(&members, emit, arrived);
        }
        Ok(())
    }
}

/// A socket has joined rooms on this pod.
#[must_use]
pub struct Joined {
    pub(super) subscribed: Option<Subscribed>,
    /// How long to wait for Redis.
    pub(super) patience: Duration,
}

impl Joined {
    /// Whether there is nothing to wait for.
    pub fn is_settled(&self) -> bool {
        self.subscribed.is_none()
    }

    /// Waits until what other servers send to the rooms reaches this pod. Not for ever: without Redis,
    /// the rooms work among the sockets of this pod.
    pub async fn settled(self) {
        if let Some(subscribed) = self.subscribed {
            let _ = tokio::time::timeout(self.patience, subscribed.wait()).await;
        }
    }
}
