// Compressed messages of WebSockets (`perMessageDeflate`), with clients that offer them: in both directions, of any size.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";

import { chromium } from "playwright-core";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import io2 from "socket.io-client-2";
import { WebSocket } from "ws";

import { startPair } from "./edge/pair.mjs";
import { OPEN, next, startPod, until } from "./pod.mjs";

const ON = "[engine.per_message_deflate]\nenabled = true\n";
const AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

let pod;
const stops = [];
before(async () => {
  pod = await startPod(`engine.allow_eio3 = true\n${OPEN}${ON}`);
  stops.push(() => pod.stop("SIGKILL"));
});
after(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** A member of a room, over a WebSocket. */
async function member(client, url, room, options = {}) {
  const socket = client(url, { forceNew: true, perMessageDeflate: true, transports: ["websocket"], ...options });
  stops.push(() => socket.close());
  await next(socket, "connect");
  const engine = socket.io.engine;
  await until("a WebSocket", () => engine.transport.name === "websocket" && engine.transport.ws);
  await new Promise((resolve) => socket.emit("join", { rooms: [room] }, resolve));
  const ws = engine.transport.ws;
  /** Bytes on the wire since it was asked. */
  let [read, written] = [0, 0];
  const bytes = () => {
    const { bytesRead, bytesWritten } = ws._socket;
    const since = { read: bytesRead - read, written: bytesWritten - written };
    [read, written] = [bytesRead, bytesWritten];
    return since;
  };
  return { socket, extensions: ws.extensions, bytes };
}

const said = (size) => "What is said again and again, é. ".repeat(size / 32).slice(0, size);
const MESSAGES = {
  "a short text": "x",
  "a text of some kilobytes": said(5_000),
  "a text of several pieces": said(100_000),
  "a text that is as large as may be": said(900_000),
  "a text that can hardly be compressed": randomBytes(100_000).toString("base64"),
  "binary": Buffer.from(said(60_000)),
  "binary that cannot be compressed": randomBytes(200_000),
  "binary of which the beginning can be compressed": Buffer.concat([Buffer.alloc(40_000), randomBytes(100_000), Buffer.alloc(70_000)]),
  "text and binary": { text: said(3_000), several: [Buffer.alloc(5_000), Buffer.from("x"), Buffer.alloc(0)] },
};

for (const [version, client] of Object.entries({ "Engine.IO 4": io, "Engine.IO 3": io2 })) {
  for (const [way, transports] of Object.entries({ "a WebSocket": ["websocket"], "an upgrade": ["polling", "websocket"] })) {
    test(`${version}, ${way}: messages are compressed, and arrive as they are`, async () => {
      const room = `public-${version.slice(-1)}-${transports.length}`;
      const [a, b] = [await member(client, pod.url, room, { transports }), await member(client, pod.url, room, { transports })];
      for (const { extensions } of [a, b]) assert.match(JSON.stringify(extensions), /permessage-deflate/);
      for (const [what, message] of Object.entries(MESSAGES)) {
        const heard = next(b.socket, "chat");
        const acked = new Promise((resolve) => a.socket.emit("chat", room, message, resolve));
        assert.deepEqual(await heard, [room, message], what);
        assert.ok((await acked) !== undefined, what);
      }
      for (const { bytes } of [a, b]) bytes();
      const heard = next(b.socket, "chat");
      a.socket.emit("chat", room, MESSAGES["a text of several pieces"]);
      await heard;
      assert.ok(a.bytes().written < 5_000);
      assert.ok(b.bytes().read < 5_000);
    });
  }
}
