// Broadcasts as other versions and other libraries write them, and what pods add to theirs.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import notepack from "notepack.io";

import { ask } from "./clients.mjs";
import { until } from "./pod.mjs";
import { newRoom } from "./peers/cast.mjs";
import { KINDS, ONLY_NODE } from "./peers/cluster.mjs";
import { ALL, MARK, NODES, PODS, handScenes } from "./peers/hand.mjs";
import { each } from "./peers/targets.mjs";

/** What differs from an emit of today's Node that carries the number 1, and what arrives if it is not that. */
const FORMS = {
  pubsub: [
    ["a fifth element", { more: [null, { future: 1 }] }],
    ["a fourth element that is nil", { more: [null] }],
    ["a fourth element that is a number", { more: [99] }],
    ["a fourth element that is a text", { more: ["x"] }],
    ["a fourth element that is an empty map", { more: [{}] }],
    ["a fourth element that is a list", { more: [[99, "x", null]] }],
    ["a fourth element of a version to come", { more: [{ v: 99, version: 99, future: [1] }] }],
    ["no namespace, which is /", { packet: { nsp: undefined } }],
    ["texts where lists should be, as the Python emitter has them", { rooms: [], opts: { rooms: "", flags: "" } }],
    ["no options", { rooms: [], opts: {} }],
  ],
  sharded: [
    ["unknown keys in the envelope", { envelope: { future: { v: 2 }, offset: "1-0" } }],
    ["unknown keys in the data", { data: { future: [1] } }],
  ],
  both: [
    ["unknown keys in the packet", { packet: { id: 7, future: { a: [1] }, attachments: 3 } }],
    ["unknown flags", { flags: { future: 1, compress: true, timeout: 1, binary: false } }],
    ["an undefined of an older notepack", { raw: [0xd4, 0, 0] }, null],
    ["a date of an older notepack", { raw: [0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 1] }, "1970-01-01T00:00:00.001Z"],
    ["binary of an older notepack", { raw: [0xc7, 2, 0, 8, 9] }, Buffer.from([8, 9])],
    ["a date in 32 bits", { raw: [0xd6, 0xff, 0, 0, 0, 1] }, "1970-01-01T00:00:01.000Z"],
    ["a float of 32 bits", { raw: [0xca, 0x3f, 0xc0, 0, 0] }, 1.5],
    ["a whole number as a float", { raw: [0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0] }, 2],
    ["a number in more bytes than it needs", { raw: [0xd3, 0, 0, 0, 0, 0, 0, 0, 3] }, 3],
    ["a text in more bytes than it needs", { raw: [0xdb, 0, 0, 0, 1, 0x78] }, "x"],
    ["a list in more bytes than it needs", { raw: [0xdd, 0, 0, 0, 1, 1] }, [1]],
    ["a map in more bytes than it needs", { raw: [0xdf, 0, 0, 0, 1, 0xa1, 0x61, 1] }, { a: 1 }],
  ],
};

for (const kind of KINDS) {
  describe(kind, () => {
    const scene = handScenes(kind);

    for (const [what, { flags, ...form }, arrives = 1] of [...FORMS[kind], ...FORMS.both]) {
      test(`a broadcast with ${what}`, async () => {
        const { cast, hand, rooms } = scene;
        const opts = flags && { rooms: [rooms.all], except: [], flags };
        const emit = { event: "news", args: [form.raw ? MARK : 1], rooms: [rooms.all], opts, ...form };
        const got = await cast.received(hand, () => hand.emit(emit));
        assert.deepEqual(got, each(ALL, ["news", arrives]));
      });
    }

    test("a broadcast for another namespace than its channel is", async () => {
      const { cast, hand, rooms } = scene;
      const other = kind === "pubsub" ? { packet: { nsp: "/second" } } : { envelope: { nsp: "/second" } };
      const got = await cast.received(hand, () => hand.emit({ event: "news", rooms: [rooms.all], ...other }));
      assert.deepEqual(got, {});
    });

    if (kind === "pubsub") classic(scene);
  });
}

function classic(scene) {
  test("a broadcast on the channel of a room that nobody is in", async () => {
    // The Python emitter publishes once for each room, each time with all of them.
    const { cast, hand, rooms } = scene;
    const bytes = hand.bytes({ event: "news", rooms: [rooms.all] });
    const got = await cast.received(hand, () => hand.publish(hand.channel("/", newRoom()), bytes));
    assert.deepEqual(got, {});
  });

  test("type 5, which older emitters give to binary", { skip: ONLY_NODE }, async () => {
    // Node passes the type on, and then its clients cannot read the packet: the room has none of them.
    const { cast, hand, rooms } = scene;
    const form = { event: "news", args: [Buffer.from([1])], rooms: [rooms.pods], packet: { type: 5 } };
    assert.deepEqual(await cast.received(hand, () => hand.emit(form)), each(PODS, ["news", Buffer.from([1])]));
  });

  test("a broadcast of a pod has a fourth element, and Node delivers it", async () => {
    const { cluster, cast, rooms } = scene;
    const pod = cluster.roomcast1;
    const listener = await cluster.client.duplicate().connect();
    const heard = [];
    // What a pod sends itself is a number, not an array.
    const hear = (bytes, channel) => {
      const message = notepack.decode(bytes);
      if (Array.isArray(message)) heard.push([channel.toString(), ...message]);
    };
    await listener.pSubscribe("socket.io#/#*", hear, true);
    // Servers count those who listen for requests. This one does not.
    for (const server of cluster.all) assert.equal(await server.serverCount(), 4);

    const binary = Buffer.from([4]);
    const got = await cast.received(pod, async () => {
      // First: Node drops it for a client whose transport is busy.
      await pod.emit({ rooms: NODES.map((who) => cast.id(who)), event: "news", args: [3], volatile: true });
      await pod.emit({ rooms: [rooms.all], event: "news", args: [1] });
      await pod.emit({ except: [rooms.pods], event: "news", args: [{ é: null }] });
      await ask(cast.socket("roomcast1"), "chat", rooms.all, binary);
    });
    const events = [["news", 3], ["news", 1], ["news", { é: null }], ["chat", rooms.all, binary]];
    for (const who of NODES) assert.deepEqual(got[who], events);

    const room = `socket.io#/#${rooms.all}#`;
    const expected = [
      ["socket.io#/#", { rooms: NODES.map((who) => cast.id(who)), except: [], volatile: true }],
      [room, { rooms: [rooms.all], except: [] }],
      ["socket.io#/#", { rooms: [], except: [rooms.pods] }],
      [room, { rooms: [rooms.all], except: [cast.id("roomcast1")] }],
    ];
    await until("all of them", () => heard.length >= expected.length);
    await listener.close();
    for (const [index, [channel, uid, packet, { flags = {}, ...opts }, ...more]] of heard.slice(0, 4).entries()) {
      const [, { volatile, ...targets }] = expected[index];
      assert.equal(channel, expected[index][0]);
      assert.equal(typeof uid, "string");
      assert.deepEqual(packet, { type: 2, data: events[index], nsp: "/" });
      assert.deepEqual(opts, targets);
      assert.equal(flags.volatile, volatile);
      assert.equal(more.length, ONLY_NODE ? 0 : 1);
    }
  });
}
