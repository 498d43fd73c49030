// A pod goes away, and comes back: stock clients find it again by themselves.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Clients, ask, everyClient } from "./clients.mjs";
import { next, startPod, until } from "./pod.mjs";

const clients = new Clients();
afterEach(() => clients.close());

everyClient(({ version, way, io, options }) => {
  for (const signal of ["SIGTERM", "SIGKILL"]) {
    test(`client ${version} over ${way} comes back after ${signal}`, async () => {
      const pod = await startPod();
      const socket = await clients.connect(io, pod.url, options);
      const gone = next(socket, "disconnect");
      const code = await pod.stop(signal);
      assert.equal(code, signal === "SIGTERM" ? 0 : null);
      // "io server disconnect" would mean that the client stays away.
      assert.match((await gone)[0], /^transport (close|error)$/);

      const back = next(socket, "connect");
      const again = await startPod(undefined, { port: pod.port });
      await back;
      assert.deepEqual(await ask(socket, "join", { rooms: ["public-a"] }), {
        joined: ["public-a"],
        rejected: [],
      });
      await again.stop();
    });
  }

  test(`client ${version} over ${way} waits outside a pod that is about to end`, async () => {
    const pod = await startPod(`drain.delay = "4s"`);
    const inside = await clients.connect(io, pod.url, options);
    const gone = next(inside, "disconnect");
    const end = pod.stop();
    await until("not ready", async () => (await fetch(`${pod.internal}/readyz`)).status === 503);
    const outside = clients.open(io, pod.url, options);
    await next(outside, "connect_error");
    assert.ok(inside.connected, "those inside are served while the drain is announced");
    await gone;
    assert.equal(await end, 0);

    const again = await startPod(undefined, { port: pod.port });
    await until("both in", () => inside.connected && outside.connected);
    await again.stop();
  });
});

test("the last line says how many were closed, and how long it took", async () => {
  const pod = await startPod();
  const sockets = [];
  for (let index = 0; index < 5; index += 1) {
    sockets.push(await clients.connect((await import("socket.io-client")).io, pod.url, {}));
  }
  assert.equal(await pod.stop(), 0);
  const last = pod.logs.at(-1);
  assert.equal(last.message, "stopped");
  assert.deepEqual([last.connections, last.closed, last.cut], [5, 5, 0]);
  assert.ok(last.seconds < 15, `${last.seconds} s`);
});
