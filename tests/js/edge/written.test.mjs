// The last stage of an emit: until it is written to a client that takes its time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { io } from "socket.io-client";
import io2 from "socket.io-client-2";
import * as msgpack from "socket.io-msgpack-parser";

import { Clients, WAYS, ask } from "../clients.mjs";
import { HOOK_SECRET, startHookService } from "../hook-service.mjs";
import { OPEN, next, startPod, until } from "../pod.mjs";
import { openRaw } from "./raw.mjs";

const CONFIG = `${OPEN}\n[limits]\nsend_queue = 10000\nsend_queue_bytes = "64MiB"\nwrite_timeout = "60s"\n[telemetry]\nslow_emit = "1s"`;
const stage = (pod, name, what) => pod.metric(`roomcast_emit_latency_seconds_${what}`, `stage="${name}"`);
const slow = (pod, name) => pod.metric("roomcast_slow_emits_total", `stage="${name}"`);
const lines = (pod) => pod.logs.filter((line) => line.message.startsWith("a slow emit"));
const publish = (pod, args) => pod.publish({ rooms: ["public-busy"], event: "news", args });

/** A masked text frame of a client. */
const text = (words) => Buffer.concat([Buffer.from([0x81, 0x80 | words.length, 0, 0, 0, 0]), Buffer.from(words)]);

/** A client in the room that reads nothing until it is resumed. */
async function member(pod) {
  const { socket } = await openRaw(pod);
  let seen = "";
  const saw = (words) =>
    until(words, () => {
      seen += socket.read()?.toString("latin1") ?? "";
      return seen.includes(words);
    });
  await saw("40{");
  socket.write(text('420["join",{"rooms":["public-busy"]}]'));
  await saw("430[");
  return socket;
}

const FILL = "x".repeat(20_000);

for (const [what, args] of [
  ["that are all different", (n) => [n, FILL]],
  ["that are all the same", () => [FILL]],
]) {
  test(`emits ${what} wait for a client that does not read, and that is one line of the log`, async () => {
    const pod = await startPod(CONFIG);
    const client = await member(pod);
    try {
      let last;
      for (let n = 0; n < 500; n += 1) {
        await publish(pod, args(n));
        last = Date.now();
      }
      await until("they have waited", () => Date.now() - last > 1300);
      assert.equal(await slow(pod, "write"), 0, "nothing has been written late yet");
      const [count, sum] = [await stage(pod, "write", "count"), await stage(pod, "write", "sum")];
      client.resume();
      await until("it is written", async () => (await slow(pod, "write")) > 0);
      assert.equal((await stage(pod, "write", "count")) - count, 1);
      const waited = (await stage(pod, "write", "sum")) - sum;
      assert.ok(waited > 1.3, `it waited ${waited} s`);
      assert.deepEqual([await slow(pod, "write"), await slow(pod, "total"), await slow(pod, "queue")], [1, 1, 0]);
      assert.equal(lines(pod).length, 1);
      const [line] = lines(pod);
      assert.deepEqual(
        [line.level, line.stage, line.namespace, line.source, line.recipients],
        ["WARN", "write", "/", "api", 1],
      );
      assert.ok(line.milliseconds >= 1300);
      // The next one is watched as well, and is quick.
      const before = await stage(pod, "write", "count");
      await until("it is quick again", async () => {
        await publish(pod, ["again"]);
        return (await stage(pod, "write", "count")) > before;
      });
      assert.equal(await slow(pod, "write"), 1);
    } finally {
      client.destroy();
      await pod.stop();
    }
  });
}

test("nothing is slow where slow_emit is off", async () => {
  const pod = await startPod(CONFIG.replace('"1s"', '"0s"'));
  const client = await member(pod);
  try {
    let last;
    for (let n = 0; n < 500; n += 1) {
      await publish(pod, [n, FILL]);
      last = Date.now();
    }
    await until("they have waited", () => Date.now() - last > 1300);
    const count = await stage(pod, "write", "count");
    client.resume();
    await until("it is written", async () => (await stage(pod, "write", "count")) > count);
    assert.deepEqual([await slow(pod, "write"), lines(pod).length], [0, 0]);
  } finally {
    client.destroy();
    await pod.stop();
  }
});

