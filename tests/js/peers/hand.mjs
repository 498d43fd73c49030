// Messages between servers, written by hand as no library would send them.

import { afterEach, after, before, beforeEach } from "node:test";
import assert from "node:assert/strict";

import notepack from "notepack.io";

import { Cast, newRoom } from "./cast.mjs";
import { startCluster } from "./cluster.mjs";

/** Stands in a message for bytes that notepack would not write. */
export const MARK = "@";

/** Writes msgpack, with `raw` in place of the mark. */
function encode(value, raw = []) {
  const bytes = notepack.encode(value);
  const mark = Buffer.from([0xa0 + MARK.length, ...Buffer.from(MARK)]);
  const at = bytes.indexOf(mark);
  return at < 0 ? bytes : Buffer.concat([bytes.subarray(0, at), Buffer.from(raw), bytes.subarray(at + mark.length)]);
}

/** The emit of an emitter, with what a test changes in it. */
const FORMS = {
  pubsub: ({ event, args = [], namespace = "/", rooms = [], packet, opts, more = [] }) => [
    "emitter",
    { type: 2, data: [event, ...args], nsp: namespace, ...packet },
    opts ?? { rooms, except: [], flags: {} },
    ...more,
  ],
  sharded: ({ event, args = [], namespace = "/", rooms = [], packet, opts, data, envelope }) => ({
    uid: "emitter",
    type: 3,
    nsp: namespace,
    data: {
      packet: { type: 2, data: [event, ...args], ...packet },
      opts: opts ?? { rooms, except: [], flags: {} },
      ...data,
    },
    ...envelope,
  }),
};

/** Publishes to the channels of a cluster over one connection, and so in order. */
export function handOf({ kind, client }) {
  const publish = (channel, message) =>
    client.sendCommand([kind === "sharded" ? "SPUBLISH" : "PUBLISH", channel, Buffer.from(message)]);
  const channel = (namespace = "/", room) => `socket.io#${namespace}#${room === undefined ? "" : `${room}#`}`;
  return {
    publish,
    channel,
    /** The bytes of an emit that is as it should be, but for what it changes. */
    bytes: (emit) => encode(FORMS[kind](emit), emit.raw),
    emit(emit) {
      const [room] = emit.rooms?.length === 1 ? emit.rooms : [];
      return publish(channel(emit.namespace, room), this.bytes(emit));
    },
    request: (namespace, message) => publish(`socket.io-request#${namespace}#`, message),
    response: (namespace, message) => publish(`socket.io-response#${namespace}#`, message),
  };
}

export const NODES = ["node1", "node2"];
export const PODS = ["roomcast1", "roomcast2"];
export const ALL = [...NODES, ...PODS];

/** For each test a client on each server, in room `all`; those on pods are in `pods` too. */
export function handScenes(kind) {
  const scene = {};
  before(async () => {
    // What would end a server of Node goes to a namespace that it does not have.
    scene.cluster = await startCluster(kind, { namespaces: ["/"] });
    scene.hand = handOf(scene.cluster);
  });
  after(() => scene.cluster?.stop());
  beforeEach(async () => {
    const { cluster } = scene;
    scene.cast = new Cast(cluster);
    scene.rooms = { all: newRoom(), pods: newRoom() };
    for (const who of NODES) await scene.cast.add(who, cluster[who], { rooms: [scene.rooms.all] });
    for (const who of PODS) await scene.cast.add(who, cluster[who], { rooms: Object.values(scene.rooms) });
    await scene.cast.settled();
  });
  afterEach(() => {
    for (const who of ALL) assert.ok(scene.cluster[who].isAlive(), `${who} is alive`);
    scene.cast.close();
  });
  return scene;
}
