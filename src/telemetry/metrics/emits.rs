//! Emits, and what becomes of them on the way to clients.

use super::table::table;

table! {
    EMITS = Counter "roomcast_emits_total" Pod [source: "client" "api" "emitter" "stream" "handler" "hook" "backplane"]
        "Emits: `client` for events that members relay, `api` for publishes over HTTP, `emitter` for those of Redis emitters, `stream` for entries of the publish stream, `handler` for Rust handlers and what Roomcast tells clients itself, `hook` for answers of hooks to events, `backplane` for those of other servers."
        "Each counts once, however many sockets get it.";
    EMIT_DURATION = Histogram(POD) "roomcast_emit_duration_seconds" Pod [source: "client" "api" "emitter" "stream" "handler" "backplane"]
        "Time from the request for an emit until it is in the queue of each of its sockets on this pod."
        "Grows with the size of rooms. A p99 above 100 ms: rooms too large for one pod, or no CPU.";
    EMIT_LATENCY = Histogram(POD) "roomcast_emit_latency_seconds" Pod [stage: "publish" "receive" "queue" "write" "total"]
        "Time that emits take, by stage: `publish` from their acceptance until Redis has confirmed them; `receive` from the publisher's clock until another pod of ours has them; `queue` from their acceptance, or from then, until they are in the queues of this pod's sockets; `write` from then until one of them, by sample, is written to a WebSocket; `total` from the publisher's clock until then."
        "`total` is what clients see, but for the network to them; the stage that grew says where to look. [The stages](latency.md), [the sample](latency.md#the-sample), [the clocks](latency.md#the-clocks).";
    SLOW_EMITS = Counter "roomcast_slow_emits_total" Pod [stage: "publish" "receive" "queue" "write" "total"]
        "Emits of which a stage took longer than `telemetry.slow_emit`; of `write` and `total` those of the sample."
        "Rising: the log has one of them a second, `a slow emit`, with its numbers. [What each stage tells](latency.md#what-each-stage-tells).";
    DELIVERIES = Counter "roomcast_deliveries_total" Pod [source: "client" "api" "emitter" "stream" "handler" "hook" "backplane"]
        "Events put in the queues of this pod's sockets, by the source of their emits."
        "The work of the pod: what costs processor time. Volatile ones count for all that they are for.";
    EMIT_RECIPIENTS = Histogram(RECIPIENTS) "roomcast_emit_recipients" Pod [source: "client" "api" "emitter" "stream" "handler" "hook" "backplane"]
        "Sockets of this pod that an emit is for."
        "Many at 0: emits for rooms that are on other pods; `sharded` spares this pod those that come from there. Large ones make `queue` slow.";
    PACKETS_DROPPED = Counter "roomcast_packets_dropped_total" Pod [reason: "queue full" "closed"]
        "Packets that a client will not get: `queue full` (limits.send_queue, limits.send_queue_bytes) or `closed` (it left meanwhile). Those that were found too many: what waits for a client that is closed for it is lost with it, and not counted."
        "Must be 0 but for `closed`. `queue full`: clients do not read; raise `limits.send_queue` or send less.";
}
