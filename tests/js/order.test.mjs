// Events of one client are handled in the order in which they were sent, always.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { io } from "socket.io-client";

import { Clients, WAYS, ask, collect } from "./clients.mjs";
import { startPod, until } from "./pod.mjs";

const clients = new Clients();
let pod;
before(async () => {
  pod = await startPod();
});
afterEach(() => clients.close());
after(() => pod.stop());

const member = async (options) => {
  const socket = await clients.connect(io, pod.url, options);
  await ask(socket, "join", { rooms: ["public-a"] });
  return socket;
};

/** Emits `count` numbered events, `batch` at a time. */
async function emitNumbered(socket, name, count, batch) {
  for (let number = 0; number < count; number += 1) {
    socket.emit("chat", "public-a", name, number);
    if (number % batch === batch - 1) await setImmediate();
  }
}

const numbers = (received, name) => received.filter(([, from]) => from === name).map(([, , n]) => n);
const upTo = (count) => Array.from({ length: count }, (_, index) => index);

for (const [way, options] of Object.entries(WAYS)) {
  test(`5000 events in batches of 10 arrive in order over ${way}`, async () => {
    const [sender, reader] = [await member(options), await member(options)];
    const received = collect(reader, "chat");
    await emitNumbered(sender, "one", 5000, 10);
    await until("5000 events", () => received.length === 5000, 60_000);
    assert.deepEqual(numbers(received, "one"), upTo(5000));
  });
}

test("so do 5000 from each of ten clients at once", async () => {
  const reader = await member(WAYS.websocket);
  const received = collect(reader, "chat");
  const senders = await Promise.all(upTo(10).map(() => member(WAYS.websocket)));
  await Promise.all(senders.map((socket, index) => emitNumbered(socket, `from ${index}`, 5000, 10)));
  await until("50 000 events", () => received.length === 50_000, 60_000);
  for (const index of upTo(10)) assert.deepEqual(numbers(received, `from ${index}`), upTo(5000));
  assert.equal(await pod.metric("roomcast_packets_dropped_total"), 0);
});

for (const [way, options] of Object.entries(WAYS)) {
  test(`a burst of 10 000 emits is delivered whole and in order over ${way}`, async () => {
    const [sender, reader] = [await member(WAYS.websocket), await member(options)];
    const received = collect(reader, "chat");
    for (const number of upTo(10_000)) sender.emit("chat", "public-a", "burst", number);
    await until("10 000 events", () => received.length === 10_000, 60_000);
    assert.deepEqual(numbers(received, "burst"), upTo(10_000));
    assert.equal(await pod.metric("roomcast_packets_dropped_total"), 0);
  });
}
