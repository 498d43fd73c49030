// A rolling update in which no client moves twice, as a Deployment with maxSurge 1 does it; and when pods do not wait.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { io } from "socket.io-client";

import { OPEN, next, startPod, until } from "../pod.mjs";
import { freePort, startRedis } from "../redis.mjs";
import { startBalancer } from "./balancers.mjs";
import { Crowd } from "./crowd.mjs";

const ready = (pod) => until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
const readyz = async (pod) => (await (await fetch(`${pod.internal}/readyz`)).text()).trim();
const phase = async (pod) => (await readyz(pod)).split(",")[0];
const said = (pod, message) => pod.logs.find((line) => line.message.startsWith(message));
/** It has ended, and its last line has been read. */
const ended = (pod) => until("the pod has ended", () => !pod.isAlive() && pod.logs.at(-1).message === "stopped");
/** Longer than any test: a wait that is over before it was ended by what it waits for. */
const LONG = "1h";

let redis;
let clusters = 0;
before(async () => {
  redis = await startRedis();
});
after(() => redis?.stop());

/** Starts pods of templates, in a cluster of their own; each is of the Deployment `chat` unless it says so. */
function cluster({ wait = LONG, delay = "1s", window = "1s", more = "", url = redis.url } = {}) {
  const name = `rollout-${(clusters += 1)}`;
  const drain = `[drain]\nrollout_wait = "${wait}"\ndelay = "${delay}"\nwindow = "${window}"\ntimeout = "60s"`;
  const backplane = `[backplane]\nkind = "pubsub"\nurl = "${url}"\nkey_prefix = "${name}"\nchannel_prefix = "${name}"\n${more}`;
  const config = `${OPEN}\n[sessions]\nforward_timeout = "20s"\n${backplane}\n${drain}`;
  const pods = [];
  let started = 0;
  return {
    name,
    async start(template, { deployment = "chat", ...ports } = {}) {
      const env = template ? { K8S_POD_TEMPLATE_HASH: template, K8S_POD_NAME: `${deployment}-${template}-${(started += 1)}` } : {};
      const pod = await startPod(config, { ...ports, env });
      pods.push(pod);
      await ready(pod);
      return pod;
    },
    stop: () => Promise.all(pods.map((pod) => pod.stop("SIGKILL"))),
  };
}

/** A stock client of a pod, which stays away when it is closed. */
async function clientOf(pod) {
  const socket = io(pod.url, { transports: ["websocket"], forceNew: true, reconnection: false });
  await next(socket, "connect");
  return socket;
}

/** Tells a pod to end, and waits until it stays with its clients. */
async function stays(pod) {
  pod.signal("SIGTERM");
  await until("it waits for the rollout", () => said(pod, "a rollout is under way"));
  assert.equal(await phase(pod), "waiting");
}

/** Why a pod has closed connections, for a message. */
async function closed(pod) {
  const page = await (await fetch(`${pod.internal}/metrics`)).text();
  return page.split("\n").filter((line) => line.startsWith("roomcast_connections_closed_total{") && !line.endsWith(" 0")).join(" ");
}

/** Why the wait of a pod was over. */
const because = (pod) => said(pod, "the wait for the rollout is over")?.because;

