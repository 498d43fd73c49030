// Clients that do not read: they go, in the set time, with a reason; the others see no delay.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";

import { io } from "socket.io-client";

import { ask } from "../clients.mjs";
import { HOOK_SECRET, startHookService } from "../hook-service.mjs";
import { OPEN, next, startPod, until } from "../pod.mjs";
import { openSession } from "./pair.mjs";
import { openRaw } from "./raw.mjs";

const rss = (pod) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pod.pid}/status`, "utf8"))[1]) / 1024;
const closed = (pod, reason) => pod.metric("roomcast_connections_closed_total", `reason="${reason}"`);

/** A masked text frame of a client. */
const text = (words) => {
  const body = Buffer.from(words);
  return Buffer.concat([Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]), body]);
};

/** A client in the room that reads nothing any more, or a byte a second. */
async function member(pod, { trickle = false } = {}) {
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
  const timer = trickle ? setInterval(() => socket.read(1), 1000) : undefined;
  socket.on("close", () => clearInterval(timer));
  return socket;
}

/** A stock client in the room, and how late it gets what is published with the time. */
async function witness(pod) {
  const socket = io(pod.url, { transports: ["websocket"], forceNew: true });
  await next(socket, "connect");
  await ask(socket, "join", { rooms: ["public-busy"] });
  const delays = [];
  socket.on("news", (sent) => delays.push(Date.now() - sent));
  return { socket, delays };
}

/** A service that hears of disconnects, and the settings that tell it. */
async function listener() {
  const service = await startHookService(() => ({}));
  const reasons = () => service.calls("socket.disconnect").map(({ call }) => call.data.reason);
  const settings = `[hooks]\nsecrets = ["${HOOK_SECRET}"]\n[namespaces."/".hooks]\ndisconnect = "${service.url("disconnect")}"`;
  const hears = async (reason) => {
    await until("the disconnect is told", () => reasons().length > 0);
    assert.deepEqual(reasons(), [reason]);
  };
  return { settings, hears, stop: service.stop };
}

const publish = (pod, size) => pod.publish({ rooms: ["public-busy"], event: "news", args: [Date.now(), "x".repeat(size)] });

for (const [name, options] of [
  ["frozen", {}],
  ["reading a byte a second", { trickle: true }],
]) {
  test(`a client that is ${name} goes when its queue is full, and its room does not wait`, async (t) => {
    const told = await listener();
    const pod = await startPod(`${OPEN}\n${told.settings}\n[limits]\nsend_queue = 64\nwrite_timeout = "60s"`);
    const { socket, delays } = await witness(pod);
    const slow = await member(pod, options);
    try {
      let sent = 0;
      await until("it is gone", async () => {
        await publish(pod, 20_000);
        sent += 1;
        return (await closed(pod, "queue full")) === 1;
      });
      await until("the witness has all", () => delays.length === sent);
      await until("its socket is gone", async () => (await pod.metric("roomcast_sockets")) === 1);
      assert.equal((await pod.api("GET", "sockets")).body.sockets.length, 1, "it is in no room");
      await told.hears("queue full");
      assert.equal(await closed(pod, "write timeout"), 0);
      t.diagnostic(`after ${sent} messages of 20 kB; the witness waited ${Math.max(...delays)} ms at most`);
      // Who waits for it waits for a minute.
      assert.ok(Math.max(...delays) < 10_000);
      assert.ok(socket.connected);
    } finally {
      slow.destroy();
      socket.disconnect();
      await pod.stop();
      await told.stop();
    }
  });
}

test("a client that takes nothing goes after write_timeout, though its queue has room", async () => {
  const told = await listener();
  const pod = await startPod(`${OPEN}\n${told.settings}\n[limits]\nsend_queue = 10000\nsend_queue_bytes = "64MiB"\nwrite_timeout = "1s"`);
  const slow = await member(pod);
  try {
    const begun = Date.now();
    for (let sent = 0; sent < 20; sent += 1) await publish(pod, 900_000);
    await until("it is gone", async () => (await closed(pod, "write timeout")) === 1);
    assert.ok(Date.now() - begun >= 1000);
    assert.equal(await closed(pod, "queue full"), 0);
    assert.equal(await pod.metric("roomcast_sockets"), 0);
    await told.hears("write timeout");
  } finally {
    slow.destroy();
    await pod.stop();
    await told.stop();
  }
});

test("a polling client that does not poll goes when its queue is full", async () => {
  const told = await listener();
  const pod = await startPod(`${OPEN}\n${told.settings}\n[limits]\nsend_queue = 64`);
  const url = `${pod.url}/socket.io/?EIO=4&transport=polling`;
  const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1));
  try {
    await fetch(`${url}&sid=${sid}`, { method: "POST", body: '40' });
    await until("it is connected", async () => (await (await fetch(`${url}&sid=${sid}`)).text()).includes("40{"));
    await fetch(`${url}&sid=${sid}`, { method: "POST", body: '420["join",{"rooms":["public-busy"]}]' });
    assert.match(await (await fetch(`${url}&sid=${sid}`)).text(), /430/);
    for (let sent = 0; sent < 70; sent += 1) await publish(pod, 10);
    await until("it is gone", async () => (await closed(pod, "queue full")) === 1);
    assert.equal((await fetch(`${url}&sid=${sid}`)).status, 400);
    await told.hears("queue full");
  } finally {
    await pod.stop();
    await told.stop();
  }
});

test("a polling client that does not read its answer goes after write_timeout", async () => {
  const pod = await startPod(`${OPEN}\n[limits]\nwrite_timeout = "1s"\nmax_payload = "64MB"\nsend_queue_bytes = "64MB"`);
  try {
    const sid = await openSession(pod);
    // More than the kernel takes for it.
    const [count, size] = [40, 1_000_000];
    for (let sent = 0; sent < count; sent += 1) await publish(pod, size);
    const socket = connect(pod.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(`GET /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until("it is gone", async () => (await closed(pod, "write timeout")) === 1);
    assert.equal(await pod.metric("roomcast_sockets"), 0);
    const ended = new Promise((resolve) => socket.once("close", resolve));
    let read = 0;
    socket.on("data", (part) => (read += part.length));
    await ended;
    assert.ok(read < count * size, `its connection was closed; it had ${read} bytes`);
  } finally {
    await pod.stop();
  }
});

