// What there is to be named in the pages: values of the chart, settings of the pod, metrics.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "yaml";

import { ROOT } from "../pod.mjs";
import { text } from "./page.mjs";

export const CHART = join(ROOT, "helm/roomcast");
const VALUES = parse(readFileSync(join(CHART, "values.yaml"), "utf8"));
const DEFAULTS = readFileSync(join(ROOT, "src/config/defaults.toml"), "utf8");

/** The sections of values and of settings, by which a name in a text is known to be one of them. */
export const SECTIONS = new Set([...Object.keys(VALUES), ...[...DEFAULTS.matchAll(/^\[(\w+)/gm)].map(([, name]) => name)]);

/** Whether the chart has a value of this path; what is below an empty map, or below `config`, is the reader's own, and NAME is any. */
export function isValue(path) {
  let at = VALUES;
  for (const key of path.replaceAll(/\[\d+\]/g, "").split(".")) {
    if (at === null || (typeof at === "object" && Object.keys(at).length === 0)) return true;
    const found = key === "NAME" ? Object.keys(at)[0] : key;
    if (typeof at !== "object" || !(found in at)) return false;
    at = at[found];
  }
  return true;
}

/** Whether the pod has a setting, or a section, of this path; names of namespaces are the reader's own. */
export function isSetting(path) {
  if (path.startsWith("namespaces") || DEFAULTS.includes(`\n[${path}]\n`)) return true;
  const parts = path.split(".");
  const [key, section] = [parts.pop(), parts.join(".")];
  const start = section === "" ? 0 : DEFAULTS.indexOf(`\n[${section}]\n`);
  if (start < 0) return false;
  const end = DEFAULTS.indexOf("\n[", start + 1);
  return new RegExp(`^${key} = `, "m").test(DEFAULTS.slice(start, end < 0 ? undefined : end));
}

/** Names of metrics, with those that a histogram has besides. */
export const METRICS = new Set(
  [...text("docs/metrics.md").matchAll(/^\| `(roomcast_\w+)` \| (\w+)/gm)].flatMap(([, name, kind]) =>
    kind === "histogram" ? [name, `${name}_bucket`, `${name}_count`, `${name}_sum`] : [name],
  ),
);
