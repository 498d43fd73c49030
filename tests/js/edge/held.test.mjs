// Requests of polling sessions that come to another pod than theirs: when that one ends, and when theirs does not answer.

import assert from "node:assert/strict";
import { test } from "node:test";

import { io } from "socket.io-client";

import { ask } from "../clients.mjs";
import { next, until } from "../pod.mjs";
import { openSession, startPair } from "./pair.mjs";

const held = (pod) => pod.metric("roomcast_held_polls");

/** Stock clients of the one pod, in the busy room, whose next requests go to the other. */
async function idleClients(count, owner, other) {
  const clients = Array.from({ length: count }, async () => {
    const socket = io(owner.url, { transports: ["polling"], forceNew: true, reconnection: false });
    await next(socket, "connect");
    await ask(socket, "join", { rooms: ["public-busy"] });
    const client = { socket, seen: [], lost: false };
    socket.on("news", (number) => client.seen.push(number));
    socket.on("disconnect", () => (client.lost = true));
    /** As a load balancer does. */
    client.goesTo = (pod) => (socket.io.engine.transport.opts.port = String(pod.port));
    client.goesTo(other);
    return client;
  });
  return Promise.all(clients);
}

test("polls that wait on a pod that drains are answered, at its pace, and their clients poll elsewhere", async () => {
  const COUNT = 20;
  const { owner, other, stop } = await startPair('[drain]\nwindow = "2s"\ntimeout = "20s"');
  let clients = [];
  try {
    clients = await idleClients(COUNT, owner, other);
    const publish = (number) => owner.publish({ rooms: ["public-busy"], event: "news", args: [number] });
    await publish(0);
    await until("their polls wait on the other pod", async () => (await held(other)) === COUNT);
    for (const client of clients) client.goesTo(owner);
    const ended = other.stop("SIGTERM");
    await until("some have gone over", async () => other.logs.some(({ message, remaining }) => message === "draining" && remaining < COUNT));
    await publish(1);
    assert.equal(await ended, 0);
    const line = other.logs.at(-1);
    assert.deepEqual([line.message, line.connections, line.closed, line.cut], ["stopped", COUNT, COUNT, 0]);
    await publish(2);
    await until("all have all", () => clients.every(({ seen }) => seen.length === 3));
    assert.ok(clients.every(({ seen }) => seen.every((number, index) => number === index)));
    assert.deepEqual(clients.filter(({ lost }) => lost), []);
    assert.equal(await owner.metric("roomcast_connections_closed_total"), 0);
  } finally {
    for (const { socket } of clients) socket.disconnect();
    await stop();
  }
});

test("a client that polls a draining pod again and again does not keep it", async () => {
  const { owner, other, stop } = await startPair('[drain]\ntimeout = "10m"');
  let clients = [];
  try {
    clients = await idleClients(3, owner, other);
    await owner.publish({ rooms: ["public-busy"], event: "news", args: [0] });
    await until("their polls wait on the other pod", async () => (await held(other)) === 3);
    other.signal("SIGTERM");
    await until("it has ended", () => !other.isAlive());
    const line = other.logs.at(-1);
    assert.deepEqual([line.message, line.connections, line.closed, line.cut], ["stopped", 3, 3, 0]);
  } finally {
    for (const { socket } of clients) socket.disconnect();
    await stop();
  }
});

test("only pods may say what becomes of a session that they forward", async () => {
  const { owner, stop } = await startPair();
  try {
    const sid = await openSession(owner);
    for (const notice of ["release", "unread"]) {
      const response = await fetch(`${owner.internal}/forward/${notice}?EIO=4&transport=polling&sid=${sid}`, { method: "POST" });
      assert.equal(response.status, 403);
    }
  } finally {
    await stop();
  }
});
