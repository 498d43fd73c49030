// drain.timeout is the end of a drain, and so is a second signal, whatever hangs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { OPEN, startPod, until } from "../pod.mjs";
import { startRedis } from "../redis.mjs";
import { openRaw } from "./raw.mjs";

/** A pod with a connection whose Redis answers nothing any more. */
async function withFrozenRedis(settings, what) {
  const redis = await startRedis();
  const pod = await startPod(`${OPEN}\n[backplane]\nkind = "pubsub"\nurl = "${redis.url}"\n${settings}`);
  const { socket } = await openRaw(pod);
  try {
    await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
    redis.signal("SIGSTOP");
    await what(pod);
  } finally {
    socket.destroy();
    await pod.stop("SIGKILL");
    await redis.stop();
  }
}

/** Waits for the end, which must be soon, in order, and told. */
async function ends(pod, from) {
  await until("the pod has ended", () => !pod.isAlive());
  const took = Date.now() - from;
  // What waits for Redis waits for longer: each step of leaving for a second.
  assert.ok(took < 3000, `${took} ms`);
  assert.equal(await pod.stop(), 0);
  const [hint, last] = pod.logs.slice(-2);
  assert.match(hint.message, /not waiting for what hangs$/);
  assert.deepEqual([last.message, last.connections, last.closed, last.cut], ["stopped", 1, 1, 0]);
}

for (const stream of [false, true]) {
  const settings = `[publish.stream]\nenabled = ${stream}\n`;
  const name = stream ? "with" : "without";

  test(`drain.timeout ends a pod whose Redis is frozen, ${name} the publish stream`, () =>
    withFrozenRedis(`${settings}[drain]\ntimeout = "300ms"`, async (pod) => {
      const from = Date.now();
      pod.signal("SIGTERM");
      await ends(pod, from);
    }));

  test(`a second signal ends a pod that leaves a frozen Redis, ${name} the publish stream`, () =>
    withFrozenRedis(`${settings}[drain]\ntimeout = "10m"`, async (pod) => {
      const from = Date.now();
      pod.signal("SIGTERM");
      await until("connections are closed", () => pod.logs.some(({ message }) => message === "closing connections"));
      pod.signal("SIGTERM");
      await ends(pod, from);
    }));
}
