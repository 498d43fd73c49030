// What the edge does to a client's stream: pings when they are due, ids that tell nothing, polls that were given up.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { io } from "socket.io-client";

import { WAYS } from "../clients.mjs";
import { OPEN, next, startPod, until } from "../pod.mjs";

const INTERVAL = 1000;

describe("heartbeats and ids", () => {
  let pod;
  before(async () => {
    pod = await startPod(`${OPEN}\n[engine]\nping_interval = "${INTERVAL}ms"\nping_timeout = "20s"`);
  });
  after(() => pod?.stop());

  for (const [way, options] of Object.entries(WAYS)) {
    test(`${way}: the first ping comes after one interval, and the next ones too`, async () => {
      const socket = io(pod.url, { forceNew: true, reconnection: false, ...options });
      const pings = [];
      const begun = Date.now();
      let opened;
      socket.io.on("open", () => (opened = Date.now() - begun));
      socket.io.on("ping", () => pings.push(Date.now() - begun));
      try {
        await next(socket, "connect");
        assert.ok(!socket.io.engine.id.includes(socket.id), "the session id is another");
        assert.equal(socket.io.engine.id.length, 64);
        await until("three pings", () => pings.length === 3 || socket.disconnected);
        assert.ok(socket.connected, "it has not run into a timeout");
        for (const [index, ping] of pings.entries()) {
          const due = (index + 1) * INTERVAL;
          assert.ok(ping > due - 50, `ping ${index + 1} after ${ping} ms`);
        }
        // One that comes late does not delay the others.
        const late = Math.min(...pings.map((ping, index) => ping - opened - (index + 1) * INTERVAL));
        assert.ok(late < 900, `pings after ${pings} ms`);
      } finally {
        socket.disconnect();
      }
    });
  }

  test("a poll that is given up ends its session", async (t) => {
    // No ping answers the poll.
    const pod = await startPod(OPEN);
    t.after(() => pod.stop());
    const url = `${pod.url}/socket.io/?EIO=4&transport=polling`;
    const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1));
    const closed = () => pod.metric("roomcast_connections_closed_total", 'reason="transport error"');
    const before = await closed();
    // One that is given up before the pod has read it is none: then the next one is.
    await until("the session has ended", async () => {
      const given = fetch(`${url}&sid=${sid}`, { signal: AbortSignal.timeout(50) });
      await given.then(({ status }) => assert.equal(status, 400), ({ name }) => assert.equal(name, "TimeoutError"));
      return (await closed()) > before;
    });
    assert.equal((await fetch(`${url}&sid=${sid}`)).status, 400);
  });

  test("bytes and packets are counted, each way, by transport", async () => {
    const metric = (direction, transport) =>
      Promise.all(["bytes", "packets"].map((what) => pod.metric(`roomcast_${what}_total`, `transport="${transport}",direction="${direction}"`)));
    for (const transport of ["websocket", "polling"]) {
      const before = { sent: await metric("sent", transport), received: await metric("received", transport) };
      const socket = io(pod.url, { forceNew: true, transports: [transport] });
      await next(socket, "connect");
      for (let n = 0; n < 20; n += 1) await socket.timeout(5000).emitWithAck("join", { rooms: [`public-${n}`, "x".repeat(200)] });
      for (const direction of ["sent", "received"]) {
        const [bytes, packets] = (await metric(direction, transport)).map((now, index) => now - before[direction][index]);
        assert.ok(packets >= 21 && packets < 40, `${packets} packets ${direction} by ${transport}`);
        assert.ok(bytes > 20 * 20 && bytes < 20_000, `${bytes} bytes ${direction} by ${transport}`);
      }
      socket.disconnect();
    }
  });
});
