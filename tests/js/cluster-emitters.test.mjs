// Stock emitters reach pods and servers of Node alike. They speak the classic adapter's protocol only.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { next, until } from "./pod.mjs";
import { Cast, newRoom } from "./peers/cast.mjs";
import { startCluster } from "./peers/cluster.mjs";
import { nodeEmitter, startPythonEmitter } from "./peers/emitters.mjs";
import { TARGETS, each, placeClients, volatile } from "./peers/targets.mjs";
import { NAMES, NODE_VALUES, VALUES, bytes } from "./peers/values.mjs";

const SOON = 4_000;
/** Where the clients are: "near", "far …" and "third" of the table. */
const PLACES = {
  "clients of pods": ["roomcast1", "roomcast2", "node1"],
  "clients of Node": ["node1", "node2", "roomcast1"],
};
const IN_A = ["near", "far A", "far AB", "third A"];

let cluster, npm, python;
before(async () => {
  cluster = await startCluster("pubsub");
  npm = nodeEmitter(cluster.client);
  python = await startPythonEmitter(cluster.redis);
});
after(async () => {
  await python?.stop();
  await cluster?.stop();
});

for (const [place, names] of Object.entries(PLACES)) {
  describe(place, () => {
    let cast, A, B;
    before(async () => {
      cast = new Cast(cluster);
      ({ A, B } = await placeClients(cast, ...names.map((name) => cluster[name])));
    });
    after(() => cast?.close());

    describe("@socket.io/redis-emitter", () => {
      const received = (operation) => cast.received(npm, operation);

      for (const [what, where, who] of TARGETS) {
        test(`an emit to ${what}`, async () => {
          const message = { ...where({ A, B, id: (name) => cast.id(name) }), event: "news", args: [what] };
          assert.deepEqual(await received(() => npm.emit(message)), each(who, ["news", what]));
        });
      }

      for (const [what, args, arrives = args] of [...VALUES, ...NODE_VALUES]) {
        test(`an emit of ${what}`, async () => {
          const got = await received(() => npm.emit({ rooms: [A], event: "news", args }));
          assert.deepEqual(got, each(IN_A, ["news", ...arrives]));
        });
      }

      test("events with unusual names", async () => {
        const got = await received(() => NAMES.forEach((event) => npm.emit({ rooms: [A], event })));
        assert.deepEqual(got, each(IN_A, ...NAMES.map((name) => [name])));
      });

      test("a volatile emit", (t) => volatile(t, cluster, npm, ...names.map((name) => cluster[name])));
    });

    describe("socket.io-emitter of Python", () => {
      const received = (operation) => cast.received(python, operation);
      const args = ["é 🦀", { list: [1, 2.5, null, true, -7, 2 ** 40] }];

      for (const [what, where, who] of TARGETS) {
        const { rooms = [], except } = where({ A: "A", B: "B", id: (name) => name });
        // It knows no exceptions, and publishes once for each of several rooms.
        if (except || rooms.length > 1) continue;
        test(`an emit to ${what}`, async () => {
          const message = { ...where({ A, B, id: (name) => cast.id(name) }), event: "news", args };
          assert.deepEqual(await received(() => python.emit(message)), each(who, ["news", ...args]));
        });
      }

      test("an emit to two rooms of which one is empty", async () => {
        const got = await received(() => python.emit({ rooms: [A, newRoom()], event: "news", args }));
        assert.deepEqual(got, each(IN_A, ["news", ...args]));
      });

      test("binary", async () => {
        const encoded = [{ base64: bytes(0, 255).toString("base64") }, { deep: [{ base64: "" }] }];
        const got = await received(() => python.emit({ rooms: [A], event: "news", args: encoded }));
        assert.deepEqual(got, each(IN_A, ["news", bytes(0, 255), { deep: [bytes()] }]));
      });
    });
  });
}

describe("changes by an emitter", () => {
  /** Waits until those are in a room and no one else. */
  const members = (cast, room, names) => {
    const ids = names.map((who) => cast.id(who)).sort();
    return until(`${names} in the room`, async () => {
      const listed = (await cluster.node1.sockets({ rooms: [room] })).map(({ id }) => id).sort();
      return JSON.stringify(listed) === JSON.stringify(ids);
    }, SOON);
  };
  const ALL = ["node1", "node2", "roomcast1", "roomcast2"];
  const clients = async (t) => {
    const cast = new Cast(cluster);
    t.after(() => cast.close());
    const room = newRoom();
    for (const name of ALL) await cast.add(name, cluster[name], { rooms: [room] });
    return { cast, room };
  };

  test("rooms are joined and left", async (t) => {
    const { cast, room } = await clients(t);
    const [one, two] = [newRoom(), newRoom()];
    npm.join({ in: [room], except: [cast.id("node2")], rooms: [one, two] });
    await members(cast, two, ["node1", "roomcast1", "roomcast2"]);
    npm.leave({ in: [cast.id("roomcast1"), cast.id("node1")], rooms: one });
    await members(cast, one, ["roomcast2"]);
    npm.leave({ rooms: two });
    await members(cast, two, []);
  });

  for (const close of [false, true]) {
    test(`sockets are disconnected${close ? ", and their connections closed" : ""}`, async (t) => {
      const { cast, room } = await clients(t);
      const gone = ["node1", "roomcast1", "roomcast2"].map((who) => next(cast.socket(who), "disconnect", SOON));
      npm.disconnect({ in: [room], except: [cast.id("node2")], close });
      for (const [reason] of await Promise.all(gone)) assert.equal(reason, "io server disconnect");
      await members(cast, room, ["node2"]);
    });
  }

  test("server-side events reach servers of Node, and harm no pod", async () => {
    npm.serverSideEmit("/", "tell", 1, { é: null });
    for (const node of [cluster.node1, cluster.node2]) {
      await until("the event", () => node.run(({ seen }) => seen.length > 0));
      assert.deepEqual(await node.run(({ seen }) => seen.splice(0)), [["tell", 1, { é: null }]]);
    }
    assert.equal(await cluster.roomcast1.serverCount(), 4);
  });
});
