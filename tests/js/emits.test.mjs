// What is measured of emits and of Redis, against what was counted without it: two pods, two servers of Node, one Redis.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { ask } from "./clients.mjs";
import { until } from "./pod.mjs";
import { Cast, newRoom } from "./peers/cast.mjs";
import { KINDS, startCluster } from "./peers/cluster.mjs";
import { nodeEmitter } from "./peers/emitters.mjs";
import { startRoomcastPod } from "./peers/roomcast-pod.mjs";
import { TARGETS, placeClients } from "./peers/targets.mjs";

const EMITS = 1000;
const SOCKETS = 50;

const latency = (pod, stage) => pod.metric("roomcast_emit_latency_seconds_count", `stage="${stage}"`);
const deliveries = (pod, source) => pod.metric("roomcast_deliveries_total", `source="${source}"`);
const recipients = (pod, source, what = "sum") => pod.metric(`roomcast_emit_recipients_${what}`, `source="${source}"`);
const peers = (pod, kind, state = "serving") => pod.metric("roomcast_peers", `kind="${kind}",state="${state}"`);
const age = (pod, kind) => pod.metric("roomcast_peer_message_age_seconds", `kind="${kind}"`);

/** Waits until a figure is what was counted. */
async function reaches(what, figure, count) {
  let last;
  const is = async () => (last = await figure()) === count;
  await until(what, is, 20_000).catch(() => assert.equal(last, count, what));
}

/** Publishes so often, some at a time. */
async function publish(pod, times, message) {
  let left = times;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      const { status } = await pod.publish(message);
      assert.equal(status, 200);
    }
  };
  await Promise.all(Array.from({ length: 20 }, one));
}

