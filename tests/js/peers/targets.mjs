// Whom an emit reaches: a table for every way to send one.

import assert from "node:assert/strict";

import { collect } from "../clients.mjs";
import { until } from "../pod.mjs";
import { Cast, newRoom } from "./cast.mjs";

/** Six clients near and far of the sender: `from`, `to` and `third` are pods, A and B are rooms. */
export async function placeClients(cast, from, to, third) {
  const [A, B] = [newRoom(), newRoom()];
  await cast.add("near", from, { rooms: [A, B] });
  await cast.add("far A", to, { rooms: [A] });
  await cast.add("far B", to, { rooms: [B] });
  await cast.add("far AB", to, { rooms: [A, B] });
  await cast.add("far", to);
  await cast.add("third A", third, { rooms: [A] });
  // The same room, and another namespace.
  await cast.add("second A", to, { namespace: "/second", rooms: [A] });
  await cast.settled();
  // A server without clients until now may be behind, and would give them what was emitted before they came.
  for (const pod of [from, to]) await cast.received(pod, () => {});
  return { A, B };
}

const EVERYONE = ["near", "far A", "far B", "far AB", "far", "third A"];
const IN_A = ["near", "far A", "far AB", "third A"];

/** What is sent, as the HTTP API names it, and who gets it, once each. */
export const TARGETS = [
  ["a namespace", () => ({}), EVERYONE],
  ["a room", ({ A }) => ({ rooms: [A] }), IN_A],
  ["several rooms", ({ A, B }) => ({ rooms: [A, B] }), [...IN_A, "far B"]],
  ["a namespace but a room", ({ A }) => ({ except: [A] }), ["far B", "far"]],
  ["a room but another", ({ A, B }) => ({ rooms: [A], except: [B] }), ["far A", "third A"]],
  ["rooms but rooms", ({ A, B }) => ({ rooms: [A, B], except: [B, newRoom()] }), ["far A", "third A"]],
  ["a namespace but a socket", ({ id }) => ({ except: [id("far A")] }), EVERYONE.filter((who) => who !== "far A")],
  ["a room but a socket", ({ A, id }) => ({ rooms: [A], except: [id("near")] }), ["far A", "far AB", "third A"]],
  ["a socket", ({ id }) => ({ rooms: [id("far")] }), ["far"]],
  ["sockets of several pods", ({ id }) => ({ rooms: ["far", "third A", "near"].map(id) }), ["near", "far", "third A"]],
  ["a socket and a room", ({ B, id }) => ({ rooms: [id("third A"), B] }), ["near", "far B", "far AB", "third A"]],
  ["a room that nobody is in", () => ({ rooms: [newRoom()] }), []],
  ["a room of another namespace", ({ A }) => ({ namespace: "/second", rooms: [A] }), ["second A"]],
  ["another namespace", () => ({ namespace: "/second" }), ["second A"]],
];

/** What each client gets when all of `names` get the same. */
export const each = (names, ...events) => Object.fromEntries(names.map((name) => [name, events]));

/** Has `from` emit to a room what may be lost. */
export async function volatile(t, cluster, from, ...pods) {
  const cast = new Cast(cluster);
  t.after(() => cast.close());
  const room = newRoom();
  const received = [];
  for (const [index, pod] of pods.entries()) {
    const socket = await cast.add(`client ${index}`, pod, { rooms: [room] });
    received.push(collect(socket, "news"));
  }
  await cast.settled();
  // A client that is not ready misses it, so it is sent until each has had one. A pod may also let it be
  // overtaken by what is sent after it, so no fence can follow.
  await until("each has had one", async () => {
    await from.emit({ rooms: [room], volatile: true, event: "news", args: [1] });
    return received.every((events) => events.length > 0);
  });
  for (const events of received) for (const event of events) assert.deepEqual(event, [1]);
}
