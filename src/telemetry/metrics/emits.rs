//! Emits, and what becomes of them on the way to clients.

use super::table::table;

table! {
    EMITS = Counter "roomcast_emits_total" Pod [source: "client" "api" "stream" "handler" "backplane"]
        "Emits: `client` for events that members relay, `api` for publishes over HTTP, `stream` for entries of the publish stream, `handler` for Rust handlers, `backplane` for those of other servers and emitters."
        "Each counts once, however many sockets get it.";
    EMIT_DURATION = Histogram(POD) "roomcast_emit_duration_seconds" Pod [source: "client" "api" "stream" "handler" "backplane"]
        "Time from the request for an emit until it is in the queue of each of its sockets on this pod."
        "Grows with the size of rooms. A p99 above 100 ms: rooms too large for one pod, or no CPU.";
    PACKETS_DROPPED = Counter "roomcast_packets_dropped_total" Pod [reason: "queue full" "closed"]
        "Packets that a client will not get: `queue full` (limits.send_queue, limits.send_queue_bytes) or `closed` (it left meanwhile)."
        "Must be 0 but for `closed`. `queue full`: clients do not read; raise `limits.send_queue` or send less.";
}
