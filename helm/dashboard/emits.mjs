import { POD, quantile, quantiles, rate, sum } from "./quantiles.mjs";

const LATENCY = "roomcast_emit_latency_seconds";

export const EMITS = [
  {
    title: "Emit latency by stage, p99",
    means: "The stage that rises is where to look. publish: this pod's way to Redis. receive: Redis and the network. queue: large rooms, no CPU. write: clients that read slowly. total: all of it.",
    unit: "s",
    wide: 12,
    queries: quantiles([0.99], LATENCY, { by: ["stage"] }),
  },
  {
    title: "Emit latency by stage, p50",
    means: "What an emit usually takes.",
    unit: "s",
    wide: 12,
    queries: quantiles([0.5], LATENCY, { by: ["stage"] }),
  },
  {
    title: "Emit latency by pod, p99",
    means: "From the publisher to the sockets of each pod. One pod above the others: it stalls, has the largest rooms, or its clock differs.",
    unit: "s",
    queries: [[quantile(0.99, LATENCY, { by: ["pod", "instance"], where: 'stage="total"' }), POD]],
  },
  {
    title: "Emits, by source",
    means: "What publishes: clients, the HTTP API, the stream, handlers, hooks, emitters; `backplane` is what other servers sent here.",
    unit: "ops",
    queries: [rate("roomcast_emits_total", { by: ["source"] })],
  },
  {
    title: "Deliveries, by source",
    means: "One for each socket that an emit reaches. This is the work of the pods.",
    unit: "ops",
    queries: [rate("roomcast_deliveries_total", { by: ["source"] })],
  },
  {
    title: "Recipients of an emit",
    means: "Sockets on a pod that one emit reaches. It says how large the rooms are that are really used.",
    unit: "short",
    queries: quantiles([0.5, 0.99], "roomcast_emit_recipients", { by: ["source"] }),
  },
  {
    title: "Time to queue an emit, p99",
    means: "From the request until the emit is in the queues of all its sockets on the pod. Grows with the size of rooms.",
    unit: "s",
    queries: quantiles([0.99], "roomcast_emit_duration_seconds", { by: ["source"] }),
  },
  {
    title: "Slow emits, by stage",
    means: "Those over `telemetry.slow_emit`; each is a line of the log with its trace.",
    unit: "ops",
    queries: [rate("roomcast_slow_emits_total", { by: ["stage"] })],
  },
];

export const LOST = [
  {
    title: "Packets that clients will not get",
    means: "`queue full`: clients do not read. `closed`: they left meanwhile, which is normal.",
    unit: "pps",
    queries: [rate("roomcast_packets_dropped_total", { by: ["reason"] })],
  },
  {
    title: "Messages between pods that were lost",
    means: "`disconnected`: Redis was away. `lagged`, `receive queue full`: this pod is too slow. `undecodable`: something else speaks on these channels.",
    unit: "ops",
    queries: [rate("roomcast_backplane_messages_dropped_total", { by: ["reason"] })],
  },
  {
    title: "Requests refused, by code",
    means: "`connection_limit`, `memory_limit`: scale out. `rate_limited`: a storm. `session_unknown`: pods were lost, or do not reach each other. `draining`: normal in an update.",
    unit: "reqps",
    queries: [rate("roomcast_requests_refused_total", { by: ["code"] })],
  },
  {
    title: "CONNECT refused, by namespace",
    means: "`token_invalid` rising: a key changed, or clients keep old tokens.",
    unit: "cps",
    queries: [rate("roomcast_connects_refused_total", { by: ["nsp", "code"] })],
  },
  {
    title: "Namespaces that there are not",
    means: "CONNECTs that got `Invalid namespace`. Rising: clients are newer than the configuration, or someone tries names.",
    unit: "cps",
    queries: [["sum(rate(roomcast_invalid_namespaces_total{$pods}[$__rate_interval]))", "invalid"]],
  },
  {
    title: "Rooms refused",
    means: "By namespace and code. `room_limit`: clients that never leave. `room_denied`: clients and the configuration disagree.",
    unit: "ops",
    queries: [rate("roomcast_rooms_refused_total", { by: ["nsp", "code"] })],
  },
  {
    title: "Events refused",
    means: "`event_denied` rising: clients and the configuration disagree. `rate_limited`: some send too much.",
    unit: "ops",
    queries: [rate("roomcast_events_total", { by: ["nsp", "result"], where: 'result!="ok"' })],
  },
  {
    title: "Tokens, by result",
    means: "`signature`, `unknown_key` rising: a key was rotated too early, or someone tries.",
    unit: "ops",
    queries: [rate("roomcast_token_checks_total", { by: ["result"] })],
  },
  {
    title: "Slow clients",
    means: "Clients that have not taken all that was sent to them. Some are normal.",
    unit: "short",
    queries: [sum("roomcast_slow_clients", { by: ["pod", "instance"] })],
  },
  {
    title: "Slow clients closed, by reason",
    means: "Those that took nothing for too long, or for which too much waited.",
    unit: "cps",
    queries: [rate("roomcast_slow_clients_closed_total", { by: ["reason"] })],
  },
  {
    title: "Packets that wait for a client",
    means: "Of clients that have not taken all, looked at every 5 seconds; nothing on a good day. It grows long before they are closed.",
    unit: "short",
    queries: quantiles([0.5, 0.99], "roomcast_send_queue_packets"),
  },
  {
    title: "Bytes that wait for a client",
    means: "The same in bytes: `limits.send_queue_bytes` is where they are closed.",
    unit: "bytes",
    queries: quantiles([0.5, 0.99], "roomcast_send_queue_bytes"),
  },
];
