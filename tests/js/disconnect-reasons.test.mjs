// Why connections end: each name, as a hook, a metric and the stock client have it. docs/errors.md has the same names.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { Manager, io } from "socket.io-client";

import { Clients } from "./clients.mjs";
import { HOOK_SECRET, startHookService } from "./hook-service.mjs";
import { API_KEY, ROOT, next, startPod, until } from "./pod.mjs";

const clients = new Clients();
const LOST = /^transport (close|error)$/;

/**
 * By reason: what a stock client `does` that is connected, or the pod does to it; the `settings` for that; and the reason
 * that the client has.
 */
const ENDS = {
  "transport close": { does: ({ engine }) => engine.close(), client: /^forced close$/ },
  "transport error": { does: ({ socket }) => socket.emit("e", "x".repeat(4_000)), settings: 'limits.max_payload = "2KiB"' },
  "ping timeout": {
    does: ({ engine }) => {
      engine.transport.send = () => {};
      // The client must not be the first to notice.
      engine._pingInterval = 60_000;
      engine._resetPingTimeout();
    },
    settings: 'engine.ping_interval = "300ms"\nengine.ping_timeout = "3s"',
  },
  "parse error": { does: ({ engine }) => engine.write("9") },
  "client namespace disconnect": { does: ({ socket }) => socket.disconnect(), client: /^io client disconnect$/ },
  "server namespace disconnect": {
    does: ({ pod }) => pod.api("POST", "sockets/disconnect", {}),
    client: /^io server disconnect$/,
  },
  "server shutting down": { does: ({ pod }) => pod.stop() },
  "write timeout": {
    does: async ({ engine, pod }) => {
      engine.transport.ws.pause();
      for (let sent = 0; sent < 20; sent += 1) await publish(pod, 900_000);
    },
    settings: 'limits.send_queue = 10000\nlimits.send_queue_bytes = "64MiB"\nlimits.write_timeout = "1s"',
  },
  "queue full": {
    does: async ({ engine, pod }) => {
      engine.transport.ws.pause();
      await until("it is gone", async () => (await publish(pod, 20_000)) && (await closed(pod, "queue full")) === 1);
    },
    settings: 'limits.send_queue = 64\nlimits.write_timeout = "60s"',
  },
  "rate limited": {
    does: ({ engine }) => {
      for (let sent = 0; sent < 200; sent += 1) engine.write("1/none,");
    },
    settings: "limits.events_per_second = 5",
  },
  rebalanced: { does: ({ pod }) => pod.api("POST", "rebalance", { share: 1, per_second: 10 }) },
  "message timeout": {
    // It announces an attachment, which does not come.
    does: ({ engine }) => engine.write('51-["e",{"_placeholder":true,"num":0}]'),
    settings: 'public.request_timeout = "5s"',
  },
};

const publish = (pod, size) => pod.publish({ event: "news", args: ["x".repeat(size)] });
const closed = (pod, reason) => pod.metric("roomcast_connections_closed_total", `reason="${reason}"`);

/** Whether the stock client comes back by itself, by reason, as the page on errors has it. */
const page = () => {
  const [, section] = readFileSync(join(ROOT, "docs", "errors.md"), "utf8").split("## Why a connection closed");
  const rows = section.split("\n## ")[0].matchAll(/^\| `(.+?)` \|.*\| (yes|no)\b.*\|$/gm);
  return Object.fromEntries([...rows].map(([, reason, back]) => [reason, back === "yes"]));
};

let service;
before(async () => {
  service = await startHookService(() => ({}));
});
afterEach(() => clients.close());
after(() => service.stop());

const start = (settings = "") =>
  startPod(`
${settings}
[api]
keys = ["${API_KEY}"]
[hooks]
secrets = ["${HOOK_SECRET}"]
[namespaces."/"]
auth = "none"
[namespaces."/".hooks]
disconnect = "${service.url("disconnect")}"
`);

for (const [reason, { does, settings, client = LOST }] of Object.entries(ENDS)) {
  test(`${reason}: so it is for a hook, a metric and the client`, async () => {
    const pod = await start(settings);
    try {
      const socket = await clients.connect(io, pod.url, { transports: ["websocket"] });
      const { id, io: manager } = socket;
      const { engine } = manager;
      const [gone, back] = [next(socket, "disconnect"), page()[reason]];
      await does({ socket, engine, pod });
      const told = () => service.calls("socket.disconnect").find(({ call }) => call.data.socket.id === id);
      const { call } = await until("the hook is told", told);
      assert.equal(call.data.reason, reason);
      if (pod.isAlive()) await until("it is counted", async () => (await closed(pod, reason)) === 1);
      // One that was frozen sees it when it reads again.
      engine.transport.ws?.resume();
      assert.match((await gone)[0], client);
      assert.equal(socket.active, back, "it comes back by itself");
      if (back && pod.isAlive()) await until("it is back", () => socket.connected && socket.id !== id);
    } finally {
      clients.close();
      await pod.stop();
    }
  });
}

test("no namespace: a metric has it, and nobody else was told of the client", async () => {
  const pod = await start();
  try {
    const manager = new Manager(pod.url, { reconnection: false, transports: ["websocket"] });
    await next(manager, "open");
    const before = service.calls("socket.disconnect").length;
    manager.engine.close();
    await until("it is counted", async () => (await closed(pod, "no namespace")) === 1);
    assert.equal(service.calls("socket.disconnect").length, before);
  } finally {
    await pod.stop();
  }
});

test("these are all the reasons", () => {
  assert.deepEqual(Object.keys(page()).sort(), [...Object.keys(ENDS), "no namespace"].sort());
});
