//! The spans of an emit: that of the pod that sends it, and one of each pod that gives it to its sockets.

use socketioxide_core::Sid;

use super::{
    Emit, Target,
    members::Members,
    wire::{Broadcast, Meta},
};
use crate::telemetry::traces::{self, Span, Trace};

/// An emit is on its way to all pods; from now on it goes with its own span.
pub(super) fn sending(namespace: &str, emit: &mut Emit) -> Span {
    traces::publish(namespace, emit.source.name(), &mut emit.traceparent)
}

/// An emit of this pod is given to its sockets.
pub(super) fn giving(members: &Members, emit: &Emit) -> Span {
    processing(members, &emit.target, emit.from, emit.traceparent.as_ref())
}

/// One that came from another pod is.
pub(super) fn giving_arrived(members: &Members, broadcast: &Broadcast) -> Span {
    if !traces::is_on() {
        return Span::default();
    }
    let trace = broadcast.meta.as_ref().and_then(Meta::trace);
    processing(members, &broadcast.target, None, trace.as_ref())
}

fn processing(
    members: &Members,
    target: &Target,
    from: Option<Sid>,
    trace: Option<&Trace>,
) -> Span {
    traces::process(members.local.path().as_str(), trace, || {
        let get = members
            .recipients()
            .matching(target)
            .into_iter()
            .filter(|socket| Some(*socket) != from);
        get.count()
    })
}
