// From an empty cluster to clients that hear each other, and an upgrade that nobody notices.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Crowd } from "../js/edge/crowd.mjs";
import { plot } from "../js/edge/plot.mjs";
import * as cluster from "./cluster.mjs";
import { connects, during, rows } from "./during.mjs";
import { saw } from "./report.mjs";

const PODS = { replicas: 3 };
/** So many that chance has little part in how many come back within a second; with few messages, as they share a machine. */
const MANY = { count: 480, rate: 1 };

before(async () => {
  assert.equal(cluster.missing(), undefined);
  await cluster.prepare();
});
after(cluster.uninstall);

test("helm install in an empty cluster: ready, and stock clients of three pods hear each other", async () => {
  const begun = Date.now();
  await cluster.install(PODS);
  const took = (Date.now() - begun) / 1000;
  const { publish } = await cluster.backend();
  const crowd = new Crowd(await cluster.address(), "public-install");
  try {
    await crowd.join(30, { transports: ["polling"] });
    await crowd.join(30, { transports: ["websocket"] });
    const sent = await crowd.publish(() => [{ publish }], { seconds: 3, rate: 10 });
    const { missing, doubled, disordered } = await crowd.reckon(sent);
    assert.deepEqual({ missing, doubled, disordered, errors: [...crowd.errors] }, { missing: 0, doubled: 0, disordered: 0, errors: [] });
    const tested = await cluster.helm("test", cluster.RELEASE).then(() => "passes", (error) => error.message.split("\n")[0]);
    saw("Install", { "`helm install --wait`, three pods": `${took.toFixed(0)} s`, "60 clients, deliveries missed": missing, "`helm test`": tested });
  } finally {
    crowd.close();
  }
});

test("helm upgrade to a new image: each client leaves its old pod once, and lands on a new one", async (t) => {
  const before = new Set((await cluster.pods()).map(({ name }) => name));
  const done = await during("public-upgrade", async () => {
    await cluster.install({ ...PODS, image: { tag: "next" } });
    await cluster.settled(3);
  }, MANY);
  const picture = plot("kubernetes/upgrade.svg", { "connections of each pod": done.watching.connections });
  t.diagnostic(picture);
  saw("Upgrade: `helm upgrade` to a new image, three pods under load", rows(done), picture);
  assert.deepEqual(connects(done.crowd), { 2: MANY.count });
  assert.deepEqual([done.sums.doubled, done.sums.disordered], [0, 0]);
  assert.ok(done.crowd.fastest() <= done.crowd.clients.length * 0.05, `${done.crowd.fastest()} came back within a second`);
  assert.ok((await cluster.ready()).every(({ name }) => !before.has(name)), "all pods are new");
});

test("kubectl rollout undo: the same, backwards", async () => {
  const done = await during("public-undo", async () => {
    await cluster.kubectl("rollout", "undo", `deployment/${cluster.RELEASE}`);
    await cluster.kubectl("rollout", "status", `deployment/${cluster.RELEASE}`, "--timeout=180s");
    await cluster.settled(3);
  });
  saw("Rollback: `kubectl rollout undo`", rows(done));
  assert.equal(done.crowd.clients.filter(({ connects }) => connects > 2).length, 0, `connects: ${JSON.stringify(connects(done.crowd))}`);
  assert.deepEqual([done.sums.doubled, done.sums.disordered], [0, 0]);
});
