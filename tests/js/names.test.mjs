// Events whose names JSON escapes, are not ASCII, or are numbers: they arrive as on Node, and rules match what they mean.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { io } from "socket.io-client";
import io2 from "socket.io-client-2";
import msgpack from "socket.io-msgpack-parser";
import { WebSocket } from "ws";

import { Clients, WAYS, ask, code, everyClient } from "./clients.mjs";
import { HOOK_SECRET, startHookService } from "./hook-service.mjs";
import { next, startPod, until } from "./pod.mjs";

const NAMES = [
  "é", "日本", 'say "hi"', "back\\slash", "tab\there", "\u0001", "\u007f", "\u007f\u007f", "emoji 😀", "</script>", '"', "\\",
  `${"long ".repeat(40)}"`, "7", "plain",
];
const RELAY = (namespace) => `
[namespaces."${namespace}"]
auth = "none"
[[namespaces."${namespace}".events]]
name = "*"
action = "relay"
`;

const clients = new Clients();
afterEach(() => clients.close());

/** Collects whole events in the order of arrival. */
function collectAny(socket) {
  const heard = [];
  socket.onAny((...event) => heard.push(event));
  return heard;
}

describe("every client, over every way", () => {
  let pod;
  before(async () => (pod = await startPod(`[engine]\nallow_eio3 = true\n${RELAY("/")}${RELAY("/chat")}`)));
  after(() => pod.stop());

  everyClient(({ version, way, io: client, options }) => {
    test(`odd names arrive and are acked: ${version} over ${way}`, async () => {
      for (const namespace of ["", "/chat"]) {
        const sender = await clients.connect(client, pod.url + namespace, options);
        const witness = await clients.connect(io, pod.url + namespace);
        const heard = collectAny(witness);
        const binary = Buffer.from([1, 2, 255]);
        for (const name of NAMES) {
          assert.deepEqual(await ask(sender, name, { name }), { accepted: true }, name);
          assert.deepEqual(await ask(sender, name, binary, "b"), { accepted: true }, name);
          sender.emit(name);
        }
        await until("all of them", () => heard.length >= 3 * NAMES.length);
        assert.deepEqual(heard, NAMES.flatMap((name) => [[name, { name }], [name, binary, "b"], [name]]));
        assert.ok(sender.connected);
      }
    });

    test(`a number is a name: ${version} over ${way}`, async () => {
      const sender = await clients.connect(client, pod.url, options);
      const witness = await clients.connect(io, pod.url);
      const heard = [];
      witness.on("1", (...args) => heard.push(args));
      assert.deepEqual(await ask(sender, 1, "x"), { accepted: true });
      sender.emit(1, Buffer.from("y"));
      await until("both", () => heard.length === 2);
      assert.deepEqual(heard, [["x"], [Buffer.from("y")]]);
    });
  });

  for (const way of ["websocket", "polling"]) {
    test(`version 2 over ${way}`, async () => {
      const sender = io2(pod.url, { forceNew: true, ...WAYS[way] });
      const witness = await clients.connect(io, pod.url);
      const heard = collectAny(witness);
      try {
        for (const name of NAMES) {
          const answer = await new Promise((resolve) => sender.emit(name, "é", resolve));
          assert.deepEqual(answer, { accepted: true }, name);
        }
        await until("all of them", () => heard.length >= NAMES.length);
        assert.deepEqual(heard, NAMES.map((name) => [name, "é"]));
      } finally {
        sender.close();
      }
    });
  }

  /** A WebSocket that is in the namespace `/`. */
  const connected = async () => {
    const socket = new WebSocket(`${pod.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    // Two packets may come at once.
    const isIn = new Promise((resolve) => socket.on("message", (data) => String(data).startsWith("40") && resolve()));
    await next(socket, "open");
    socket.send("40");
    await isIn;
    return socket;
  };

  test("each character escaped, and in any pieces", async () => {
    const witness = await clients.connect(io, pod.url);
    const heard = collectAny(witness);
    const socket = await connected();
    socket.send('42["\\u00e9",1]');
    for (const piece of ["4", '2["pl\\u00', "61in", '",2]']) socket.send(piece, { fin: piece.endsWith("]") });
    socket.send('42[ "\\n" , 3]');
    await until("all of them", () => heard.length >= 3);
    assert.deepEqual(heard, [["é", 1], ["plain", 2], ["\n", 3]]);
    socket.close();
  });

  test("space before the list is no id of an ack", async () => {
    const witness = await clients.connect(io, pod.url);
    const heard = collectAny(witness);
    const socket = await connected();
    for (const packet of ['42 ["a",1]', '42\n["\\u00e9",2]', '42["end"]']) socket.send(packet);
    await until("all of them", () => heard.length >= 3);
    // A listener would have got a function to ack with.
    assert.deepEqual(heard, [["a", 1], ["é", 2], ["end"]]);
    socket.close();
  });

  test("what is sent right behind an event that nobody could decode is not handled", async () => {
    const witness = await clients.connect(io, pod.url);
    const heard = collectAny(witness);
    const socket = await connected();
    socket._socket.cork();
    for (const packet of ['42["first"]', '42["connect"]', ...Array(200).fill('42["behind"]')]) socket.send(packet);
    socket._socket.uncork();
    await until("it is out", async () => (await pod.metric("roomcast_sockets")) === 1);
    const sender = await clients.connect(io, pod.url);
    await ask(sender, "end");
    await until("the end", () => heard.at(-1)?.[0] === "end");
    assert.deepEqual(heard, [["first"], ["end"]]);
    socket.close();
  });

  test("the largest event that may be sent may have any name", async () => {
    const sender = await clients.connect(io, pod.url, WAYS.websocket);
    const overhead = JSON.stringify(['"', ""]).length + "420".length;
    assert.deepEqual(await ask(sender, '"', "x".repeat(1_000_000 - overhead)), { accepted: true });
  });
});

test("rules and hooks see what a name means", async () => {
  const service = await startHookService(({ data }) => ({ status: 200, body: JSON.stringify([data.event, data.args]) }));
  const pod = await startPod(`
[hooks]
secrets = ["${HOOK_SECRET}"]
[namespaces."/"]
auth = "none"
[[namespaces."/".events]]
name = "é:*"
hook = "${service.url("e")}"
[[namespaces."/".events]]
name = "7"
hook = "${service.url("e")}"
`);
  try {
    const socket = await clients.connect(io, pod.url);
    assert.deepEqual(await ask(socket, 'é:"', 1), ['é:"', [1]]);
    assert.deepEqual(await ask(socket, 7, 1), ["7", [1]]);
    assert.equal(await code(socket, '"é:', 1), "event_denied");
    assert.equal(await code(socket, "\u007f", "é:x"), "event_denied");
  } finally {
    await pod.stop();
    await service.stop();
  }
});

for (const way of ["websocket", "polling"]) {
  test(`with msgpack over ${way}`, async () => {
    const pod = await startPod(`[engine]\nparser = "msgpack"\n${RELAY("/")}${RELAY("/chat")}`);
    try {
      const options = { parser: msgpack, ...WAYS[way] };
      const sender = await clients.connect(io, pod.url, options);
      const witness = await clients.connect(io, pod.url, { parser: msgpack });
      const heard = collectAny(witness);
      for (const name of NAMES) assert.deepEqual(await ask(sender, name, 1), { accepted: true }, name);
      await until("all of them", () => heard.length === NAMES.length);
      assert.deepEqual(heard, NAMES.map((name) => [name, 1]));
      heard.splice(0);
      // As on Node, they arrive as numbers, and with any number of arguments; or with as many as need a longer header.
      const many = (length) => Array.from({ length }, (_, index) => index);
      const events = [[7, Buffer.from("x")], [-1.5, 1], [70_000], [2 ** 40, {}], [1, ...many(14)], [2, ...many(15)], [3, ...many(300)]];
      for (const event of events) assert.deepEqual(await ask(sender, ...event), { accepted: true });
      await until("all of them", () => heard.length === events.length);
      assert.deepEqual(heard, events);
      assert.ok(sender.connected);
    } finally {
      await pod.stop();
    }
  });
}
