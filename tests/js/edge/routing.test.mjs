// No sticky sessions needed: three pods behind balancers that send each request to the next pod.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { io } from "socket.io-client";

import { ask } from "../clients.mjs";
import { OPEN, startPod, until } from "../pod.mjs";
import { startRedis } from "../redis.mjs";
import { BALANCERS, startBalancer } from "./balancers.mjs";
import { Crowd } from "./crowd.mjs";

/** How long the load on each balancer lasts. */
const SECONDS = Number(process.env.EDGE_SECONDS ?? 60);
const CLIENTS = 200;

const ready = (pod) => until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
const cluster = (redis, more = "") => `${OPEN}\n[backplane]\nkind = "pubsub"\nurl = "${redis.url}"\n${more}`;

/** Pods that wait for one that stands still for a moment, as on a busy machine. */
async function startPods(count, config) {
  const args = ["--set", "sessions.forward_timeout=20s"];
  const pods = await Promise.all(Array.from({ length: count }, () => startPod(config, { args })));
  await Promise.all(pods.map(ready));
  return pods;
}

const poll = (pod, sid, method = "GET", body) =>
  fetch(`${pod.url}/socket.io/?EIO=4&transport=polling${sid === undefined ? "" : `&sid=${sid}`}`, { method, body });
/** Opens a polling session, and gives its id. */
async function handshake(pod) {
  const text = await (await poll(pod)).text();
  return JSON.parse(text.slice(1)).sid;
}
const UNKNOWN = { code: 1, message: "Session ID unknown" };
const refusal = async (response) => ({ status: response.status, body: await response.json() });

describe("three pods", () => {
  let redis, pods;
  before(async () => {
    redis = await startRedis();
    pods = await startPods(3, cluster(redis));
  });
  after(async () => {
    await Promise.all(pods?.map((pod) => pod.stop()) ?? []);
    await redis?.stop();
  });
  const sum = async (name, labels) => {
    const all = await Promise.all(pods.map((pod) => pod.metric(name, labels)));
    return all.reduce((a, b) => a + b, 0);
  };

  for (const name of BALANCERS) {
    test(`${name}: ${CLIENTS} polling clients and ${CLIENTS} that upgrade, ${SECONDS} s: no error, each message once, in order`, async (t) => {
      const balancer = await startBalancer(name, pods);
      const crowd = new Crowd(balancer.url, `public-${name}`);
      const before = await sum("roomcast_forwarded_requests_total");
      try {
        await crowd.join(CLIENTS, { transports: ["polling"] });
        await crowd.join(CLIENTS, { transports: ["polling", "websocket"] });
        const upgraded = () => crowd.clients.filter(({ socket }) => socket.io.engine.transport.name === "websocket").length;
        await until("half of them have upgraded", () => upgraded() === CLIENTS);
        const sent = await crowd.publish(() => pods, { seconds: SECONDS, rate: 2 });
        const { due, ...wrong } = await crowd.reckon(sent, pods.length);
        t.diagnostic(`${due} deliveries; ${(await sum("roomcast_forwarded_requests_total")) - before} requests forwarded`);
        assert.deepEqual(Object.fromEntries(crowd.errors), {});
        assert.deepEqual(wrong, { missing: 0, doubled: 0, disordered: 0 });
        assert.equal(await sum("roomcast_forwarded_requests_total", 'result="failed"'), 0);
        assert.ok((await sum("roomcast_relayed_websockets")) > 0, "some WebSockets pass through another pod");
      } finally {
        crowd.close();
        await balancer.stop();
      }
      await until("nothing passes through any longer", async () => (await sum("roomcast_relayed_websockets")) === 0);
    });
  }

  test("a session id cannot be made from a socket's, nor changed, shortened, or used again", async () => {
    const [here, there] = pods;
    const socket = io(here.url, { transports: ["polling"], forceNew: true });
    await new Promise((resolve) => socket.once("connect", resolve));
    try {
      const { id } = socket.io.engine;
      assert.ok(!id.includes(socket.id));
      for (const forged of [socket.id, id.slice(0, -1), `${id}A`, id.slice(1), "%00", `${id.slice(0, 20)}${id[20] === "A" ? "B" : "A"}${id.slice(21)}`]) {
        for (const pod of [here, there]) {
          assert.deepEqual(await refusal(await poll(pod, forged)), { status: 400, body: UNKNOWN }, forged);
        }
      }
      assert.ok(socket.connected, "the client has not noticed");
    } finally {
      socket.disconnect();
    }
    const sid = await handshake(here);
    assert.equal((await poll(there, sid, "POST", "1")).status, 200, "the client leaves");
    await until("the session has ended", async () => (await poll(here, sid)).status === 400);
    assert.deepEqual(await refusal(await poll(there, sid)), { status: 400, body: UNKNOWN });
  });

  test("a session id of another cluster is unknown", async () => {
    const other = await startPod(OPEN);
    try {
      assert.deepEqual(await refusal(await poll(pods[0], await handshake(other))), { status: 400, body: UNKNOWN });
      assert.deepEqual(await refusal(await poll(other, await handshake(pods[0]))), { status: 400, body: UNKNOWN });
    } finally {
      await other.stop();
    }
  });

  test("who is no pod of the cluster may not forward", async () => {
    const sid = await handshake(pods[0]);
    for (const headers of [{}, { "roomcast-pod": "AAAA", "roomcast-client": "127.0.0.1:1" }]) {
      const response = await fetch(`${pods[0].internal}/forward?EIO=4&transport=polling&sid=${sid}`, { headers });
      assert.equal(response.status, 403);
      assert.equal((await response.json()).error.code, "pod_unauthenticated");
    }
  });

  test("large messages pass through another pod, and too large ones are refused as here", async () => {
    const [here, there] = pods;
    const sid = await handshake(here);
    const body = (length) => `42["x","${"a".repeat(length)}"]`;
    assert.equal((await poll(there, sid, "POST", "40")).status, 200);
    assert.equal((await poll(there, sid, "POST", body(900_000))).status, 200);
    assert.equal((await poll(there, sid, "POST", body(1_000_001))).status, 413);
  });
});