describe("three pods behind haproxy", () => {
  test("no client moves twice, and none is without messages while it is connected", async (t) => {
    const [CLIENTS, LATER, WINDOW] = [342, 18, 30];
    const pods = cluster({ window: `${WINDOW}s` });
    const ports = await Promise.all(Array.from({ length: 6 }, async () => ({ port: await freePort(), internalPort: await freePort() })));
    const balancer = await startBalancer("haproxy", ports.map(({ port, internalPort }) => ({ port, internal: `http://127.0.0.1:${internalPort}` })));
    const crowd = new Crowd(balancer.url, "public-rollout");
    let over = false;
    try {
      const old = await Promise.all(ports.slice(0, 3).map((port) => pods.start("a", port)));
      // The load balancer knows that none of the others is there.
      await until("it gives each its share", async () => {
        for (let count = 0; count < 6; count += 1) if ((await fetch(`${balancer.url}/socket.io/`)).status !== 400) return false;
        return true;
      });
      const third = Math.floor(CLIENTS / 3);
      for (let joined = 0; joined < third; joined += 38) {
        for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) await crowd.join(38, { transports });
      }
      const serving = new Set(old);
      /** When each message was published: begun, accepted. */
      const published = [];
      const publishing = (async () => {
        while (!over) {
          const [pod] = [...serving].slice(published.length % serving.size);
          const begun = Date.now();
          const { status, body } = await pod.publish({ rooms: [crowd.room], event: "news", args: [published.length] });
          assert.ok(status === 200 || status === 202, `${status} ${JSON.stringify(body)}`);
          published.push([begun, Date.now()]);
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
      })();

      /** When the last old pod was told to end, and all could go. */
      let told;
      const young = [];
      for (const [index, pod] of old.entries()) {
        const fresh = await pods.start("b", ports[3 + index]);
        young.push(fresh);
        serving.add(fresh);
        serving.delete(pod);
        if (index < 2) {
          await stays(pod);
          // Who comes now lands on pods that are ready, of either kind.
          await crowd.join(LATER / 2, { transports: ["polling", "websocket"] });
        } else {
          for (const waiting of old.slice(0, 2)) assert.equal(await phase(waiting), "waiting");
          const moved = crowd.clients.filter(({ connects }) => connects > 1).length;
          const why = async () => `nobody has moved so far: ${JSON.stringify([...crowd.errors])}, ${await Promise.all([...old, ...young].map(closed))}`;
          assert.equal(moved, 0, moved > 0 ? await why() : "");
          told = Date.now();
          pod.signal("SIGTERM");
        }
      }
      await until("the old ones have ended", () => old.every((pod) => !pod.isAlive()), 120_000);
      await until("all are back", () => crowd.isBack());
      over = true;
      await publishing;
      const { doubled } = await crowd.reckon(published.length);

      for (const pod of old) {
        assert.equal(await pod.stop(), 0);
        assert.equal(because(pod), "complete");
        const { cut, waited } = pod.logs.at(-1);
        assert.ok(cut === 0 && waited >= 0, JSON.stringify(pod.logs.at(-1)));
      }
      const connects = crowd.clients.map((client) => client.connects);
      assert.deepEqual(connects.filter((count) => count > 2), [], "nobody connects more than twice in all");
      const open = await Promise.all(young.map((pod) => pod.metric("roomcast_connections")));
      assert.equal(open.reduce((sum, count) => sum + count), CLIENTS + LATER, `all are on new pods: ${open}`);
      assert.equal(doubled, 0);

      // What was published before anybody was to go, or once a client was back, has reached it.
      let [missed, away] = [0, 0];
      for (const { seen, gaps, joined } of crowd.clients) {
        const has = new Set(seen);
        for (const [number, [begun, accepted]] of published.entries()) {
          if (has.has(number) || begun < joined) continue;
          if (accepted < told || begun > gaps.at(-1)[1]) missed += 1;
          else away += 1;
        }
      }
      const [moves, fastest] = [crowd.moves(), crowd.fastest()];
      const share = ((100 * fastest) / crowd.clients.length).toFixed(1);
      t.diagnostic(
        `${moves.length} of ${crowd.clients.length} clients moved, once each, over ${((moves.at(-1) - moves[0]) / 1000).toFixed(1)} s from ${((moves[0] - told) / 1000).toFixed(1)} s on; ` +
          `at most ${fastest} in a second (${share} %); ${published.length} messages, ${missed} missed while connected, ${away} while they moved; now ${open}`,
      );
      assert.equal(missed, 0);
    } finally {
      over = true;
      crowd.close();
      await balancer.stop();
      await pods.stop();
    }
  });
});

