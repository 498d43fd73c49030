// A drain that nobody notices: rolling restarts under load, drains of thousands, and giving connections away.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { io } from "socket.io-client";

import { OPEN, next, startPod, until } from "../pod.mjs";
import { freePort, startRedis } from "../redis.mjs";
import { startBalancer } from "./balancers.mjs";
import { Crowd } from "./crowd.mjs";
import { plot } from "./plot.mjs";
import { openRaw } from "./raw.mjs";
import { watch } from "./watch.mjs";

/** How long, in ms, a poll may be on its way through two pods on a busy machine before its client learns that the session is over. */
const NOTICED = 5000;
const ready = (pod) => until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
const phase = async (pod) => (await (await fetch(`${pod.internal}/readyz`)).text()).trim();
const most = (points, from = 0) => Math.max(0, ...points.filter(([at]) => at >= from).map(([, value]) => value));

describe("three pods behind haproxy", () => {
  let redis;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis?.stop());

  test("a rolling restart under load: every client is back, at the pace of the drain", async (t) => {
    const [CLIENTS, WINDOW] = [200, 6];
    const drain = `[drain]\ndelay = "1s"\nwindow = "${WINDOW}s"\ntimeout = "20s"`;
    const config = `${OPEN}\n[sessions]\nforward_timeout = "20s"\n[backplane]\nkind = "pubsub"\nurl = "${redis.url}"\n${drain}`;
    const ports = await Promise.all(Array.from({ length: 3 }, async () => ({ port: await freePort(), internalPort: await freePort() })));
    const pods = await Promise.all(ports.map((port) => startPod(config, port)));
    await Promise.all(pods.map(ready));
    const balancer = await startBalancer("haproxy", pods);
    const crowd = new Crowd(balancer.url, "public-rolling");
    const serving = new Set(pods);
    const watching = watch(() => Object.fromEntries(pods.map((pod, index) => [`pod ${index}`, pod])));
    try {
      await crowd.join(CLIENTS / 2, { transports: ["polling"] });
      await crowd.join(CLIENTS / 2, { transports: ["polling", "websocket"] });
      const begun = watching.seconds();
      let rolled = false;
      const publishing = (async () => {
        let sent = 0;
        while (!rolled) sent += await crowd.publish(() => [...serving], { seconds: 1, rate: 5, first: sent });
        return sent;
      })();
      const lines = [];
      for (const index of pods.keys()) {
        const old = pods[index];
        serving.delete(old);
        assert.equal(await old.stop(), 0);
        lines.push(old.logs.at(-1));
        pods[index] = await startPod(config, ports[index]);
        await ready(pods[index]);
        serving.add(pods[index]);
        await until("all are back", () => crowd.isBack());
      }
      rolled = true;
      const sent = await publishing;
      const { due, missing, doubled, disordered } = await crowd.reckon(sent, pods.length);
      const { away, unheard } = crowd.unheard(NOTICED);
      await watching.stop();

      const fastest = most(watching.rates(), begun + 1);
      const reconnects = crowd.clients.reduce((sum, { connects }) => sum + connects - 1, 0);
      const longest = Math.max(...crowd.clients.map((client) => client.longestAway));
      t.diagnostic(`${reconnects} reconnects, at most ${fastest} in a second; away for ${longest} ms at most; ${missing} of ${due} deliveries missed, ${away} of them while away`);
      t.diagnostic(plot("rolling-restart.svg", { "connections": watching.connections, "new connections in a second": { all: watching.rates() } }));
      for (const line of lines) {
        assert.equal(line.message, "stopped");
        assert.equal(line.cut, 0, JSON.stringify(line));
      }
      // Pub/sub keeps nothing for a client that is away; one that is in the room hears all, once, and in order.
      assert.deepEqual({ doubled, disordered, unheard }, { doubled: 0, disordered: 0, unheard: [] });
      assert.equal(away, missing);
      // All clients are in this process: when it stands still for a moment, so do they, and then all come at once.
      for (const { seconds } of lines) assert.ok(seconds > 0.9 * WINDOW, `closed in ${seconds} s`);
      assert.deepEqual([...crowd.errors.keys()].filter((error) => !error.startsWith("disconnect: transport ")), []);
    } finally {
      crowd.close();
      await watching.stop();
      await balancer.stop();
      await Promise.all(pods.map((pod) => pod.stop()));
    }
  });

  test("connections are given away to a pod that is new", async (t) => {
    const config = `${OPEN}\n[backplane]\nkind = "pubsub"\nurl = "${redis.url}"\nkey_prefix = "rebalance"`;
    const pods = await Promise.all([startPod(config), startPod(config)]);
    await Promise.all(pods.map(ready));
    const [old] = pods;
    const crowd = new Crowd(old.url, "public-given");
    const balancer = await startBalancer("haproxy", pods);
    const count = (pod) => pod.metric("roomcast_connections");
    try {
      await crowd.join(40, { transports: ["websocket"] });
      // The load balancer is found by those that come back.
      for (const { socket } of crowd.clients) socket.io.uri = balancer.url;
      const begun = Date.now();
      const { status, body } = await old.api("POST", "rebalance", { share: 0.5, per_second: 5 });
      assert.deepEqual({ status, body }, { status: 202, body: { closing: 20, seconds: 4 } });
      assert.equal((await old.api("POST", "rebalance", { share: 0.5, per_second: 5 })).body.error.code, "rebalance_running");
      await until("twenty have gone", async () => (await old.metric("roomcast_connections_closed_total", 'reason="rebalanced"')) === 20);
      const took = Date.now() - begun;
      await until("all are back", async () => (await count(pods[0])) + (await count(pods[1])) === 40);
      t.diagnostic(`in ${took} ms; now ${await count(pods[0])} and ${await count(pods[1])} connections`);
      assert.ok(took > 3000, `${took} ms`);
      assert.equal(await phase(old), "serving");
      for (const wrong of [{ share: 0, per_second: 1 }, { share: 1.1, per_second: 1 }, { share: 0.5, per_second: 0 }, { share: 0.5 }]) {
        assert.equal((await old.api("POST", "rebalance", wrong)).body.error.code, "invalid_request", JSON.stringify(wrong));
      }
    } finally {
      crowd.close();
      await balancer.stop();
      await Promise.all(pods.map((pod) => pod.stop()));
    }
  });
});

