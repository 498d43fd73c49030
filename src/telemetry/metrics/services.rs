//! Who publishes, and who is asked: the HTTP API, the publish stream, hooks.

use super::table::table;

table! {
    STREAM_ENTRIES = Counter "roomcast_stream_entries_total" Stream [result: "ok" "trimmed" "payload_too_large" "invalid_request" "unknown_namespace" "too_many_deliveries"]
        "Entries of the publish stream that this pod ended with: `ok`, or the error code that made a dead letter of them; `trimmed` for those that were deleted before they were emitted."
        "Anything but `ok`: a backend writes what is no emit; [the dead letters](stream.md) say what.";
    STREAM_RETRIES = Counter "roomcast_stream_retries_total" Stream [reason: "claimed" "retried"]
        "Entries of the publish stream that came to this pod again: `claimed` from another that did not end with them, `retried` after a failure of its own."
        "The most doubles that clients may have seen. `claimed` without a lost pod: `claim_after` is too short, or [dead letters cannot be written](stream.md#dead-letters).";
    STREAM_LAG = Gauge "roomcast_stream_lag" Later []
        "Entries of the publish stream that no pod has read, the same on all pods."
        "Page when it grows for minutes: pods are cut off, or backends publish more than they emit. Take `max`, not `sum`.";
    STREAM_PENDING = Gauge "roomcast_stream_pending" Later []
        "Entries of the publish stream that pods have read and not ended with, the same on all pods."
        "At most pods × `batch`. Not falling: a pod was lost, and `claim_after` is not over; or dead letters cannot be written.";
    STREAM_DEAD_LETTERS = Gauge "roomcast_stream_dead_letters" Later []
        "Entries in the stream of dead letters, the same on all pods."
        "Above 0: look at them, then delete them.";
    API_REQUESTS = Counter "roomcast_api_requests_total" Pod [path: "other" in API_PATHS, result: "ok" in API_CODES]
        "Requests to the HTTP API: `ok`, or the error code of the answer."
        "`unauthorized` rising: a backend has an old key, or someone guesses. Page on `backplane_unavailable` and `publish_queue_full`: backends cannot publish; `roomcast_backplane_connected` says whether Redis is away. `backplane_unconfirmed`: what was asked for may have been done on other pods.";
    HOOK_CALLS = Counter "roomcast_hook_calls_total" Pod [hook, kind, result: "ok" "refused" "unreachable" "timeout" "lost" "status" "redirect" "unreadable" "too large" "breaker open" "in flight limit"]
        "Calls of hooks: `ok`, `refused`, or why the hook counts as down: `unreachable`, `timeout`, `lost`, `status`, `redirect`, `unreadable`, `too large`, `breaker open`, `in flight limit`."
        "What is neither `ok` nor `refused` was decided by `on_failure`: page when that is more than a few in a hundred. `in flight limit`: the hook is slow, or `hooks.in_flight` too low. [What each means](hooks.md#when-a-hook-is-down).";
    HOOK_RETRIES = Counter "roomcast_hook_retries_total" Pod [hook, kind]
        "Attempts after the first of a call."
        "Rising while calls are `ok`: a hook that is about to go down.";
    HOOK_DURATION = Histogram(SERVICE) "roomcast_hook_duration_seconds" Pod [hook, kind]
        "Time of a call with all its attempts, until the answer is read."
        "What clients wait.";
    HOOK_IN_FLIGHT = Gauge "roomcast_hook_in_flight" Pod [hook]
        "Attempts under way now."
        "Near `hooks.in_flight`: the hook is slow, or the limit too low.";
    HOOK_BREAKER = Gauge "roomcast_hook_breaker" Pod [hook, state: "closed" "open" "half-open"]
        "1 for the state that the circuit breaker of the hook is in (closed, open, half-open), 0 for the others."
        "Page on `open`: the hook is gone, and `on_failure` decides.";
    HOOK_QUEUE = Gauge "roomcast_hook_queue" Pod [hook]
        "Disconnects that the hook has not been told yet."
        "Near `hooks.disconnect_queue`: some will be dropped.";
    HOOK_DROPPED = Counter "roomcast_hook_notifications_dropped_total" Pod [hook, reason: "queue full" "failed"]
        "Disconnects that the hook was not told: `queue full` (hooks.disconnect_queue), or `failed` when it refused or hooks.disconnect_timeout was over."
        "Must be 0; else what the hook believes of who is here is wrong.";
    SPANS = Counter "roomcast_spans_total" Pod [result: "exported" "failed" "dropped"]
        "Spans of [traces](traces.md): `exported`, `failed` (the collector did not take them), `dropped` (the queue was full: OTEL_BSP_MAX_QUEUE_SIZE). All 0 while tracing is off."
        "`failed` or `dropped` rising: traces have holes, and nothing else suffers. Look at the collector; the log has its answer once a minute.";
}
