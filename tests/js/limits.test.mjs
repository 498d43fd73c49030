// How much one socket may send, and what happens over that. Others see nothing of it.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, WAYS, ask, code, codeOrNone, collect } from "./clients.mjs";
import { HOOK_SECRET, startHookService } from "./hook-service.mjs";
import { API_KEY, next, startPod, until } from "./pod.mjs";

const clients = new Clients();
const ends = [];
afterEach(async () => {
  clients.close();
  for (const end of ends.splice(0).reverse()) await end();
});

async function pod(limits, own = "", rules = "", top = "") {
  const started = await startPod(`
${top}
[api]
keys = ["${API_KEY}"]
[limits]
${limits}
[namespaces."/"]
auth = "none"
[namespaces."/".limits]
${own}
${rules}
[[namespaces."/".events]]
name = "*"
action = "relay"
[namespaces."/other"]
auth = "none"
[[namespaces."/other".events]]
name = "*"
action = "relay"
`);
  ends.push(() => started.stop());
  return started;
}

const count = (list) => list.reduce((counts, one) => ({ ...counts, [one]: (counts[one] ?? 0) + 1 }), {});

/** A socket over a limit that disconnects: what it is told, in which order. */
async function putOut(socket, send) {
  const order = [];
  socket.on("error", ({ error }) => order.push(`error ${error.code}`));
  socket.on("disconnect", (reason) => order.push(reason));
  send();
  await until("it is out", () => order.length > 1);
  return order;
}