test("500 of them: all go, memory comes back, and the others see no delay", async (t) => {
  const COUNT = 500;
  const pod = await startPod(`${OPEN}\n[limits]\nsend_queue = 64\nwrite_timeout = "60s"\n[engine]\nping_interval = "10m"`);
  const { socket, delays } = await witness(pod);
  const slow = [];
  let sent = 0;
  /** So many come, and go: what the pod needed before, and at most. */
  const round = async (gone) => {
    for (let index = 0; index < COUNT; index += 50) slow.push(...(await Promise.all(Array.from({ length: 50 }, () => member(pod)))));
    const before = rss(pod);
    let most = 0;
    await until("all are gone", async () => {
      await publish(pod, 20_000);
      sent += 1;
      most = Math.max(most, rss(pod));
      return (await closed(pod, "queue full")) === gone;
    }, 60_000);
    await until("the witness has all", () => delays.length === sent);
    await until("their sockets are gone", async () => (await pod.metric("roomcast_sockets")) === 1);
    return { before, most };
  };
  try {
    const { before, most } = await round(COUNT);
    const after = rss(pod);
    // What the first ones needed is there for the next: it need not go back to the system for that.
    const again = await round(2 * COUNT);
    delays.sort((a, b) => a - b);
    const p99 = delays[Math.floor(delays.length * 0.99)];
    t.diagnostic(`${sent} messages of 20 kB; ${before.toFixed(0)} MiB before, ${most.toFixed(0)} at most, ${after.toFixed(0)} after; ${again.most.toFixed(0)} at most for as many again; the witness waited ${delays.at(-1)} ms at most, p99 ${p99} ms`);
    // What waits for all: a queue, and what the writer holds, for each.
    const bound = (COUNT * (64 * 20_000 + 256 * 1024)) / 2 ** 20;
    assert.ok(most - before < bound, `${most - before} MiB; bounded by ${bound}`);
    assert.ok(again.most - most < (most - before) / 2, `${again.most - most} MiB more than the first time`);
    assert.ok(socket.connected);
    assert.ok(delays.at(-1) < 20_000);
  } finally {
    for (const each of slow) each.destroy();
    socket.disconnect();
    await pod.stop();
  }
});
