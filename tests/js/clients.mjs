// The stock clients and the ways they connect.

import { io as io48 } from "socket.io-client";
import { io as io45 } from "socket.io-client-4.5";

import { next } from "./pod.mjs";

/** The newest client, and one from before 4.6 (connection state recovery, `emitWithAck`). */
export const VERSIONS = { "4.8.4": io48, "4.5.4": io45 };

export const WAYS = {
  websocket: { transports: ["websocket"] },
  polling: { transports: ["polling"] },
  upgrade: { transports: ["polling", "websocket"] },
};

/** Runs `body` for each client and each way to connect. */
export function everyClient(body) {
  for (const [version, io] of Object.entries(VERSIONS)) {
    for (const [way, options] of Object.entries(WAYS)) body({ version, way, io, options });
  }
}

/** Clients of one test, closed together. */
export class Clients {
  #open = [];

  /** Connects, and waits for the answer; for an upgrade, until it is done. */
  async connect(io, url, options = {}) {
    const socket = this.open(io, url, options);
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
    });
    const engine = socket.io.engine;
    if (options.transports?.length === 2 && engine.transport.name === "polling") {
      await next(engine, "upgrade");
    }
    return socket;
  }

  /** Begins to connect. */
  open(io, url, options = {}) {
    const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
    this.#open.push(socket);
    return socket;
  }

  close() {
    for (const socket of this.#open.splice(0)) socket.disconnect();
  }
}

/** `emit` with an ack as a promise, also where the client has none. */
export function ask(socket, event, ...args) {
  return new Promise((resolve, reject) => {
    socket.timeout(30_000).emit(event, ...args, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

/** The code with which an event is refused, or "accepted". */
export const code = async (socket, ...args) => (await ask(socket, ...args)).error?.code ?? "accepted";

/** The same for what may not be acked: "none" then. */
export const codeOrNone = (socket, ...args) =>
  new Promise((resolve) => {
    socket.timeout(1500).emit(...args, (error, answer) => resolve(error ? "none" : (answer?.error?.code ?? "accepted")));
  });

/** Collects the arguments of each `event` in the order of arrival. */
export function collect(socket, event) {
  const received = [];
  socket.on(event, (...args) => received.push(args));
  return received;
}