test("each emit of an idle pod is watched to a WebSocket, none to polling clients", async () => {
  const pod = await startPod(CONFIG);
  const clients = new Clients();
  try {
    const polling = await clients.connect(io, pod.url, WAYS.polling);
    await ask(polling, "join", { rooms: ["public-polling"] });
    const websocket = await clients.connect(io, pod.url, WAYS.websocket);
    await ask(websocket, "join", { rooms: ["public-busy"] });
    const upgraded = await clients.connect(io, pod.url, WAYS.upgrade);
    await ask(upgraded, "join", { rooms: ["public-upgraded"] });
    for (const [room, more] of [["public-polling", 0], ["public-busy", 1], ["public-upgraded", 1]]) {
      // One that was not watched lately is.
      const begun = Date.now();
      await until("none was watched lately", () => Date.now() - begun > 150);
      const before = await stage(pod, "write", "count");
      await pod.publish({ rooms: [room], event: "news", args: ["é", "x".repeat(300)] });
      await until(room, async () => (await stage(pod, "write", "count")) - before >= more);
      assert.equal((await stage(pod, "write", "count")) - before, more);
    }
  } finally {
    clients.close();
    await pod.stop();
  }
});

const DEFLATE = '[engine.per_message_deflate]\nenabled = true\n';
const LONG = "é".repeat(30_000);

for (const [what, settings, client, options, arg] of [
  ["binary", "", io, {}, Buffer.alloc(70_000, 7)],
  ["text that is compressed", DEFLATE, io, { perMessageDeflate: true }, LONG],
  ["long text", "", io, {}, LONG],
  ["binary as text", "", io, { forceBase64: true }, Buffer.alloc(3000, 7)],
  ["text for Engine.IO v3", "engine.allow_eio3 = true\n", io2, {}, LONG],
  ["binary for Engine.IO v3", "engine.allow_eio3 = true\n", io2, {}, Buffer.alloc(3000, 7)],
  ["msgpack", 'engine.parser = "msgpack"\n', io, { parser: msgpack }, Buffer.alloc(3000, 7)],
]) {
  test(`${what} is recognised when it is written`, async () => {
    // `chat` relays what a member sends, binary too.
    const pod = await startPod(`${settings}${OPEN}`);
    const open = async () => {
      const socket = client(pod.url, { forceNew: true, transports: ["websocket"], ...options });
      await next(socket, "connect");
      await new Promise((resolve) => socket.emit("join", { rooms: ["public-busy"] }, resolve));
      return socket;
    };
    const [sender, receiver] = [await open(), await open()];
    try {
      const begun = Date.now();
      await until("none was watched lately", () => Date.now() - begun > 150);
      const got = next(receiver, "chat");
      sender.emit("chat", "public-busy", arg);
      await got;
      await until("it is written", async () => (await stage(pod, "write", "count")) === 1);
    } finally {
      sender.close();
      receiver.close();
      await pod.stop();
    }
  });
}

test("what a hook answers is counted", async () => {
  const service = await startHookService(() => ({ heard: true }));
  const clients = new Clients();
  let pod;
  try {
    pod = await startPod(`${OPEN}
[[namespaces."/".events]]
name = "ask"
hook = "${service.url("event")}"
[hooks]
secrets = ["${HOOK_SECRET}"]
`);
    const socket = await clients.connect(io, pod.url, WAYS.websocket);
    const answered = () => pod.metric("roomcast_deliveries_total", 'source="hook"');
    assert.equal(await answered(), 0);
    await ask(socket, "ask", 1);
    assert.equal(await answered(), 1);
    assert.equal(await pod.metric("roomcast_emits_total", 'source="hook"'), 1);
    socket.emit("ask", 2);
    await until("it is called", () => service.calls("socket.event").length === 2);
    await ask(socket, "ask", 3);
    assert.equal(await answered(), 2, "without an ack nothing is answered");
  } finally {
    clients.close();
    await pod?.stop();
    await service.stop();
  }
});
