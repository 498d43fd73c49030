// WebSockets that pass through another pod than their session's: they end in time, whoever does not go on.

import assert from "node:assert/strict";
import { test } from "node:test";

import { until } from "../pod.mjs";
import { openRelayed, startPair } from "./pair.mjs";

const relayed = (pod) => pod.metric("roomcast_relayed_websockets");
// All that waits may wait: the time is what ends it.
const SETTINGS = `[limits]\nwrite_timeout = "1s"\nsend_queue_bytes = "64MiB"`;

test("a client behind another pod that takes nothing goes after write_timeout", async () => {
  const { owner, other, stop } = await startPair(SETTINGS);
  try {
    const socket = await openRelayed(owner, other);
    assert.equal(await relayed(other), 1);
    // It reads nothing more.
    for (let sent = 0; sent < 20; sent += 1) {
      await owner.publish({ rooms: ["public-busy"], event: "news", args: ["x".repeat(900_000)] });
    }
    await until("its session has ended", async () => (await owner.metric("roomcast_connections_closed_total", 'reason="write timeout"')) === 1);
    await until("nothing passes through any longer", async () => (await relayed(other)) === 0);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resume();
    await closed;
  } finally {
    await stop();
  }
});

test("a client that stays when its pod has gone is let go", async () => {
  const { owner, other, stop } = await startPair(SETTINGS);
  try {
    const socket = await openRelayed(owner, other, { allowHalfOpen: true });
    const told = new Promise((resolve) => socket.once("end", resolve));
    socket.resume();
    await owner.stop("SIGKILL");
    await told;
    await until("nothing passes through any longer", async () => (await relayed(other)) === 0);
    socket.destroy();
  } finally {
    await stop();
  }
});

test("a pod that does not go on is let go, and its client told", async () => {
  const { owner, other, stop } = await startPair(SETTINGS);
  try {
    const socket = await openRelayed(owner, other);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resume();
    owner.signal("SIGSTOP");
    socket.end();
    await until("nothing passes through any longer", async () => (await relayed(other)) === 0);
    await closed;
  } finally {
    await stop();
  }
});
