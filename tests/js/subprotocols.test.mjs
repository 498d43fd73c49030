// The client's option `protocols` (Sec-WebSocket-Protocol): it connects only if one of them is answered, as Socket.IO's own
// server does.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";

import { Server } from "socket.io";
import { io } from "socket.io-client";

import { startPair } from "./edge/pair.mjs";
import { OPEN, next, startPod, until } from "./pod.mjs";

let pod;
let node;
before(async () => {
  pod = await startPod(`engine.allow_eio3 = true\n${OPEN}`);
  const server = createServer();
  new Server(server, { allowEIO3: true });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  node = { url: `http://127.0.0.1:${server.address().port}`, stop: () => (server.closeAllConnections(), server.close()) };
});
after(() => Promise.all([node.stop(), pod.stop("SIGKILL")]));

/** The answer to a WebSocket handshake with these lines: its status and the protocol in it. */
async function answered(url, lines, sid) {
  const { hostname, port } = new URL(url);
  const socket = connect({ port, host: hostname });
  socket.on("error", () => {});
  const offers = lines.map((line) => `Sec-WebSocket-Protocol: ${line}\r\n`).join("");
  socket.write(
    `GET /socket.io/?EIO=4&transport=websocket${sid ? `&sid=${sid}` : ""} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${offers}\r\n`,
  );
  let answer = "";
  await until("an answer", () => {
    answer += socket.read()?.toString("latin1") ?? "";
    return answer.includes("\r\n\r\n");
  });
  return { status: Number(answer.slice(9, 12)), protocol: /^sec-websocket-protocol: (.*)\r$/im.exec(answer)?.[1], socket };
}

const opened = async (url) => JSON.parse((await (await fetch(`${url}/socket.io/?EIO=4&transport=polling`)).text()).slice(1)).sid;

// In Node, version 2 sends none.
for (const transports of [["websocket"], ["polling", "websocket"]]) {
  test(`with ${transports}: the first of its protocols is answered`, async () => {
    for (const { url } of [node, pod]) {
      const socket = io(url, { forceNew: true, reconnection: false, transports, protocols: ["chat", "v2.chat"] });
      try {
        await Promise.race([next(socket, "connect"), next(socket, "connect_error").then(([error]) => assert.fail(error))]);
        const { engine } = socket.io;
        await until("a WebSocket", () => engine.transport.name === "websocket");
        assert.equal(engine.transport.ws.protocol, "chat");
      } finally {
        socket.close();
      }
    }
  });
}

describe("what is offered", () => {
  for (const lines of [[], ["chat"], ["b, a"], ["a", "b"], ["a", "a"], ["a,b,a"], [""], [","], ["a,"], ["a b"], ["a\t,b"], ['"a"'], ["a/b"], ["é"], ["a;q=1"]]) {
    test(`${JSON.stringify(lines)} is answered as on Node`, async () => {
      const seen = [];
      for (const { url } of [node, pod]) {
        const { status, protocol, socket } = await answered(url, lines);
        socket.destroy();
        seen.push({ status, protocol });
      }
      assert.deepEqual(seen[1], seen[0]);
    });
  }
});

test("a second WebSocket of a session is answered so before it is closed", async () => {
  for (const { url } of [node, pod]) {
    const sid = await opened(url);
    const [first, second] = [await answered(url, ["a, b"], sid), await answered(url, ["b"], sid)];
    assert.deepEqual([first.status, first.protocol, second.status, second.protocol], [101, "a", 101, "b"]);
    for (const { socket } of [first, second]) socket.destroy();
  }
});

test("a WebSocket that passes through another pod is answered by the pod of its session", async () => {
  const { owner, other, stop } = await startPair();
  try {
    const sid = await opened(owner.url);
    const refused = await answered(other.url, ["a b"], sid);
    assert.deepEqual([refused.status, refused.protocol], [400, undefined]);
    const { status, protocol, socket } = await answered(other.url, ["chat, b"], sid);
    assert.deepEqual([status, protocol], [101, "chat"]);
    for (const one of [refused.socket, socket]) one.destroy();
  } finally {
    await stop();
  }
});
