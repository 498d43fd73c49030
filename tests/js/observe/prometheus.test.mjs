// A real Prometheus and real pods: every query of the dashboard has an answer, and alerts fire when something happens, and clear after.
//
// The rules are those of the file, in which everything takes a sixtieth of the time: five minutes are five seconds.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";

import { dashboard } from "../../../helm/dashboard/make.mjs";
import { startPod, until } from "../pod.mjs";
import { startCluster } from "./cluster.mjs";
import { startLoad } from "./load.mjs";
import { picture } from "./picture.mjs";
import { hasten, startPrometheus } from "./prometheus.mjs";
import { RULES, alerts, compare, reference } from "./reference.mjs";
import { SCENARIOS } from "./scenarios.mjs";

/** As long as Prometheus waits for what may have been scraped a moment ago. */
const WINDOW = "10s";
const host = (pod) => new URL(pod.internal).host;
const panels = dashboard().panels.filter(({ type }) => type !== "row");
const metrics = reference();
const isAwaited = (expr) => [...compare(expr, metrics).missing];
/** What no scenario makes: a clock that is an hour ahead, an API server that asks for metrics, and a bug. */
const NOT_HERE = ["RoomcastJwksStale", "RoomcastCertificateEnds", "RoomcastTaskPanicked"];

/** An expression with values for the variables. */
const filled = (expr, { namespace = ".*", pod = ".*", instance = ".*" } = {}) =>
  expr.replaceAll("$namespace", namespace).replaceAll("$pod", pod).replaceAll("$instance", instance).replaceAll("$__rate_interval", WINDOW);

let [cluster, load, prometheus, begun] = [];
const scenarios = {};
const ends = [];
before(async () => {
  const starting = Object.entries(SCENARIOS).map(async ([job, start]) => {
    scenarios[job] = await start();
    ends.push(() => scenarios[job].stop());
  });
  cluster = await startCluster();
  ends.push(() => cluster.stop());
  await Promise.all(starting);
  // Once as Prometheus finds pods in Kubernetes, and once as it finds them elsewhere.
  const inKubernetes = (pod, index) => ({ job: "web/chat", address: host(pod), labels: { namespace: "web", pod: `chat-${index}`, instance: `chat-${index}:9000` } });
  const targets = [
    ...cluster.pods.map(inKubernetes),
    ...cluster.pods.map((pod) => ({ job: "chat", address: host(pod) })),
    ...Object.entries(scenarios).flatMap(([job, { pods }]) => pods.map((pod) => ({ job, address: host(pod) }))),
  ];
  prometheus = await startPrometheus(targets, { rules: hasten(readFileSync(RULES, "utf8"), 60) });
  ends.push(() => prometheus.stop());
  load = await startLoad(cluster);
  ends.push(() => load.stop());
  begun = Date.now() / 1000;
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

const ours = (job) => async () => (await prometheus.firing()).filter(({ labels }) => labels.job === job);
/** Alerts that fired for a job since a time, by name. */
const fired = async (job, since) => {
  const seconds = Math.ceil(Date.now() / 1000 - since);
  const series = await prometheus.query(`count by (alertname) (count_over_time(ALERTS{alertstate="firing",job=~"${job}"}[${seconds}s]))`);
  return series.map(({ metric }) => metric.alertname);
};

test("the rules and every scrape are taken", async () => {
  await until("all pods are scraped", async () => (await prometheus.query("count(up == 0)")).length === 0 && (await prometheus.query("count(up)")).length === 1);
  assert.deepEqual(await prometheus.problems(), []);
});

for (const [where, variables] of [
  ["in Kubernetes", () => ({ namespace: "web", pod: "chat-.*" })],
  ["elsewhere, without labels of Kubernetes", () => ({ instance: cluster.pods.map(host).join("|") })],
]) {
  test(`every query of the dashboard has an answer ${where}`, async (t) => {
    const waiting = new Map();
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        if (isAwaited(expr).length) waiting.set(expr, `${title}: ${isAwaited(expr)}`);
      }
    }
    t.diagnostic(`not served yet: ${[...waiting.values()].join("; ") || "none"}`);
    const asked = panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr }))).filter(({ expr }) => !waiting.has(expr));
    let empty = asked;
    // The first stream entry, ack or hook call may be seconds away.
    await until("all have an answer", async () => {
      const answers = await Promise.all(empty.map(async ({ title, expr }) => ({ title, expr, series: await prometheus.query(filled(expr, variables())) })));
      empty = answers.filter(({ series }) => !series.some(({ value }) => Number.isFinite(value)));
      return empty.length === 0;
    }, 45_000).catch(() => {});
    assert.deepEqual(empty.map(({ title, expr }) => `${title}: ${filled(expr, variables())}`), []);
    t.diagnostic(`${asked.length} queries have an answer`);
  });
}

