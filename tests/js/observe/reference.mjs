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