describe("a pod that is told to end", () => {
  test("waits for nothing when pods are scaled in, beside another Deployment, or without a template", async () => {
    for (const [what, template] of [["scaled in", "a"], ["no template", undefined]]) {
      const pods = cluster();
      try {
        const leaving = await pods.start(template);
        await pods.start(template);
        await pods.start("c", { deployment: "chat-canary" });
        const socket = await clientOf(leaving);
        const gone = next(socket, "disconnect");
        leaving.signal("SIGTERM");
        assert.equal((await gone)[0], "transport close", what);
        await ended(leaving);
        assert.equal(await leaving.stop(), 0);
        assert.equal(said(leaving, "a rollout is under way"), undefined, what);
        assert.equal(Boolean(said(leaving, "drain.rollout_wait has no effect: K8S_POD_TEMPLATE_HASH is not set")), !template);
      } finally {
        await pods.stop();
      }
    }
  });

  test("refuses new sessions and serves its own while it waits, and is not ready", async () => {
    const pods = cluster();
    try {
      const [old] = [await pods.start("a"), await pods.start("a")];
      const young = await pods.start("b");
      const socket = await clientOf(old);
      await stays(old);
      assert.equal((await fetch(`${old.internal}/readyz`)).status, 503);
      assert.equal((await fetch(`${old.url}/socket.io/?EIO=4&transport=polling`)).status, 503);
      const news = next(socket, "news");
      await young.publish({ event: "news", args: ["still here"] });
      assert.deepEqual(await news, ["still here"]);
      assert.equal(await old.metric("roomcast_phase", 'phase="waiting"'), 1);
      const { body } = await young.api("GET", "cluster");
      const templates = body.pods.map(({ template, deployment, state }) => `${deployment}-${template} ${state}`).sort();
      assert.deepEqual(templates, ["chat-a draining", "chat-a serving", "chat-b serving"]);

      // It is for good; somebody who knows better ends the wait.
      const { status, body: refused } = await old.api("DELETE", "drain");
      assert.deepEqual([status, refused.error.code], [409, "drain_final"]);
      const gone = next(socket, "disconnect");
      assert.deepEqual(await old.api("POST", "drain"), { status: 202, body: { phase: "announced" } });
      assert.equal((await gone)[0], "transport close");
      await ended(old);
      assert.equal(because(old), "asked");
      assert.equal(await old.stop(), 0);
    } finally {
      await pods.stop();
    }
  });

  test("tells the others at once, long before its next heartbeat", async () => {
    const pods = cluster({ more: 'heartbeat = "1h"' });
    try {
      const pod = await pods.start("a");
      const [id] = redis.cli("smembers", `{${pods.name}}:pods`).split("\n");
      const state = () => JSON.parse(redis.cli("get", `{${pods.name}}:pod:${id}`)).state;
      assert.equal(state(), "serving");
      await clientOf(pod);
      pod.signal("SIGTERM");
      await until("its record says so", () => state() === "draining");
    } finally {
      await pods.stop();
    }
  });

  test("waits for drain.rollout_wait at most when another old pod stays", async () => {
    const pods = cluster({ wait: "3s", delay: "3s" });
    try {
      const [old] = [await pods.start("a"), await pods.start("a")];
      await pods.start("b");
      const socket = await clientOf(old);
      const gone = next(socket, "disconnect");
      await stays(old);
      await until("its wait is over", () => said(old, "drain.rollout_wait is over"));
      await until("it is counted", async () => (await old.metric("roomcast_rollout_waits_total", 'ended="timeout"')) === 1);
      assert.equal((await gone)[0], "transport close");
      await ended(old);
      assert.equal(await old.stop(), 0);
    } finally {
      await pods.stop();
    }
  });

  test("ends at once on a second signal, and when its last client goes", async () => {
    const pods = cluster();
    try {
      const [hurried, left] = [await pods.start("a"), await pods.start("a"), await pods.start("a"), await pods.start("b")];
      const socket = await clientOf(hurried);
      const gone = next(socket, "disconnect");
      await stays(hurried);
      hurried.signal("SIGTERM");
      assert.equal((await gone)[0], "transport close");
      await ended(hurried);
      assert.equal(because(hurried), "hurry");
      assert.equal(await hurried.stop(), 0);

      const last = await clientOf(left);
      await stays(left);
      last.disconnect();
      await ended(left);
      assert.equal(because(left), "empty");
      assert.equal(await left.stop(), 0);
    } finally {
      await pods.stop();
    }
  });

  test("goes on when the rollout is rolled back; the new one goes with its kind", async () => {
    const pods = cluster();
    try {
      const old = [await pods.start("a"), await pods.start("a")];
      const young = [await pods.start("b"), await pods.start("b")];
      const sockets = [await clientOf(old[0]), await clientOf(young[0])];
      await stays(old[0]);
      const again = await pods.start("a");
      // The pod of the template before is the newer one now.
      await stays(young[0]);
      assert.equal(await phase(old[0]), "waiting", "a new pod is there yet");
      const gone = sockets.map((socket) => next(socket, "disconnect"));
      young[1].signal("SIGTERM");
      for (const [reason] of await Promise.all(gone)) assert.equal(reason, "transport close");
      await Promise.all([old[0], ...young].map((pod) => ended(pod)));
      assert.deepEqual([because(old[0]), because(young[0])], ["cancelled", "complete"]);
      for (const pod of [old[1], again]) assert.equal(await phase(pod), "serving");
    } finally {
      await pods.stop();
    }
  });

  test("goes on when the new pods have died", async () => {
    const pods = cluster({ more: 'heartbeat = "200ms"\ntimeout = "2s"' });
    try {
      const [old, young] = [await pods.start("a"), await pods.start("a"), await pods.start("b")].filter((_, index) => index !== 1);
      const socket = await clientOf(old);
      const gone = next(socket, "disconnect");
      await stays(old);
      await young.stop("SIGKILL");
      assert.equal((await gone)[0], "transport close");
      await ended(old);
      assert.equal(because(old), "cancelled");
      assert.equal(await old.stop(), 0);
    } finally {
      await pods.stop();
    }
  });

  test("stays while Redis is away and when it has come back empty", async () => {
    const own = await startRedis();
    const pods = cluster({ url: own.url, more: 'heartbeat = "200ms"\ntimeout = "1s"' });
    try {
      const old = [await pods.start("a"), await pods.start("a")];
      await pods.start("b");
      const socket = await clientOf(old[0]);
      await stays(old[0]);
      await own.kill();
      await until("it is cut off", async () => (await readyz(old[0])) === "waiting, cut off from the backplane");
      await own.restart();
      await until("it is connected again", async () => (await readyz(old[0])) === "waiting");
      await until("it knows all three again", async () => (await old[0].api("GET", "cluster")).body.pods.length === 3);
      assert.equal(because(old[0]), undefined);
      assert.ok(socket.connected);
      old[1].signal("SIGTERM");
      await Promise.all(old.map((pod) => ended(pod)));
      assert.equal(because(old[0]), "complete");
    } finally {
      await pods.stop();
      await own.stop();
    }
  });
});
