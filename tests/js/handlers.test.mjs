// Handlers written in Rust (examples/handlers.rs): arguments, acks both ways, errors with codes.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { Clients, ask, everyClient } from "./clients.mjs";
import { next, startPod } from "./pod.mjs";

everyClient(({ version, way, io, options }) => {
  describe(`client ${version} over ${way}`, () => {
    const clients = new Clients();
    let pod;
    before(async () => {
      pod = await startPod("", { binary: "examples/handlers" });
    });
    afterEach(() => clients.close());
    after(() => pod.stop());
    const connect = () => clients.connect(io, `${pod.url}/handlers`, options);

    test("the client asks, and gets an ack", async () => {
      const socket = await connect();
      assert.deepEqual(await ask(socket, "echo", { deep: [1, "é", null] }), { deep: [1, "é", null] });
      assert.equal(await ask(socket, "add", 40, 2), 42);
      const { error } = await ask(socket, "add", Number.MAX_SAFE_INTEGER, "2");
      assert.equal(error.code, "bad_request");
      // As on Node, nobody answers an event that has no handler; one that is sent later is answered.
      let answered = false;
      socket.emit("nothing", () => (answered = true));
      assert.equal(await ask(socket, "add", 1, 1), 2);
      assert.equal(answered, false);
      assert.ok((await pod.metric("roomcast_events_total", "no_handler")) > 0);
    });

    test("a handler for the first event of each client only", async () => {
      const [one, other] = [await connect(), await connect()];
      assert.equal(await ask(one, "vote", "yes"), "yes");
      assert.equal(await ask(one, "vote", "no"), "you have voted");
      assert.equal(await ask(other, "vote", "no"), "no");
      assert.deepEqual(await ask(one, "hello"), { accepted: true });
      // The next one has no handler: it is not acked, and what comes behind it is.
      one.emit("hello", () => assert.fail("nobody handles it"));
      assert.equal(await ask(one, "vote", "no"), "you have voted");
      one.disconnect().connect();
      await next(one, "connect");
      assert.equal(await ask(one, "vote", "again"), "again");
    });

    test("the server asks, and gets an ack", async () => {
      const [asked, reader] = [await connect(), await connect()];
      asked.on("question", (question, answer) => answer(`${question} Fine, thanks.`));
      const answered = next(reader, "answered");
      assert.deepEqual(await ask(asked, "ask-me", "How are you?"), { accepted: true });
      assert.deepEqual(await answered, ["How are you?", "How are you? Fine, thanks."]);
    });
  });
});
