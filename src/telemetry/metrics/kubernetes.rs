//! What the pod asks of Kubernetes.

use super::table::table;

table! {
    KUBERNETES_REQUESTS = Counter "roomcast_kubernetes_requests_total" Kubernetes [request in KUBERNETES_REQUESTS_MADE, result: "ok" "refused" "failed" "timeout" "unreachable"]
        "Requests to the API server, by verb and resource: `ok`; `refused` (401, 403); `failed` (any other answer); `timeout`; `unreachable`. Of `watch endpointslices`, `ok` is a change that was seen."
        "`refused`: RBAC lacks what the label says, or the token is not taken: [what each is for](kubernetes/pod.md). The rest: the API server is away or slow; clients notice nothing.";
    KUBERNETES_REFUSED = Gauge "roomcast_kubernetes_permission_missing" Kubernetes [permission in KUBERNETES_REQUESTS_MADE]
        "1 for what the pod's service account may not do and the configuration asks for, 0 for all else; looked at every 10 minutes."
        "1: the Role of the chart is not there, or too small. [What does not work without it](kubernetes/pod.md); `roomcast doctor` says it too.";
    KUBERNETES_PEERS = Gauge "roomcast_kubernetes_peers" Later []
        "Addresses of pods, this one among them, in the EndpointSlices of `kubernetes.peers_service`, as they were last seen."
        "Fewer than there are pods (twice as many with dual stack): the Service selects others. Stays as it is while the API server is away.";
    KUBERNETES_EVENTS_HELD_BACK = Counter "roomcast_kubernetes_events_held_back_total" Kubernetes []
        "Events that were not written, because the pod wrote as many as it may: 10 at once, then one a minute."
        "Rising: the backplane comes and goes; `roomcast_backplane_reconnects_total` counts it.";
    EXTERNAL_METRICS_REQUESTS = Counter "roomcast_external_metrics_requests_total" ExternalMetrics [asked: "roomcast_connections" "roomcast_utilization" "discovery" "other", result: "ok" "bad_request" "unauthorized" "forbidden" "not_found" "method_not_allowed" "unavailable"]
        "Requests of the API server to `external.metrics.k8s.io`, by what was asked for (`discovery`: which metrics there are) and the answer."
        "`ok` of the metric that the autoscaler reads, every 15 s over all pods; without it, nothing scales. `unavailable`: Redis is away, or the API server does not say who may read. `unauthorized`: somebody else asks, or its authority has changed a moment ago. [What helps](kubernetes/external-metrics.md#how-to-check-it).";
    EXTERNAL_METRICS_CONNECTIONS = Gauge "roomcast_external_metrics_connections" ExternalMetrics []
        "Connections of API servers, and of others, to that listener now."
        "At 128, others wait: somebody else connects to it.";
    EXTERNAL_METRICS_CERTIFICATE_ENDS = Gauge "roomcast_external_metrics_certificate_expiration_timestamp_seconds" Later []
        "When the certificate that is shown there ends, in seconds since 1970."
        "Alert below 20 days from now: it should have been replaced at 30, and the log says why it was not. After it, nothing scales.";
}
