import { POD as NAME, ours, quantile, quantiles, rate, sum } from "./quantiles.mjs";

const PODS = { by: ["pod", "instance"] };

export const POD = [
  {
    title: "Busy share of the runtime",
    means: "The share of time in which tokio's workers do something. Near 1: the pod needs more CPU, or fewer clients.",
    unit: "percentunit",
    queries: [["roomcast_runtime_busy_ratio{$pods}", NAME]],
  },
  {
    title: "How late tasks run, p99",
    means: "A task that a timer wakes runs so late. Above 100 ms: the pod stalls, by a handler that blocks or a CPU limit.",
    unit: "s",
    queries: [[quantile(0.99, "roomcast_runtime_delay_seconds", PODS), NAME]],
  },
  {
    title: "Tasks that panicked",
    means: "None, or a bug. The pod has restarted the task, goes on without it, or drains and exits with 1.",
    unit: "ops",
    queries: [rate("roomcast_task_panics_total", { by: ["task"] })],
  },
  {
    title: "CPU",
    means: "Processors in use.",
    unit: "short",
    queries: [[ours("rate(process_cpu_seconds_total{$pods}[$__rate_interval])"), NAME]],
  },
  {
    title: "Memory",
    means: "Resident, as the kernel counts it.",
    unit: "bytes",
    queries: [[ours("process_resident_memory_bytes{$pods}"), NAME]],
  },
  {
    title: "Allocator",
    means: "In use by the program, and held free for it. What is held and not used goes back to the system by itself.",
    unit: "bytes",
    queries: [sum("roomcast_allocator_bytes", { by: ["state"] })],
  },
  {
    title: "Open files",
    means: "Each connection is one. At the limit, new ones are closed.",
    unit: "short",
    queries: [
      [ours("process_open_fds{$pods}"), NAME],
      ["min(" + ours("process_max_fds{$pods}") + ")", "limit"],
    ],
  },
  {
    title: "Limits, the share in use",
    means: "Of the pod that uses most of each. At 1 the limit refuses, as docs/limits.md says.",
    unit: "percentunit",
    kind: "bargauge",
    bad: [[0.8, "orange"], [0.9, "red"]],
    queries: [["max by (limit) (roomcast_limit_used_ratio{$pods})", "{{limit}}"]],
  },
  {
    title: "Limits reached that refuse nobody",
    means: "Something is done in another way, as docs/limits.md says: answers are left out, or not compressed.",
    unit: "ops",
    queries: [rate("roomcast_limits_reached_total", { by: ["limit"] })],
  },
  {
    title: "Builds",
    means: "One line when a deploy is done.",
    unit: "short",
    kind: "table",
    queries: [["count by (version, commit) (roomcast_build_info{$pods})", "{{version}} {{commit}}"]],
  },
  {
    title: "Spans, by result",
    means: "`failed`: the collector does not take them. `dropped`: more than wait for it. None: tracing is off.",
    unit: "ops",
    queries: [rate("roomcast_spans_total", { by: ["result"] })],
  },
];

export const SERVICES = [
  {
    title: "Stream entries",
    means: "Anything but `ok` became a dead letter, or was trimmed before it was read.",
    unit: "ops",
    queries: [rate("roomcast_stream_entries_total", { by: ["result"] })],
  },
  {
    title: "Stream: lag, pending, dead letters",
    means: "Entries that nobody has read, that pods are at, and that could not be emitted. Lag that grows for minutes: pods are cut off, or too much is published.",
    unit: "short",
    queries: [
      ["max(roomcast_stream_lag{$pods})", "lag"],
      ["max(roomcast_stream_pending{$pods})", "pending"],
      ["max(roomcast_stream_dead_letters{$pods})", "dead letters"],
    ],
  },
  {
    title: "Stream entries that came again",
    means: "`claimed` without a lost pod: `publish.stream.claim_after` is too short. At most so many were emitted twice.",
    unit: "ops",
    queries: [rate("roomcast_stream_retries_total", { by: ["reason"] })],
  },
  {
    title: "Hook calls",
    means: "What is neither `ok` nor `refused` was decided by `hooks.on_failure`.",
    unit: "ops",
    queries: [rate("roomcast_hook_calls_total", { by: ["hook", "kind", "result"] })],
  },
  {
    title: "Time of a hook, p99",
    means: "With all attempts: what clients wait.",
    unit: "s",
    queries: quantiles([0.99], "roomcast_hook_duration_seconds", { by: ["hook", "kind"] }),
  },
  {
    title: "Hooks: breaker open",
    means: "Pods on which the breaker of the hook is open: it is not called there.",
    unit: "short",
    queries: [sum("roomcast_hook_breaker", { by: ["hook"], where: 'state="open"' })],
  },
  {
    title: "Hooks: under way, and waiting",
    means: "Near `hooks.in_flight`: the hook is slow. Near `hooks.disconnect_queue`: disconnects will not be told.",
    unit: "short",
    queries: [
      ["sum by (hook) (roomcast_hook_in_flight{$pods})", "under way: {{hook}}"],
      ["sum by (hook) (roomcast_hook_queue{$pods})", "disconnects: {{hook}}"],
    ],
  },
  {
    title: "Hooks: retries, and disconnects not told",
    means: "Retries while calls are `ok`: a hook that is about to go down.",
    unit: "ops",
    queries: [
      ["sum by (hook) (rate(roomcast_hook_retries_total{$pods}[$__rate_interval]))", "retries: {{hook}}"],
      ["sum by (hook, reason) (rate(roomcast_hook_notifications_dropped_total{$pods}[$__rate_interval]))", "not told: {{hook}} {{reason}}"],
    ],
  },
  {
    title: "HTTP API",
    means: "Requests of backends. `unauthorized` rising: one has an old key, or someone guesses.",
    unit: "reqps",
    queries: [rate("roomcast_api_requests_total", { by: ["path", "result"] })],
  },
  {
    title: "Age of the key set",
    means: "Since the keys of `auth.jwt.jwks_url` were fetched. A saw below `jwks_refresh` is healthy.",
    unit: "s",
    queries: [["roomcast_jwks_age_seconds{$pods}", NAME]],
  },
  {
    title: "Fetches of the key set",
    means: "Anything but `ok`: the last good set stays in use.",
    unit: "ops",
    queries: [rate("roomcast_jwks_refreshes_total", { by: ["result"] })],
  },
];
