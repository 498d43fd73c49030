// `make observe`: a cluster under light load with everything that looks at it, until Ctrl-C. All of it is on free ports of 127.0.0.1.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";

import { BIN, ROOT } from "../pod.mjs";
import { startCluster } from "./cluster.mjs";
import { startLoad } from "./load.mjs";
import { startReceiver, tree } from "./otlp.mjs";
import { startPrometheus } from "./prometheus.mjs";
import { RULES } from "./reference.mjs";

/** That of `roomcast demo`, whose welcome shows it. */
const API_KEY = "demo-key-not-for-production";
const ROOMCAST = relative(ROOT, join(BIN, "roomcast"));

/** What one looks at first; the dashboard has the rest. */
const GRAPHS = {
  "connections, by pod": "sum by (instance) (roomcast_connections)",
  "emits, by source": "sum by (source) (rate(roomcast_emits_total[30s]))",
  "emit latency p99, by stage": "histogram_quantile(0.99, sum by (le, stage) (rate(roomcast_emit_latency_seconds_bucket[30s])))",
  "closed, by reason": "sum by (reason) (rate(roomcast_connections_closed_total[30s]))",
  "refused, by code": "sum by (code) (rate(roomcast_requests_refused_total[30s])) > 0",
};
const graph = (prometheus, expression) =>
  `${prometheus.pages.graph}?${new URLSearchParams({ "g0.expr": expression, "g0.tab": 0, "g0.range_input": "5m" })}`;

const ends = [];
let asked;
const signal = new Promise((resolve) => {
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(name, () => {
      if (!asked) console.log("\n  Stopping all of it …");
      asked = name;
      resolve();
    });
  }
});
/** Starts one part after the other, until somebody has had enough. */
async function started(part) {
  const one = await part;
  ends.push(() => one.stop());
  return one;
}

/** The first publish over HTTP of which all pods have said what became of it. */
function showTrace(receiver, pods) {
  for (const [id, spans] of receiver.stories()) {
    const isPublish = spans.some(({ attributes }) => attributes["http.route"] === "/api/v1/emit");
    const where = new Set(spans.map(({ resource }) => resource["service.instance.id"]));
    if (!isPublish || where.size < pods) continue;
    console.log(`  A publish, as a trace; the latest ones are on ${receiver.url}\n\n  ${id}\n${tree(spans)}\n`);
    return true;
  }
  return false;
}

function welcome({ pods, prometheus, receiver }) {
  const names = pods.map((pod, index) => `    pod-${index}      ${pod.url}   metrics ${pod.internal}/metrics`);
  const graphs = Object.entries(GRAPHS).map(([name, expression]) => `    ${name}\n      ${graph(prometheus, expression)}`);
  const top = spawnSync(join(BIN, "roomcast"), ["top", "--help"]).status === 0;
  const lines = [
    "",
    "  Three pods, with Redis, under light load. Look at:",
    "",
    `    Prometheus ${prometheus.pages.graph}   alerts ${prometheus.pages.alerts}`,
    ...graphs,
    `    traces     ${receiver.url}`,
    ...names,
    `    chat page  ${pods[0].url}/`,
    "    dashboard  helm/roomcast/dashboards/roomcast.json, for Grafana: docs/observability.md",
    ...(top ? [`    terminal   ROOMCAST_URL=${pods[0].internal} ROOMCAST_API_KEY=${API_KEY} ${ROOMCAST} top`] : []),
    "",
    "  Make something happen, and look again:",
    "",
    `    a drain    curl -X POST -H 'Authorization: Bearer ${API_KEY}' ${pods[1].internal}/api/v1/drain`,
    `    an outage  kill -STOP ${pods.redis.pid()}    and back: kill -CONT ${pods.redis.pid()}   (Redis)`,
    "",
    "  Ctrl-C stops all of it.",
    "",
  ];
  console.log(lines.join("\n"));
}

async function run() {
  const receiver = await started(startReceiver());
  if (asked) return;
  const cluster = await started(
    startCluster({
      apiKey: API_KEY,
      args: (index) => (index === 0 ? ["demo"] : []),
      env: (index) => ({
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
        OTEL_BSP_SCHEDULE_DELAY: "1000",
        OTEL_RESOURCE_ATTRIBUTES: `service.instance.id=pod-${index}`,
      }),
    }),
  );
  if (asked) return;
  const targets = cluster.pods.map((pod) => ({ job: "roomcast", address: new URL(pod.internal).host }));
  const prometheus = await started(startPrometheus(targets, { rules: readFileSync(RULES, "utf8"), interval: 2 }));
  if (asked) return;
  await started(startLoad(cluster));
  welcome({ pods: Object.assign(cluster.pods, { redis: cluster.redis }), prometheus, receiver });
  const looking = setInterval(() => showTrace(receiver, cluster.pods.length) && clearInterval(looking), 3000);
  ends.push(async () => clearInterval(looking));
  await signal;
}

let failed;
try {
  await run();
} catch (error) {
  // In a terminal, Ctrl-C reaches what is being started as well.
  if (!asked) failed = error;
}
for (const end of ends.reverse()) await end().catch((error) => console.error(error.message));
if (failed) throw failed;
console.log("  Stopped.");
process.exit();
