// Collectors that are away, slow, or answer garbage, side by side under the same load: COLLECTOR_SECONDS long (20).
//
// Each pod traces every emit. The one without a collector is what the others are compared with; latencies are printed,
// not asserted: the pods share the machine.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";

import { io } from "socket.io-client";

import { ask } from "../clients.mjs";
import { OPEN, startPod, until } from "../pod.mjs";
import { freePort } from "../redis.mjs";

const SECONDS = Number(process.env.COLLECTOR_SECONDS ?? 20);
const CLIENTS = 10;
/** Messages a second to each pod. */
const RATE = 20;
/** What a pod may grow by once it has run for a third of the time: allocators keep some, queues of spans are bounded. */
const GROWTH_MIB = 16;

const rss = (pod) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pod.pid}/status`, "utf8"))[1]) / 1024;
const share = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];

/** A program that takes connections, and does this with each. */
async function listener(treat) {
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    treat(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
/** Reads all, and never answers. */
const slow = (socket) => socket.resume();
/** Answers whatever comes with bytes that are nothing. */
const garbage = (socket) => socket.on("data", () => socket.write(Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 131) % 256))));
/** Answers with a page, as a wrong address does. */
const page = (socket) =>
  socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 14\r\n\r\n<h1>Hello</h1>"));

/** Starts a pod with this collector, with clients that take down how late each message was. */
async function start(name, variables) {
  const env = variables && { OTEL_TRACES_SAMPLER: "always_on", OTEL_EXPORTER_OTLP_TIMEOUT: "2000", ...variables };
  const pod = await startPod(OPEN, { env });
  const seen = Array.from({ length: CLIENTS }, () => []);
  const late = [];
  const sockets = seen.map((numbers, index) => {
    const socket = io(pod.url, { forceNew: true, transports: index % 2 ? ["websocket"] : ["polling"] });
    socket.on("news", (number, sent) => {
      numbers.push(number);
      late.push(performance.now() - sent);
    });
    return socket;
  });
  await Promise.all(sockets.map((socket) => ask(socket, "join", { rooms: ["public-a"] })));
  return { name, pod, env, seen, late, sockets, memory: [] };
}

test(`a collector that is away, slow, or answers garbage for ${SECONDS} s: nothing is lost, memory is flat`, async (t) => {
  const collectors = { slow: await listener(slow), garbage: await listener(garbage), page: await listener(page) };
  const away = `http://127.0.0.1:${await freePort()}`;
  const at = (endpoint, protocol) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: protocol });
  const cases = [["no collector", undefined]];
  for (const protocol of ["http/protobuf", "grpc"]) {
    cases.push([`away, ${protocol}`, at(away, protocol)]);
    for (const [kind, { url }] of Object.entries(collectors)) cases.push([`${kind}, ${protocol}`, at(url, protocol)]);
  }
  const pods = await Promise.all(cases.map(([name, variables]) => start(name, variables)));
  try {
    const begun = performance.now();
    let sent = 0;
    while (performance.now() - begun < SECONDS * 1000) {
      const publish = ({ pod }) => pod.publish({ rooms: ["public-a"], event: "news", args: [sent, performance.now()] });
      for (const { status } of await Promise.all(pods.map(publish))) assert.equal(status, 200);
      if (sent % RATE === 0) for (const each of pods) each.memory.push(rss(each.pod));
      sent += 1;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, begun + (sent * 1000) / RATE - performance.now())));
    }
    const all = Array.from({ length: sent }, (_, index) => index);
    for (const { name, seen } of pods) {
      await until(`all have the last message: ${name}`, () => seen.every((numbers) => numbers.at(-1) === sent - 1)).catch(() => {});
    }
    t.diagnostic(`| collector | deliveries | p50 | p99 | max | RSS at a third | RSS at the end | spans exported, failed, dropped | lines |`);
    t.diagnostic("|---|---|---|---|---|---|---|---|---|");
    for (const each of pods) {
      const sorted = Float64Array.from(each.late).sort();
      const spans = await Promise.all(["exported", "failed", "dropped"].map((result) => each.pod.metric("roomcast_spans_total", `result="${result}"`)));
      each.third = each.memory[Math.floor(each.memory.length / 3)];
      each.end = rss(each.pod);
      each.lines = each.pod.logs.filter(({ message }) => message.startsWith("spans are lost")).length;
      const times = [0.5, 0.99, 1].map((part) => `${share(sorted, part).toFixed(1)} ms`).join(" | ");
      t.diagnostic(`| ${each.name} | ${sorted.length} | ${times} | ${each.third.toFixed(1)} MiB | ${each.end.toFixed(1)} MiB | ${spans.join(", ")} | ${each.lines} |`);
      each.spans = spans;
    }
    const minutes = Math.ceil((performance.now() - begun) / 60_000);
    for (const { name, env, seen, third, end, spans, lines } of pods) {
      for (const numbers of seen) assert.deepEqual(numbers, all, name);
      assert.ok(end - third < GROWTH_MIB, `${name}: grew from ${third} to ${end} MiB`);
      if (!env) continue;
      assert.equal(spans[0], 0, `${name}: nothing was taken`);
      assert.ok(spans[1] + spans[2] > 0, `${name}: what is lost is counted`);
      assert.ok(lines >= 1 && lines <= minutes, `${name}: ${lines} lines in ${minutes} minutes`);
    }
  } finally {
    for (const { sockets } of pods) for (const socket of sockets) socket.disconnect();
    await Promise.all(pods.map(({ pod }) => pod.stop("SIGKILL")));
    for (const collector of Object.values(collectors)) collector.stop();
  }
});
