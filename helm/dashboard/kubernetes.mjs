// What pods ask of Kubernetes, and what it asks of them. Without `kubernetes.enabled` there is none of it: 0 then.

const rate = (name, labels) => `sum by (${labels}) (rate(${name}{$pods}[$__rate_interval]))`;
/** Where no pod has the metric, 0. */
const orNone = (expression) => `${expression} or on() vector(0)`;

export const KUBERNETES = [
  {
    title: "Requests to the API server",
    means: "By what is asked and the answer. `refused`: RBAC lacks it. What else is not `ok`: it is away or slow; clients notice nothing.",
    unit: "ops",
    queries: [[orNone(rate("roomcast_kubernetes_requests_total", "request, result")), "{{request}} {{result}}"]],
  },
  {
    title: "Rights that are missing",
    means: "What the service account may not do and the configuration asks for. `roomcast doctor` in the pod says what does not work then.",
    unit: "short",
    queries: [[orNone("max by (permission) (roomcast_kubernetes_permission_missing{$pods} > 0)"), "{{permission}}"]],
  },
  {
    title: "Addresses of pods, and Events held back",
    means: "Pods in the EndpointSlices of the headless Service, as the pod sees them that sees most; Events that a pod may not write as it wrote too many.",
    unit: "short",
    queries: [
      [orNone("max(roomcast_kubernetes_peers{$pods})"), "addresses"],
      [orNone("sum(increase(roomcast_kubernetes_events_held_back_total{$pods}[5m]))"), "held back in 5 minutes"],
    ],
  },
  {
    title: "Autoscaler: what it asks, and the answers",
    means: "With `autoscaling.kind: external`. Without an `ok` of the metric every 15 s, nothing scales.",
    unit: "ops",
    queries: [[orNone(rate("roomcast_external_metrics_requests_total", "asked, result")), "{{asked}} {{result}}"]],
  },
  {
    title: "Autoscaler: connections to the pods",
    means: "Of API servers, and of others, to the listener for external metrics. At 128, others wait.",
    unit: "short",
    queries: [[orNone("sum(roomcast_external_metrics_connections{$pods})"), "connections"]],
  },
  {
    title: "Autoscaler: time until the certificate ends",
    means: "It is replaced at 30 days. Below 20, the log says why it was not.",
    unit: "s",
    queries: [[orNone("min(roomcast_external_metrics_certificate_expiration_timestamp_seconds{$pods}) - time()"), "left"]],
  },
];