test("the variables have values", async () => {
  for (const { name, definition } of dashboard().templating.list.slice(1)) {
    const [, series, label] = /^label_values\((.*), (\w+)\)$/.exec(definition);
    const found = await prometheus.query(`count by (${label}) (${filled(series)})`);
    assert.ok(found.some(({ metric }) => metric[label]), name);
  }
});

test("no alert fires under load, nor while a pod is replaced", async (t) => {
  const since = Date.now() / 1000;
  await until("ten seconds", () => Date.now() / 1000 - since > 10);
  const [old] = cluster.pods;
  const ports = { port: old.port, internalPort: Number(host(old).split(":").pop()) };
  assert.equal(await old.stop(), 0);
  cluster.pods[0] = await startPod(cluster.config, ports);
  ends.push(() => cluster.pods[0].stop());
  await until("it has clients again", async () => (await cluster.pods[0].metric("roomcast_connections")) > 0);
  t.diagnostic(`in ${(Date.now() / 1000 - since).toFixed(0)} s`);
  assert.deepEqual(await fired("chat|web/chat", since), []);
});

test("each alert has a scenario, but for those that need an hour, Kubernetes, or a bug", () => {
  const made = Object.values(scenarios).flatMap(({ troubles }) => troubles.flatMap((trouble) => trouble.alerts));
  const names = [...made, ...NOT_HERE, "RoomcastBackplaneCutOff", "RoomcastMessagesDropped"];
  assert.deepEqual([...new Set(names)].sort(), alerts().map(({ alert }) => alert).sort());
});

describe("what goes wrong fires its alerts, and they clear", { concurrency: true }, () => {
  const rules = new Map(alerts().map((rule) => [rule.alert, rule]));
  const prove = async (t, job, { alerts: names, begin, end }) => {
    const served = names.filter((name) => !isAwaited(rules.get(name).expr).length);
    const waiting = names.filter((name) => !served.includes(name));
    if (waiting.length) t.diagnostic(`not served yet: what ${waiting.join(", ")} needs`);
    if (!served.length) return;
    const firing = ours(job);
    const now = async () => (await firing()).filter(({ labels }) => served.includes(labels.alertname));
    assert.deepEqual((await now()).map(({ labels }) => labels.alertname), [], "before");
    const since = Date.now();
    await begin();
    const seen = new Map();
    await until(`${served.join(", ")} fire`, async () => {
      for (const alert of await now()) seen.set(alert.labels.alertname, alert);
      return served.every((name) => seen.has(name));
    }, 70_000);
    const fires = Date.now();
    await end();
    await until(`${served.join(", ")} clear`, async () => (await now()).length === 0, 70_000);
    t.diagnostic(`${served.join(", ")}: after ${((fires - since) / 1000).toFixed(0)} s; clear ${((Date.now() - fires) / 1000).toFixed(0)} s later`);
    for (const { annotations } of seen.values()) {
      t.diagnostic(`${annotations.summary}. ${annotations.description}`);
      for (const said of [annotations.summary, annotations.description]) assert.doesNotMatch(said, /<error|<no value>|\{\{|NaN/);
    }
  };

  test("a Redis that is killed", (t) =>
    prove(t, "chat", {
      alerts: ["RoomcastBackplaneCutOff", "RoomcastMessagesDropped"],
      begin: () => cluster.redis.kill(),
      end: () => cluster.redis.restart(),
    }));

  for (const job of Object.keys(SCENARIOS)) {
    test(`${job}`, async (t) => {
      for (const trouble of scenarios[job].troubles) {
        t.diagnostic(trouble.name);
        await prove(t, job, trouble);
      }
    });
  }
});

test("a picture of the main panels", async (t) => {
  const drawn = panels.filter(({ type, targets }) => type === "timeseries" && targets.every(({ expr }) => !isAwaited(expr).length));
  const variables = { instance: cluster.pods.map(host).join("|") };
  t.diagnostic(await picture("dashboard", drawn, (expr) => prometheus.range(filled(expr, variables), begun, Date.now() / 1000, 1)));
});
