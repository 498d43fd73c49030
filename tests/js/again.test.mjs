// `disconnect()` and `connect()` of a namespace, in any timing: the client is always let in again.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { io } from "socket.io-client";
import { WebSocket } from "ws";

import { Clients, WAYS } from "./clients.mjs";
import { HOOK_SECRET, startHookService } from "./hook-service.mjs";
import { next, startPod, until } from "./pod.mjs";

const ROUNDS = 20;
const clients = new Clients();
afterEach(() => clients.close());

describe("leaving and coming back", () => {
  let pod;
  let service;
  before(async () => {
    service = await startHookService(async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
      return { status: 200, body: '{"allow":true}' };
    });
    const events = (namespace) => `[[namespaces."${namespace}".events]]\nname = "*"\naction = "relay"\n`;
    pod = await startPod(`
[hooks]
secrets = ["${HOOK_SECRET}"]
[namespaces."/"]
auth = "none"
${events("/")}
[namespaces."/slow"]
auth = "none"
hooks.connect = "${service.url("connect")}"
${events("/slow")}
`);
  });
  after(async () => {
    await pod.stop();
    await service.stop();
  });

  for (const way of ["websocket", "polling"]) {
    for (const namespace of ["/", "/slow"]) {
      test(`${namespace} over ${way}`, async () => {
        // Another namespace keeps the connection open.
        const other = await clients.connect(io, pod.url + (namespace === "/" ? "/slow" : "/"), WAYS[way]);
        const socket = other.io.socket(namespace);
        const pause = () => new Promise((resolve) => (Math.random() < 0.5 ? resolve() : setTimeout(resolve, Math.random() * 25)));
        for (let round = 0; round < ROUNDS; round += 1) {
          for (let n = round % 4; n >= 0; n -= 1) {
            socket.disconnect();
            await pause();
            socket.connect();
            await pause();
          }
          await until(`it is in again, round ${round}`, () => socket.connected, 10_000);
          // What it says to an answer that was under way, when it has asked once more, may be lost.
          const hello = () => new Promise((resolve) => socket.timeout(1000).emit("hello", (error) => resolve(!error)));
          await until(`it is heard, round ${round}`, hello, 10_000);
        }
        assert.ok(other.connected);
        socket.disconnect();
      });
    }
  }

  test("a second CONNECT is answered as the first one was", async () => {
    const socket = new WebSocket(`${pod.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    const packets = [];
    socket.on("message", (data) => packets.push(`${data}`));
    await next(socket, "open");
    for (const namespace of ["", "/slow,"]) {
      const answers = () => packets.filter((packet) => packet.startsWith(`40${namespace}{`)).length;
      for (const count of [1, 2, 3]) {
        socket.send(`40${namespace}`);
        await until(`answer ${count}`, () => answers() === count);
      }
    }
    assert.ok(!packets.some((packet) => packet.startsWith("41")), packets.join());
    socket.close();
  });
});
