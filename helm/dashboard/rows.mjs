// What the dashboard shows: rows of panels, each of which answers a question. `$pods` stands for the pods that are chosen.

import { EMITS, LOST } from "./emits.mjs";
import { CLUSTER, DRAINS } from "./cluster.mjs";
import { CLIENTS } from "./clients.mjs";
import { KUBERNETES } from "./kubernetes.mjs";
import { POD, SERVICES } from "./pod.mjs";

const GLANCE = [
  {
    title: "Pods",
    means: "Pods that Prometheus scrapes.",
    unit: "short",
    kind: "stat",
    queries: [["count(roomcast_build_info{$pods})", "pods"]],
  },
  {
    title: "Connections",
    means: "Connections open now, on all pods that are chosen.",
    unit: "short",
    kind: "stat",
    queries: [["sum(roomcast_connections{$pods})", "connections"]],
  },
  {
    title: "Emits",
    means: "Emits a second that began on these pods; what other servers sent counts there.",
    unit: "ops",
    kind: "stat",
    queries: [['sum(rate(roomcast_emits_total{$pods,source!="backplane"}[$__rate_interval]))', "emits"]],
  },
  {
    title: "Deliveries",
    means: "What those emits and those of other servers became: one for each socket that gets one.",
    unit: "ops",
    kind: "stat",
    queries: [["sum(rate(roomcast_deliveries_total{$pods}[$__rate_interval]))", "deliveries"]],
  },
  {
    title: "Emit latency, p99",
    means: "From the publisher to the socket: 99 of 100 emits take less. The clocks of two machines may differ by some of it.",
    unit: "s",
    kind: "stat",
    bad: [[0.1, "orange"], [0.25, "red"]],
    queries: [['histogram_quantile(0.99, sum by (le) (rate(roomcast_emit_latency_seconds_bucket{$pods,stage="total"}[$__rate_interval])))', "p99"]],
  },
  {
    title: "Lost in 5 minutes",
    means: "Packets that clients will not get, and messages between pods that were lost. 0 on a good day.",
    unit: "short",
    kind: "stat",
    bad: [[0.5, "red"]],
    queries: [['sum(increase(roomcast_packets_dropped_total{$pods,reason!="closed"}[5m])) + (sum(increase(roomcast_backplane_messages_dropped_total{$pods}[5m])) or vector(0))', "lost"]],
  },
  {
    title: "Pods cut off",
    means: "Pods whose messages do not come back through Redis. 0 on a good day.",
    unit: "short",
    kind: "stat",
    bad: [[0.5, "red"]],
    queries: [["count(roomcast_backplane_connected{$pods} == 0) or vector(0)", "cut off"]],
  },
  {
    title: "Alerts",
    means: "Alerts of Roomcast that fire now; docs/alerts.md says what each means.",
    unit: "short",
    kind: "stat",
    bad: [[0.5, "red"]],
    queries: [['count(ALERTS{alertname=~"Roomcast.+",alertstate="firing"}) or vector(0)', "firing"]],
  },
];

export const ROWS = [
  { title: "At a glance", panels: GLANCE },
  { title: "Clients: how many, where, arriving how fast", panels: CLIENTS },
  { title: "Emits: how long, and in which stage", panels: EMITS },
  { title: "Dropped and refused, and why: 0 on a good day", panels: LOST },
  { title: "Drains: gliding or falling", panels: DRAINS },
  { title: "Redis and the other servers", panels: CLUSTER },
  { title: "Pods: runtime, memory, limits, traces", panels: POD },
  { title: "Publish stream, hooks, HTTP API, keys of tokens", panels: SERVICES },
  { title: "Kubernetes: what pods ask of it, and autoscaling on external metrics", panels: KUBERNETES },
];
