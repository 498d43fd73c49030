// What a stock client relies on: each test for each client and each way to connect.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { Clients, ask, collect, everyClient } from "./clients.mjs";
import { next, startPod, until } from "./pod.mjs";

const MAX_PAYLOAD = 1_000_000;

everyClient(({ version, way, io, options }) => {
  describe(`client ${version} over ${way}`, () => {
    const clients = new Clients();
    let pod;
    const connect = (path = "/") => clients.connect(io, pod.url + path, options);
    const member = async (room = "public-a") => {
      const socket = await connect();
      assert.deepEqual(await ask(socket, "join", { rooms: [room] }), { joined: [room], rejected: [] });
      return socket;
    };

    before(async () => {
      pod = await startPod();
    });
    afterEach(() => clients.close());
    after(() => pod.stop());

    test("connects over the transport it asked for", async () => {
      const socket = await connect();
      const transport = way === "polling" ? "polling" : "websocket";
      assert.equal(socket.io.engine.transport.name, transport);
      await until("gauge", async () => (await pod.metric("roomcast_connections", transport)) === 1);
      socket.disconnect();
      await until("gauge", async () => (await pod.metric("roomcast_connections")) === 0);
    });

    test("an event reaches the others in the room, with its arguments, and not its sender", async () => {
      const [sender, reader, stranger] = [await member(), await member(), await member("public-b")];
      const [own, strange] = [collect(sender, "chat"), collect(stranger, "chat")];
      const received = next(reader, "chat");
      const args = ["public-a", { text: "héllo \u2028 \"quoted\"", list: [1, 2.5, null, true] }, "x"];
      assert.deepEqual(await ask(sender, "chat", ...args), { accepted: true });
      assert.deepEqual(await received, args);
      // A later message to all of them shows that nothing else was on its way.
      const markers = [next(sender, "marker"), next(stranger, "marker")];
      await pod.publish({ event: "marker" });
      await Promise.all(markers);
      assert.deepEqual([own, strange], [[], []]);
    });

    test("what no rule allows is refused with a code", async () => {
      const socket = await connect();
      const code = async (...args) => (await ask(socket, ...args)).error.code;
      assert.equal(await code("secret", 1), "event_denied");
      assert.equal(await code("chat", "other-room"), "event_denied");
      assert.equal(await code("chat", "public-a"), "not_in_room");
      assert.equal(await code("join", "public-a"), "bad_request");
      const other = await connect();
      const long = `public-${"x".repeat(300)}`;
      const { joined, rejected } = await ask(socket, "join", { rooms: ["private", "", long, other.id] });
      assert.deepEqual(joined, []);
      assert.deepEqual(rejected, [
        { room: "private", code: "room_denied" },
        { room: "", code: "bad_room_name" },
        { room: long, code: "bad_room_name" },
        { room: other.id, code: "room_reserved" },
      ]);
    });

    test("leaving a room ends its messages", async () => {
      const [sender, reader] = [await member(), await member()];
      assert.deepEqual(await ask(reader, "leave", { rooms: ["public-a", reader.id] }), {
        left: ["public-a"],
        rejected: [{ room: reader.id, code: "room_reserved" }],
      });
      const received = collect(reader, "chat");
      await ask(sender, "chat", "public-a", 1);
      const marker = next(reader, "marker");
      await pod.publish({ rooms: [reader.id], event: "marker" });
      await marker;
      assert.deepEqual(received, []);
    });

    test("a backend publishes to rooms, socket ids and all, but those excepted", async () => {
      const sockets = [await member("public-a"), await member("public-a"), await member("public-b")];
      const received = sockets.map((socket) => collect(socket, "news"));
      const [a1, a2, b] = sockets;
      for (const target of [
        { rooms: ["public-a"], args: ["a"] },
        { rooms: ["public-a", "public-b"], except: [a2.id], args: ["not a2"] },
        { rooms: [b.id], args: ["b"] },
        { except: ["public-b"], args: ["not b"] },
        { args: ["all", { n: 1 }] },
      ]) {
        const { status, body } = await pod.publish({ event: "news", ...target });
        assert.deepEqual([status, body], [200, { accepted: true }]);
      }
      await until("all", () => received.every((list) => list.at(-1)?.[0] === "all"));
      assert.deepEqual(received, [
        [["a"], ["not a2"], ["not b"], ["all", { n: 1 }]],
        [["a"], ["not b"], ["all", { n: 1 }]],
        [["not a2"], ["b"], ["all", { n: 1 }]],
      ]);
    });

    test("binary passes as binary", async () => {
      const [sender, reader] = [await member(), await member()];
      const received = next(reader, "chat");
      const bytes = Buffer.from([0, 1, 2, 253, 254, 255]);
      await ask(sender, "chat", "public-a", { file: bytes, more: [bytes, "text"] }, Buffer.alloc(0));
      const [, argument, empty] = await received;
      assert.deepEqual(Buffer.from(argument.file), bytes);
      assert.deepEqual(Buffer.from(argument.more[0]), bytes);
      assert.equal(argument.more[1], "text");
      assert.equal(Buffer.from(empty).length, 0);
    });

    test("a message may be as large as the limit, and not larger", async () => {
      const [sender, reader, witness] = [await member(), await member(), await member()];
      // The packet around the text: 42<ack>["chat","public-a","…"]
      const overhead = `42${sender.ids}["chat","public-a",""]`.length;
      const largest = "x".repeat(MAX_PAYLOAD - overhead);
      const received = next(reader, "chat");
      await ask(sender, "chat", "public-a", largest);
      assert.equal((await received)[1].length, largest.length);

      const gone = next(sender, "disconnect");
      const back = next(sender, "connect");
      sender.emit("chat", "public-a", `${largest}${"x".repeat(100)}`);
      assert.match((await gone)[0], /transport (error|close)/);
      await back;
      const unharmed = next(witness, "marker");
      await pod.publish({ event: "marker" });
      await unharmed;
    });

    test("several namespaces share one connection", async () => {
      const { Manager } = await import(version === "4.8.4" ? "socket.io-client" : "socket.io-client-4.5");
      const manager = new Manager(pod.url, options);
      const [root, second] = [manager.socket("/"), manager.socket("/second")];
      await Promise.all([next(root, "connect"), next(second, "connect")]);
      await ask(root, "join", { rooms: ["public-a"] });
      await ask(second, "join", { rooms: ["public-a"] });
      const [inRoot, inSecond] = [collect(root, "news"), collect(second, "news")];
      await pod.publish({ namespace: "/second", rooms: ["public-a"], event: "news", args: [2] });
      await pod.publish({ rooms: ["public-a"], event: "news", args: [1] });
      await until("both", () => inRoot.length && inSecond.length);
      assert.deepEqual([inRoot, inSecond], [[[1]], [[2]]]);
      second.disconnect();
      assert.deepEqual(await ask(root, "leave", { rooms: [] }), { left: [], rejected: [] });
      root.disconnect();
    });

    test("a namespace that does not exist is refused, and the connection goes on", async () => {
      const root = await connect();
      const missing = root.io.socket("/missing");
      const [error] = await next(missing, "connect_error");
      assert.equal(error.message, "Invalid namespace");
      assert.deepEqual(await ask(root, "leave", { rooms: [] }), { left: [], rejected: [] });
    });

    test("a client that emits in the same breath as it connects loses nothing", async () => {
      const reader = await member();
      const received = collect(reader, "announce:early");
      const early = Array.from({ length: 20 }, async (_, index) => {
        const socket = clients.open(io, pod.url, options);
        socket.emit("announce:early", index);
      });
      await Promise.all(early);
      await until("all early events", () => received.length === 20);
    });
  });
});
