// Clients all over a cluster, and what each of them got.

import { io } from "socket.io-client";

import { Clients, ask } from "../clients.mjs";
import { next, until } from "../pod.mjs";

let names = 0;

/** A room that no other test has, and that anyone may join. */
export const newRoom = () => `public-${(names += 1)}`;

/** Of all casts: none takes another's fence for its own. */
let fences = 0;

export class Cast {
  #cluster;
  #clients = new Clients();
  /** By the name of a client: its pod, its rooms, and the events that it got. */
  #members = {};
  #seconds = [];

  constructor(cluster) {
    this.#cluster = cluster;
  }

  /** Connects a client to a pod and has it join rooms, with a name for the test to call it by. */
  async add(name, pod, { namespace = "/", rooms = [], ...options } = {}) {
    const query = { who: name, ...options.query };
    const settings = { transports: ["websocket"], ...options, query };
    const socket = await this.#clients.connect(io, pod.url + namespace, settings);
    const log = [];
    socket.onAny((...event) => log.push(event.filter((value) => typeof value !== "function")));
    this.#members[name] = { socket, pod, namespace, rooms, log };
    if (rooms.length > 0) await ask(socket, "join", { rooms });
    return socket;
  }

  /** Has a client join another namespace over the same connection. */
  async second(name, namespace) {
    const socket = this.socket(name).io.socket(namespace);
    this.#seconds.push(socket);
    await next(socket, "connect", 10_000);
    return socket;
  }

  /** Waits until every pod listens for the rooms of its clients, and for their ids where it has to. */
  async settled() {
    const pods = {};
    for (const { socket, pod, namespace, rooms } of Object.values(this.#members)) {
      // Node publishes to ids of its own length on the channel of the namespace, as no one else has such rooms.
      const own = socket.id.length === 20 ? [] : [socket.id];
      for (const room of [...rooms, ...own]) {
        const key = JSON.stringify([room, namespace]);
        pods[key] = (pods[key] ?? new Set()).add(pod);
      }
    }
    for (const [key, { size }] of Object.entries(pods)) {
      const [room, namespace] = JSON.parse(key);
      await this.#cluster.listening(room, size, namespace);
    }
  }

  socket(name) {
    return this.#members[name].socket;
  }

  id(name) {
    return this.socket(name).id;
  }

  /**
   * Does something, and gives what each client got because of it: { name: [[event, ...args]] }, without those
   * that got nothing. A fence, sent by `pod` to everyone when it is done, shows that nothing more is under way.
   */
  async received(pod, operation) {
    const members = Object.values(this.#members);
    await operation();
    const fence = `fence ${(fences += 1)}`;
    for (const namespace of new Set(members.map((member) => member.namespace))) {
      await pod.emit({ namespace, event: fence });
    }
    const got = {};
    for (const [name, { log, socket }] of Object.entries(this.#members)) {
      if (!socket.connected) continue;
      await until(`${name} gets ${fence}`, () => log.at(-1)?.[0] === fence, 10_000);
      const events = log.splice(0).slice(0, -1);
      if (events.length > 0) got[name] = events;
    }
    return got;
  }

  close() {
    this.#clients.close();
    this.#seconds.splice(0).forEach((socket) => socket.disconnect());
    this.#members = {};
  }
}
