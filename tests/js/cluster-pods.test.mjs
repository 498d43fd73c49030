// What a pod knows of the others: who is there, who is about to go, who does not answer; and what it keeps
// while nobody can be reached.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { OPEN, startPod, until } from "./pod.mjs";
import { startRedis } from "./redis.mjs";

const ready = (pod) => until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
const get = async (pod, path) => (await pod.api("GET", path)).body;

for (const kind of ["pubsub", "sharded"]) {
  describe(kind, () => {
    let redis;
    before(async () => {
      redis = await startRedis();
    });
    after(() => redis?.stop());

    const start = async (settings = "", more = "") => {
      const backplane = `[backplane]\nkind = "${kind}"\nurl = "${redis.url}"\nrequest_timeout = "4s"\n${settings}\n`;
      const pod = await startPod(`${OPEN}\n${backplane}\n${more}`);
      await ready(pod);
      return pod;
    };

    test("pods that serve, drain, stand still and are gone", async () => {
      const [asking, frozen, leaving, dead] = await Promise.all([
        start(),
        start(),
        start("", '[drain]\ndelay = "60s"\ntimeout = "61s"'),
        start(),
      ]);
      try {
        const pods = async () => Object.fromEntries((await get(asking, "cluster")).pods.map((pod) => [pod.address, pod]));
        await until("all four know each other", async () => Object.keys(await pods()).length === 4);
        const own = (await pods())[new URL(asking.internal).host];
        assert.equal(own.state, "serving");
        assert.equal(own.connections, 0);
        assert.ok(Math.abs(Date.now() - new Date(own.since)) < 60_000, own.since);
        assert.match(own.version, /^\d+\.\d+\.\d+/);

        leaving.signal("SIGTERM");
        await until("one says that it drains", async () => (await pods())[new URL(leaving.internal).host].state === "draining");

        assert.deepEqual((await get(asking, "sockets")).pods, { asked: 4, silent: 0 });
        frozen.signal("SIGSTOP");
        const begun = Date.now();
        for (const path of ["sockets", "rooms"]) {
          assert.deepEqual((await get(asking, path)).pods, { asked: 4, silent: 1 }, path);
        }
        const { body } = await asking.api("POST", "emit", { event: "x", ack_timeout: "4s" });
        assert.deepEqual(body, { accepted: true, answers: [], missing: 0, pods: { asked: 4, silent: 1 } });
        assert.ok(Date.now() - begun < 30_000, "it does not wait for a pod that is silent");
        assert.equal((await asking.api("GET", "sockets/nobody")).body.error.code, "unknown_socket");

        await dead.stop("SIGKILL");
        await until("a dead pod is not asked", async () => (await get(asking, "sockets")).pods.asked === 3);
        const gone = async () => !(await pods())[new URL(dead.internal).host];
        await until("its record ends by itself", gone);
      } finally {
        frozen.signal("SIGCONT");
        await Promise.all([asking, frozen, leaving, dead].map((pod) => pod.stop("SIGKILL")));
      }
    });

    test("what cannot be kept is refused", async () => {
      const pod = await start('when_away = "queue"\npublish_queue = "4KiB"');
      try {
        await redis.kill();
        await until("the pod is cut off", async () => (await pod.metric("roomcast_backplane_connected")) === 0);
        const results = [];
        await until("the queue is full", async () => {
          const { status, body } = await pod.publish({ event: "news", args: ["x".repeat(500)] });
          results.push(status);
          return body.error?.code === "publish_queue_full";
        });
        assert.deepEqual(results.slice(0, -1), results.slice(0, -1).fill(200));
        assert.ok(results.length > 2 && results.length < 10, String(results));
      } finally {
        await pod.stop("SIGKILL");
        await redis.restart();
      }
    });
  });
}
