// Idempotency keys and batches across pods: what one of them has done, the others do not do again.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, collect } from "./clients.mjs";
import { API_KEY, OPEN, startPod, until } from "./pod.mjs";
import { startRedis } from "./redis.mjs";

let redis, pods, clients, received;
before(async () => {
  [redis, clients] = [await startRedis(), new Clients()];
  const settings = `${OPEN}[backplane]\nkind = "pubsub"\nurl = "${redis.url}"\nheartbeat = "200ms"\n`;
  pods = await Promise.all([1, 2].map(() => startPod(settings)));
  for (const pod of pods) await until("ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
  received = collect(await clients.connect(io, pods[1].url, { transports: ["websocket"] }), "news");
});
after(async () => {
  clients?.close();
  await Promise.all((pods ?? []).map((pod) => pod.stop()));
  await redis?.stop();
});

const send = (pod, path, body, key) => pod.api("POST", path, body, API_KEY, { "idempotency-key": key });

test("a batch arrives in its order, once, whichever pod is asked again", async () => {
  const emits = Array.from({ length: 500 }, (_, n) => ({ event: "news", args: [n] }));
  const first = await send(pods[0], "batch", { emits }, "batch-1");
  assert.equal(first.status, 200);
  assert.deepEqual(first.body.results, emits.map(() => ({ accepted: true })));
  await until("all arrive", () => received.length >= emits.length);
  for (const pod of pods) assert.deepEqual(await send(pod, "batch", { emits }, "batch-1"), first);
  assert.equal((await send(pods[1], "batch", { emits: emits.slice(1) }, "batch-1")).status, 422);
  await pods[0].publish({ event: "news", args: ["last"] });
  await until("the last arrives", () => received.some(([n]) => n === "last"));
  assert.deepEqual(received.flat(), [...emits.map((_, n) => n), "last"]);
});

test("of many that come at once, one is carried out", async () => {
  received.length = 0;
  const body = { event: "news", args: ["raced"] };
  const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => send(pods[n % 2], "emit", body, "raced")));
  const statuses = answers.map(({ status }) => status);
  assert.ok(statuses.every((status) => status === 200 || status === 409), statuses.join());
  assert.ok(statuses.includes(200));
  await pods[0].publish({ event: "news", args: ["last"] });
  await until("the last arrives", () => received.some(([n]) => n === "last"));
  assert.deepEqual(received.flat(), ["raced", "last"]);
  const [key] = redis.cli("keys", "{roomcast}:idempotency:*").split("\n");
  assert.ok(Number(redis.cli("pttl", key)) > 3_000_000, "it is kept for an hour");
});

test("while Redis is away, a request with a key is refused, and its key is free after", async () => {
  received.length = 0;
  await redis.kill();
  await until("cut off", async () => (await pods[0].metric("roomcast_backplane_connected")) === 0);
  const body = { event: "news", args: ["away"] };
  const refused = await send(pods[0], "emit", body, "away");
  assert.deepEqual([refused.status, refused.body.error.code], [503, "backplane_unavailable"]);
  await redis.restart();
  const connected = async (pod) => (await pod.metric("roomcast_backplane_connected")) === 1;
  for (const pod of pods) await until("back", () => connected(pod));
  assert.equal((await send(pods[0], "emit", body, "away")).status, 200);
  await until("it arrives", () => received.length > 0);
  assert.deepEqual(received, [["away"]]);
});
