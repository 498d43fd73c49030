import { POD, quantiles, rate, sum } from "./quantiles.mjs";

const PODS = { by: ["pod", "instance"] };

export const DRAINS = [
  {
    title: "Pods, by phase",
    means: "serving → waiting (in a rollout) → announced → closing → flushing → stopped. `announced` or `closing` for minutes: a drain hangs.",
    unit: "short",
    stack: true,
    queries: [sum("roomcast_phase", { by: ["phase"] })],
  },
  {
    title: "Connections that a drain has left",
    means: "An even slope is a drain that glides. A step down at the end: what was left at `drain.timeout` was cut.",
    unit: "short",
    queries: [sum("roomcast_drain_remaining", PODS)],
  },
  {
    title: "Where clients go: opened, by pod",
    means: "While one pod drains, the others take its clients at this pace. A spike: the window of the drain is too short.",
    unit: "cps",
    queries: [rate("roomcast_connections_opened_total", PODS)],
  },
  {
    title: "Closed by drains",
    means: "Connections that pods close themselves: `server shutting down` in a drain, `rebalanced` when they are given away.",
    unit: "cps",
    queries: [rate("roomcast_connections_closed_total", { by: ["pod", "instance", "reason"], where: 'reason=~"server shutting down|rebalanced"' })],
  },
  {
    title: "Waits for a rollout that ended, by why",
    means: "`complete`: the pods of a template went together. `timeout`: the rollout took longer than `drain.rollout_wait`.",
    unit: "short",
    queries: [["sum by (ended) (increase(roomcast_rollout_waits_total{$pods}[15m]))", "{{ended}}"]],
  },
];

export const CLUSTER = [
  {
    title: "Connected to Redis",
    means: "1 while what the pod publishes comes back to it. All at 0: Redis is away. One: its path to Redis.",
    unit: "bool_on_off",
    queries: [["roomcast_backplane_connected{$pods}", POD]],
  },
  {
    title: "Cut off, and records that failed",
    means: "How often pods were cut off and found back, and how often their record in Redis could not be kept.",
    unit: "ops",
    queries: [
      ["sum(rate(roomcast_backplane_reconnects_total{$pods}[$__rate_interval]))", "reconnects"],
      ["sum(rate(roomcast_backplane_record_failures_total{$pods}[$__rate_interval]))", "record failures"],
    ],
  },
  {
    title: "Redis commands, p99",
    means: "From the command to its answer. A `ping` may stand behind a read of the publish stream, which waits: that is no trouble.",
    unit: "s",
    queries: quantiles([0.99], "roomcast_redis_command_duration_seconds", { by: ["command"] }),
  },
  {
    title: "Between pods",
    means: "From a publish on another pod until it is queued here, by the clocks of both machines.",
    unit: "s",
    queries: quantiles([0.5, 0.99], "roomcast_backplane_latency_seconds"),
  },
  {
    title: "Messages out and in",
    means: "Mostly `no members`: `backplane.kind = \"sharded\"` would spare the pods that traffic.",
    unit: "ops",
    queries: [
      ["sum(rate(roomcast_backplane_published_total{$pods}[$__rate_interval]))", "published"],
      rate("roomcast_backplane_received_total", { by: ["result"] }),
    ],
  },
  {
    title: "Messages that wait",
    means: "To be published to Redis, and to be emitted here. Not back at 0 within seconds: Redis, or the pod, is too slow.",
    unit: "short",
    queries: [
      sum("roomcast_backplane_publish_queue_messages", PODS),
      sum("roomcast_backplane_receive_queue_messages", PODS),
    ].map(([expr, legend], index) => [expr, `${["publish", "receive"][index]} ${legend}`]),
  },
  {
    title: "Bytes that wait",
    means: "The same in bytes. Over `backplane.publish_queue` publishers are refused; over `backplane.receive_queue` messages are lost.",
    unit: "bytes",
    queries: [
      sum("roomcast_backplane_publish_queue_bytes", PODS),
      sum("roomcast_backplane_receive_queue_bytes", PODS),
    ].map(([expr, legend], index) => [expr, `${["publish", "receive"][index]} ${legend}`]),
  },
  {
    title: "Subscriptions",
    means: "Channels of Redis that a pod reads. With `sharded`, they grow with its rooms.",
    unit: "short",
    queries: [sum("roomcast_backplane_subscriptions", PODS)],
  },
  {
    title: "Servers that pods know",
    means: "Other Roomcast pods and Node servers, as the pod sees them that sees most. Fewer than there are: they use another prefix, or Redis.",
    unit: "short",
    queries: [["max by (kind, state) (roomcast_peers{$pods})", "{{kind}} {{state}}"]],
  },
  {
    title: "Age of the last message",
    means: "Of each kind of server. It grows while nobody emits; while others do, their messages do not come here.",
    unit: "s",
    queries: [["max by (kind, pod, instance) (roomcast_peer_message_age_seconds{$pods})", `{{kind}} ${POD}`]],
  },
  {
    title: "Questions to the cluster",
    means: "Sockets, rooms, presence, acks that are asked of other servers, by result. What is not answered costs `backplane.request_timeout`.",
    unit: "ops",
    queries: [rate("roomcast_cluster_questions_total", { by: ["result"] })],
  },
];
