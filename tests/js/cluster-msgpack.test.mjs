// A pod for clients with the msgpack parser, in a cluster whose other servers have the usual one.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import * as msgpack from "socket.io-msgpack-parser";

import { ask } from "./clients.mjs";
import { Cast, newRoom } from "./peers/cast.mjs";
import { KINDS, startCluster } from "./peers/cluster.mjs";
import { each } from "./peers/targets.mjs";
import { NAMES, NODE_VALUES, RELAYED, VALUES, bytes } from "./peers/values.mjs";

const parser = msgpack.default ?? msgpack;
const ALL = ["packed", "node1", "node2", "roomcast2"];
const but = (who) => ALL.filter((one) => one !== who);

/** What came, with every kind of binary as Buffers: this parser of clients gives them typed arrays. */
function buffers(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(buffers);
  if (value !== null && typeof value === "object" && !(value instanceof Date)) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, buffers(one)]));
  }
  return value;
}

const asJson = (value) => JSON.parse(JSON.stringify(value));

for (const kind of KINDS) {
  describe(kind, () => {
    let cluster, cast, room;
    before(async () => {
      cluster = await startCluster(kind, { parser: "msgpack" });
      cast = new Cast(cluster);
      room = newRoom();
      await cast.add("packed", cluster.roomcast1, { rooms: [room], parser });
      for (const who of but("packed")) await cast.add(who, cluster[who], { rooms: [room] });
      await cast.settled();
    });
    after(async () => {
      cast?.close();
      await cluster?.stop();
    });
    const received = async (pod, operation) => buffers(await cast.received(cluster[pod], operation));

    for (const pod of ["node1", "roomcast2", "roomcast1"]) {
      test(`emits of ${pod}`, async () => {
        for (const [, args] of VALUES) {
          const got = await received(pod, () => cluster[pod].emit({ rooms: [room], event: "news", args }));
          assert.deepEqual(got, each(ALL, ["news", ...args]));
        }
        const got = await received(pod, async () => {
          for (const event of NAMES) await cluster[pod].emit({ rooms: [room], event });
        });
        assert.deepEqual(got, each(ALL, ...NAMES.map((name) => [name])));
      });
    }

    for (const [what, args, arrives = args] of NODE_VALUES) {
      test(`an emit of a server of Node, of ${what}`, async () => {
        const got = await received("node1", () => cluster.node1.emit({ rooms: [room], event: "news", args }));
        const { packed, ...others } = got;
        assert.deepEqual(others, each(but("packed"), ["news", ...arrives]));
        // This parser can say what JSON cannot: dates and numbers may arrive as what they are.
        assert.deepEqual(asJson(packed), asJson([["news", ...arrives]]));
      });
    }

    for (const [from, pod] of [["packed", "roomcast1"], ["node1", "node1"], ["roomcast2", "roomcast2"]]) {
      for (const [what, args, arrives = args] of RELAYED) {
        test(`${what} that the client ${from} emits`, async () => {
          const got = await received(pod, () => ask(cast.socket(from), "chat", room, ...args));
          assert.deepEqual(asJson(got), asJson(each(but(from), ["chat", room, ...arrives])));
        });
      }
    }

    test("answers of its clients, and of others to it", async () => {
      for (const who of ALL) {
        const longer = (data) => Buffer.concat([Buffer.from(data), bytes(9)]);
        cast.socket(who).on("question", (data, answer) => answer({ who, data: longer(data) }));
      }
      const asked = { rooms: [room], event: "question", args: [bytes(1, 2)] };
      const { answers, complete } = await cluster.node1.ask(asked, 4_000);
      assert.equal(complete, true);
      assert.deepEqual(answers.map(({ who }) => who).sort(), [...ALL].sort());
      for (const { data } of answers) assert.deepEqual([...data], [1, 2, 9]);

      for (const who of ALL) cast.socket(who).on("name", (text, answer) => answer(`${text} ${who}`));
      const named = await cluster.roomcast1.ask({ rooms: [room], event: "name", args: ["é"] }, 4_000);
      assert.deepEqual(named.answers.sort(), ALL.map((who) => `é ${who}`).sort());
      assert.equal(named.complete, true);
    });
  });
}
