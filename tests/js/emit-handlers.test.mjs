// Emits and acks of handlers in Rust (examples/emits.rs): any number of values, binary among them, in both directions; whom an
// emit is for; rooms; what listens to all events.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";

import { io as newest } from "socket.io-client";
import * as msgpack from "socket.io-msgpack-parser";

import { Clients, WAYS, ask, collect, everyClient } from "./clients.mjs";
import { startPod, until } from "./pod.mjs";

/** All values of an ack. */
const all = (socket, event, ...args) =>
  new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`no ack of ${event}`)), 30_000).unref();
    socket.emit(event, ...args, (...values) => resolve(values));
  });

everyClient(({ version, way, io, options }) => {
  describe(`client ${version} over ${way}`, () => {
    const clients = new Clients();
    let pod;
    before(async () => {
      pod = await startPod("", { binary: "examples/emits" });
    });
    afterEach(() => clients.close());
    after(() => pod.stop());

    const connect = async (...rooms) => {
      const socket = await clients.connect(io, `${pod.url}/emits`, options);
      if (rooms.length > 0) assert.deepEqual(await ask(socket, "join", rooms), { accepted: true });
      return Object.assign(socket, { got: collect(socket, "got") });
    };

    test("handlers ack with any number of values, binary among them, or not at all", async () => {
      const socket = await connect();
      const unanswered = [];
      socket.emit("no-ack", (...values) => unanswered.push(values));
      assert.deepEqual(await all(socket, "empty-ack"), []);
      assert.deepEqual(await all(socket, "file", "a.bin"), ["a.bin", Buffer.from([0, 1])]);
      assert.deepEqual(await all(socket, "reverse", 1, "é", [2], { three: null }), [{ three: null }, [2], "é", 1]);
      assert.deepEqual(await all(socket, "reverse"), []);
      assert.deepEqual(unanswered, []);
    });

    test("clients ack with any number of values, binary among them", async () => {
      const socket = await connect();
      socket.on("question", (...args) => args.pop()(...args.reverse()));
      assert.deepEqual(await all(socket, "ask-me", 1, "é", [2]), [[2], "é", 1]);
      assert.deepEqual(await all(socket, "ask-me"), []);
      socket.off("question").on("question", (callback) => callback("a.bin", Buffer.from([0, 255])));
      assert.deepEqual(await all(socket, "ask-file"), ["a.bin", Buffer.from([0, 255])]);
      socket.off("question").on("question", (callback) => callback("only one"));
      assert.equal((await ask(socket, "ask-file")).error.code, "failed");
    });

    test("all clients of a room are asked, and all of their answers count", async () => {
      const [one, two, silent] = [await connect("room"), await connect("room"), await connect()];
      const binary = Buffer.from([7]);
      one.on("question", (callback) => callback("one", binary));
      two.on("question", (callback) => callback("two", Buffer.from([8])));
      const buffer = { type: "Buffer", data: [7] };
      const [{ answers, ...counts }] = await all(one, "ask-room", "room");
      assert.deepEqual(answers.sort(), [["one", buffer], ["two", { type: "Buffer", data: [8] }]]);
      assert.deepEqual(counts, { expected: 2, missing: 0, pods: { asked: 1, silent: 0 } });
      const [names, contents] = await all(silent, "ask-files", "room");
      assert.deepEqual(names.sort(), ["one", "two"]);
      assert.deepEqual(contents.map(([byte]) => byte).sort(), [7, 8]);
      // All but the one that asks; one of them does not answer.
      const [others] = await all(one, "ask-others", 500);
      const expected = { answers: [["two", { type: "Buffer", data: [8] }]], expected: 2, missing: 1 };
      assert.deepEqual(others, { ...expected, pods: { asked: 1, silent: 0 } });
      two.off("question").on("question", (callback) => callback());
      const [[none, values]] = [await all(two, "ask-room", two.id)].map(([{ answers, missing }]) => [missing, answers]);
      assert.deepEqual([none, values], [0, [[]]]);
    });

    test("an emit reaches those that it is for", async () => {
      const [a, b, c] = [await connect("a", "7"), await connect("a"), await connect()];
      const done = async (socket, ...event) => assert.equal(await ask(socket, ...event), "done");
      const volatile = [];
      for (const [event, args, to] of [
        ["to-me", [], [[[]], [], []]],
        ["to-room", ["a"], [[["room", [1, 2]]], [["room", [1, 2]]], []]],
        ["to-others", [], [[], [["others"]], [["others"]]]],
        ["to-others", ["a"], [[], [["others of the room"]], []]],
        ["to-number", [7], [[["number"]], [], []]],
        ["to-except", ["a"], [[], [], [["except"]]]],
        ["to-local", [], [[["local"]], [["local"]], [["local"]]]],
        ["to-local-others", [], [[], [["local others"]], [["local others"]]]],
      ]) {
        await done(a, event, ...args);
        // What each is sent before its next ack is there then.
        for (const socket of [a, b, c]) await ask(socket, "file", "");
        assert.deepEqual([a, b, c].map(({ got }) => got.splice(0)), to, event);
      }
      // A client is not always ready for what is volatile.
      await until("a volatile emit to one", async () => {
        await done(a, "to-me-volatile");
        volatile.push(...a.got.splice(0));
        return volatile.length > 0;
      });
      assert.deepEqual(volatile[0], [1, Buffer.from([2])]);
      await until("one to a room", async () => {
        await done(c, "to-room-volatile", "a");
        return b.got.some(([text]) => text === "volatile");
      });
      assert.deepEqual(c.got, []);
    });

    test("what not every client could be given is refused, as an emit and as an ack", async () => {
      const socket = await connect();
      assert.deepEqual((await all(socket, "deep", 3))[0], [[[1]]]);
      assert.equal((await ask(socket, "deep", 100)).error.code, "bad_arguments");
      assert.match((await ask(socket, "to-me-deep", 100)).error.message, /limits\.depth/);
      assert.equal(await ask(socket, "to-me-deep", 3), "done");
      assert.deepEqual(socket.got, [[[[[1]]]]]);
    });

    test("rooms of a socket, of the pod and of all; sockets are moved and put out", async () => {
      const [a, b] = [await connect("x", "y"), await connect("y")];
      const [own, here, everywhere] = await all(a, "rooms");
      assert.deepEqual(own.sort(), ["x", "y"]);
      assert.deepEqual(here, ["x", "y", a.id, b.id].sort());
      assert.deepEqual(everywhere, here);
      assert.deepEqual((await ask(a, "sockets", "y")).sort(), [a.id, b.id].sort());
      const transport = way === "polling" ? "polling" : "websocket";
      await until("both are there with their transports", async () => {
        const transports = await ask(a, "transports", "y");
        return isDeepStrictEqual(transports, { [a.id]: transport, [b.id]: transport });
      });
      assert.equal(await ask(a, "move", "y", "z"), "done");
      assert.deepEqual([await ask(a, "sockets", "y"), await ask(a, "sockets", "x")], [[], [a.id]]);
      assert.equal((await ask(a, "sockets", "z")).length, 2);
      const gone = collect(b, "disconnect");
      assert.equal(await ask(a, "disconnect-room", b.id), "done");
      await until("it is put out", () => gone.length > 0);
      assert.equal(gone[0][0], "io server disconnect");
      assert.deepEqual(await ask(a, "sockets", "z"), [a.id]);
    });

    test("a program hears of rooms and who is in them, in order", async () => {
      const room = `heard-${way}`;
      const [a, b, other] = [await connect(room, "more"), await connect(room), await connect()];
      const [first, second] = [a.id, b.id];
      await ask(b, "join", [room]);
      b.disconnect();
      await until("it has left", async () => (await ask(other, "room-events", room)).length === 4);
      assert.equal(await ask(a, "move", room, "elsewhere"), "done");
      const events = [["create-room"], ["join-room", first], ["join-room", second], ["leave-room", second]];
      const end = [["leave-room", first], ["delete-room"]];
      assert.deepEqual(await ask(other, "room-events", room), [...events, ...end]);
      a.disconnect();
      const elsewhere = [["create-room"], ["join-room", first], ...end];
      await until("it is gone", async () => (await ask(other, "room-events", "elsewhere")).length === 4);
      assert.deepEqual(await ask(other, "room-events", "elsewhere"), elsewhere);
      assert.deepEqual(await ask(other, "room-events", other.id), []);
    });

    test("listeners hear all events in both directions", async () => {
      const [a, b] = [await connect("l"), await connect("l")];
      a.on("question", (callback) => callback(1));
      await ask(a, "to-room", "l");
      await all(b, "ask-room", a.id);
      await ask(b, "to-me");
      const heard = (await ask(a, "heard")).filter(([, name]) => name !== "join" && name !== "heard");
      assert.deepEqual(heard, [
        ["in", "to-room", ["l"]],
        ["out", "got", ["room", [1, 2]]],
        ["out", "question", []],
      ]);
      const others = (await ask(b, "heard")).filter(([direction]) => direction === "out");
      assert.deepEqual(others, [["out", "got", ["room", [1, 2]]], ["out", "got", []]]);
    });
  });
});