test("with an affinity cookie that haproxy learns, nothing is forwarded", async () => {
  const redis = await startRedis();
  const cookie = '[sessions.affinity_cookie]\nname = "pod"\nsame_site = "none"\nsecure = true';
  const pods = await startPods(3, cluster(redis, cookie));
  const balancer = await startBalancer("haproxy", pods, { cookie: "pod" });
  const crowd = new Crowd(balancer.url, "public-cookie");
  try {
    assert.match((await poll(pods[0])).headers.get("set-cookie"), /^pod=[\w-]{16}; Path=\/socket.io; HttpOnly; SameSite=None; Secure$/);
    await crowd.join(20, { transports: ["polling"], withCredentials: true });
    await crowd.join(20, { transports: ["polling", "websocket"], withCredentials: true });
    const sent = await crowd.publish(() => pods, { seconds: 3, rate: 10 });
    const { missing, doubled } = await crowd.reckon(sent);
    assert.deepEqual({ missing, doubled, errors: crowd.errors.size }, { missing: 0, doubled: 0, errors: 0 });
    for (const pod of pods) {
      assert.equal(await pod.metric("roomcast_forwarded_requests_total"), 0);
      assert.ok((await pod.metric("roomcast_connections")) > 0, "each pod has some");
    }
  } finally {
    crowd.close();
    await balancer.stop();
    await Promise.all(pods.map((pod) => pod.stop("SIGKILL")));
    await redis.stop();
  }
});

