// Clients that do not answer a Close frame (okhttp does not, until its own time is over), and keep their side open.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";

import { OPEN, startPod, until } from "../pod.mjs";

const CLOSE = 0x88;
const masked = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);

/** A WebSocket that takes what comes, and ends nothing. */
async function stubborn(pod, query = "") {
  const socket = connect({ port: pod.port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  socket.seen = Buffer.alloc(0);
  socket.on("data", (bytes) => (socket.seen = Buffer.concat([socket.seen, bytes])));
  await once(socket, "connect");
  socket.write(`GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
  await until("it is answered", () => socket.seen.includes("\r\n\r\n"));
  return socket;
}

const openSession = async (pod) => {
  const text = await (await fetch(`${pod.url}/socket.io/?EIO=4&transport=polling`)).text();
  return JSON.parse(text.slice(1)).sid;
};

test("a client that does not answer the Close frame does not hold a drain", async () => {
  const pod = await startPod(`${OPEN}\n[drain]\ndelay = "0s"\nwindow = "0s"\ntimeout = "25s"\n`);
  const sockets = [];
  try {
    for (let count = 0; count < 3; count++) {
      const socket = await stubborn(pod);
      sockets.push(socket);
      socket.write(masked("40"));
      await until("it is connected", () => socket.seen.includes('40{"sid"'));
    }
    // One goes on talking, and one is in the middle of a message.
    const talking = setInterval(() => sockets[1].write(masked("3")), 20);
    sockets[2].write(Buffer.from([0x81, 0xfe, 0x10, 0, 0, 0, 0, 0, 0x34]));
    // One upgrades, one has probed, and one is not needed.
    const upgraded = await openSession(pod);
    for (const frames of [["2probe", "5"], ["2probe"], []]) {
      const socket = await stubborn(pod, `&sid=${frames.length === 1 ? await openSession(pod) : upgraded}`);
      sockets.push(socket);
      for (const frame of frames) socket.write(masked(frame));
      if (frames.length) await until("the probe is answered", () => socket.seen.includes("3probe"));
    }
    const begun = performance.now();
    assert.equal(await pod.stop(), 0);
    clearInterval(talking);
    assert.ok(performance.now() - begun < 6_000, `${performance.now() - begun} ms`);
    assert.equal(sockets[0].seen.at(-2), CLOSE, "it was told");
  } finally {
    sockets.forEach((socket) => socket.destroy());
    await pod.stop("SIGKILL");
  }
});

test("nor does it keep its session", async () => {
  const pod = await startPod();
  const socket = await stubborn(pod);
  try {
    socket.write(masked("40"));
    await until("it is connected", () => socket.seen.includes('40{"sid"'));
    assert.equal((await pod.api("POST", "sockets/disconnect", { close: true })).status, 200);
    await until("it has gone", async () => (await pod.metric("roomcast_connections")) === 0, 5_000);
    assert.ok(socket.seen.includes("41"));
  } finally {
    socket.destroy();
    await pod.stop("SIGKILL");
  }
});
