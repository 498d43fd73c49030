// The thin end-to-end test of `make check`: one pod, the stock client in each way to connect, a publish over HTTP, a drain.

import assert from "node:assert/strict";
import { test } from "node:test";

import { io } from "socket.io-client";

import { Clients, WAYS, ask, collect } from "./clients.mjs";
import { startPod, until } from "./pod.mjs";

test("what a backend publishes reaches the stock client, what it relays the others, and a drain ends the pod", async () => {
  const pod = await startPod();
  const clients = new Clients();
  try {
    await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
    const sockets = await Promise.all(Object.values(WAYS).map((options) => clients.connect(io, pod.url, options)));
    const received = sockets.map((socket) => collect(socket, "news"));
    for (const socket of sockets) {
      assert.deepEqual((await ask(socket, "join", { rooms: ["public-smoke"] })).joined, ["public-smoke"]);
    }

    const { status } = await pod.publish({ rooms: ["public-smoke"], event: "news", args: [{ number: 1 }] });
    assert.equal(status, 200);
    await until("all clients have it", () => received.every((events) => events.length > 0));
    assert.deepEqual(received, sockets.map(() => [[{ number: 1 }]]));

    const chats = sockets.slice(1).map((socket) => collect(socket, "chat"));
    assert.deepEqual(await ask(sockets[0], "chat", "public-smoke", "hello"), { accepted: true });
    await until("the others have it", () => chats.every((events) => events.length > 0));
    assert.deepEqual(chats, chats.map(() => [["public-smoke", "hello"]]));
    assert.equal(await pod.metric("roomcast_connections"), sockets.length);
  } finally {
    clients.close();
    assert.equal(await pod.stop(), 0);
  }
});
