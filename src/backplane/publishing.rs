//! An emit on its way: what the other pods are told of it, and that the sockets of this pod get it when Redis has it.

use std::sync::Arc;

use socketioxide_core::Str;

use super::{
    ClusterError, Emit, Source,
    delivery::{Arrived, deliver},
    members::Members,
    redis::Receipt,
    stages::Accepted,
    traced,
    wire::{Broadcast, Message},
};
use crate::telemetry::traces::{Span, Trace};

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
    pub async fn done(self) -> Result<(), ClusterError> {
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
