// The publish stream: entries that backends add to Redis reach stock clients, whatever becomes of the pods.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, ask, collect } from "./clients.mjs";
import { OPEN, next, startPod, until } from "./pod.mjs";
import { startRedis } from "./redis.mjs";

const STREAM = "roomcast:publish";
const DEAD = `${STREAM}:dead`;
const WEBSOCKET = { transports: ["websocket"] };

let redis, pods, clients;
beforeEach(async () => {
  [redis, pods, clients] = [await startRedis(), [], new Clients()];
});
afterEach(async () => {
  clients.close();
  await Promise.all(pods.map((pod) => pod.stop("SIGKILL")));
  await redis.stop();
});

const settings = (more = "", backplane = "") => `${OPEN}
[backplane]
kind = "pubsub"
url = "${redis.url}"
timeout = "4s"
heartbeat = "200ms"
${backplane}
[publish.stream]
enabled = true
claim_after = "5s"
${more}
`;
const ready = async (pod) => (await fetch(`${pod.internal}/readyz`)).ok;

async function startPods(count, ...more) {
  const started = await Promise.all(Array.from({ length: count }, () => startPod(settings(...more))));
  pods.push(...started);
  for (const pod of started) await until("the pod is ready", () => ready(pod));
  return started;
}

const add = (emit) => redis.cli("xadd", STREAM, "*", "emit", typeof emit === "string" ? emit : JSON.stringify(emit));

