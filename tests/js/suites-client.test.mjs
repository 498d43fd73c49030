// What the tests of `socket.io-client` ask of their server, of examples/suites.rs. Those that no server takes part in are left
// out, and those of recovery.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, describe, test } from "node:test";

import { Manager, io } from "socket.io-client";

import { startPod, until } from "./pod.mjs";

const TEXTS = ["てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string"];

describe("the tests of socket.io-client", () => {
  let pod, managers;
  before(async () => {
    managers = [];
    pod = await startPod('engine.ping_interval = "2s"\n', { binary: "examples/suites" });
  });
  afterEach(() => managers.splice(0).forEach((manager) => manager._close()));
  after(() => pod.stop("SIGKILL"));

  const connect = (path = "/", options = {}) => {
    const socket = io(pod.url + path, { forceNew: true, ...options });
    managers.push(socket.io);
    return socket;
  };
  const manage = (options) => {
    const manager = new Manager(pod.url, options);
    managers.push(manager);
    return manager;
  };
  const heard = async (socket, event) => (await once(socket, event))[0];

  test("an event without arguments, both ways", async () => {
    const socket = connect();
    socket.emit("hi");
    await once(socket, "hi");
  });

  test("an ack of two values", async () => {
    const socket = connect();
    socket.emit("ack");
    socket.on("ack", (done) => done(5, { test: true }));
    await once(socket, "got it");
  });

  for (const [event, answer, right] of [
    ["getDate", "takeDate", (date) => typeof date === "string"],
    ["getDateObj", "takeDateObj", ({ date }) => typeof date === "string"],
    ["false", "false", (value) => value === false],
    ["getbin", "takebin", (bytes) => Buffer.isBuffer(bytes) && bytes.toString() === "asdfasdf"],
  ]) {
    test(`${event} is answered with ${answer}`, async () => {
      const socket = connect();
      socket.emit(event);
      const come = await heard(socket, answer);
      assert.ok(right(come), JSON.stringify(come));
    });
  }

  test("a date as an ack", async () => {
    assert.equal(typeof (await connect().emitWithAck("getAckDate", { test: true })), "string");
  });

  test("texts of many bytes a character", async () => {
    const [socket, come] = [connect(), []];
    socket.on("takeUtf8", (text) => come.push(text));
    socket.emit("getUtf8");
    await until("all texts", () => come.length === TEXTS.length);
    assert.deepEqual(come, TEXTS);
  });

  test("binary, as an ArrayBuffer", async () => {
    const socket = connect();
    socket.io.engine.binaryType = "arraybuffer";
    socket.emit("doge");
    assert.ok((await heard(socket, "doge")) instanceof ArrayBuffer);
    socket.emit("buffa", new Uint8Array([1, 2, 3]).buffer);
    await once(socket, "buffack");
    socket.emit("jsonbuff", { hello: "lol", message: new Uint8Array([4]).buffer, goodbye: "gotcha" });
    await once(socket, "jsonbuff-ack");
    socket.emit("abuff1", new Uint8Array([5, 6]).buffer);
    socket.emit("abuff2", "please arrive second");
    await once(socket, "abuff2-ack");
  });

  test("the id is the server's", async () => {
    for (const path of ["/", "/foo"]) {
      const socket = connect(path);
      assert.equal(await socket.emitWithAck("getId"), socket.id);
      assert.notEqual(socket.id, socket.io.engine.id);
    }
  });

  test("namespaces come and go on one connection", async () => {
    const manager = manage();
    const main = manager.socket("/");
    await once(main, "connect");
    const foo = manager.socket("/foo");
    await once(foo, "connect");
    const asd = manager.socket("/asd");
    const came = once(asd, "connect");
    foo.disconnect();
    await came;
    main.disconnect();
    assert.equal(asd.connected, true);
    const closed = once(manager, "close");
    asd.disconnect();
    await closed;
    // Nothing is left of it: it opens again.
    await once(manager.socket("/foo").connect(), "connect");
  });

  test("a namespace that is opened as the last one is left", async () => {
    const manager = manage();
    const socket = manager.socket("/");
    await once(socket.on("connect", () => socket.disconnect()), "disconnect");
    await once(manager.socket("/foo"), "connect");
  });

  test("a socket that is opened again", async () => {
    const manager = manage();
    const socket = manager.socket("/");
    await once(socket, "connect");
    socket.disconnect();
    assert.equal(manager.socket("/"), socket);
    await once(socket, "connect");
  });

  test("reconnections, by itself and by hand, with another id", async () => {
    const socket = connect("/", { reconnectionDelay: 10 });
    await once(socket, "connect");
    const first = socket.id;
    socket.io.engine.close();
    await once(socket.io, "reconnect");
    await until("an id", () => socket.id);
    assert.notEqual(socket.id, first);
    socket.disconnect();
    socket.connect();
    await once(socket, "connect");
    socket.io.engine.close();
    await once(socket.io, "reconnect");
  });

  test("a socket that is disconnected during a reconnection stays away, and another comes back", async () => {
    const manager = manage({ reconnectionDelay: 10 });
    const [away, back] = [manager.socket("/"), manager.socket("/asd")];
    await Promise.all([once(away, "connect"), once(back, "connect")]);
    manager.once("reconnect_attempt", () => away.disconnect());
    const came = once(back, "connect");
    manager.engine.close();
    await came;
    await back.timeout(100).emitWithAck("none").catch(() => {}); // time enough for the other
    assert.equal(away.connected, false);
  });

  test("an event without a handler is not acked", async () => {
    const socket = connect();
    await assert.rejects(socket.timeout(50).emitWithAck("unknown"));
    const patient = connect("/", { ackTimeout: 50 });
    assert.ok((await new Promise((done) => patient.emit("unknown", done))) instanceof Error);
  });

  test("a client without patience gives up, as often as it is told", async () => {
    for (const transports of [["polling"], ["websocket"]]) {
      const socket = connect("/", { timeout: 0, transports });
      assert.equal((await heard(socket, "connect_error")).message, "timeout");
      socket.disconnect();
    }
    const manager = manage({ timeout: 0, reconnectionAttempts: 2, reconnectionDelay: 10 });
    const attempts = [];
    manager.on("reconnect_attempt", (attempt) => attempts.push(attempt));
    manager.socket("/timeout_socket");
    await new Promise((failed) => manager.on("reconnect_failed", failed)); // `once` would take the event `error` for its own
    assert.deepEqual(attempts, [1, 2]);
  });

  test("disconnect().connect() disconnects once", async () => {
    const socket = connect("/", { transports: ["websocket"] });
    let times = 0;
    socket.on("disconnect", () => times++);
    await once(socket, "connect");
    socket.disconnect().connect();
    await once(socket, "connect");
    assert.equal(times, 1);
    assert.equal(await socket.emitWithAck("getId"), socket.id);
  });

  test("the query", async () => {
    const query = async (path, options) => (await connect(path, options).emitWithAck("getHandshake")).query;
    assert.equal((await query("/", { query: { e: "f" } })).e, "f");
    assert.equal((await query("/?c=d")).c, "d");
    const told = async (path, options) => (await heard(connect(path, options), "handshake")).query;
    assert.equal((await told("/abc", { query: { a: "b" } })).a, "b");
    const { b, d } = await told("/abc?b=c&d=e");
    assert.deepEqual([b, d], ["c", "e"]);
    assert.equal((await told("/abc", { query: { "&a": "&=?a" } }))["&a"], "&=?a");
  });

  test("auth", async () => {
    const { auth, query } = await heard(connect("/abc", { auth: { a: "b", c: "d" } }), "handshake");
    assert.deepEqual([auth, query.a], [{ a: "b", c: "d" }, undefined]);
    const asked = await heard(connect("/abc", { auth: (answer) => answer({ e: "f" }) }), "handshake");
    assert.deepEqual(asked.auth, { e: "f" });
    assert.deepEqual((await heard(connect("/abc"), "handshake")).auth, {});
  });

  test("middleware that refuses", async () => {
    assert.equal((await heard(connect("/?fail=true"), "connect_error")).message, "Auth failed (main namespace)");
    const socket = connect("/no", { reconnectionDelay: 10 });
    const error = await heard(socket, "connect_error");
    assert.equal(error.message, "Auth failed (custom namespace)");
    assert.equal(socket.active, false);
  });

  test("what was emitted before the connection arrives in its order", async () => {
    const socket = connect("/", { autoConnect: false });
    const order = [];
    const acked = (name) => new Promise((done) => socket.emit("echo", name, (back) => done(order.push(back))));
    const first = acked("first");
    socket.on("connect", () => acked("second"));
    socket.connect();
    await first;
    await until("both", () => order.length === 2);
    assert.deepEqual(order, ["first", "second"]);
  });

  test("an event that was not sent before a disconnect is acked after the next connect", async () => {
    const socket = connect();
    await once(socket, "connect");
    socket.disconnect();
    const acked = socket.emitWithAck("echo", "a");
    socket.connect();
    assert.equal(await acked, "a");
  });

  test("volatile events", async () => {
    const socket = connect("/", { autoConnect: false });
    let never = true;
    socket.volatile.emit("getId", () => (never = false));
    const acked = socket.emitWithAck("getId");
    socket.connect();
    await acked;
    socket.volatile.emit("getId", () => (never = false)); // behind another that is not yet written
    await socket.emitWithAck("getId");
    await until("one that is sent", () => new Promise((done) => socket.volatile.timeout(200).emit("getId", (_, id) => done(id))));
    assert.equal(typeof never, "boolean");
  });

  test("acks in time, and none for an event without a handler that acks", async () => {
    const socket = connect();
    await once(socket, "connect");
    assert.equal(await socket.timeout(2000).emitWithAck("echo", 42), 42);
    await assert.rejects(socket.timeout(50).emitWithAck("hi"));
  });

  test("retries keep the order, and each is sent once", async () => {
    const socket = connect("/", { retries: 1, ackTimeout: 2000 });
    const sent = [];
    socket.io.engine.on("packetCreate", ({ data }) => sent.push(data));
    const acked = [1, 2, 3].map((n) => new Promise((done) => socket.emit("echo", n, (error, value) => done(error ?? value))));
    assert.deepEqual(await Promise.all(acked), [1, 2, 3]);
    assert.deepEqual(sent.filter(Boolean), ["0", '20["echo",1]', '21["echo",2]', '22["echo",3]']);
  });

  test("retries of an event that nobody acks end", async () => {
    const socket = connect("/", { retries: 3, ackTimeout: 50 });
    let times = 0;
    socket.on("ack", () => times++);
    await new Promise((done) => socket.emit("ack", done));
    assert.equal(times, 4);
  });
});
