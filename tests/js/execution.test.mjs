// The order in which a namespace looks at an event (examples/order.rs), its typed handlers, and what a panic harms.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, WAYS, ask, collect } from "./clients.mjs";
import { API_KEY, next, startPod, until } from "./pod.mjs";

for (const way of ["websocket", "polling"]) {
  describe(`over ${way}`, () => {
    const clients = new Clients();
    let pod;
    before(async () => {
      pod = await startPod(`api.keys = ["${API_KEY}"]`, { binary: "examples/order" });
    });
    afterEach(() => clients.close());
    after(() => pod.stop());

    const open = (options = {}) => {
      const socket = clients.open(io, `${pod.url}/order`, { ...WAYS[way], reconnection: false, ...options });
      const steps = [];
      socket.on("step", (name) => steps.push(name));
      // What was seen since the last time.
      return Object.assign(socket, { seen: () => steps.splice(0) });
    };
    const connect = async (options) => {
      const socket = open(options);
      await Promise.race([next(socket, "connect"), next(socket, "connect_error").then(([error]) => Promise.reject(error))]);
      return socket;
    };
    const ada = { auth: { token: "ada" } };
    const code = async (socket, ...args) => (await ask(socket, ...args)).error?.code;

    test("limits, packet middleware, authentication, handler, ack", async () => {
      const late = await connect();
      assert.equal(await code(late, "add", "x".repeat(1000)), "payload_too_large");
      assert.deepEqual(late.seen(), []);
      assert.equal(await code(late, "forbidden"), "forbidden");
      assert.deepEqual(late.seen(), ["packet"]);
      assert.equal(await code(late, "add", 1, 2), "authentication_required");
      assert.deepEqual(late.seen(), ["packet"]);
      // Announced when it has authenticated.
      await ask(late, "authenticate", { token: "ada" });
      assert.deepEqual(late.seen(), ["packet", "connect"]);
      assert.equal(await ask(late, "add", 1, 2), 3);
      assert.deepEqual(late.seen(), ["packet", "any add", "handler"]);
      // Its arguments are read for the handler.
      assert.equal(await code(late, "add", 1), "bad_request");
      assert.deepEqual(late.seen(), ["packet", "any add"]);
      late.emit("unknown", () => assert.fail("nobody handles it"));
      await code(late, "forbidden");
      assert.deepEqual(late.seen(), ["packet", "any unknown", "packet"]);
    });

    test("typed handlers: extractors, values, nothing, refusals, later answers", async () => {
      const socket = await connect(ada);
      await until("announced", () => socket.seen().includes("connect"));
      assert.deepEqual(await ask(socket, "who"), { sub: "ada" });
      // As on Node, a handler that answers nothing is not acked: what comes after it is answered before.
      const acked = [];
      socket.emit("nothing", (...values) => acked.push(values));
      assert.deepEqual(await ask(socket, "fail"), { error: { code: "failed", message: "by the handler" } });
      assert.deepEqual(await ask(socket, "data"), { visits: 1 });
      const slow = ask(socket, "slow", "é");
      assert.equal(await ask(socket, "add", 1, 1), 2);
      await ask(socket, "go");
      assert.equal(await slow, "slow é");
      assert.deepEqual(acked, []);
    });

    test("the handshake refuses with a code; nobody is announced", async () => {
      await assert.rejects(connect({ auth: { token: "ada", refuse: true } }), { message: "by the handshake" });
      await assert.rejects(connect({ auth: { token: "eve" } }), { message: "nobody knows you" });
    });

    test("a reconnection names the socket before; a disconnect is heard by the others", async () => {
      const [first, witness] = [await connect(ada), await connect(ada)];
      const heard = collect(witness, "gone");
      const { id } = first;
      first.disconnect();
      const gone = await until("the others hear of it", () => heard.find(([of]) => of === id));
      assert.deepEqual(gone, [id, "client namespace disconnect"]);
      const again = await connect({ auth: { token: "ada", previous: id } });
      await until("it is announced", () => again.seen().includes(`reconnect ${id}`));
      for (const previous of ["x".repeat(65), 7, null]) {
        const other = await connect({ auth: { token: "ada", previous } });
        await until("it is announced as new", () => other.seen().includes("connect"));
      }
    });

    test("a panic harms the event, and nothing else", async () => {
      const [socket, witness] = [await connect(ada), await connect(ada)];
      for (const event of ["panic", "panic:later", "panic:packet", "panic"]) {
        assert.deepEqual(await ask(socket, event), {
          error: { code: "internal_error", message: "the server could not handle this" },
        });
        assert.equal(await ask(socket, "add", 2, 2), 4);
        assert.equal(await ask(witness, "add", 1, 2), 3);
      }
      // A panic in `on_connect` does not poison what follows.
      const unlucky = await connect({ ...ada, query: { panic: "connect" } });
      for (let n = 0; n < 3; n += 1) assert.equal(await ask(unlucky, "add", n, 1), n + 1);
      for (const step of ["handshake", "authenticator"]) {
        await assert.rejects(connect({ ...ada, query: { panic: step } }), {
          message: "the server could not handle this",
        });
      }
      const leaving = await connect({ ...ada, query: { panic: "disconnect" } });
      const heard = collect(witness, "gone");
      const { id } = leaving;
      leaving.disconnect();
      await until("the others hear of it", () => heard.some(([of]) => of === id));
      assert.ok(socket.connected && witness.connected && unlucky.connected);
      clients.close();
      await until("nobody is left", async () => (await pod.metric("roomcast_sockets")) === 0);
      const panicked = ({ message }) => message.includes("a function of the program panicked");
      await until("the log says so", () => pod.logs.some(panicked));
    });
  });
}