/** Adds one entry after the other over one connection, as fast as Redis takes them. */
async function addMany(emits) {
  const child = spawn("redis-cli", ["-p", String(redis.port), "--pipe"], { stdio: ["pipe", "ignore", "inherit"] });
  const exit = once(child, "exit");
  for (const emit of emits) {
    const words = ["XADD", STREAM, "*", "emit", JSON.stringify(emit)];
    child.stdin.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`);
  }
  child.stdin.end();
  assert.equal((await exit)[0], 0);
}

const metric = async (name, labels) => {
  const values = await Promise.all(pods.filter((pod) => pod.isAlive()).map((pod) => pod.metric(name, labels)));
  return values.reduce((sum, value) => sum + value, 0);
};
/** The lines that `redis-cli` prints for a group. */
const group = () => redis.cli("xinfo", "groups", STREAM).split("\n");
const ofGroup = (key) => Number(group()[group().indexOf(key) + 1]);
const settled = () =>
  until("nothing waits in the stream", () => redis.cli("xlen", STREAM) === "0" && ofGroup("pending") === 0);

for (const kind of ["pubsub", "sharded"]) {
  test(`an entry reaches a stock client, ${kind}`, async () => {
    pods.push(await startPod(settings().replace(`"pubsub"`, `"${kind}"`)));
    const [pod] = pods;
    await until("the pod is ready", () => ready(pod));
    const socket = await clients.connect(io, pod.url, WEBSOCKET);
    await ask(socket, "join", { rooms: ["public-a"] });
    const got = next(socket, "news");
    add({ rooms: ["public-a"], event: "news", args: [1, { a: "ü" }] });
    assert.deepEqual(await got, [1, { a: "ü" }]);
    await settled();
    await until("it is counted", async () => (await metric("roomcast_stream_entries_total", `result="ok"`)) === 1);
    assert.equal(await metric("roomcast_emits_total", `source="stream"`), 1);
    await until("it has a connection of its own", () => redis.cli("client", "list").match(/name=roomcast-\S+-stream/g)?.length === 1);
  });
}

test("three pods emit each entry once, and what came before them too", async () => {
  const count = 600;
  await addMany(Array.from({ length: count / 2 }, (_, n) => ({ event: "news", args: [n] })));
  const waiting = settings(`batch = 8`);
  // The entries that are there are for whoever is connected when they are emitted: so a pod without the stream first.
  const listening = await startPod(waiting.replace("enabled = true", "enabled = false"));
  pods.push(listening);
  await until("the pod is ready", () => ready(listening));
  const received = collect(await clients.connect(io, listening.url, WEBSOCKET), "news");
  await startPods(3, "batch = 8");
  await addMany(Array.from({ length: count / 2 }, (_, n) => ({ event: "news", args: [count / 2 + n] })));
  await until("all arrive", () => received.length >= count);
  await settled();
  assert.deepEqual(received.map(([n]) => n).sort((a, b) => a - b), Array.from({ length: count }, (_, n) => n));
  await until("all are counted", async () => (await metric("roomcast_stream_entries_total")) === count);
  const shares = await Promise.all(pods.slice(1).map((pod) => pod.metric("roomcast_stream_entries_total")));
  console.log(`entries of each pod: ${shares.join(", ")}`);
});

test("one pod emits in the order of the stream, for its own clients and for others", async () => {
  const [pod] = await startPods(1);
  const other = await startPod(settings().replace("enabled = true", "enabled = false"));
  pods.push(other);
  await until("the pod is ready", () => ready(other));
  const here = collect(await clients.connect(io, pod.url, WEBSOCKET), "news");
  const there = collect(await clients.connect(io, other.url, WEBSOCKET), "news");
  const all = Array.from({ length: 2000 }, (_, n) => n);
  await addMany(all.map((n) => ({ event: "news", args: [n] })));
  await until("all arrive", () => here.length >= all.length && there.length >= all.length);
  assert.deepEqual(here.flat(), all);
  assert.deepEqual(there.flat(), all);
});

test("what can never be emitted becomes a dead letter with the reason, and holds up nothing", async () => {
  const [pod] = await startPods(1, "dead_letter_max_len = 6");
  const received = collect(await clients.connect(io, pod.url, WEBSOCKET), "news");
  const poison = [
    [["emit", "{"], "invalid_request", "EOF"],
    [["emit", `{"event":"news","rom":[]}`], "invalid_request", "rom"],
    [["emit", `{"event":"connect"}`], "invalid_request", "reserved"],
    [["emit", `{"event":"news","namespace":"/none"}`], "unknown_namespace", "/none"],
    [["emit", `{"event":"news","ack_timeout":"1s"}`], "invalid_request", "ack_timeout"],
    [["emit", `{"event":"news","rooms":null}`], "invalid_request", "rooms: is empty or null"],
    [["other", "x"], "invalid_request", "emit"],
  ];
  const ids = poison.map(([fields]) => redis.cli("xadd", STREAM, "*", ...fields));
  add({ event: "news", args: ["after"] });
  await until("the entry behind them arrives", () => received.length > 0);
  await settled();
  assert.deepEqual(received, [["after"]], "and nothing else");
  assert.equal(redis.cli("xlen", DEAD), "6", "the oldest has made room");
  poison.slice(1).forEach(([fields, code, word], index) => {
    const lines = redis.cli("xrange", DEAD, "-", "+").split("\n");
    const letter = lines.slice(index * 13 + 1, index * 13 + 13);
    const value = (name) => letter[letter.indexOf(name) + 1];
    assert.deepEqual([value("id"), value("code"), value("deliveries")], [ids[index + 1], code, "1"]);
    assert.ok(value("reason").includes(word), value("reason"));
    assert.equal(value(fields[0] === "emit" ? "emit" : `entry:${fields[0]}`), fields[1], "its fields are kept");
  });
  assert.equal(await metric("roomcast_stream_entries_total", "unknown_namespace"), 1);
  await until("the metric has them", async () => (await metric("roomcast_stream_dead_letters")) === 6);

  // One that is larger than a publish may be is not kept.
  redis.cli("config", "set", "proto-max-bulk-len", "64mb");
  await addMany([{ event: "news", args: ["x".repeat(1_100_000)] }]);
  await until("it is dead", async () => (await metric("roomcast_stream_entries_total", "payload_too_large")) === 1);
  assert.ok(!redis.cli("xrevrange", DEAD, "+", "-", "COUNT", "1").includes("xxx"));
});

test("the fields of a dead entry are not taken for what is said of it", async () => {
  await startPods(1);
  const own = ["code", "reason", "id", "pod", "deliveries", "emit"].flatMap((name) => [name, "mine"]);
  const id = redis.cli("xadd", STREAM, "*", "trace", "t", "emit", "{", ...own);
  await until("it is dead", () => redis.cli("xlen", DEAD) === "1");
  const [, ...words] = redis.cli("xrange", DEAD, "-", "+").split("\n");
  const names = words.filter((_, index) => index % 2 === 0);
  assert.equal(new Set(names).size, names.length, `each name is there once: ${names}`);
  // As a client reads it that makes a map of it.
  const letter = Object.fromEntries(names.map((name, index) => [name, words[2 * index + 1]]));
  assert.deepEqual([letter.id, letter.code, letter.deliveries, letter.emit], [id, "invalid_request", "1", "{"]);
  for (const name of names) assert.equal(letter[name] === "mine", name.startsWith("entry:") && name !== "entry:trace", name);
  assert.equal(letter["entry:trace"], "t");
});

test("dead letters that cannot be written hold up nothing, and are written when they can", async () => {
  const [pod] = await startPods(1, "batch = 2");
  const received = collect(await clients.connect(io, pod.url, WEBSOCKET), "news");
  redis.cli("set", DEAD, "no stream");
  const poison = [];
  for (const n of [1, 2]) {
    for (const text of ["{", "[", "}"]) poison.push(add(text));
    add({ event: "news", args: [n] });
  }
  await until("the entries behind them arrive", () => received.length >= 2);
  const told = ({ level, message }) => level === "WARN" && message.includes("dead letters cannot be written");
  assert.ok(pod.logs.some(told), "the log says so");
  await until("they wait", async () => (await pod.metric("roomcast_stream_pending")) === poison.length);
  const claimed = () => metric("roomcast_stream_retries_total", "claimed");
  await until("each is tried again", async () => (await claimed()) >= poison.length);
  add({ event: "news", args: [3] });
  await until("entries go on to arrive", () => received.length >= 3);
  assert.deepEqual(received, [[1], [2], [3]], "each once");

  // They survive the pod.
  await startPods(1);
  await pod.stop("SIGKILL");
  redis.cli("del", DEAD);
  await settled();
  const letters = redis.cli("xrange", DEAD, "-", "+").split("\n");
  const ids = letters.filter((_, index) => letters[index - 1] === "id");
  assert.deepEqual(ids.sort(), poison.sort());
});

/** A line of the log: not one that came while the pod started. */
const mayNotRead = ({ level, message, error = "" }) =>
  level === "WARN" && message.includes("the publish stream waits") && error.includes("NOPERM");

test("a Redis whose memory is full: entries that are there are emitted", async () => {
  const [pod] = await startPods(1);
  const received = collect(await clients.connect(io, pod.url, WEBSOCKET), "news");
  await until("the group is there", () => group().includes("roomcast"));
  redis.cli("acl", "setuser", "default", "-xreadgroup");
  await until("the pod does not read", () => pod.logs.some(mayNotRead));
  add("{");
  const all = Array.from({ length: 100 }, (_, n) => n);
  await addMany(all.map((n) => ({ event: "news", args: [n] })));
  redis.cli("config", "set", "maxmemory", "1");
  redis.cli("acl", "setuser", "default", "+xreadgroup");
  await until("all arrive", () => received.length >= all.length);
  await until("only the first waits", () => redis.cli("xlen", STREAM) === "1" && ofGroup("pending") === 1);
  redis.cli("config", "set", "maxmemory", "0");
  await until("it is dead", () => redis.cli("xlen", DEAD) === "1");
  await settled();
  assert.deepEqual(received.flat(), all, "each once, in order");
});

test("an entry that no pod ends with is given up", async () => {
  // A consumer that has died with the entry again and again.
  redis.cli("xgroup", "create", STREAM, "roomcast", "0", "MKSTREAM");
  const id = add({ event: "news" });
  redis.cli("xreadgroup", "GROUP", "roomcast", "gone", "COUNT", "1", "STREAMS", STREAM, ">");
  redis.cli("xclaim", STREAM, "roomcast", "gone", 0, id, "RETRYCOUNT", 16);
  await startPods(1);
  await until("it is dead", () => redis.cli("xlen", DEAD) === "1");
  const letter = redis.cli("xrange", DEAD, "-", "+").split("\n");
  assert.equal(letter[letter.indexOf("code") + 1], "too_many_deliveries");
  assert.equal(letter[letter.indexOf("deliveries") + 1], "17");
  await until("its consumer is forgotten", () => !redis.cli("xinfo", "consumers", STREAM, "roomcast").includes("gone"));
});

/** Kills a pod in a moment in which it has entries in hand: whether it has can only be known once it stands still. */
async function killWithEntries(pod) {
  const { body } = await pod.api("GET", "cluster");
  const { id } = body.pods.find(({ address }) => address === new URL(pod.internal).host);
  await until("it has entries in hand", () => {
    pod.signal("SIGSTOP");
    const held = redis.cli("xpending", STREAM, "roomcast", "-", "+", "1", id);
    if (!held) pod.signal("SIGCONT");
    return held;
  });
  await pod.stop("SIGKILL");
}

test("pods are killed while 10 000 entries are consumed: every entry is emitted", async () => {
  const batch = 64;
  const listening = await startPod(settings().replace("enabled = true", "enabled = false"));
  pods.push(listening);
  await until("the pod is ready", () => ready(listening));
  const received = collect(await clients.connect(io, listening.url, WEBSOCKET), "news");
  await startPods(4, `batch = ${batch}`);
  const begun = Date.now();
  // Until both are dead: a stream that has run dry gives nothing in hand.
  let [count, killed] = [0, 0];
  const more = () => Array.from({ length: 1000 }, () => ({ event: "news", args: [count++] }));
  const adding = (async () => {
    while (killed < 2 || count < 10_000) await addMany(more());
  })();
  for (const at of [1000, 3000]) {
    await until("some have been read", () => ofGroup("entries-read") >= at);
    await killWithEntries(pods[1 + killed]);
    killed += 1;
  }
  await adding;
  const seen = () => new Set(received.map(([n]) => n));
  await until("every entry has been received", () => seen().size === count, 60_000);
  await settled();
  const took = Date.now() - begun;
  // Nothing says that no double is on its way any more: one that comes later than this is not counted, and none is demanded.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const doubles = received.length - count;
  const claimed = await metric("roomcast_stream_retries_total", "claimed");
  console.log(
    `${count} entries, 2 of 4 pods killed: ${seen().size} received in ${took} ms, ${doubles} doubled, ` +
      `${claimed} claimed from the dead, ${received.length - seen().size} of them emitted by the dead already`,
  );
  assert.equal(seen().size, count);
  // A double is an entry that a dead pod had emitted and not acknowledged: at most a batch for each.
  const retried = await metric("roomcast_stream_retries_total", "retried");
  assert.ok(doubles <= 2 * batch + retried, `${doubles} doubles, ${retried} tried again`);
  assert.ok(claimed <= 2 * batch, `${claimed} claimed`);
  assert.ok(claimed >= 1, `${claimed} claimed of the pods that had entries in hand`);
  assert.equal(redis.cli("xlen", DEAD), "0");
  await until("the consumers of the dead are forgotten", () => ofGroup("consumers") === 2, 40_000);
});

test("a Redis that restarts, empty, is used again", async () => {
  const [pod] = await startPods(1);
  const received = collect(await clients.connect(io, pod.url, WEBSOCKET), "news");
  add({ event: "news", args: [1] });
  await until("the first arrives", () => received.length === 1);
  await redis.kill();
  await until("the pod is cut off", async () => (await pod.metric("roomcast_backplane_connected")) === 0);
  await redis.restart();
  add({ event: "news", args: [2] });
  await until("the second arrives", () => received.length >= 2);
  await settled();
  assert.deepEqual(received, [[1], [2]]);
});

test("a frozen Redis: what is in hand is tried again", async () => {
  const [pod] = await startPods(1);
  const received = collect(await clients.connect(io, pod.url, WEBSOCKET), "news");
  const all = Array.from({ length: 5000 }, (_, n) => n);
  const adding = addMany(all.map((n) => ({ event: "news", args: [n] })));
  await until("some have arrived", () => received.length > 300);
  redis.signal("SIGSTOP");
  await until("the pod is cut off", async () => (await pod.metric("roomcast_backplane_connected")) === 0);
  redis.signal("SIGCONT");
  await adding;
  await until("all arrive", () => new Set(received.map(([n]) => n)).size === all.length);
  await settled();
  const retried = await metric("roomcast_stream_retries_total");
  console.log(`5 000 entries over a freeze: ${received.length - all.length} doubled, ${retried} tried again`);
  assert.ok(received.length - all.length <= retried);
});

test("a drain leaves nothing pending and no consumer", async () => {
  const [leaving, staying] = await startPods(2);
  const received = collect(await clients.connect(io, staying.url, WEBSOCKET), "news");
  const all = Array.from({ length: 4000 }, (_, n) => n);
  const adding = addMany(all.map((n) => ({ event: "news", args: [n] })));
  await until("some have arrived", () => received.length > 200);
  assert.equal(await leaving.stop("SIGTERM"), 0);
  await adding;
  await until("all arrive", () => received.length >= all.length);
  await settled();
  assert.deepEqual(received.flat().sort((a, b) => a - b), all, "each once");
  assert.equal(await staying.metric("roomcast_stream_retries_total"), 0);
  assert.equal(ofGroup("consumers"), 1);
  assert.equal(await staying.stop("SIGTERM"), 0);
  assert.equal(ofGroup("consumers"), 0);
});

test("entries that cannot be read lag, and are emitted when they can", async () => {
  const [pod] = await startPods(1, "trim = false");
  const received = collect(await clients.connect(io, pod.url, WEBSOCKET), "news");
  await until("the group is there", () => group().includes("roomcast"));
  redis.cli("acl", "setuser", "default", "-xreadgroup");
  await until("the log says so", () => pod.logs.some(mayNotRead));
  await addMany(Array.from({ length: 100 }, (_, n) => ({ event: "news", args: [n] })));
  await until("the lag is measured", async () => (await pod.metric("roomcast_stream_lag")) === 100);
  redis.cli("acl", "setuser", "default", "+xreadgroup");
  await until("all arrive", () => received.length === 100);
  await until("nothing lags", async () => (await pod.metric("roomcast_stream_lag")) === 0);
  await until("nothing is pending", () => ofGroup("pending") === 0);
  assert.equal(redis.cli("xlen", STREAM), "100", "they are kept, as they are not to be trimmed");
});

test("an entry that was emitted and is not acknowledged is emitted again; one that is deleted then is counted", async () => {
  const [pod] = await startPods(1);
  const received = collect(await clients.connect(io, pod.url, WEBSOCKET), "news");
  await until("the group is there", () => group().includes("roomcast"));
  redis.cli("acl", "setuser", "default", "-xack");
  const id = add({ event: "news", args: [1] });
  await until("it arrives, and again", () => received.length >= 2);
  redis.cli("xdel", STREAM, id);
  // What was read before it was deleted must not be acknowledged: the second from now on was read after.
  const retried = () => metric("roomcast_stream_retries_total", "retried");
  const before = await retried();
  await until("it is read again", async () => (await retried()) >= before + 2);
  redis.cli("acl", "setuser", "default", "+xack");
  await until("it is counted", async () => (await metric("roomcast_stream_entries_total", "trimmed")) === 1);
  await settled();
  assert.deepEqual(new Set(received.flat()), new Set([1]));
  assert.equal(redis.cli("xlen", DEAD), "0");
  assert.ok((await metric("roomcast_stream_retries_total", "retried")) >= received.length - 1);
});