for (const kind of KINDS) {
  describe(kind, () => {
    let cluster, here, there;
    before(async () => {
      cluster = await startCluster(kind);
      ({ roomcast1: here, roomcast2: there } = cluster);
    });
    after(() => cluster?.stop());

    test(`${EMITS} emits to ${SOCKETS} sockets are ${EMITS * SOCKETS} deliveries, and each stage has been measured`, async (t) => {
      const cast = new Cast(cluster);
      t.after(() => cast.close());
      const room = newRoom();
      for (let n = 0; n < SOCKETS; n += 1) await cast.add(`${n}`, n % 2 ? here : there, { rooms: [room] });
      await cast.settled();
      let got = 0;
      for (let n = 0; n < SOCKETS; n += 1) cast.socket(`${n}`).on("news", () => (got += 1));
      const sampled = [await latency(here, "write"), await latency(there, "write")];
      await publish(here, EMITS, { rooms: [room], event: "news", args: ["x"] });
      await until("all are there", () => got === EMITS * SOCKETS);

      const half = (EMITS * SOCKETS) / 2;
      await reaches("deliveries here", () => deliveries(here, "api"), half);
      await reaches("deliveries there", () => deliveries(there, "backplane"), half);
      for (const [pod, source] of [[here, "api"], [there, "backplane"]]) {
        await reaches("emits measured", () => latency(pod, "queue"), EMITS);
        assert.equal(await recipients(pod, source), half);
        assert.equal(await recipients(pod, source, "count"), EMITS);
        assert.equal(await pod.metric("roomcast_emits_total", `source="${source}"`), EMITS);
      }
      await reaches("publishes", () => latency(here, "publish"), EMITS);
      assert.equal(await latency(there, "receive"), EMITS);
      assert.equal(await latency(there, "publish"), 0);
      assert.equal(await latency(here, "receive"), 0);
      for (const [pod, before] of [[here, sampled[0]], [there, sampled[1]]]) {
        const written = (await latency(pod, "write")) - before;
        t.diagnostic(`of ${EMITS} emits, ${written} were watched to the socket`);
        assert.ok(written > EMITS / 200 && written <= EMITS, `${written} were watched`);
        await reaches("as many in all", () => latency(pod, "total"), await latency(pod, "write"));
        const mean = (await pod.metric("roomcast_emit_latency_seconds_sum", 'stage="write"')) / (await latency(pod, "write"));
        assert.ok(mean < 5, `a write takes ${mean} s`);
      }
    });

    test("recipients are those that get it, whatever the target", async (t) => {
      const cast = new Cast(cluster);
      t.after(() => cast.close());
      const { A, B } = await placeClients(cast, here, there, cluster.node1);
      const ours = new Set(["near", "far A", "far B", "far AB", "far", "second A"]);
      const sum = async (figure) => (await figure(here, "api")) + (await figure(there, "backplane"));
      // The cast asks what came with emits to all: one to each of ours.
      let [got, put] = [await sum(recipients), await sum(deliveries)];
      for (const [what, where, who] of [["nobody", undefined, []], ...TARGETS]) {
        const message = where && { ...where({ A, B, id: (name) => cast.id(name) }), event: "news", args: [what] };
        await cast.received(here, () => message && here.emit(message));
        const expected = ours.size + who.filter((name) => ours.has(name)).length;
        // They are counted a moment after clients may have them.
        await reaches(`recipients of an emit to ${what}`, () => sum(recipients), (got += expected));
        await reaches(`deliveries of an emit to ${what}`, () => sum(deliveries), (put += expected));
      }
    });

    test("who emits is told apart", async (t) => {
      const cast = new Cast(cluster);
      t.after(() => cast.close());
      const room = newRoom();
      await cast.add("near", here, { rooms: [room] });
      await cast.add("far", there, { rooms: [room] });
      await cast.add("node", cluster.node1, { rooms: [room] });
      await cast.settled();
      const before = { client: await deliveries(here, "client"), backplane: await deliveries(there, "backplane") };
      assert.deepEqual(await ask(cast.socket("near"), "chat", room, 1), { accepted: true });
      await reaches("a relay there", () => deliveries(there, "backplane"), before.backplane + 1);
      assert.equal(await deliveries(here, "client"), before.client, "it does not come back");
      const counted = await deliveries(here, "backplane");
      await cluster.node1.emit({ rooms: [room], event: "news", args: [2] });
      await reaches("an emit of Node", () => deliveries(here, "backplane"), counted + 1);
      if (kind === "pubsub") {
        await nodeEmitter(cluster.client).emit({ rooms: [room], event: "news", args: [3] });
        await reaches("one of an emitter", () => deliveries(here, "emitter"), 1);
        assert.equal(await deliveries(here, "backplane"), counted + 1);
      }
    });

    test("subscriptions are those that Redis has, and commands those that it counts", async () => {
      const redis = async () => {
        const list = await cluster.client.sendCommand(["CLIENT", "LIST"]);
        const ours = list.split("\n").filter((line) => /name=roomcast-.*-subscribe/.test(line));
        assert.equal(ours.length, 2);
        const counts = ours.flatMap((line) => [...line.matchAll(/ s?p?s?sub=(\d+)/g)].map(([, count]) => Number(count)));
        return counts.reduce((sum, count) => sum + count, 0);
      };
      const ours = async () =>
        (await here.metric("roomcast_backplane_subscriptions")) + (await there.metric("roomcast_backplane_subscriptions"));
      await until("subscriptions agree", async () => (await ours()) === (await redis()));
      assert.ok((await ours()) >= 4);
      const commands = async (name) => {
        const counts = [here, there].map((pod) => pod.metric("roomcast_redis_command_duration_seconds_count", `command="${name}"`));
        return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
      };
      const stats = async (name) => {
        const info = await cluster.client.sendCommand(["INFO", "commandstats"]);
        return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(info)?.[1] ?? 0);
      };
      for (const name of ["smembers", "sadd", "mget"]) {
        assert.ok((await stats(name)) > 0, name);
        await until(`${name} is counted`, async () => (await commands(name)) === (await stats(name)));
      }
    });

    test("peers are as many as were started, and are heard", async () => {
      await reaches("pods", () => peers(here, "roomcast"), 1);
      await reaches("servers of Node", () => peers(here, "node"), 2);
      const third = await startRoomcastPod({ kind, redis: cluster.redis.url }, { args: ["--set", "drain.delay=60s"] });
      try {
        await reaches("another pod", () => peers(here, "roomcast"), 2);
        assert.equal(await peers(here, "node"), 2);
        third.signal("SIGTERM");
        await reaches("it drains", () => peers(here, "roomcast", "draining"), 1);
        await reaches("it does not serve", () => peers(here, "roomcast"), 1);
      } finally {
        await third.stop("SIGKILL");
      }
      for (const [name, from] of [["roomcast", there], ["node", cluster.node2]]) {
        await until("nobody has emitted for a while", async () => (await age(here, name)) > 1.5);
        await from.emit({ event: "news", args: [1] });
        await until(`${name} is heard`, async () => (await age(here, name)) < 1.5);
      }
    });

    test("questions are counted by what came of them", async () => {
      const asked = (result) => here.metric("roomcast_cluster_questions_total", `result="${result}"`);
      const [before, silent] = [await asked("complete"), await asked("silent")];
      await here.sockets();
      assert.equal((await asked("complete")) - before, 1);
      assert.equal(await asked("silent"), silent);
      const frozen = await startRoomcastPod({ kind, redis: cluster.redis.url });
      await until("it is heard", async () => (await here.api("GET", "sockets")).body.pods.asked === 5);
      frozen.signal("SIGSTOP");
      try {
        assert.equal((await here.api("GET", "sockets")).body.pods.silent, 1);
        assert.equal(await asked("silent"), silent + 1);
      } finally {
        await frozen.stop("SIGKILL");
      }
    });

    test("what waits to go out is told, and a slow publish is one line of the log", async () => {
      const waiting = (what) => here.metric(`roomcast_backplane_publish_queue_${what}`);
      const slow = () => here.metric("roomcast_slow_emits_total", 'stage="publish"');
      await reaches("nothing waits", () => waiting("messages"), 0);
      const before = await slow();
      // Nobody writes for a while; Redis goes on by itself, and on command before.
      await cluster.client.sendCommand(["CLIENT", "PAUSE", "4000", "WRITE"]);
      const logged = here.logs.length;
      const publishing = publish(here, 20, { rooms: [newRoom()], event: "news", args: [1] });
      await reaches("messages wait", () => waiting("messages"), 20);
      assert.ok((await waiting("bytes")) > 20 * 50);
      // Each of them for so long, the last one too.
      const waited = Date.now();
      await until("all are slow", () => Date.now() - waited > 300);
      await cluster.client.sendCommand(["CLIENT", "UNPAUSE"]);
      await publishing;
      await reaches("all are slow", slow, before + 20);
      await reaches("nothing waits any more", () => waiting("messages"), 0);
      const lines = here.logs.slice(logged).filter((line) => line.message.startsWith("a slow emit"));
      assert.equal(lines.length, 1);
      assert.equal(lines[0].level, "WARN");
      assert.deepEqual([lines[0].stage, lines[0].namespace, lines[0].source], ["publish", "/", "api"]);
      assert.ok(lines[0].milliseconds >= 250, JSON.stringify(lines[0]));
    });
  });
}
