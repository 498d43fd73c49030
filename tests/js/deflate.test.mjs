// Compressed messages of WebSockets (`perMessageDeflate`), with clients that offer them: in both directions, of any size.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { deflateRawSync } from "node:zlib";

import { Server } from "socket.io";
import { io } from "socket.io-client";
import io2 from "socket.io-client-2";
import { WebSocket } from "ws";

import { launch } from "./chromium.mjs";
import { startPair } from "./edge/pair.mjs";
import { openRaw } from "./edge/raw.mjs";
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

/** Opens a WebSocket with these lines of offers, and gives the extensions of the answer. */
async function offered(url, lines) {
  const { hostname, port } = new URL(url);
  const socket = connect({ port, host: hostname });
  socket.on("error", () => {});
  const offers = lines.map((line) => `Sec-WebSocket-Extensions: ${line}\r\n`).join("");
  socket.write(
    `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${offers}\r\n`,
  );
  let answer = "";
  await until("an answer", () => {
    answer += socket.read()?.toString("latin1") ?? "";
    return answer.includes("\r\n\r\n");
  });
  socket.destroy();
  assert.match(answer, /^HTTP\/1.1 101 /);
  return /^sec-websocket-extensions: (.*)\r$/im.exec(answer)?.[1];
}

describe("what is agreed", () => {
  let node;
  before(async () => {
    const server = createServer();
    const peer = new Server(server, { perMessageDeflate: true });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    node = `http://127.0.0.1:${server.address().port}`;
    stops.push(() => peer.close());
  });

  const BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  for (const [lines, agreed] of [
    [[], undefined],
    [["x-other"], undefined],
    [["permessage-deflate"], AGREED],
    [["permessage-deflate; client_max_window_bits"], AGREED],
    [[BOTH], AGREED],
    [["permessage-deflate; server_max_window_bits=12"], `${AGREED}; server_max_window_bits=12`],
    [["x-other, permessage-deflate; client_max_window_bits=9", "permessage-deflate"], AGREED],
  ]) {
    test(`of ${JSON.stringify(lines)}, as on Node but for the windows`, async () => {
      assert.equal(await offered(pod.url, lines), agreed);
      const theirs = await offered(node, lines);
      assert.equal(theirs?.split(";")[0], agreed?.split(";")[0]);
      if (lines[0] === BOTH) assert.equal(theirs, agreed);
    });
  }

  test("nothing where it is not turned on", async () => {
    const off = await startPod(OPEN);
    stops.push(() => off.stop("SIGKILL"));
    assert.equal(await offered(off.url, [BOTH]), undefined);
    const { socket, extensions } = await member(io, off.url, "public-off");
    assert.equal(extensions.toString(), "");
    socket.close();
  });
});

test("what is smaller than the threshold goes as it is; what is counted is what was said", async () => {
  const small = await startPod(`${OPEN}${ON}threshold = "200kB"\n`);
  stops.push(() => small.stop("SIGKILL"));
  const { socket, bytes } = await member(io, small.url, "public-a");
  const sent = () => small.metric("roomcast_bytes_total", 'transport="websocket",direction="sent"');
  for (const [size, least, most] of [
    [190_000, 190_000, 200_000],
    [210_000, 0, 20_000],
  ]) {
    bytes();
    const before = await sent();
    const heard = next(socket, "news");
    await small.publish({ rooms: ["public-a"], event: "news", args: ["x".repeat(size)] });
    assert.equal((await heard)[0].length, size);
    const { read } = bytes();
    assert.ok(read >= least && read <= most, `${read} bytes`);
    assert.ok((await sent()) - before > size);
  }
});

