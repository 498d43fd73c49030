// `disconnect()` and `connect()` of a namespace, in any timing: the client is always let in again, and what it says then is
// heard. On Node (4.8) a second CONNECT ends the connection, and with it what is under way.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { io } from "socket.io-client";
import io2 from "socket.io-client-2";
import { WebSocket } from "ws";

import { Clients, WAYS } from "./clients.mjs";
import { HOOK_SECRET, startHookService } from "./hook-service.mjs";
import { next, startPod, until } from "./pod.mjs";

const ROUNDS = 40;
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
[engine]
allow_eio3 = true
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

  // Version 2 asks for "/" once, when it connects.
  const cases = [
    ["4", io, "/"],
    ["4", io, "/slow"],
    ["2", io2, "/slow"],
  ];
  for (const way of ["websocket", "polling"]) {
    for (const [version, client, namespace] of cases) {
      test(`${namespace} over ${way}, version ${version}`, async () => {
        // Another namespace keeps the connection open.
        const other = await clients.connect(client, pod.url + (namespace === "/" ? "/slow" : "/"), WAYS[way]);
        const closes = [];
        other.on("disconnect", (reason) => closes.push(reason));
        const socket = other.io.socket(namespace);
        const pause = () => new Promise((resolve) => (Math.random() < 0.5 ? resolve() : setTimeout(resolve, Math.random() * 25)));
        for (let round = 0; round < ROUNDS; round += 1) {
          for (let n = round % 4; n >= 0; n -= 1) {
            socket.disconnect();
            await pause();
            socket.connect();
            await pause();
          }
          // Said to an answer to an earlier CONNECT, perhaps, which was under way.
          let heard = false;
          socket.emit("hello", round, () => (heard = true));
          await until(`it is heard, round ${round}`, () => heard, 5_000);
          assert.ok(socket.connected);
        }
        assert.deepEqual(closes, []);
        socket.disconnect();
      });
    }
  }

  test("nothing waits for a namespace that there is not", async () => {
    const socket = new WebSocket(`${pod.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    const packets = [];
    socket.on("message", (data) => packets.push(`${data}`));
    await next(socket, "open");
    const answers = (start) => until(start, () => packets.some((packet) => packet.startsWith(start)), 5_000);
    socket.send("40");
    await answers("40");
    // More than are kept in mind of a connection; and one with a query, which is another than that without.
    const unknown = ["/slow?x=1", ...Array.from({ length: 10 }, (_, n) => `/no-${n}`)];
    for (const namespace of unknown) socket.send(`40${namespace},`);
    for (const namespace of unknown) await answers(`44${namespace},`);
    for (const namespace of unknown) socket.send(`42${namespace},["e"]`);
    for (const packet of ["40/slow,", '42/slow,1["e"]', '422["e"]']) socket.send(packet);
    await Promise.all(["40/slow,", "43/slow,1[", "432["].map(answers));
    socket.close();
  });

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

test("a polling client that has gone waits no longer to be let in", async () => {
  let asked;
  const isAsked = new Promise((resolve) => (asked = resolve));
  let answer;
  const answered = new Promise((resolve) => (answer = () => resolve({ status: 200, body: '{"allow":true}' })));
  const service = await startHookService(() => (asked(), answered));
  const pod = await startPod(`
[hooks]
secrets = ["${HOOK_SECRET}"]
timeout = "20s"
total_timeout = "25s"
[namespaces."/"]
auth = "none"
[namespaces."/slow"]
auth = "none"
hooks.connect = "${service.url("connect")}"
`);
  try {
    const url = `${pod.url}/socket.io/?EIO=4&transport=polling`;
    const opening = await (await fetch(url)).text();
    const post = (body) => fetch(`${url}&sid=${JSON.parse(opening.slice(1)).sid}`, { method: "POST", body });
    const waits = post('40\x1e40/slow,\x1e42/slow,["e"]');
    await isAsked;
    assert.equal((await post("1")).status, 400, "a second request at once is the end of a session, as on Node");
    // Long before the hook answers; a thread that waited in a circle would never answer.
    assert.equal((await waits).status, 400);
  } finally {
    answer();
    await pod.stop();
    await service.stop();
  }
});
