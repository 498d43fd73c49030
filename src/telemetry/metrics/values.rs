//! Values of labels that several metrics have, or that are many. Those who write them compare their own lists with these in tests.

use crate::config::API_ROUTES;

/// Tasks of a pod (`crate::tasks`).
pub(super) const TASKS: &[&str] = &[
    "api request",
    "attachments",
    "backplane inbox",
    "backplane questions",
    "child namespaces",
    "cluster",
    "cluster record",
    "compression",
    "connect",
    "connection",
    "disconnect",
    "dismissal",
    "drain phases",
    "event",
    "external metrics",
    "forwarded request",
    "hook notification",
    "kubernetes",
    "listener",
    "memory",
    "namespace deadlines",
    "other",
    "overflowed connections",
    "polling end",
    "publish stream",
    "rebalance",
    "redis",
    "redis connection",
    "redis outbox",
    "redis pulse",
    "redis subscriptions",
    "relayed websocket",
    "request",
    "telemetry",
    "token keys",
    "upgrade",
];

/// Codes that clients are refused with (`gateway::codes`).
pub(super) const CODES: &[&str] = &[
    "bad_request",
    "bad_event",
    "bad_arguments",
    "event_denied",
    "no_handler",
    "not_in_room",
    "room_denied",
    "authentication_required",
    "token_invalid",
    "claim_denied",
    "authentication_timeout",
    "rate_limited",
    "payload_too_large",
    "too_many_pending",
    "bad_room_name",
    "room_limit",
    "room_reserved",
    "hook_denied",
    "hook_unavailable",
    "namespace_limit",
    "internal_error",
];

/// Codes of errors of the HTTP API.
pub(super) const API_CODES: &[&str] = &[
    "api_disabled",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "payload_too_large",
    "request_timeout",
    "invalid_request",
    "unknown_namespace",
    "unknown_socket",
    "backplane_unavailable",
    "backplane_unconfirmed",
    "publish_queue_full",
    "idempotency_key_reused",
    "idempotency_key_in_use",
    "drain_final",
    "rebalance_running",
];

/// Paths of the HTTP API.
pub(super) const API_PATHS: &[&str] = &{
    let (mut paths, mut next) = ([""; API_ROUTES.len()], 0);
    while next < paths.len() {
        paths[next] = API_ROUTES[next].0;
        next += 1;
    }
    paths
};

/// What is asked of the API server of Kubernetes (`kube::Call`).
pub(super) const KUBERNETES_REQUESTS_MADE: &[&str] = &[
    "create accessreviews",
    "get pods",
    "patch pods",
    "list endpointslices",
    "watch endpointslices",
    "create events",
    "patch events",
    "get configmaps",
    "create subjectaccessreviews",
    "get secrets",
    "create secrets",
    "update secrets",
    "get apiservices",
    "patch apiservices",
];
