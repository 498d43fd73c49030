// Behind an ingress controller: Traefik, by Ingress and by Gateway API. It is restarted and told of other routes, and idle
// clients stay for longer than the time-outs that proxies come with.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Crowd } from "../js/edge/crowd.mjs";
import { until } from "../js/pod.mjs";
import * as cluster from "./cluster.mjs";
import { during, rows } from "./during.mjs";
import { saw } from "./report.mjs";

/** Longer than 60 s, with which nginx, ALB and others come, and than 75 s of keep-alive. */
const IDLE = 90;
/** The node port of Traefik in the lab. */
const PORT = 20590;

const WAYS = {
  Ingress: { ingresses: { public: { controller: "traefik", className: "traefik", hosts: [] } } },
  HTTPRoute: { httpRoutes: { public: { parentRefs: [{ name: "chat" }] } } },
};
const GATEWAY = {
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: { name: "chat" },
  spec: { gatewayClassName: "traefik", listeners: [{ name: "web", port: 8000, protocol: "HTTP" }] },
};
const OTHER = {
  apiVersion: "networking.k8s.io/v1",
  kind: "Ingress",
  metadata: { name: "other" },
  spec: {
    ingressClassName: "traefik",
    rules: [{ host: "other.example", http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: cluster.RELEASE, port: { name: "http" } } } }] } }],
  },
};
let to;

before(async () => {
  assert.equal(cluster.missing(), undefined);
  await cluster.prepare();
  await cluster.lab("add", "ingress");
  await cluster.apply(GATEWAY);
  to = `http://${await cluster.node()}:${PORT}`;
});
after(async () => {
  await cluster.uninstall();
  await cluster.kubectl("delete", "gateway", "chat", "--ignore-not-found");
});

for (const [way, values] of Object.entries(WAYS)) {
  test(`${way}: polling, WebSocket and upgrade; idle ones live on; other routes and a rollout disturb nobody twice`, async () => {
    await cluster.install(cluster.merge({ replicas: 3 }, values));
    // Of the way before: old pods refuse new clients, in the seconds until proxies have forgotten them.
    await cluster.settled(3);
    await until("the route is there", async () => (await fetch(`${to}/socket.io/?EIO=4&transport=polling`)).ok, 60_000);
    const idle = new Crowd(to, "public-idle");
    try {
      for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) await idle.join(10, { transports });
      // A route more makes the controller read its configuration anew.
      await cluster.apply(OTHER);
      await new Promise((resolve) => setTimeout(resolve, IDLE * 1000));
      await cluster.kubectl("delete", "ingress", "other");
      assert.ok(await idle.isAnswered(), "all are answered");
      assert.deepEqual([...idle.errors], [], "nobody was disconnected");
      assert.ok(idle.clients.every(({ connects }) => connects === 1));
    } finally {
      idle.close();
    }
    const done = await during(`public-${way.toLowerCase()}`, async () => {
      await cluster.install(cluster.merge({ replicas: 3, podAnnotations: { "example.com/turn": "2" } }, values));
      await cluster.settled(3);
    }, { to, count: 60 });
    saw(`Behind Traefik: ${way}`, { [`30 idle clients for ${IDLE} s, a route added`]: "none disconnected", ...rows(done) });
    assert.ok(done.crowd.clients.every(({ connects }) => connects <= 2));
    assert.deepEqual([done.sums.doubled, done.sums.disordered], [0, 0]);
  });
}
