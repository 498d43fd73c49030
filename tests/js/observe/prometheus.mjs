// Starts a real Prometheus on a free port of 127.0.0.1, asks it, and stops it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { stringify } from "yaml";

import { until } from "../pod.mjs";
import { freePort } from "../redis.mjs";

const UNITS = { s: 1, m: 60, h: 3600 };
/** Durations of rules, so many times shorter; windows stay long enough for several scrapes. */
const shorten = (times, least) => (_, before, count, unit, behind) =>
  `${before}${Math.max(least, Math.round((count * UNITS[unit]) / times))}s${behind}`;

/** The same rules, in which everything takes so many times less time. Nothing else of them changes. */
export function hasten(text, times) {
  return text
    .replace(/(\[)(\d+)([smh])(\])/g, shorten(times, 4))
    .replace(/^(\s+for: )(\d+)([smh])($)/gm, shorten(times, 1));
}

/**
 * Starts it: `targets` are `{ job, address, labels }`, `rules` is the text of a file of rules, `interval` the seconds between
 * scrapes.
 */
export async function startPrometheus(targets, { rules, interval = 1 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-prometheus-"));
  const jobs = new Set(targets.map(({ job }) => job));
  const ofJob = (name) => targets.filter(({ job }) => job === name);
  const config = {
    global: { scrape_interval: `${interval}s`, scrape_timeout: `${interval}s`, evaluation_interval: `${interval}s` },
    rule_files: rules ? [join(folder, "rules.yaml")] : [],
    scrape_configs: [...jobs].map((job_name) => ({
      job_name,
      static_configs: ofJob(job_name).map(({ address, labels = {} }) => ({ targets: [address], labels })),
    })),
  };
  if (rules) writeFileSync(join(folder, "rules.yaml"), rules);
  writeFileSync(join(folder, "prometheus.yaml"), stringify(config));
  const port = await freePort();
  const flags = [
    ...[`--config.file=${join(folder, "prometheus.yaml")}`, `--storage.tsdb.path=${join(folder, "data")}`],
    ...[`--web.listen-address=127.0.0.1:${port}`, "--log.level=warn"],
  ];
  const child = spawn("prometheus", flags, { stdio: ["ignore", "ignore", "pipe"] });
  const exit = once(child, "exit");
  let said = "";
  child.stderr.on("data", (bytes) => (said = (said + bytes).slice(-4000)));
  const url = `http://127.0.0.1:${port}`;
  await until("Prometheus is ready", async () => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended: ${said}`);
    return fetch(`${url}/-/ready`).then(({ ok }) => ok, () => false);
  });

  const ask = async (path, parameters = {}) => {
    const answer = await (await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
    if (answer.status !== "success") throw new Error(`${answer.error}: ${JSON.stringify(parameters)}`);
    return answer.data;
  };
  // The page that it opens with, whose name differs between versions and distributions.
  const { headers } = await fetch(url, { redirect: "manual" });
  const graph = new URL(headers.get("location") ?? "/graph", url).href;
  return {
    url,
    /** Pages for people. */
    pages: { graph, alerts: graph.replace(/\w+$/, "alerts") },
    pid: child.pid,
    /** Series of an expression now: `{ metric, value }`. */
    async query(query) {
      const { result } = await ask("query", { query });
      return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
    },
    /** Series of an expression over time: `{ metric, values }`, pairs of seconds and numbers. */
    async range(query, start, end, step) {
      const { result } = await ask("query_range", { query, start, end, step });
      return result.map(({ metric, values }) => ({ metric, values: values.map(([at, value]) => [at, Number(value)]) }));
    },
    /** Alerts that fire. */
    firing: async () => (await ask("alerts")).alerts.filter(({ state }) => state === "firing"),
    /** What is wrong with rules or scrapes. */
    async problems() {
      const [{ groups }, { activeTargets }] = await Promise.all([ask("rules"), ask("targets")]);
      const rules = groups.flatMap(({ rules }) => rules.map(({ name, lastError }) => lastError && `${name}: ${lastError}`));
      return [...rules, ...activeTargets.map(({ scrapeUrl, lastError }) => lastError && `${scrapeUrl}: ${lastError}`)].filter(Boolean);
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      await exit;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
