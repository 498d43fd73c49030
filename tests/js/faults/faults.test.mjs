// What faults of Redis, and of the way to it, cost a cluster under load, and that it heals by itself.

import assert from "node:assert/strict";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";

import { startRedis } from "../redis.mjs";
import { overflow } from "./overflow.mjs";
import { startPath } from "./proxy.mjs";
import { startCluster } from "./redis-cluster.mjs";
import { Scenario, check } from "./scenario.mjs";
import { startSentinels } from "./sentinel.mjs";
import { table } from "./table.mjs";

/** Most of a scenario is waiting: this many at a time leave two cores time to breathe. */
const AT_ONCE = 3;
const STANDSTILL_MS = 10_000;
const SLOT_ROUNDS = 3;

/** In the order of the tests, which end in another. */
const outcomes = [];
let tests = 0;

/** Runs `body` under load in each mode; when it returns, the fault is over. */
function fault(name, body, { modes = ["pubsub", "sharded"], ...options } = {}) {
  for (const mode of modes) {
    const place = tests++;
    test(`${name}, ${mode}`, async () => {
      const scenario = new Scenario({ mode, ...options });
      try {
        await body(scenario);
        const outcome = await scenario.outcome();
        outcomes[place] = { fault: name, mode, ...outcome };
        check(outcome);
      } finally {
        await scenario.end();
      }
    });
  }
}

/** Two pods and what carries their messages, with the load on them. */
async function pair(scenario, start) {
  const backplane = scenario.keep(await start());
  await scenario.startPods([backplane.url, backplane.url]);
  await scenario.settle();
  return backplane;
}

/** Three pods, of which the last one has a way to Redis of its own. */
async function withPath(scenario) {
  const redis = scenario.keep(await startRedis());
  const path = scenario.keep(await startPath(redis.port));
  await scenario.startPods([redis.url, redis.url, `redis://127.0.0.1:${path.port}`]);
  await scenario.settle();
  return path;
}

async function restart(scenario) {
  const redis = await pair(scenario, startRedis);
  await redis.kill();
  await scenario.cutOff();
  await redis.restart();
}

describe("faults under load", { concurrency: AT_ONCE }, () => {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  before(() => delay.enable());
  after(() => {
    console.log(table(outcomes.filter(Boolean)));
    console.log(`The test's own process stood still for up to ${Math.round(delay.max / 1e6)} ms.`);
  });

  fault("redis-server stands still for ten seconds", async (scenario) => {
    const redis = await pair(scenario, startRedis);
    redis.signal("SIGSTOP");
    await Promise.all([scenario.cutOff(), setTimeout(STANDSTILL_MS)]);
    redis.signal("SIGCONT");
  });

  // What is sent again on a new connection arrives twice now: Redis still reads the old one.
  fault("redis-server stands still until its pods have seen it", async (scenario) => {
    const redis = await pair(scenario, startRedis);
    redis.signal("SIGSTOP");
    await scenario.seen();
    redis.signal("SIGCONT");
  });

  fault("the cluster loses a primary", async (scenario) => {
    const cluster = await pair(scenario, startCluster);
    await cluster.loseBusiest();
  });

  fault("slots move to other primaries", async (scenario) => {
    const cluster = await pair(scenario, startCluster);
    for (let round = 0; round < SLOT_ROUNDS; round += 1) {
      assert.ok((await cluster.moveSlotsInUse()) > 0, "some slot was in use");
      // A further round would tell nothing more.
      if (!(await scenario.mended())) break;
    }
  });

  fault("the sentinels fail over", async (scenario) => {
    const sentinels = await pair(scenario, startSentinels);
    await sentinels.failOver();
  }, { modes: ["pubsub"] });

  fault("the way of one pod to Redis swallows everything", async (scenario) => {
    const path = await withPath(scenario);
    path.stall();
    await scenario.cutOff(scenario.pods.slice(-1));
    await path.mend();
  });

  fault("the way of one pod to Redis is refused", async (scenario) => {
    const path = await withPath(scenario);
    path.refuse();
    await scenario.cutOff(scenario.pods.slice(-1));
    await path.mend();
  });

  fault("redis-server is killed, and comes back empty", restart);

  fault('the same, with when_away = "queue"', restart, {
    settings: { when_away: "queue", ready_when_away: true },
  });

  fault("Redis drops a pod that does not read", async (scenario) => {
    const redis = await pair(scenario, startRedis);
    await overflow(scenario, redis);
  });

  fault("pods start while Redis is down", async (scenario) => {
    const redis = scenario.keep(await startRedis());
    await redis.kill();
    await scenario.startPods([redis.url, redis.url]);
    scenario.fault();
    await scenario.startLoad();
    await scenario.cutOff();
    await scenario.warned();
    await redis.restart();
  });
});
