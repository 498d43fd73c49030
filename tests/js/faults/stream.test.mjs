// The publish stream in a Redis Cluster: one key on one node, which moves and is lost.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { createCluster } from "redis";
import { io } from "socket.io-client";

import { Clients, collect } from "../clients.mjs";
import { OPEN, startPod, until } from "../pod.mjs";
import { startCluster } from "./redis-cluster.mjs";

const STREAM = "roomcast:publish";

for (const kind of ["pubsub", "sharded"]) {
  describe(`Redis Cluster, ${kind}`, () => {
    let cluster, backend, pods, clients, received;
    before(async () => {
      cluster = await startCluster();
      const rootNodes = cluster.ports.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
      backend = createCluster({ rootNodes });
      backend.on("error", () => {});
      await backend.connect();
      const settings = `${OPEN}
[backplane]
kind = "${kind}"
url = "${cluster.url}"
heartbeat = "200ms"
[publish.stream]
enabled = true
claim_after = "8s"
`;
      pods = await Promise.all([1, 2].map(() => startPod(settings)));
      for (const pod of pods) await until("ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
    });
    after(async () => {
      await Promise.all((pods ?? []).map((pod) => pod.stop()));
      backend?.destroy();
      await cluster?.stop();
    });
    beforeEach(async () => {
      clients = new Clients();
      received = collect(await clients.connect(io, pods[0].url, { transports: ["websocket"] }), "news");
    });
    afterEach(() => clients.close());

    const add = (n) => backend.xAdd(STREAM, "*", { emit: JSON.stringify({ event: "news", args: [n] }) });
    const arrived = (count) =>
      until("all arrive", () => new Set(received.map(([n]) => n)).size === count, 60_000);
    const retries = async () => {
      const counts = await Promise.all(pods.map((pod) => pod.metric("roomcast_stream_retries_total")));
      return counts.reduce((sum, count) => sum + count, 0);
    };

    test("entries are emitted, and a poisoned one is dead on another node", async () => {
      await backend.xAdd(STREAM, "*", { emit: "{" });
      for (let n = 0; n < 200; n += 1) await add(n);
      await arrived(200);
      assert.equal(received.length, 200);
      await until("it is dead", async () => (await backend.xLen(`${STREAM}:dead`)) === 1);
      await until("nothing is left", async () => (await backend.xLen(STREAM)) === 0);
    });

    test("the stream moves to another node", async () => {
      const before = await retries();
      const adding = (async () => {
        for (let n = 0; n < 500; n += 1) await add(n);
      })();
      await cluster.moveSlotsInUse();
      await adding;
      await arrived(500);
      console.log(`moved, ${kind}: ${received.length - 500} doubled, ${(await retries()) - before} tried again`);
      await until("nothing is left", async () => (await backend.xLen(STREAM)) === 0);
    });
  });
}
