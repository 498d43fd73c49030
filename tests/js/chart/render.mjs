// The chart as `helm template` renders it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

import { parseAllDocuments } from "yaml";

import { ROOT } from "../pod.mjs";

export const CHART = join(ROOT, "helm/roomcast");
/** The oldest that the chart is for, one between, and the newest that there are schemas of. */
export const KUBERNETES = ["1.29.0", "1.33.0", "1.37.0"];
export const RELEASE = ["chat", "--namespace", "web"];

export const folder = mkdtempSync(join(tmpdir(), "roomcast-chart-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

/** What `helm template` says and how it ends; `values` is an object, or the path of a file. */
export function template(values = {}, { chart = CHART, kubernetes = "1.33.0", flags = [] } = {}) {
  let file = values;
  if (typeof values !== "string") {
    file = join(folder, `values-${(files += 1)}.json`);
    writeFileSync(file, JSON.stringify(values));
  }
  const all = [...RELEASE, chart, "--kube-version", kubernetes, "--values", file, ...flags];
  return spawnSync("helm", ["template", ...all], { encoding: "utf8", maxBuffer: 64 << 20 });
}

export function render(values, options) {
  const { status, stdout, stderr } = template(values, options);
  assert.equal(status, 0, stderr);
  // As Helm reads it: 0440 is a number with the base 8.
  const documents = parseAllDocuments(stdout, { version: "1.1" })
    .map((document) => document.toJS())
    .filter(Boolean);
  const find = (kind, name) => documents.find((document) => document.kind === kind && (!name || document.metadata.name === name));
  return { text: stdout, documents, find, pod: find("Deployment").spec.template.spec };
}

/** Why these values are refused, as the person who typed them reads it. */
export function refusal(values) {
  const { status, stderr } = template(values);
  assert.notEqual(status, 0, `not refused: ${JSON.stringify(values)}`);
  return stderr;
}
