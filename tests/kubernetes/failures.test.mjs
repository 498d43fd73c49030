// What clients notice when parts of the cluster go: a node, a pod, Redis, the API server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import * as cluster from "./cluster.mjs";
import { connects, during, rows } from "./during.mjs";
import { saw } from "./report.mjs";

before(async () => {
  assert.equal(cluster.missing(), undefined);
  await cluster.prepare();
  await cluster.install({ replicas: 3 });
});
after(cluster.uninstall);

const three = () => cluster.settled(3);
const paced = ({ crowd }) => assert.ok(crowd.fastest() <= crowd.clients.length * 0.05, `${crowd.fastest()} came back within a second`);
const most = ({ crowd }) => Math.max(...crowd.clients.map(({ connects }) => connects));

test("kubectl drain of a node: its clients come back, at a pace", async () => {
  const [{ node }] = await cluster.ready();
  const redis = (await cluster.json("get", "pods", "-l", "app=redis")).items[0].spec.nodeName;
  const [chosen] = (await cluster.ready()).map((pod) => pod.node).filter((name) => name !== redis);
  const drained = chosen ?? node;
  const on = (await cluster.ready()).filter((pod) => pod.node === drained).length;
  const done = await during("public-node", async () => {
    await cluster.kubectl("drain", drained, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s");
    await three();
  });
  await cluster.kubectl("uncordon", drained);
  saw("`kubectl drain` of a node", { "pods on it": on, ...rows(done) });
  // Who lands on a pod of the same node whose turn has not come moves again: docs/kubernetes/node-drains.md.
  assert.ok(most(done) <= 1 + on, JSON.stringify(connects(done.crowd)));
  paced(done);
  assert.deepEqual([done.sums.doubled, done.sums.disordered], [0, 0]);
});

test("a pod is deleted: its clients leave it once", async () => {
  const done = await during("public-deleted", async () => {
    const [{ name }] = await cluster.ready();
    await cluster.kubectl("delete", "pod", name, "--timeout=180s");
    await three();
  });
  saw("`kubectl delete pod`", rows(done));
  assert.ok(most(done) <= 2, JSON.stringify(connects(done.crowd)));
  paced(done);
  assert.deepEqual([done.sums.doubled, done.sums.disordered], [0, 0]);
});

test("a pod is killed without grace: its clients are back", async () => {
  const done = await during("public-killed", async () => {
    const [{ name }] = await cluster.ready();
    await cluster.kubectl("delete", "pod", name, "--grace-period=0", "--force");
    await three();
  });
  saw("`kubectl delete pod --grace-period=0 --force`", rows(done));
  assert.deepEqual([done.sums.doubled, done.sums.disordered], [0, 0]);
});

test("Redis is restarted: clients stay, and hear each other again", async () => {
  const done = await during("public-redis", async () => {
    await cluster.kubectl("delete", "pod", "-l", "app=redis", "--timeout=60s");
    await cluster.kubectl("rollout", "status", "deployment/redis", "--timeout=60s");
    await three();
  });
  saw("Redis is restarted", rows(done));
  assert.equal(most(done), 1, "no client was disconnected");
  assert.equal(done.sums.doubled, 0);
});

test("the API server is stopped for a minute: nobody notices", async () => {
  let back;
  const done = await during("public-api-server", async () => {
    const pid = cluster.pidOf("kube-apiserver");
    process.kill(pid, "SIGSTOP");
    try {
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    } finally {
      back = Date.now();
      process.kill(pid, "SIGCONT");
    }
    await three();
  });
  // Nodes could not say that they live: when the API server is back, the node controller takes all for not ready, for five
  // seconds in which Services have no endpoints. New TCP connections are refused then, by Kubernetes.
  const gaps = done.crowd.clients.flatMap((client) => client.gaps);
  const { items } = await cluster.json("get", "events", "-A", "--field-selector", "reason=NodeNotReady");
  const notReady = items.filter(({ lastTimestamp }) => Date.parse(lastTimestamp) > back - 1000).length;
  saw("The API server stands still for a minute", {
    "clients that were disconnected meanwhile": gaps.filter(([left]) => left < back).length,
    "afterwards, pods whose nodes Kubernetes took for not ready": notReady,
    "and clients that it let reach no pod then": gaps.length,
    ...rows(done),
  });
  assert.ok(gaps.every(([left]) => left > back), "no client was disconnected");
  assert.ok(gaps.length === 0 || notReady > 0, "nor afterwards, but for what Kubernetes does");
  const missed = done.crowd.clients.filter(({ seen, gaps }) => gaps.length === 0 && new Set(seen).size < done.sent).length;
  assert.deepEqual([missed, done.sums.doubled, done.sums.disordered], [0, 0, 0], "nobody who stayed missed anything");
});
