// Emits and acks of handlers in Rust (examples/emits.rs) across pods, with servers of Node among them.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { ask } from "./clients.mjs";
import { until } from "./pod.mjs";
import { Cast } from "./peers/cast.mjs";
import { KINDS, ONLY_NODE, startCluster } from "./peers/cluster.mjs";

const NAMESPACE = "/emits";
const BINARY = { type: "Buffer", data: [1] };

for (const kind of KINDS) {
  describe(kind, { skip: ONLY_NODE }, () => {
    let cluster, cast, here, there, onNode;
    before(async () => {
      cluster = await startCluster(kind, { namespaces: ["/", NAMESPACE], binary: "examples/emits" });
      cast = new Cast(cluster);
      const add = (name, pod) => cast.add(name, cluster[pod], { namespace: NAMESPACE });
      here = await add("here", "roomcast1");
      there = await add("there", "roomcast2");
      onNode = await add("on node", "node1");
    });
    after(async () => {
      cast?.close();
      await cluster?.stop();
    });

    /** Has the three answer, and asks them all from the first pod; the answers by what comes first in them. */
    const answers = async (answer) => {
      for (const [name, socket] of Object.entries({ here, there, node: onNode })) {
        socket.off("question").on("question", (callback) => callback(...answer(name)));
      }
      const extra = await cast.add("extra", cluster.roomcast1, { namespace: NAMESPACE });
      const asked = await ask(extra, "ask-others", 10_000);
      extra.disconnect();
      assert.equal(asked.pods.silent, 0);
      return asked;
    };

    test("several values of an ack reach another pod; from a server of Node, its first", async () => {
      const asked = await answers((name) => [name, Buffer.from([1]), { more: name }]);
      assert.deepEqual(asked.answers.sort(), [
        ["here", BINARY, { more: "here" }],
        ["node"],
        ["there", BINARY, { more: "there" }],
      ]);
      assert.deepEqual([asked.expected, asked.missing], [3, 0]);
    });

    test("so do acks in JSON, and those without values", async () => {
      const several = await answers((name) => [name, [null, "é"]]);
      assert.deepEqual(several.answers.sort(), [["here", [null, "é"]], ["node"], ["there", [null, "é"]]]);
      const none = await answers(() => []);
      assert.equal(none.answers.filter((values) => values.length === 0).length >= 2, true);
      assert.equal(none.missing, 0);
    });

    test("an ack that no other server can be given is missing, and nobody waits for it", async () => {
      let deep = 1;
      for (let level = 0; level < 200; level += 1) deep = [deep];
      const begun = Date.now();
      const asked = await answers((name) => [name === "there" ? deep : name]);
      assert.deepEqual([asked.answers.sort(), asked.missing], [[["here"], ["node"]], 1]);
      assert.ok(Date.now() - begun < 8_000, "it did not wait for its time-out");
    });

    test("servers of Node get the first value", async () => {
      for (const [name, socket] of Object.entries({ here, there, node: onNode })) {
        socket.off("question").on("question", (callback) => callback(name, "second"));
      }
      const { answers, complete } = await cluster.node2.ask({ namespace: NAMESPACE, event: "question" }, 10_000);
      assert.deepEqual([answers.sort(), complete], [["here", "node", "there"], true]);
    });

    test("local is this pod alone", async () => {
      await cast.received(cluster.node2, () => {});
      const got = await cast.received(cluster.node2, async () => assert.equal(await ask(here, "to-local"), "done"));
      assert.deepEqual(got, { here: [["got", "local"]] });
      const others = await cast.received(cluster.node2, () => ask(here, "to-local-others"));
      assert.deepEqual(others, {});
      await ask(here, "join", ["a"]);
      await ask(there, "join", ["b"]);
      await until("all rooms are known", async () => {
        const [, pod, everywhere] = await new Promise((resolve) => here.emit("rooms", (...all) => resolve(all)));
        assert.ok(pod.includes("a") && !pod.includes("b") && pod.includes(here.id));
        return everywhere.includes("a") && everywhere.includes("b") && everywhere.includes(onNode.id);
      });
    });
  });
}
