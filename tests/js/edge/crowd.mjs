// Many stock clients in one room, each of which writes down what it missed and every error that it saw.

import { io } from "socket.io-client";

import { ask } from "../clients.mjs";
import { until } from "../pod.mjs";

/** What the transport knows of it: the status of an answer, 0 if there was none, or an error. */
function why(details) {
  const description = details?.description;
  return description === undefined ? "" : ` (${description.message ?? description})`;
}

export class Crowd {
  clients = [];
  /** What went wrong, by its name. A client has the times of its connects, when it joined first, and [left, in the room again, the last message before] of each time that it was away. */
  errors = new Map();
  /** When each message was published, by its number: begun, accepted. */
  published = [];

  constructor(url, room) {
    Object.assign(this, { url, room });
  }

  #note(error) {
    this.errors.set(error, (this.errors.get(error) ?? 0) + 1);
  }

  /** Connects so many more, with these options, and waits until all are in the room. */
  async join(count, options) {
    const joining = Array.from({ length: count }, async () => {
      const socket = io(this.url, { forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 1000, ...options });
      const client = { socket, seen: [], connects: 0, connected: [], gaps: [], longestAway: 0 };
      this.clients.push(client);
      socket.on("connect_error", (error) => this.#note(`connect_error: ${error.message}${why(error)}`));
      socket.on("disconnect", (reason, details) => {
        this.#note(`disconnect: ${reason}${why(details)}`);
        // It may have left again before it was in the room.
        client.left ??= Date.now();
        client.last ??= client.seen.at(-1) ?? -1;
      });
      socket.on("news", (number) => client.seen.push(number));
      // Joins again by itself whenever it comes back.
      await new Promise((resolve) => {
        socket.on("connect", async () => {
          client.connects += 1;
          client.connected.push(Date.now());
          try {
            await ask(socket, "join", { rooms: [this.room] });
          } catch {
            // It was disconnected meanwhile, and joins with its next connect.
            return;
          }
          if (client.left) {
            client.longestAway = Math.max(client.longestAway, Date.now() - client.left);
            client.gaps.push([client.left, Date.now(), client.last]);
          }
          client.left = client.last = undefined;
          client.joined ??= Date.now();
          resolve();
        });
      });
    });
    await Promise.all(joining);
  }

  /** When clients came back, in order. */
  moves() {
    return this.clients.flatMap(({ connected }) => connected.slice(1)).sort((a, b) => a - b);
  }

  /** The most of them that came back within any second. */
  fastest() {
    const moves = this.moves();
    let most = 0;
    for (let first = 0, last = 0; last < moves.length; last += 1) {
      while (moves[last] - moves[first] >= 1000) first += 1;
      most = Math.max(most, last - first + 1);
    }
    return most;
  }

  /** Whether all are connected, and in the room again. */
  isBack() {
    return this.clients.every(({ socket, left }) => socket.connected && !left);
  }

  /**
   * Whether each is answered, on the connection that it has. A client may think that it is connected while its last
   * request, which a pod that is gone had passed on, is about to fail.
   */
  async isAnswered() {
    const answers = this.clients.map(async ({ socket }) => {
      const { id } = socket;
      await ask(socket, "join", { rooms: [this.room] });
      return socket.id === id;
    });
    return Promise.all(answers).then(
      (same) => same.every(Boolean),
      () => false,
    );
  }

  /** Publishes messages, numbered from `first`, through each of the pods in turn. */
  async publish(pods, { seconds, rate, first = 0 }) {
    const begun = Date.now();
    let sent = 0;
    while (Date.now() - begun < seconds * 1000) {
      const pod = pods()[sent % pods().length];
      const asked = Date.now();
      const { status, body } = await pod.publish({ rooms: [this.room], event: "news", args: [first + sent] });
      this.published[first + sent] = [asked, Date.now()];
      if (status !== 200 && status !== 202) throw new Error(`publish: ${status} ${JSON.stringify(body)}`);
      sent += 1;
      const due = begun + (sent * 1000) / rate;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - Date.now())));
    }
    return sent;
  }

  /**
   * Waits until all have the last message, and says how many of all deliveries are missing, doubled, or out of order:
   * of those that came through one of so many pods, which took turns.
   */
  async reckon(sent, pods = 1) {
    const overtaken = (seen, index) => seen.slice(0, index).some((other) => other > seen[index] && other % pods === seen[index] % pods);
    const last = (client) => client.seen.at(-1) === sent - 1;
    await until("all have the last message", () => this.clients.every(last), 20_000).catch(() => {});
    const sum = { due: this.clients.length * sent, missing: 0, doubled: 0, disordered: 0 };
    for (const { seen } of this.clients) {
      const unique = new Set(seen);
      sum.missing += sent - unique.size;
      sum.doubled += seen.length - unique.size;
      sum.disordered += seen.filter((_, index) => overtaken(seen, index)).length;
    }
    return sum;
  }

  /**
   * Where missing deliveries are missing: `away`, at the seam between two connections of the client, which nobody keeps them for; or
   * `unheard`, in the midst of one. At a seam are those from the last that it heard on to when it was in the room again, if they
   * were published no more than `late` ms before it noticed: a client that polls does so with its next poll.
   */
  unheard(late) {
    const sum = { away: 0, unheard: [] };
    for (const [index, { seen, gaps, joined }] of this.clients.entries()) {
      const has = new Set(seen);
      for (const [number, [begun, accepted]] of this.published.entries()) {
        if (has.has(number)) continue;
        const atSeam = ([left, back, last]) => number > last && accepted > left - late && begun < back;
        if (begun < joined || gaps.some(atSeam)) sum.away += 1;
        else sum.unheard.push({ client: index, number, begun, accepted, gaps });
      }
    }
    return sum;
  }

  close() {
    for (const { socket } of this.clients) socket.removeAllListeners("disconnect").disconnect();
  }
}