test("a client that reads late gets all, in order", async () => {
  const { socket } = await member(io, pod.url, "public-late");
  const texts = Array.from({ length: 14 }, (_, at) => `${at}${randomBytes(600_000).toString("base64")}`);
  const heard = [];
  socket.on("late", (text) => heard.push(text));
  socket.io.engine.transport.ws._socket.pause();
  for (const text of texts) {
    const { status } = await pod.publish({ rooms: ["public-late"], event: "late", args: [text] });
    assert.equal(status, 200);
  }
  socket.io.engine.transport.ws._socket.resume();
  await until("all of them", () => heard.length === texts.length);
  assert.deepEqual(heard, texts);
});

for (const compressed of [true, false]) {
  for (const [version, client] of Object.entries({ "Engine.IO 4": io, "Engine.IO 3": io2 })) {
    test(`${version}, ${compressed ? "compressed" : "not compressed"}: binary as text (forceBase64), also to a client that reads late`, async () => {
      const room = `public-text-${version.slice(-1)}-${compressed}`;
      const options = { forceBase64: true, perMessageDeflate: compressed };
      const [a, b] = [await member(client, pod.url, room, options), await member(client, pod.url, room, options)];
      const heard = [];
      b.socket.on("chat", (_, message) => heard.push(message));
      b.socket.io.engine.transport.ws._socket.pause();
      const messages = [...Object.values(MESSAGES), ...Array.from({ length: 12 }, () => randomBytes(400_001)), Buffer.from("end")];
      for (const message of messages) {
        const acked = await new Promise((resolve) => a.socket.emit("chat", room, message, resolve));
        assert.deepEqual(acked, { accepted: true });
      }
      b.socket.io.engine.transport.ws._socket.resume();
      await until("all of them", () => heard.length === messages.length);
      assert.deepEqual(heard, messages);
    });
  }
}

test("a WebSocket that passes through another pod has it with the pod of its session", async () => {
  const { owner, other, stop } = await startPair(ON);
  stops.push(stop);
  const opening = await (await fetch(`${owner.url}/socket.io/?EIO=4&transport=polling`)).text();
  const { sid } = JSON.parse(opening.slice(1));
  const url = `${other.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket&sid=${sid}`;
  const ws = new WebSocket(url, { perMessageDeflate: { threshold: 0 } });
  stops.push(() => ws.terminate());
  const heard = [];
  ws.on("message", (message) => heard.push(message.toString()));
  const hears = (start) => until(start, () => heard.find((text) => text.startsWith(start)));
  await next(ws, "open");
  assert.equal(ws.extensions, "permessage-deflate");
  ws.send("2probe");
  await hears("3probe");
  for (const packet of ["5", "40"]) ws.send(packet);
  await hears("40{");
  ws.send('421["join",{"rooms":["public-a"]}]');
  await hears("431[");
  assert.equal(await other.metric("roomcast_relayed_websockets"), 1);
  const { socket } = await member(io, owner.url, "public-a");
  const said = next(socket, "chat");
  ws.send(`42${JSON.stringify(["chat", "public-a", MESSAGES["a text of several pieces"]])}`);
  assert.deepEqual(await said, ["public-a", MESSAGES["a text of several pieces"]]);
  const before = ws._socket.bytesRead;
  socket.emit("chat", "public-a", MESSAGES["a text of several pieces"]);
  await hears('42["chat"');
  assert.ok(ws._socket.bytesRead - before < 5_000);
});

test("a drain closes it behind what was said", async () => {
  const drained = await startPod(`${OPEN}${ON}[drain]\ndelay = "0s"\nwindow = "100ms"\n`);
  stops.push(() => drained.stop("SIGKILL"));
  const { socket } = await member(io, drained.url, "public-a", { reconnection: false });
  const [heard, closed] = [next(socket, "news"), next(socket, "disconnect")];
  const text = MESSAGES["a text that can hardly be compressed"];
  await drained.publish({ rooms: ["public-a"], event: "news", args: [text] });
  assert.equal(await drained.stop(), 0);
  assert.deepEqual(await heard, [text]);
  assert.equal((await closed)[0], "transport close");
});

