//! The rooms that a client asked to join or leave, and was refused. The event is answered all the same, with each of them.

use metrics::counter;
use serde::Serialize;

use crate::{gateway::replies::refusal::codes, telemetry::metrics::ROOMS_REFUSED};

/// A room that is refused, and the code why.
#[derive(Serialize)]
pub(in crate::gateway) struct RejectedRoom {
    pub room: String,
    pub code: String,
}

/// Counts them for a namespace. Codes of hooks are any that these say: too many for a label.
pub(in crate::gateway) fn count_rejected_rooms(namespace: &str, rejected: &[RejectedRoom]) {
    for RejectedRoom { code, .. } in rejected {
        let known = codes::ALL.iter().find(|known| **known == code.as_str());
        count_rejected(namespace, known.copied().unwrap_or(codes::HOOK_DENIED), 1);
    }
}

/// Counts some that are refused for one reason.
pub(in crate::gateway) fn count_rejected(namespace: &str, code: &'static str, rooms: usize) {
    let namespace = namespace.to_owned();
    counter!(ROOMS_REFUSED.name, "nsp" => namespace, "code" => code).increment(rooms as u64);
}
