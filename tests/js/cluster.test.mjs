// Emits in a mixed cluster of pods and servers of Node: who gets them, and what arrives.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { ask } from "./clients.mjs";
import { Cast } from "./peers/cast.mjs";
import { DIRECTIONS, KINDS, startCluster } from "./peers/cluster.mjs";
import { TARGETS, each, placeClients, volatile } from "./peers/targets.mjs";
import { NAMES, NODE_VALUES, RELAYED, VALUES, bytes } from "./peers/values.mjs";

for (const kind of KINDS) {
  describe(kind, () => {
    let cluster;
    before(async () => {
      cluster = await startCluster(kind);
    });
    after(() => cluster?.stop());
    for (const [direction, names] of Object.entries(DIRECTIONS)) {
      describe(direction, () => emits(() => cluster, names));
    }
  });
}

function emits(cluster, [fromName, toName, thirdName]) {
  let from, cast, A, B;
  before(async () => {
    from = cluster()[fromName];
    cast = new Cast(cluster());
    ({ A, B } = await placeClients(cast, from, cluster()[toName], cluster()[thirdName]));
  });
  after(() => cast?.close());

  const received = (operation) => cast.received(from, operation);
  const inA = ["far A", "far AB", "third A"];

  for (const [what, where, who] of TARGETS) {
    test(`an emit to ${what}`, async () => {
      const message = { ...where({ A, B, id: (name) => cast.id(name) }), event: "news", args: [what] };
      assert.deepEqual(await received(() => from.emit(message)), each(who, ["news", what]));
    });
  }

  test("a volatile emit", (t) => volatile(t, cluster(), from, cluster()[toName], cluster()[thirdName]));

  for (const [what, args] of VALUES) {
    test(`an emit of ${what}`, async () => {
      const got = await received(() => from.emit({ rooms: [A], event: "news", args }));
      assert.deepEqual(got, each(["near", ...inA], ["news", ...args]));
    });
  }

  test("events with unusual names", async () => {
    const got = await received(async () => {
      for (const event of NAMES) await from.emit({ rooms: [A], event, args: [1] });
    });
    assert.deepEqual(got, each(["near", ...inA], ...NAMES.map((name) => [name, 1])));
  });

  for (const [what, args, arrives = args] of RELAYED) {
    test(`${what} that a client emits to a room`, async () => {
      const got = await received(async () => {
        assert.deepEqual(await ask(cast.socket("near"), "chat", A, ...args), { accepted: true });
      });
      assert.deepEqual(got, each(inA, ["chat", A, ...arrives]));
    });
  }

  test("what a client emits to its namespace", async () => {
    const got = await received(() => ask(cast.socket("near"), "announce:all", { n: 1 }, bytes(1)));
    const others = ["far A", "far B", "far AB", "far", "third A"];
    assert.deepEqual(got, each(others, ["announce:all", { n: 1 }, bytes(1)]));
  });

  test("emits to different rooms arrive in their order", async () => {
    const targets = [{}, { rooms: [A] }, { rooms: [A, B] }, { rooms: [cast.id("far AB")] }, { rooms: [B] }];
    const numbers = Array.from({ length: 200 }, (_, index) => index);
    const got = await received(async () => {
      for (const n of numbers) await from.emit({ ...targets[n % targets.length], event: "news", args: [n] });
    });
    assert.deepEqual(got["far AB"], numbers.map((n) => ["news", n]));
  });

  if (!fromName.startsWith("node")) return;

  for (const [what, args, arrives = args] of NODE_VALUES) {
    test(`an emit of ${what}`, async () => {
      const got = await received(() => from.emit({ rooms: [A], event: "news", args }));
      assert.deepEqual(got, each(["near", ...inA], ["news", ...arrives]));
    });
  }

  test("an emit that is local stays there", async () => {
    const got = await received(() => from.run(({ io }, A) => io.local.to(A).emit("news", 1), A));
    assert.deepEqual(got, { near: [["news", 1]] });
  });
}