test("an idle connection takes little more, and one in the middle of a message what it takes to inflate it", async (t) => {
  const rss = ({ pid }) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
  const COUNT = 2000;
  /** kB of each connection, once it has sent this. */
  const taken = async (settings, headers, sent) => {
    const pod = await startPod(`${OPEN}${settings}`);
    const sockets = [];
    const open = async (count) => {
      for (let at = 0; at < count; at += 100) {
        const some = await Promise.all(Array.from({ length: 100 }, () => openRaw(pod, { headers })));
        for (const { socket } of some) {
          if (sent) socket.write(sent);
          sockets.push(socket);
        }
      }
      const packets = () => pod.metric("roomcast_sockets");
      await until("they are in", async () => (await packets()) === sockets.length);
    };
    try {
      // What the pod takes whoever comes is not theirs.
      await open(500);
      const before = rss(pod);
      await open(COUNT);
      return (rss(pod) - before) / COUNT;
    } finally {
      for (const socket of sockets) socket.destroy();
      await pod.stop("SIGKILL");
    }
  };
  const offer = { "Sec-WebSocket-Extensions": "permessage-deflate" };
  // The first bytes of a message: what they are inflated to is not yet passed on.
  const payload = deflateRawSync(Buffer.alloc(900_000, "x"));
  const begun = Buffer.concat([Buffer.from([0xc1, 0xfe, (payload.length + 1) >> 8, (payload.length + 1) & 0xff, 0, 0, 0, 0]), payload.subarray(0, 15)]);
  const plain = await taken("", offer);
  const idle = await taken(ON, offer);
  const busy = await taken(ON, offer, begun);
  t.diagnostic(`${plain.toFixed(1)} kB for an idle connection without, ${idle.toFixed(1)} with, ${busy.toFixed(1)} in the middle of a message`);
  assert.ok(idle - plain < 2, `${idle} kB, ${plain} without`);
  assert.ok(busy - plain < 150, `${busy} kB, ${plain} without`);
});

test("with a browser, over an upgrade", async () => {
  const pages = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>page</title>"));
  await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
  stops.push(() => (pages.closeAllConnections(), pages.close()));
  const origin = `http://localhost:${pages.address().port}`;
  const ours = await startPod(`${OPEN}${ON}[public.cors]\norigins = ["${origin}"]\n`);
  stops.push(() => ours.stop("SIGKILL"));
  const browser = await launch();
  stops.push(() => browser.close());
  const page = await browser.newPage();
  await page.goto(origin);
  await page.addScriptTag({ url: `${ours.url}/socket.io/socket.io.js` });
  const extensions = await page.evaluate(
    (url) =>
      new Promise((resolve, reject) => {
        const socket = (globalThis.socket = globalThis.io(url));
        socket.once("connect_error", (error) => reject(new Error(error.message)));
        const upgraded = () => socket.emit("join", { rooms: ["public-a"] }, () => resolve(socket.io.engine.transport.ws.extensions));
        socket.once("connect", () => {
          // It may be before.
          if (socket.io.engine.transport.name === "websocket") upgraded();
          else socket.io.engine.once("upgrade", upgraded);
        });
      }),
    ours.url,
  );
  assert.equal(extensions, AGREED);
  const { socket, bytes } = await member(io, ours.url, "public-a");
  for (const size of [10, 5_000, 500_000]) {
    const heard = next(socket, "chat");
    await page.evaluate(
      ([room, size]) => {
        globalThis.answer = new Promise((resolve) => globalThis.socket.once("chat", (_, text, bytes) => resolve([text, bytes.byteLength])));
        globalThis.socket.emit("chat", room, "é".repeat(size / 2), new Uint8Array(size / 2).fill(7));
      },
      ["public-a", size],
    );
    const [room, text, binary] = await heard;
    assert.deepEqual([text, binary], ["é".repeat(size / 2), Buffer.alloc(size / 2, 7)]);
    bytes();
    socket.emit("chat", room, text, binary);
    assert.deepEqual(await page.evaluate(() => globalThis.answer), [text, size / 2]);
  }
});