test("with the msgpack parser, the same values pass", async () => {
  const clients = new Clients();
  const pod = await startPod('engine.parser = "msgpack"', { binary: "examples/emits" });
  try {
    const parser = msgpack.default ?? msgpack;
    const socket = await clients.connect(newest, `${pod.url}/emits`, { ...WAYS.websocket, parser });
    const got = collect(socket, "got");
    // This parser of clients gives them typed arrays.
    const values = async (...event) => {
      const buffers = (value) =>
        value instanceof Uint8Array ? Buffer.from(value) : Array.isArray(value) ? value.map(buffers) : value;
      return buffers(await all(...event));
    };
    assert.deepEqual(await values(socket, "empty-ack"), []);
    assert.deepEqual(await values(socket, "file", "a"), ["a", Buffer.from([0, 1])]);
    assert.deepEqual(await values(socket, "reverse", 1, "é", [null]), [[null], "é", 1]);
    assert.deepEqual(await values(socket, "reverse"), []);
    socket.on("question", (...args) => args.pop()(...args.reverse()));
    assert.deepEqual(await values(socket, "ask-me", 1, { two: 2 }), [{ two: 2 }, 1]);
    socket.off("question").on("question", (callback) => callback("b", Buffer.from([9])));
    assert.deepEqual(await values(socket, "ask-file"), ["b", Buffer.from([9])]);
    assert.deepEqual(await values(socket, "ask-files", socket.id), [["b"], [Buffer.from([9])]]);
    assert.equal((await ask(socket, "deep", 100)).error.code, "bad_arguments");
    await ask(socket, "to-me");
    await ask(socket, "to-room", socket.id);
    assert.deepEqual(got, [[], ["room", [1, 2]]]);
    const heard = (await ask(socket, "heard")).filter(([, name]) => name === "got");
    assert.deepEqual(heard, [["out", "got", []], ["out", "got", ["room", [1, 2]]]]);
  } finally {
    clients.close();
    await pod.stop();
  }
});

test("what handlers send to a client that does not read counts for limits.send_queue_bytes", async () => {
  const clients = new Clients();
  // Packets are no limit here, bytes are.
  const limits = 'max_payload = "100KB"\nsend_queue = 100000\nsend_queue_bytes = "200KB"';
  const pod = await startPod(`[limits]\n${limits}`, { binary: "examples/emits" });
  try {
    const socket = await clients.connect(newest, `${pod.url}/emits`, { ...WAYS.websocket, reconnection: false });
    socket.io.engine.transport.ws._socket.pause();
    socket.emit("stream", 3000, 30_000);
    const closed = () => pod.metric("roomcast_connections_closed_total", 'reason="queue full"');
    await until("it is closed for that", async () => (await closed()) === 1);
  } finally {
    clients.close();
    await pod.stop();
  }
});