for (const way of ["websocket", "polling"]) {
  const options = WAYS[way];
  describe(`over ${way}`, () => {
    test("events in a second, with a burst, for each socket; a namespace may say otherwise", async () => {
      const started = await pod("events_per_second = 1\nevents_burst = 3", "events_per_second = 2\nevents_burst = 5");
      const [busy, calm] = [await clients.connect(io, started.url, options), await clients.connect(io, started.url, options)];
      const other = await clients.connect(io, `${started.url}/other`, options);
      const heard = collect(calm, "news");
      const begun = Date.now();
      const burst = (socket) => Promise.all(Array.from({ length: 40 }, (_, n) => codeOrNone(socket, "news", n)));
      const [here, there] = [count(await burst(busy)), count(await burst(other))];
      const extra = Math.ceil((2 * (Date.now() - begun)) / 1000);
      assert.ok(here.accepted >= 5 && here.accepted <= 5 + extra, JSON.stringify(here));
      assert.ok(there.accepted >= 3 && there.accepted <= 3 + extra, JSON.stringify(there));
      // What it may send again later is not acked.
      assert.equal(here.none + here.accepted, 40);
      assert.equal(await code(calm, "hello"), "accepted");
      await until("what passed arrived", () => heard.length === here.accepted);
      assert.ok((await started.metric("roomcast_events_total", "rate_limited")) >= here.none + there.none);
      // It recovers.
      await until("the pace allows one", async () => (await codeOrNone(busy, "news", 99)) === "accepted", 15_000);
    });

    test("payload, attachments counted; names", async () => {
      const started = await pod('max_payload = "100kB"', 'max_payload = "1kB"\nname_length = 20');
      const [socket, other] = [await clients.connect(io, started.url, options), await clients.connect(io, `${started.url}/other`, options)];
      for (const [args, expected] of [
        [["news", "x".repeat(900)], "accepted"],
        [["news", "x".repeat(1000)], "payload_too_large"],
        [["news", Buffer.alloc(900)], "accepted"],
        [["news", Buffer.alloc(1000)], "payload_too_large"],
        [["news", Buffer.alloc(500), Buffer.alloc(500)], "payload_too_large"],
        [["n".repeat(20)], "accepted"],
        [["n".repeat(21)], "bad_event"],
        [["é".repeat(11)], "bad_event"],
      ]) {
        assert.equal(await code(socket, ...args), expected, `${args}`.slice(0, 50));
        assert.equal(await code(other, ...args), "accepted");
      }
      assert.ok(socket.connected);
    });

    test("events that wait for their answers", async () => {
      let release;
      const held = new Promise((resolve) => (release = () => resolve({ status: 200, body: "{}" })));
      const service = await startHookService(() => held);
      ends.push(service.stop);
      const hook = `[[namespaces."/".events]]\nname = "ask"\nhook = "${service.url("ask")}"\n`;
      const started = await pod("", "acks_pending = 3", hook, `[hooks]\nsecrets = ["${HOOK_SECRET}"]\ntimeout = "20s"\ntotal_timeout = "25s"`);
      const [socket, other] = [await clients.connect(io, started.url, options), await clients.connect(io, started.url, options)];
      const answers = Array.from({ length: 3 }, () => code(socket, "ask", 1));
      const more = Array.from({ length: 7 }, () => codeOrNone(socket, "ask", 1));
      // Those without an ack wait too.
      other.emit("ask", 1);
      assert.deepEqual(count(await Promise.all(more)), { none: 7 });
      assert.equal(await started.metric("roomcast_events_total", "too_many_pending"), 7);
      assert.equal(await code(socket, "news"), "accepted");
      release();
      assert.deepEqual(count(await Promise.all(answers)), { accepted: 3 });
      assert.equal(await code(socket, "ask"), "accepted");
    });

    test("what is refused for a while is sent again by a client with retries: each arrives once, in order", async () => {
      const started = await pod("events_per_second = 5\nevents_burst = 1");
      const [sender, witness] = [
        await clients.connect(io, started.url, { ...options, retries: 50, ackTimeout: 150 }),
        await clients.connect(io, started.url, options),
      ];
      const heard = collect(witness, "say");
      const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => sender.emitWithAck("say", n)));
      assert.deepEqual(answers, answers.map(() => ({ accepted: true })));
      await until("all of them", () => heard.length >= 6);
      assert.deepEqual(heard.flat(), [0, 1, 2, 3, 4, 5]);
      assert.ok((await started.metric("roomcast_events_total", "rate_limited")) > 0);
    });

    for (const [name, own, send, expected] of [
      ["too fast", "events_per_second = 1", (socket) => { for (let n = 0; n < 20; n += 1) socket.emit("news", n); }, "rate_limited"],
      ["too large", 'max_payload = "1kB"', (socket) => socket.emit("news", "x".repeat(2000)), "payload_too_large"],
      ["too long a name", "name_length = 10", (socket) => socket.emit("n".repeat(11)), "bad_event"],
    ]) {
      test(`over = "disconnect": ${name}`, async () => {
        const started = await pod("", `${own}\nover = "disconnect"`);
        const [bad, good] = [await clients.connect(io, started.url, options), await clients.connect(io, started.url, options)];
        const heard = collect(good, "news");
        const begun = Date.now();
        assert.deepEqual(await putOut(bad, () => send(bad)), [`error ${expected}`, "io server disconnect"]);
        assert.ok(heard.length <= 1 + Math.ceil((Date.now() - begun) / 1000));
        assert.ok(good.connected && (await code(good, "hello")) === "accepted");
        await until("one is left", async () => (await started.metric("roomcast_sockets")) === 1);
      });
    }

    test('over = "disconnect": too many wait; what was one too many is not acked', async () => {
      let release;
      const held = new Promise((resolve) => (release = () => resolve({ status: 500, body: "" })));
      const service = await startHookService(() => held);
      ends.push(service.stop);
      const hook = `[[namespaces."/".events]]\nname = "ask"\nhook = "${service.url("ask")}"\n`;
      const started = await pod("", 'acks_pending = 2\nover = "disconnect"', hook, `[hooks]\nsecrets = ["${HOOK_SECRET}"]\ntimeout = "20s"\ntotal_timeout = "25s"`);
      const socket = await clients.connect(io, started.url, options);
      let acked = false;
      const out = putOut(socket, () => {
        socket.emit("ask", 1);
        socket.emit("ask", 2);
        socket.emit("ask", 3, () => (acked = true));
      });
      const seen = await out.finally(release);
      assert.deepEqual(seen, ["error too_many_pending", "io server disconnect"]);
      assert.ok(!acked);
      await until("nobody is left", async () => (await started.metric("roomcast_sockets")) === 0);
    });
  });
}
