// Each stock client over each of its transports does what an application does: see clients.mjs for who they are.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { io } from "socket.io-client";
import * as msgpack from "socket.io-msgpack-parser";

import { Clients, ask, collect } from "../clients.mjs";
import { next, until } from "../pod.mjs";
import { CLIENTS } from "./clients.mjs";
import { BYTES, NAMES, VALUES, isBytes } from "./values.mjs";
import { startPods, token } from "./pods.mjs";

/** In what time an event is there, in ms. */
const SOON = 3_000;

const only = process.env.STOCK_CLIENTS && new RegExp(process.env.STOCK_CLIENTS);

for (const { name: client, start, ways, msgpack: packs, settings, cannot = {} } of CLIENTS.filter(({ name }) => !only || only.test(name))) {
  describe(client, () => {
    const witnesses = new Clients();
    let driver, pods, pod;
    // The newest client, in the same room.
    const watch = async (url, room) => {
      const parser = packs ? { parser: msgpack.default ?? msgpack } : {};
      const socket = await witnesses.connect(io, url, { transports: ["websocket"], auth: { token: token() }, ...parser });
      assert.deepEqual(await ask(socket, "join", { rooms: [room] }), { joined: [room], rejected: [] });
      return socket;
    };
    before(async () => {
      pods = await startPods({ msgpack: packs, settings });
      pod = pods.first;
      driver = await start();
    });
    after(async () => {
      witnesses.close();
      await driver?.stop();
      await pods?.stop();
    });

    for (const [way, transports] of Object.entries(ways)) {
      describe(`${client} over ${way}`, () => {
        const room = `public-${way}`;
        let opened = 0;
        const open = (options = {}) => driver.connect(pod.url, { name: `${way} ${++opened}`, transports, token: token(), ...options });
        let socket, witness;
        const meet = async () => {
          socket = await open({ namespaces: ["/", "/handlers"] });
          witness = await watch(pod.url, room);
          assert.deepEqual(await socket.ask("join", [{ rooms: [room] }]), [{ joined: [room], rejected: [] }]);
        };
        const part = async () => {
          witness?.disconnect();
          socket?.disconnect();
          socket = undefined;
        };
        beforeEach(meet);
        afterEach(part);

        test("a token lets it in, a forged one does not; its transport is the one it asked for", async () => {
          await assert.rejects(open({ token: "forged" }));
          const transport = way === "polling" ? "polling" : "websocket";
          const connections = async () => pod.metric("roomcast_connections", `"${transport}"`);
          await until(transport, async () => (await connections()) >= (transport === "polling" ? 1 : 2));
        });

        test("events with odd names arrive, both ways", { timeout: 120_000 }, async () => {
          const faults = [];
          for (const name of NAMES) {
            const received = collect(witness, name);
            try {
              await socket.listen(name);
              await socket.emit(name, [room, name]);
              await until("from it", () => received.length, SOON);
              assert.deepEqual(received, [[room, name]]);
              witness.emit(name, room, `back: ${name}`);
              assert.deepEqual(await socket.heard(name, "/", SOON), [room, `back: ${name}`]);
            } catch (error) {
              faults.push(`${JSON.stringify(name)}: ${error.message}`);
              await part();
              await meet();
            }
          }
          assert.deepEqual(faults, []);
        });

        test("arguments of every kind, both ways", async () => {
          await socket.listen("values");
          const received = next(witness, "values");
          await socket.emit("values", [room, ...VALUES]);
          assert.deepEqual(await received, [room, ...VALUES]);
          witness.emit("values", room, ...VALUES);
          assert.deepEqual(await socket.heard("values"), [room, ...VALUES]);
        });

        test("binary is binary, both ways", { skip: cannot.binary }, async () => {
          await socket.listen("chat");
          const received = next(witness, "chat");
          await socket.emit("chat", [room, { file: BYTES, list: [BYTES, "text"] }, Buffer.alloc(0)]);
          const [, { file, list }, empty] = await received;
          for (const bytes of [file, list[0]]) assert.deepEqual(Buffer.from(bytes), BYTES);
          assert.equal(list[1], "text");
          assert.equal(Buffer.from(empty).length, 0);
          witness.emit("chat", room, BYTES, { file: BYTES, text: "é" });
          const [, first, { file: inner, text }] = await socket.heard("chat");
          for (const bytes of [first, inner]) assert.ok(isBytes(bytes, BYTES), JSON.stringify(bytes).slice(0, 100));
          assert.equal(text, "é");
        });

        test("acks, both ways", async () => {
          const values = { text: "é \"quoted\"", list: [1, 2.5, null, true] };
          assert.deepEqual(await socket.ask("echo", [values], "/handlers"), [values]);
          if (cannot.ack) return;
          await socket.listen("question");
          const own = `${room}-${opened}`;
          assert.deepEqual(await socket.ask("join", [{ rooms: [own] }]), [{ joined: [own], rejected: [] }]);
          const asked = await pod.publish({ rooms: [own], event: "question", args: [values, "more"], ack_timeout: "10s" });
          assert.deepEqual([asked.status, asked.body.answers, asked.body.missing], [200, [values], 0]);
          assert.deepEqual(await socket.heard("question"), [values, "more"]);
        });

        test("namespaces share its connection, and are apart", async () => {
          const other = await open({ namespaces: ["/", "/second"] });
          for (const namespace of ["/", "/second"]) {
            await other.listen("news", namespace);
            await other.ask("join", [{ rooms: [`${room}-news`] }], namespace);
          }
          for (const namespace of ["/", "/second"]) {
            await pod.publish({ namespace, rooms: [`${room}-news`], event: "news", args: [namespace] });
            assert.deepEqual(await other.heard("news", namespace), [namespace]);
          }
          assert.deepEqual(["/", "/second"].map((namespace) => other.count("event", namespace)), [1, 1]);
          other.disconnect();
        });
      });
    }

    // Its pongs do not arrive: the pod closes its WebSocket.
    test("is back by itself after a ping timeout", async () => {
      const times = 'engine.ping_interval = "2s"\nengine.ping_timeout = "2s"';
      const late = await startPods({ msgpack: packs, settings: settings?.includes("ping") ? settings : `${times}\n${settings ?? ""}` });
      try {
        const options = { name: "muted", transports: ["websocket"], token: token() };
        const socket = await driver.connect(late.switch.url, options);
        late.switch.mute();
        const closed = () => late.first.metric("roomcast_connections_closed_total", '"ping timeout"');
        await until("its ping timeout", async () => (await closed()) >= 1);
        await until("it is back", () => socket.count("connect") >= 2, 15_000);
        assert.deepEqual(await socket.ask("join", [{ rooms: ["public-late"] }]), [{ joined: ["public-late"], rejected: [] }]);
        socket.disconnect();
      } finally {
        await late.stop();
      }
    });

    // Handlers of examples/emits.rs.
    test("acks of several values, binary among them, both ways", { skip: cannot.binary ?? cannot.ack }, async () => {
      const emits = await startPods({ msgpack: packs, settings, binary: "examples/emits" });
      try {
        for (const [way, transports] of Object.entries(ways)) {
          const at = "/emits";
          const options = { name: `emits ${way}`, namespaces: [at], transports, token: token() };
          const socket = await driver.connect(emits.first.url, options);
          assert.deepEqual(await socket.ask("reverse", [1, { two: "é" }, null], at), [null, { two: "é" }, 1]);
          const [name, bytes] = await socket.ask("file", ["a.txt"], at);
          assert.equal(name, "a.txt");
          assert.ok(isBytes(bytes, Buffer.from([0, 1])), JSON.stringify(bytes));
          await socket.listen("question", at, ["b.txt", BYTES]);
          const [asked, content] = await socket.ask("ask-file", [], at);
          assert.equal(asked, "b.txt");
          assert.ok(isBytes(content, BYTES), JSON.stringify(content).slice(0, 100));
          socket.disconnect();
        }
      } finally {
        await emits.stop();
      }
    });

    // The pod is gone after it, so all transports at once, and last.
    test("is back by itself after a drain of its pod, and hears what is sent", async () => {
      const found = [];
      for (const [way, transports] of Object.entries(ways)) {
        const socket = await driver.connect(pods.switch.url, { name: `drained ${way}`, transports, token: token() });
        await socket.listen("after");
        found.push(socket);
      }
      const witness = await watch(pods.second.url, "public-after");
      pods.switch.to(pods.second.port);
      assert.equal(await pod.stop(), 0);
      const last = pod.logs.at(-1);
      assert.deepEqual([last.message, last.cut], ["stopped", 0], JSON.stringify(last));
      for (const socket of found) {
        await until("it is back", () => socket.count("connect") >= 2);
        assert.deepEqual(await socket.ask("join", [{ rooms: ["public-after"] }]), [{ joined: ["public-after"], rejected: [] }]);
      }
      witness.emit("after", "public-after", "all of you");
      for (const socket of found) assert.deepEqual(await socket.heard("after"), ["public-after", "all of you"]);
      for (const socket of found) socket.disconnect();
    });
  });
}
