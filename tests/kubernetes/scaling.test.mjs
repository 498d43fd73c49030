// Scaled on connections, each way that the lab can run: 1 → 5 → 2 pods, and what clients notice of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Crowd } from "../js/edge/crowd.mjs";
import { plot } from "../js/edge/plot.mjs";
import { until } from "../js/pod.mjs";
import * as cluster from "./cluster.mjs";
import { saw } from "./report.mjs";
import { watchPods } from "./watching.mjs";

/** Connections of a pod that the autoscaler aims at. */
const TARGET = 10;
/** Fast enough to look at: production has minutes where this has seconds. */
const SHORT = { scaleDown: { stabilizationWindowSeconds: 10, policies: [{ type: "Pods", value: 1, periodSeconds: 15 }] } };

/** Ways to scale, with what each needs beside the pods, and its values. KEDA comes last: it takes the API of external metrics. */
const WAYS = {
  external: { autoscaling: { kind: "external" } },
  adapter: { adds: "metrics", autoscaling: { kind: "adapter" } },
  "keda, which asks a pod": { adds: "keda", autoscaling: { kind: "keda", keda: { pollingInterval: 5 } } },
  "keda, which asks Prometheus": {
    adds: "keda",
    autoscaling: { kind: "keda", keda: { pollingInterval: 5, trigger: "prometheus", prometheus: { serverAddress: cluster.PROMETHEUS } } },
  },
};

before(async () => {
  assert.equal(cluster.missing(), undefined);
  await cluster.prepare();
});
after(async () => {
  await cluster.uninstall();
  await cluster.removeKeda();
});

const count = async () => (await cluster.ready()).length;

test("an autoscaler that is turned on, or off, keeps the pods that run", async () => {
  await cluster.uninstall();
  await cluster.install({ replicas: 3 });
  const watching = watchPods();
  try {
    const autoscaling = { kind: "external", minReplicas: 3, maxReplicas: 6, connectionsPerPod: TARGET };
    await cluster.install({ replicas: 3, autoscaling });
    const hpa = async () => (await cluster.json("get", "hpa", cluster.RELEASE)).status?.currentReplicas;
    await until("the autoscaler has looked", async () => (await hpa()) === 3, 60_000);
    // Helm asks before it takes something over that another has set.
    await cluster.install({ replicas: 3 }, "--force-conflicts");
  } finally {
    await watching.stop();
  }
  const least = Math.min(...watching.ready.map(([, ready]) => ready));
  saw("Turning an autoscaler on, and off", { "the fewest of three pods that were ready": least });
  assert.ok(least >= 3, `${least} pods`);
});

test("scale-in takes the emptiest pod", async () => {
  await cluster.uninstall();
  await cluster.install({ replicas: 3 });
  const pods = await cluster.ready();
  assert.equal(pods.length, 3);
  // The first in the list would go by chance in one run of three: the one in the middle has none.
  const [, empty] = pods.sort((a, b) => a.name.localeCompare(b.name));
  const crowds = pods.filter((pod) => pod !== empty).map(({ ip }) => new Crowd(`http://${ip}:3000`, "public-emptiest"));
  try {
    for (const crowd of crowds) await crowd.join(20, { transports: ["websocket"] });
    const costs = await until(
      "the pods have told what they cost",
      async () => {
        const now = await cluster.ready();
        return now.every(({ name, cost }) => cost === (name === empty.name ? 0 : 20)) && now;
      },
      150_000,
    );
    await cluster.kubectl("scale", `deployment/${cluster.RELEASE}`, "--replicas=2");
    await until("two pods", async () => (await cluster.pods()).length === 2, 180_000);
    const left = (await cluster.pods()).map(({ name }) => name);
    const moved = crowds.flatMap(({ clients }) => clients).filter(({ connects }) => connects > 1).length;
    saw("Scale-in takes the emptiest pod", {
      "deletion costs before": costs.map(({ name, cost }) => `${cost}${name === empty.name ? " (the emptiest)" : ""}`).join(", "),
      "the pod that went": left.includes(empty.name) ? "another" : "the emptiest",
      "clients that moved": moved,
    });
    assert.ok(!left.includes(empty.name), "the emptiest pod is the one that went");
    assert.equal(moved, 0);
  } finally {
    for (const crowd of crowds) crowd.close();
  }
});

for (const [way, { adds, autoscaling }] of Object.entries(WAYS)) {
  test(`${way}: 45 clients make five pods of one, and 15 that stay two`, { skip: cluster.lacks(adds) }, async (t) => {
    await cluster.uninstall();
    if (adds === "keda") await cluster.addKeda();
    else if (adds) await cluster.lab("add", adds);
    const drain = { windowSeconds: 5, timeoutSeconds: 10 };
    await cluster.install({ drain, autoscaling: { ...autoscaling, minReplicas: 1, maxReplicas: 6, connectionsPerPod: TARGET, behavior: SHORT } });
    const crowd = new Crowd(await cluster.address(), "public-scaling");
    const leaving = new Crowd(crowd.url, "public-scaling");
    const watching = watchPods();
    try {
      await until("one pod", async () => (await count()) === 1, 120_000);
      const begun = watching.seconds();
      await crowd.join(15, { transports: ["polling", "websocket"] });
      await leaving.join(30, { transports: ["polling", "websocket"] });
      await until("five pods", async () => (await count()) === 5, 180_000);
      const up = watching.seconds() - begun;
      leaving.close();
      const left = watching.seconds();
      await cluster.settled(2);
      const down = watching.seconds() - left;
      await until("all that stay are back", async () => crowd.isBack() && (await crowd.isAnswered()));
      await watching.stop();
      const picture = plot(`kubernetes/scaling-${way.replace(/[^a-z]+/gi, "-")}.svg`, { "connections of each pod": watching.connections, pods: { ready: watching.ready } });
      t.diagnostic(picture);
      const moved = crowd.clients.map(({ connects }) => connects - 1);
      saw(`Scaled on connections: ${way}`, {
        "1 → 5 pods after 45 clients came": `${up.toFixed(0)} s`,
        "5 → 2 pods after 30 of them left": `${down.toFixed(0)} s`,
        "moves of the 15 that stayed": moved.reduce((a, b) => a + b, 0),
      }, picture);
    } finally {
      crowd.close();
      leaving.close();
      await watching.stop();
    }
  });
}
