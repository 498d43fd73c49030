// What `roomcast metrics` says that there is, and what expressions ask for.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "yaml";

import { BIN, ROOT } from "../pod.mjs";

export const RULES = join(ROOT, "helm/roomcast/alerts/roomcast.yaml");
export const DASHBOARD = join(ROOT, "helm/roomcast/dashboards/roomcast.json");

/** All alerts. */
export const alerts = () => parse(readFileSync(RULES, "utf8")).groups.flatMap(({ rules }) => rules);

/** Metrics of the reference, by name: `{ kind, labels }`. */
export function reference() {
  const page = execFileSync(join(BIN, "roomcast"), ["metrics"], { encoding: "utf8" });
  const rows = page.split("\n").filter((line) => line.startsWith("| `roomcast_"));
  return new Map(
    rows.map((row) => {
      const [name, kind, labels] = row.slice(2).split(" | ");
      return [name.replaceAll("`", ""), { kind, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label) }];
    }),
  );
}

/** Of every process, and of Prometheus itself. */
const OTHERS = new Set(["process_open_fds", "process_max_fds", "process_cpu_seconds_total", "process_resident_memory_bytes"]);
/** What Prometheus adds. */
const TARGET = ["job", "namespace", "pod", "instance"];

/** Our metrics in an expression: `{ name, labels }`, the labels that it selects by. */
export function selectors(expression) {
  const found = expression.matchAll(/\b((?:roomcast|process)_\w+)(?:\{([^}]*)\})?/g);
  return [...found].map(([, name, matchers = ""]) => ({
    name,
    labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label),
  }));
}

/** What the reference lacks of an expression: metrics that are not served, and what is wrong with those that are. */
export function compare(expression, metrics) {
  const [missing, wrong] = [new Set(), []];
  for (const { name, labels } of selectors(expression)) {
    if (OTHERS.has(name)) continue;
    const base = metrics.has(name) ? name : name.replace(/_(bucket|count|sum)$/, "");
    const metric = metrics.get(base);
    if (!metric) {
      missing.add(base);
      continue;
    }
    if ((metric.kind === "histogram") !== (name !== base)) wrong.push(`${name} is a ${metric.kind}`);
    const known = [...TARGET, ...metric.labels, ...(metric.kind === "histogram" ? ["le"] : [])];
    for (const label of labels) if (!known.includes(label)) wrong.push(`${name} has no label ${label}`);
  }
  return { missing, wrong };
}

/** Metrics that expressions ask for and that are not served: none, but for those that are still to come. */
export const AWAITED = [
  "roomcast_acks_total",
  "roomcast_allocator_bytes",
  "roomcast_backplane_publish_queue_bytes",
  "roomcast_backplane_publish_queue_messages",
  "roomcast_backplane_receive_queue_bytes",
  "roomcast_backplane_receive_queue_messages",
  "roomcast_backplane_subscriptions",
  "roomcast_cluster_questions_total",
  "roomcast_connection_duration_seconds",
  "roomcast_deliveries_total",
  "roomcast_emit_latency_seconds",
  "roomcast_emit_recipients",
  "roomcast_handshake_duration_seconds",
  "roomcast_invalid_namespaces_total",
  "roomcast_limit_used_ratio",
  "roomcast_limits_reached_total",
  "roomcast_peer_message_age_seconds",
  "roomcast_peers",
  "roomcast_redis_command_duration_seconds",
  "roomcast_rooms",
  "roomcast_rooms_refused_total",
  "roomcast_runtime_busy_ratio",
  "roomcast_runtime_delay_seconds",
  "roomcast_send_queue_bytes",
  "roomcast_send_queue_packets",
  "roomcast_slow_clients",
  "roomcast_slow_clients_closed_total",
  "roomcast_slow_emits_total",
  "roomcast_spans_total",
  "roomcast_upgrades_total",
];
