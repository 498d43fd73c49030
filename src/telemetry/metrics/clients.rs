//! Clients: their connections, requests, sockets and events.

use super::table::table;

table! {
    CONNECTIONS = Gauge "roomcast_connections" Pod [transport: "polling" "websocket"]
        "Connections open now (Engine.IO sessions)."
        "What to scale on. Polling much above its usual share: something between clients and pods breaks WebSockets; `roomcast_upgrades_total` says how. Page when all pods together lose a third within minutes and nobody deploys.";
    CONNECTIONS_OPENED = Counter "roomcast_connections_opened_total" Pod [transport: "polling" "websocket"]
        "Connections opened, by the transport they began with."
        "Its rate is the storm after a deploy or an outage. High for long, with `roomcast_connections` level: clients come and are thrown out again; see why in `roomcast_connections_closed_total`.";
    CONNECTION_DURATION = Histogram(DAY) "roomcast_connection_duration_seconds" Pod [transport: "polling" "websocket"]
        "How long connections that have ended were open, by the transport that they used last."
        "Its `_count` is the number of connections closed. Many below a minute: clients come and go, or something between cuts them; a step at one length is a time-out of a load balancer.";
    HANDSHAKE_DURATION = Histogram(HANDSHAKE) "roomcast_handshake_duration_seconds" Pod [transport: "polling" "websocket"]
        "Time from the opening request of a connection until its first CONNECT that is let in has been answered, once a connection; by the transport that it uses then."
        "What a client waits for until it is in; its own way to the pod and back is in it. A p99 that rises: hooks or the key set that decide are slow, or the pod has no CPU. Connections that never come so far are `no namespace` in `roomcast_connections_closed_total`.";
    UPGRADES = Counter "roomcast_upgrades_total" Pod [result: "ok" "timeout" "abandoned" "session ended" "surplus"]
        "WebSockets that were to take a polling session over: `ok`, `timeout` (engine.upgrade_timeout), `abandoned` (cut, or not gone through with), `session ended` before, `surplus` (the session has one, or is about to)."
        "`timeout` and `abandoned` in numbers: something between clients and pods opens WebSockets and lets nothing through. Those sessions go on polling.";
    CONNECTIONS_CLOSED = Counter "roomcast_connections_closed_total" Pod [reason: "no namespace" "transport close" "transport error" "ping timeout" "parse error" "client namespace disconnect" "server namespace disconnect" "server shutting down" "message timeout" "write timeout" "rebalanced" "queue full" "rate limited"]
        "Connections closed, by Socket.IO's disconnect reason, or `no namespace` for one that never joined any."
        "`ping timeout` rising: clients lose their network, or the pod stalls: page when it does on all pods at once. `queue full`, `write timeout`: clients do not take what they are sent (`roomcast_slow_clients_closed_total`). `no namespace`: clients are not let in, or never ask. `rate limited`, `message timeout`, `parse error`: someone tries things. `server shutting down`: a drain.";
    BYTES = Counter "roomcast_bytes_total" Pod [transport: "polling" "websocket", direction: "received" "sent"]
        "Bytes `received` from and `sent` to clients: bodies of polling, WebSocket frames with their headers, as they are when they are not compressed."
        "What clients cost in traffic.";
    PACKETS = Counter "roomcast_packets_total" Pod [transport: "polling" "websocket", direction: "received" "sent"]
        "Engine.IO packets `received` from and `sent` to clients, control frames of WebSocket sent among them."
        "Deliveries a second, pings included.";
    REQUESTS_REFUSED = Counter "roomcast_requests_refused_total" Pod [code: "transport_unknown" "session_unknown" "bad_handshake_method" "bad_request" "unsupported_protocol" "draining" "connection_limit" "memory_limit" "rate_limited" "address_limit" "origin_denied" "payload_too_large" "request_timeout" "allow_request_timeout" "pod_unauthenticated" "internal_error" "file_limit" "bad_proxy_header" "head_timeout" "bad_http" "forbidden"]
        "Requests of clients that were answered with an error before or by Engine.IO."
        "Page on `connection_limit`, `memory_limit` and `file_limit`: the pod is full, add pods or raise the limit. `session_unknown` in numbers, without pods that were killed: pods do not reach each other on `internal.advertise`. `rate_limited`, `address_limit`: a storm, or one address that asks too much. `draining`: a load balancer still sends clients here. `bad_proxy_header`: the load balancer and `public.proxies` disagree. [Codes](errors.md).";
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
    ROOMS = Gauge "roomcast_rooms" Pod [nsp]
        "Rooms that have members on this pod now, without the rooms of sockets' own ids."
        "What clients or tokens make. Growing while sockets do not: names of rooms are made up, or nobody leaves. Sums over pods count a room once for each pod that has members of it.";
    CHILD_NAMESPACES = Gauge "roomcast_child_namespaces" Pod [nsp]
        "Children of dynamic namespaces now, by their parent."
        "At `limits.child_namespaces`, clients that ask for another are refused, `namespace_limit`.";
    CONNECTS_REFUSED = Counter "roomcast_connects_refused_total" Pod [nsp, code in CODES]
        "Sockets refused at CONNECT, by error code."
        "`token_invalid` rising: a key changed, or clients keep old tokens. Page on `hook_unavailable` (a hook is down, and nobody gets in) and `internal_error` (a handler of the program panics). `namespace_limit`: raise `limits.child_namespaces`. [Codes](errors.md).";
    TOKEN_CHECKS = Counter "roomcast_token_checks_total" Pod [result: "ok" "malformed" "too_large" "algorithm" "unknown_key" "keys_unavailable" "signature" "expired" "no_expiry" "not_yet_valid" "issuer" "audience"]
        "Tokens checked: `ok`, or the reason why one was refused."
        "`signature` or `unknown_key` rising: a key was rotated too early, or someone tries. [Reasons](auth.md#why-a-token-is-refused).";
    JWKS_REFRESHES = Counter "roomcast_jwks_refreshes_total" Jwks [result: "ok" "timeout" "unreachable" "status" "too_large" "malformed" "empty"]
        "Times that the key set of `auth.jwt.jwks_url` was fetched: `ok`, or why that failed (`timeout`, `unreachable`, `status`, `too_large`, `malformed`, `empty`)."
        "Failures: the log says more; the last good set stays in use. More than one in `auth.jwt.jwks_refresh`: tokens name keys that are not in the set.";
    JWKS_AGE = Gauge "roomcast_jwks_age_seconds" Later []
        "Time since the key set in use was fetched."
        "Page when it is several times `auth.jwt.jwks_refresh`: new keys are not seen, and withdrawn ones still accepted. Not there without a key set.";
    EVENTS = Counter "roomcast_events_total" Pod [nsp, result: "ok" in CODES]
        "Events received from clients: `ok`, or the error code they were refused with."
        "`event_denied` rising: a client and the configuration disagree. `rate_limited`, `too_many_pending`: clients send more than `limits` allow. Page on `internal_error`: a handler of the program panics. [Codes](errors.md).";
    ROOMS_REFUSED = Counter "roomcast_rooms_refused_total" Pod [nsp, code in CODES]
        "Rooms that clients asked to join or leave and were refused, by error code; `room_limit` also for those that tokens and hooks put them in beyond it."
        "`room_limit`: raise `limits.rooms_per_socket`, or look for clients that never leave. `room_denied` rising: a client and the configuration disagree. [Codes](errors.md).";
    INVALID_NAMESPACES = Counter "roomcast_invalid_namespaces_total" Pod []
        "CONNECTs for namespaces that there are not: `Invalid namespace`, as Node says."
        "Rising: a client that is newer than the configuration, or someone tries names.";
    ACKS = Counter "roomcast_acks_total" Pod [result: "asked" "answered" "timeout" "gone"]
        "Answers that clients of this pod were asked for by the server: each `asked` ends as `answered`, `timeout`, or `gone` (the client left, or could not be reached, or nobody waits for its answer any more)."
        "`timeout` over `asked`: clients that do not answer, or time-outs that are too short.";
    SLOW_CLIENTS = Gauge "roomcast_slow_clients" Pod []
        "Clients that have not taken all that they were sent, looked at every 5 seconds: those whose WebSocket takes nothing at the moment, and those that poll and have something waiting."
        "Some are normal. Growing: clients on bad networks, or more is sent than they can take; those that go on so are closed.";
    SLOW_CLIENTS_CLOSED = Counter "roomcast_slow_clients_closed_total" Pod [reason: "queue full" "write timeout"]
        "Connections closed since the client did not take what it was sent: `queue full` (limits.send_queue, limits.send_queue_bytes), `write timeout` (limits.write_timeout)."
        "Page when it rises above its usual rate: each has lost what waited for it. `queue full`: send less, or raise the limit; `write timeout`: clients that hang, or that have gone without a word.";
    SEND_QUEUE_PACKETS = Histogram(QUEUE_PACKETS) "roomcast_send_queue_packets" Pod []
        "Packets that were sent to a client since it had last taken all, looked at every 5 seconds, once for each client that `roomcast_slow_clients` counts then. Clients that take all have nothing waiting and are not observed."
        "How far behind the slow ones are; nothing is observed on a good day. Values near `limits.send_queue`: the next step is `queue full`.";
    SEND_QUEUE_BYTES = Histogram(QUEUE_BYTES) "roomcast_send_queue_bytes" Pod []
        "The same in bytes of events and acks."
        "Their sum over clients is memory. Values near `limits.send_queue_bytes`: the next step is `queue full`.";
    LIMIT_USED = Gauge "roomcast_limit_used_ratio" Pod [limit: "admission.max_connections" "limits.memory" "public.backlog" "idempotency notes"]
        "Share of a limit of the pod that is in use, 1 for all: `admission.max_connections`, `limits.memory`, `public.backlog` (connections that wait to be accepted, of the fullest listener, by what the kernel allows), `idempotency notes` (answers kept without Redis). 0 without such a limit."
        "Page before 1: above 0.9, the pod is about to refuse clients, or with `public.backlog` the kernel is. `idempotency notes` at 1: the oldest answers are forgotten. [Limits](limits.md).";
    LIMITS_REACHED = Counter "roomcast_limits_reached_total" Pod [limit: "event name" "namespaces at once" "websocket farewell" "http compression" "client answers" "idempotency notes"]
        "Times that a limit was reached over which nobody is refused: something is done in another way, as [limits](limits.md) says."
        "`client answers`: emits that ask for acks have answers left out. `idempotency notes`: requests that are repeated may be done twice. `http compression`: answers go out as they are, for want of CPU. The others are oddities of clients.";
}