describe("pods that go", () => {
  let redis;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis?.stop());

  test("killed: its clients are on others within their back-off, and no request hangs", async (t) => {
    const pods = await startPods(3, cluster(redis));
    const balancer = await startBalancer("haproxy", pods);
    const crowd = new Crowd(balancer.url, "public-killed");
    try {
      await crowd.join(30, { transports: ["polling"] });
      await crowd.join(30, { transports: ["polling", "websocket"] });
      const [dead, ...left] = pods;
      const [held] = await Promise.all([handshake(dead)]);
      const begun = Date.now();
      const hanging = poll(left[0], held, "POST", "40").then(() => poll(left[0], held)).then(() => poll(left[0], held));
      await until("a poll waits on the pod", async () => (await left[0].metric("roomcast_forwarded_requests_total")) >= 2);
      await dead.stop("SIGKILL");
      assert.deepEqual(await refusal(await hanging), { status: 400, body: UNKNOWN });
      assert.deepEqual(await refusal(await poll(left[1], held)), { status: 400, body: UNKNOWN });
      assert.ok(Date.now() - begun < 10_000);
      // The pods know it: a client may not have noticed yet that its pod is gone, and another may have come twice.
      await until("all are back", async () => {
        const { body } = await left[0].api("GET", "sockets?namespace=/&room=public-killed");
        const ids = new Set(body.sockets.map(({ id }) => id));
        return crowd.isBack() && crowd.clients.every(({ socket }) => ids.has(socket.id)) && (await crowd.isAnswered());
      });
      const sent = await crowd.publish(() => left, { seconds: 2, rate: 10 });
      const { missing, doubled } = await crowd.reckon(sent);
      t.diagnostic(`what clients saw: ${[...crowd.errors].map(([error, count]) => `${count} × ${error}`).join("; ")}`);
      assert.deepEqual({ missing, doubled }, { missing: 0, doubled: 0 });
      const longest = Math.max(...crowd.clients.map((client) => client.longestAway));
      t.diagnostic(`longest time that a client was away: ${longest} ms`);
      // The longest pause between two attempts, and that for ten of them.
      const { io } = crowd.clients[0].socket;
      const backOff = io.reconnectionDelayMax() * (1 + io.randomizationFactor());
      assert.ok(longest > 0 && longest < 10 * backOff, `away for ${longest} ms; a back-off is ${backOff} ms at most`);
    } finally {
      crowd.close();
      await balancer.stop();
      await Promise.all(pods.map((pod) => pod.stop()));
    }
  });

  test("secrets of the configuration: pods with the same one find each other, and others are strangers", async () => {
    const secret = (text) => cluster(redis, `key_prefix = "secrets"\n[sessions]\nsecret = "${text}"`);
    const [a, b, stranger] = await Promise.all([
      startPod(secret("the first secret of the tests, long enough")),
      startPod(secret("the first secret of the tests, long enough")),
      startPod(secret("the other secret of the tests, long enough")),
    ]);
    try {
      await Promise.all([a, b, stranger].map(ready));
      const sid = await handshake(a);
      assert.equal((await poll(b, sid, "POST", "40")).status, 200);
      assert.deepEqual(await refusal(await poll(stranger, sid)), { status: 400, body: UNKNOWN });
      assert.equal(redis.cli("exists", "{secrets}:session-secret"), "0", "what is configured is not written down");
    } finally {
      await Promise.all([a, b, stranger].map((pod) => pod.stop()));
    }
  });

  test("Redis comes back empty: sessions go on, and a new pod has the same secret", async () => {
    const own = await startRedis();
    const pods = await startPods(2, cluster(own));
    try {
      const sid = await handshake(pods[0]);
      assert.equal((await poll(pods[1], sid, "POST", "40")).status, 200);
      await own.kill();
      const event = `42["join",{"rooms":["public-a"]}]`;
      assert.equal((await poll(pods[1], sid, "POST", event)).status, 200, "pods know each other without Redis");
      await own.restart();
      const back = () => own.cli("scard", "{roomcast}:pods") === "2" && own.cli("exists", "{roomcast}:session-secret") === "1";
      await until("both are connected again", back);
      const late = await startPods(1, cluster(own));
      try {
        assert.equal((await poll(late[0], sid, "POST", event)).status, 200);
      } finally {
        await late[0].stop();
      }
    } finally {
      await Promise.all(pods.map((pod) => pod.stop()));
      await own.stop();
    }
  });
});
