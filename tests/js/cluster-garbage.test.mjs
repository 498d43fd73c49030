// What no server can read: servers outlive it, pods count it, and what comes after it arrives.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import notepack from "notepack.io";

import { until } from "./pod.mjs";
import { newRoom } from "./peers/cast.mjs";
import { KINDS, ONLY_NODE } from "./peers/cluster.mjs";
import { ALL, MARK, PODS, handScenes } from "./peers/hand.mjs";
import { each } from "./peers/targets.mjs";

const json = (value) => Buffer.from(JSON.stringify(value));
const text = (value) => Buffer.from(value);
/** A list in a list in a list: what recursion without a limit does not survive. */
const nested = (depth) => Buffer.concat([Buffer.alloc(depth, 0x91), Buffer.from([0xc0])]);
/** Only the head of a list, map, text or binary that claims to be as large as can be. */
const claims = (head) => Buffer.from([head, 0xff, 0xff, 0xff, 0xff]);

/** Requests of a kind that Node does not know either, which it ignores. */
const UNKNOWN = {
  pubsub: [
    ["a type that is unknown", json({ uid: "x", requestId: "r", type: 99 })],
    ["a type that is a text", json({ uid: "x", requestId: "r", type: "5" })],
    ["no type", json({ uid: "x", requestId: "r" })],
    ["an unknown type in msgpack", notepack.encode({ uid: "x", requestId: "r", type: 99, packet: {} })],
    ["unknown keys", json({ uid: "x", type: 2, opts: { rooms: ["nobody"], future: 1 }, rooms: ["a"], future: {} })],
    ["broken JSON", text('{"type":')],
    ["broken msgpack", Buffer.from([0x85, 0xa4, 0x74])],
    ["nothing at all", Buffer.alloc(0)],
  ],
  sharded: [
    ["a type that is unknown", json({ uid: "x", nsp: "/", type: 99, data: { requestId: "r" } })],
    ["a heartbeat, of which this adapter has none", json({ uid: "x", nsp: "/", type: 1 })],
    ["the farewell of another adapter", json({ uid: "x", nsp: "/", type: 13 })],
    ["a type that is a text", json({ uid: "x", nsp: "/", type: "7", data: { requestId: "r" } })],
    ["no type", json({ uid: "x", nsp: "/", data: {} })],
    ["an answer to no question", json({ uid: "x", nsp: "/", type: 8, data: { requestId: "r", sockets: [] } })],
    ["broken JSON", text('{"type":')],
    ["broken msgpack", Buffer.from([0x85, 0xa4, 0x74])],
  ],
};

/** Answers that no one waits for, on the channel for answers of the classic adapter. */
const ANSWERS = [
  ["sockets", json({ requestId: "r", sockets: [] })],
  ["a number of clients", json({ type: 8, requestId: "r", clientCount: 3 })],
  ["an answer of a client", notepack.encode({ type: 9, requestId: "r", packet: [1] })],
  ["no request", json({})],
  ["broken JSON", text('{"requestId"')],
  ["broken msgpack", Buffer.from([0xc1])],
];

/** What would end a server of Node, or at least be a broadcast for no one there. */
const odd = (key) =>
  Object.entries({ "a map": { a: 1 }, text: "some-room", "a number": 7, "[nil]": [null], "[{}]": [{}] }).map(([what, value]) => [
    `for ${key} that are ${what}`,
    { rooms: [], except: [], flags: {}, [key]: value },
  ]);
const ODD = [...odd("rooms"), ...odd("except"), ["without options", null], ["whose options are a list", []]];

const BROKEN = {
  both: [
    ["nothing at all", Buffer.alloc(0)],
    ["a byte that msgpack never uses", Buffer.from([0xc1])],
    ["random bytes", Buffer.from("9f3c1d5e7a80ff00c1c1", "hex")],
    ["a text", text("hello")],
    ["nil", Buffer.from([0xc0])],
    ["a number", Buffer.from([7])],
    ["broken JSON", text('{"uid":"x","type":3,"nsp":"/second"')],
    ["a list that claims four thousand million elements", claims(0xdd)],
    ["a map that claims as many", claims(0xdf)],
    ["a text that claims as many bytes", claims(0xdb)],
    ["binary that claims as many", claims(0xc6)],
    ["a hundred thousand lists in each other", nested(100_000)],
    ["as many in JSON", text(`{"uid":${"[".repeat(100_000)}`)],
  ],
  pubsub: [
    ...ODD.map(([what, opts]) => [what, notepack.encode(["emitter", { type: 2, data: ["news"], nsp: "/second" }, opts])]),
    ["a packet that is a DISCONNECT", notepack.encode(["emitter", { type: 1, data: ["news"], nsp: "/second" }, {}])],
    ["a map", notepack.encode({ uid: "x" })],
    ["too few elements", notepack.encode(["emitter", { type: 2, data: ["news"], nsp: "/second" }])],
    ["elements of other types", notepack.encode([1, 2, 3])],
    ["a packet without data", notepack.encode(["emitter", { type: 2, nsp: "/second" }, {}])],
    ["data that is no list", notepack.encode(["emitter", { type: 2, data: "news", nsp: "/second" }, {}])],
    ["data without an event", notepack.encode(["emitter", { type: 2, data: [], nsp: "/second" }, {}])],
  ],
  sharded: [
    ...ODD.flatMap(([what, opts]) => {
      const data = { packet: { type: 2, data: ["news"] }, opts: opts ?? undefined, rooms: ["a"], requestId: "r" };
      return [3, 4, 5, 6, 7].map((type) => [`of type ${type} ${what}`, json({ uid: "x", type, nsp: "/second", data })]);
    }),
    ["a list", json([1, 2])],
    ["an emit without data", json({ uid: "x", nsp: "/second", type: 3 })],
    ["an emit without a packet", json({ uid: "x", nsp: "/second", type: 3, data: { opts: {} } })],
    ["an emit without an event", json({ uid: "x", nsp: "/second", type: 3, data: { packet: { data: [] }, opts: {} } })],
  ],
};

