//! The rooms that a client may not join or leave. The answer to its event names each of them, with an error code.

use metrics::counter;
use serde::Serialize;

use crate::{gateway::replies::refusal::codes, telemetry::metrics::ROOMS_REFUSED};

/// A room that is refused, and the error code.
#[derive(Serialize)]
pub(in crate::gateway) struct RejectedRoom {
    pub room: String,
    pub code: String,
}

/// Counts refused rooms. Hooks make up codes of their own, too many for a label: these are counted as `hook_denied`.
pub(in crate::gateway) fn count_rejected_rooms(namespace: &str, rejected: &[RejectedRoom]) {
    for RejectedRoom { code, .. } in rejected {
        let known = codes::ALL.iter().find(|known| **known == code.as_str());
        count_rejected(namespace, known.copied().unwrap_or(codes::HOOK_DENIED), 1);
    }
}

/// Counts rooms that are refused for the same reason.
pub(in crate::gateway) fn count_rejected(namespace: &str, code: &'static str, rooms: usize) {
    let namespace = namespace.to_owned();
    counter!(ROOMS_REFUSED.name, "nsp" => namespace, "code" => code).increment(rooms as u64);
}