describe("one pod", () => {
  test("how many connections are left is told from the announcement on", async () => {
    const pod = await startPod(`${OPEN}\n[drain]\ndelay = "10m"\ntimeout = "11m"`);
    const sockets = [];
    const remaining = async () => {
      const page = await (await fetch(`${pod.internal}/metrics`)).text();
      return /^roomcast_drain_remaining (\d+)$/m.exec(page)?.[1];
    };
    try {
      for (let count = 0; count < 3; count += 1) sockets.push((await openRaw(pod)).socket);
      await pod.api("POST", "drain");
      await until("three are left", async () => (await remaining()) === "3");
      sockets.pop().destroy();
      await until("two are left", async () => (await remaining()) === "2");
      await pod.api("DELETE", "drain");
      await until("nothing drains", async () => (await remaining()) === "0");
    } finally {
      for (const socket of sockets) socket.destroy();
      await pod.stop("SIGKILL");
    }
  });

  test("giving connections away can be stopped, and a share that is none says so", async () => {
    const pod = await startPod(OPEN);
    const sockets = [];
    try {
      for (let count = 0; count < 10; count += 1) sockets.push((await openRaw(pod)).socket);
      await until("all are open", async () => (await pod.metric("roomcast_connections")) === 10);
      const none = { status: 200, body: { closed: 0 } };
      assert.deepEqual(await pod.api("DELETE", "rebalance"), none);
      const { status, body } = await pod.api("POST", "rebalance", { share: 0.01, per_second: 1 });
      assert.deepEqual([status, body.closing, body.seconds], [202, 0, 0]);
      assert.equal(body.message, "a share of 0.01 rounds to no connection: none is closed");

      // One in ten seconds: the first goes at a random time of them.
      assert.equal((await pod.api("POST", "rebalance", { share: 1, per_second: 0.1 })).status, 202);
      assert.equal((await pod.api("POST", "rebalance", { share: 1, per_second: 1000 })).body.error.code, "rebalance_running");
      assert.ok((await pod.api("DELETE", "rebalance")).body.closed < 10);
      assert.deepEqual(await pod.api("DELETE", "rebalance"), none);
      const left = await pod.metric("roomcast_connections");
      assert.ok(left > 0);
      const second = await pod.api("POST", "rebalance", { share: 1, per_second: 1000 });
      assert.equal(second.status, 202, "the next one may begin");
      // One may have been on its way out.
      assert.ok(second.body.closing > 0 && second.body.closing <= left);
      await until("all are closed", async () => (await pod.metric("roomcast_connections")) === 0);
    } finally {
      for (const socket of sockets) socket.destroy();
      await pod.stop("SIGKILL");
    }
  });

  test("a drain that is asked for by hand is taken back while it is announced", async () => {
    const pod = await startPod(`${OPEN}\n[drain]\ndelay = "4s"`);
    const socket = io(pod.url, { transports: ["websocket"], forceNew: true, reconnection: false });
    try {
      await next(socket, "connect");
      assert.deepEqual(await pod.api("DELETE", "drain"), { status: 200, body: { phase: "serving" } });
      assert.deepEqual(await pod.api("POST", "drain"), { status: 202, body: { phase: "announced" } });
      assert.equal(await phase(pod), "announced");
      assert.equal((await fetch(`${pod.url}/socket.io/?EIO=4&transport=polling`)).status, 503);
      assert.deepEqual(await pod.api("DELETE", "drain"), { status: 200, body: { phase: "serving" } });
      assert.equal((await fetch(`${pod.url}/socket.io/?EIO=4&transport=polling`)).status, 200);
      assert.equal(await phase(pod), "serving");

      const gone = next(socket, "disconnect");
      await pod.api("POST", "drain");
      pod.signal("SIGTERM");
      await until("the signal was seen", () => pod.logs.some((line) => line.message === "signal received"));
      const { status, body } = await pod.api("DELETE", "drain");
      assert.deepEqual([status, body.error.code], [409, "drain_final"]);
      assert.equal((await gone)[0], "transport close");
    } finally {
      assert.equal(await pod.stop(), 0);
    }
  });

  test("what is queued for a polling client reaches it before the end", async () => {
    const pod = await startPod(OPEN);
    const url = `${pod.url}/socket.io/?EIO=4&transport=polling`;
    const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1));
    const post = (body) => fetch(`${url}&sid=${sid}`, { method: "POST", body });
    await post("40");
    await until("it is connected", async () => (await (await fetch(`${url}&sid=${sid}`)).text()).includes("40{"));
    await pod.publish({ event: "news", args: ["the last"] });
    pod.signal("SIGTERM");
    await until("it closes", () => pod.logs.some((line) => line.message === "closing connections"));
    assert.match(await (await fetch(`${url}&sid=${sid}`)).text(), /42\["news","the last"\]/);
    await until("the pod has ended", () => !pod.isAlive());
    assert.equal(await pod.stop(), 0);
    assert.equal(pod.logs.at(-1).cut, 0);
  });

  test("idle connections go first, those with an ack pending last", async () => {
    const [COUNT, BUSY] = [200, 100];
    const pod = await startPod(`[api]\nkeys = ["a-key-for-the-tests-only"]\n[drain]\nwindow = "4s"`, { binary: "examples/handlers" });
    const order = [];
    const sockets = [];
    try {
      for (let index = 0; index < COUNT; index += 1) {
        const socket = io(`${pod.url}/handlers`, { transports: ["websocket"], forceNew: true, reconnection: false });
        sockets.push(socket);
        await next(socket, "connect");
        socket.on("disconnect", () => order.push(index));
      }
      // The example asks these for an answer, which they do not give.
      const asked = sockets.slice(0, BUSY);
      const questions = asked.map((socket) => next(socket, "question"));
      for (const socket of asked) socket.emit("ask-me", "who are you?");
      await Promise.all(questions);
      assert.equal(await pod.stop(), 0);
      await until("all are closed", () => order.length === COUNT);
      // Those that are closed while this process stands still may be seen in any order.
      assert.deepEqual(order.slice(0, 60).filter((index) => index < BUSY), [], `closed in this order: ${order}`);
    } finally {
      for (const socket of sockets) socket.disconnect();
      await pod.stop();
    }
  });

  test("polling clients that have not fetched what is queued for them go after those that have nothing", async () => {
    const pod = await startPod(`${OPEN}\n[drain]\nwindow = "6s"\ntimeout = "30s"`);
    const url = `${pod.url}/socket.io/?EIO=4&transport=polling`;
    const idle = [];
    let left = 0;
    /** A client in the room, which polls when it is told to. */
    const member = async () => {
      const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1));
      const post = (body) => fetch(`${url}&sid=${sid}`, { method: "POST", body });
      const poll = async () => (await fetch(`${url}&sid=${sid}`)).text();
      await post("40");
      await until("it is connected", async () => (await poll()).includes("40{"));
      await post('420["join",{"rooms":["public-queued"]}]');
      await until("it is in the room", async () => (await poll()).includes("430["));
      return poll;
    };
    try {
      for (let count = 0; count < 20; count += 1) {
        const { socket } = await openRaw(pod);
        socket.on("close", () => left++);
        socket.resume();
        idle.push(socket);
      }
      const polls = await Promise.all(Array.from({ length: 10 }, member));
      assert.equal((await pod.publish({ rooms: ["public-queued"], event: "news", args: [1] })).status, 200);
      await pod.api("POST", "drain");
      await until("the others have gone", () => left === idle.length);
      // One that was told to go two seconds ago, and has not polled, has gone.
      for (const body of await Promise.all(polls.map((poll) => poll()))) assert.match(body, /42\["news",1\]/);
    } finally {
      for (const socket of idle) socket.destroy();
      await pod.stop();
    }
  });

  test("5000 idle connections glide away", async (t) => {
    const [COUNT, WINDOW] = [5000, 10];
    const pod = await startPod(`${OPEN}\n[drain]\nwindow = "${WINDOW}s"\ntimeout = "20s"`);
    const watching = watch(() => ({ pod }));
    const sockets = [];
    let closed = 0;
    const open = async () => {
      const { socket } = await openRaw(pod);
      sockets.push(socket);
      socket.on("close", () => closed++);
      socket.resume();
    };
    try {
      for (let index = 0; index < COUNT; index += 100) await Promise.all(Array.from({ length: 100 }, open));
      await until("all are connected", async () => (await pod.metric("roomcast_sockets")) === COUNT);
      const from = watching.seconds();
      assert.equal(await pod.stop(), 0);
      await until("all are closed", () => closed === COUNT);
      await watching.stop();
      const line = pod.logs.at(-1);
      const left = watching.connections.pod.filter(([at]) => at > from).map(([at, count]) => [at - from, count]);
      const steps = left.slice(1).map(([at, count], index) => (left[index][1] - count) / (at - left[index][0]));
      t.diagnostic(`${line.seconds.toFixed(1)} s, ${line.cut} cut; at most ${Math.max(...steps.slice(0, -1)).toFixed(0)} closed a second`);
      t.diagnostic(plot("drain-5000.svg", { "connections": { pod: watching.connections.pod } }));
      assert.deepEqual([line.message, line.connections, line.closed, line.cut], ["stopped", COUNT, COUNT, 0]);
      // Even: about the half of the window there is half of them.
      const [at, half] = left.find(([at]) => at >= WINDOW / 2);
      assert.ok(Math.abs(half - COUNT * (1 - at / WINDOW)) < COUNT / 5, `${half} after ${at} s of ${WINDOW}`);
    } finally {
      for (const socket of sockets) socket.destroy();
      await watching.stop();
      await pod.stop();
    }
  });
});