for (const kind of KINDS) {
  describe(kind, () => {
    const scene = handScenes(kind);

    /** What comes after it arrives, and requests are answered. */
    const afterwards = async (publish) => {
      const { cast, cluster, hand, rooms } = scene;
      const got = await cast.received(hand, async () => {
        await publish();
        await hand.emit({ rooms: [rooms.all], event: "news", args: [1] });
      });
      assert.deepEqual(got, each(ALL, ["news", 1]));
      for (const pod of [cluster.node1, cluster.roomcast1]) {
        assert.equal((await pod.sockets({ rooms: [rooms.all] })).length, ALL.length);
      }
    };

    const request = (message) =>
      kind === "pubsub" ? scene.hand.request("/", message) : scene.hand.publish(scene.hand.channel("/"), message);
    for (const [what, message] of UNKNOWN[kind]) {
      test(`a request with ${what}`, () => afterwards(() => request(message)));
    }

    if (kind === "pubsub") {
      for (const [what, message] of ANSWERS) {
        test(`an answer to no question: ${what}`, () => afterwards(() => scene.hand.response("/", message)));
      }
    }

    // Node has no such namespace in these tests, and stands where the pods would.
    if (!ONLY_NODE) undecodable(scene, kind);
  });
}

function undecodable(scene, kind) {
  const NAMESPACE = "/second";
  const counted = async () => {
    const counts = PODS.map((who) =>
      scene.cluster[who].metric("roomcast_backplane_messages_dropped_total", 'reason="undecodable"'),
    );
    return Promise.all(counts);
  };
  before(() => until("both pods", async () => (await scene.cluster.listeners(NAMESPACE)) === PODS.length));

  /** Publishes one message, and waits for the next: each pod has counted one. */
  const drops = async (publish) => {
    const { cast, cluster, hand } = scene;
    for (const who of PODS) await cast.add(`second ${who}`, cluster[who], { namespace: NAMESPACE });
    const before = await counted();
    const got = await cast.received(hand, async () => {
      await publish();
      await hand.emit({ namespace: NAMESPACE, event: "news", args: [1] });
    });
    assert.deepEqual(got, each(PODS.map((who) => `second ${who}`), ["news", 1]));
    assert.deepEqual(await counted(), before.map((count) => count + 1));
  };

  for (const [what, message] of [...BROKEN.both, ...BROKEN[kind]]) {
    test(`a broadcast that is ${what}`, () => drops(() => scene.hand.publish(scene.hand.channel(NAMESPACE), message)));
  }

  test("a broadcast that is cut off, at each byte", async () => {
    const { cast, cluster, hand } = scene;
    for (const who of PODS) await cast.add(`second ${who}`, cluster[who], { namespace: NAMESPACE });
    const whole = hand.bytes({ namespace: NAMESPACE, event: "news", args: [{ text: "é", data: Buffer.from([1, 2]) }] });
    const before = await counted();
    const got = await cast.received(hand, async () => {
      for (let length = 0; length < whole.length; length += 1) {
        await hand.publish(hand.channel(NAMESPACE), whole.subarray(0, length));
      }
    });
    assert.deepEqual(got, {});
    assert.deepEqual(await counted(), before.map((count) => count + whole.length));
  });

  if (kind === "pubsub") {
    const requests = [...BROKEN.both, ["a fetch without options", json({ type: 5, uid: "x", requestId: "r" })]];
    for (const [what, message] of requests) {
      test(`a request that is ${what}`, () => drops(() => scene.hand.request(NAMESPACE, message)));
      if (what.startsWith("a fetch")) continue;
      test(`an answer that is ${what}`, () => drops(() => scene.hand.response(NAMESPACE, message)));
    }
  }

  test("what might be read or not is delivered or counted", async () => {
    const { cast, cluster, hand } = scene;
    for (const who of PODS) await cast.add(`second ${who}`, cluster[who], { namespace: NAMESPACE });
    const deep = (depth) => (depth === 0 ? 1 : [deep(depth - 1)]);
    const emit = { namespace: NAMESPACE, event: "news" };
    for (const form of [
      { ...emit, args: [deep(200)] },
      { ...emit, args: [deep(2_000)] },
      // An extension of a type that is not defined, a text that is not UTF-8, and a key that is no text.
      { ...emit, args: [MARK], raw: [0xd4, 42, 1] },
      { ...emit, args: [MARK], raw: [0xa2, 0xc3, 0x28] },
      { ...emit, args: [MARK], raw: [0x81, 7, 8] },
      { ...emit, event: 7 },
      { ...emit, rooms: [7, newRoom()], args: [1] },
    ]) {
      const before = await counted();
      const got = await cast.received(hand, () => hand.emit(form));
      const now = await counted();
      const dropped = now.map((count, index) => count - before[index]);
      for (const [index, who] of PODS.entries()) {
        const delivered = got[`second ${who}`]?.length ?? 0;
        const expected = form.rooms ? 0 : 1;
        assert.equal(delivered + dropped[index], expected, `${who}: ${JSON.stringify(form).slice(0, 100)}`);
      }
    }
  });
}
