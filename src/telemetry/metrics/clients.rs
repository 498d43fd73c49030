//! Clients: their connections, requests, sockets and events.

use super::table::table;

table! {
    CONNECTIONS = Gauge "roomcast_connections" Pod [transport: "polling" "websocket"]
        "Connections open now (Engine.IO sessions)."
        "What to scale on. Polling much above its usual share: something between clients and pods breaks WebSockets.";
    CONNECTIONS_OPENED = Counter "roomcast_connections_opened_total" Pod [transport: "polling" "websocket"]
        "Connections opened, by the transport they began with."
        "Its rate is the storm after a deploy or an outage.";
    CONNECTIONS_CLOSED = Counter "roomcast_connections_closed_total" Pod [reason: "no namespace" "transport close" "transport error" "ping timeout" "parse error" "client namespace disconnect" "server namespace disconnect" "server shutting down" "message timeout" "write timeout" "rebalanced" "queue full" "rate limited"]
        "Connections closed, by Socket.IO's disconnect reason, or `no namespace` for one that never joined any."
        "`ping timeout` rising: clients lose their network, or the pod stalls. `parse error`: someone tries things.";
    BYTES = Counter "roomcast_bytes_total" Pod [transport: "polling" "websocket", direction: "received" "sent"]
        "Bytes `received` from and `sent` to clients: bodies of polling, WebSocket frames with their headers, as they are when they are not compressed."
        "What clients cost in traffic.";
    PACKETS = Counter "roomcast_packets_total" Pod [transport: "polling" "websocket", direction: "received" "sent"]
        "Engine.IO packets `received` from and `sent` to clients, control frames of WebSocket sent among them."
        "Deliveries a second, pings included.";
    REQUESTS_REFUSED = Counter "roomcast_requests_refused_total" Pod [code: "transport_unknown" "session_unknown" "bad_handshake_method" "bad_request" "unsupported_protocol" "draining" "connection_limit" "memory_limit" "rate_limited" "address_limit" "origin_denied" "payload_too_large" "request_timeout" "allow_request_timeout" "pod_unauthenticated"]
        "Requests of clients that were answered with an error before or by Engine.IO."
        "`session_unknown` in numbers, without pods that were killed: pods do not reach each other on `internal.advertise`. [Codes](errors.md).";
    FORWARDED = Counter "roomcast_forwarded_requests_total" Pod [transport: "polling" "websocket", result: "ok" "failed"]
        "Requests of other pods' sessions that came here and were forwarded: `ok`, or `failed` when that pod did not take them."
        "Each costs a hop; many, and the load balancer has affinity to offer: turn it on. `failed` after a pod was lost is normal; else see the log for why pods refuse each other.";
    RELAYED_WEBSOCKETS = Gauge "roomcast_relayed_websockets" Pod []
        "WebSockets of other pods' sessions that pass through this pod now."
        "They go direct when their clients reconnect.";
    HELD_POLLS = Gauge "roomcast_held_polls" Pod []
        "Polls of other pods' sessions that wait on this pod now."
        "Idle polling clients; a drain has them poll elsewhere.";
    SOCKETS = Gauge "roomcast_sockets" Pod [nsp]
        "Sockets connected now."
        "One per connection and namespace it joined.";
    CHILD_NAMESPACES = Gauge "roomcast_child_namespaces" Pod [nsp]
        "Children of dynamic namespaces now, by their parent."
        "At `limits.child_namespaces`, clients that ask for another are refused, `namespace_limit`.";
    CONNECTS_REFUSED = Counter "roomcast_connects_refused_total" Pod [nsp, code]
        "Sockets refused at CONNECT, by error code."
        "`token_invalid` rising: a key changed, or clients keep old tokens.";
    TOKEN_CHECKS = Counter "roomcast_token_checks_total" Pod [result]
        "Tokens checked: `ok`, or the reason why one was refused."
        "`signature` or `unknown_key` rising: a key was rotated too early, or someone tries. [Reasons](auth.md#why-a-token-is-refused).";
    JWKS_REFRESHES = Counter "roomcast_jwks_refreshes_total" Jwks [result: "ok" "timeout" "unreachable" "status" "too_large" "malformed" "empty"]
        "Times that the key set of `auth.jwt.jwks_url` was fetched: `ok`, or why that failed (`timeout`, `unreachable`, `status`, `too_large`, `malformed`, `empty`)."
        "Failures: the log says more; the last good set stays in use. More than one in `auth.jwt.jwks_refresh`: tokens name keys that are not in the set.";
    JWKS_AGE = Gauge "roomcast_jwks_age_seconds" Later []
        "Time since the key set in use was fetched."
        "Page when it is several times `auth.jwt.jwks_refresh`: new keys are not seen, and withdrawn ones still accepted. Not there without a key set.";
    EVENTS = Counter "roomcast_events_total" Pod [nsp, result]
        "Events received from clients: `ok`, or the error code they were refused with."
        "`event_denied` rising: a client and the configuration disagree. [Codes](errors.md).";
}
