// Starts Socket.IO servers of Node, the peers of a pod in a mixed cluster, and stops what it started.

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { until } from "./pod.mjs";

const PROGRAM = fileURLToPath(new URL("peers/node-server.mjs", import.meta.url));

/** Starts a server with the adapter for `kind` ("pubsub" or "sharded"). */
export async function startNodePod({ kind, redis, parser = "json", namespaces = ["/", "/second"] }) {
  const settings = JSON.stringify({ kind, redis, parser, namespaces });
  // Advanced serialization keeps Buffers, dates and undefined on their way to the server.
  const child = fork(PROGRAM, [settings], {
    execArgv: [],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const exit = once(child, "exit");
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
  const isAlive = () => child.exitCode === null && child.signalCode === null;

  let port;
  let calls = 0;
  /** By the number of the call: who waits for its end. */
  const waiting = new Map();
  child.on("message", (message) => {
    if (message.ready) {
      port = message.ready;
      return;
    }
    const { resolve, reject } = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) reject(new Error(`on the Node server: ${message.error}`));
    else resolve(message.value);
  });
  exit.then(() => waiting.forEach(({ reject }) => reject(new Error(`the Node server ended: ${errors}`))));

  /** Runs a function there, with `{ io, target, seen }` and `args`. It cannot use what is around it here. */
  const run = (body, ...args) =>
    new Promise((resolve, reject) => {
      const id = (calls += 1);
      waiting.set(id, { resolve, reject });
      child.send({ id, body: body.toString(), args });
    });

  await until("Node server", () => {
    if (!isAlive()) throw new Error(`the Node server ended: ${errors}`);
    return port;
  });
  return {
    isNode: true,
    url: `http://127.0.0.1:${port}`,
    port,
    run,
    isAlive,
    /** What it wrote to standard error. */
    errors: () => errors,
    async stop(signal = "SIGTERM") {
      if (isAlive()) child.kill(signal);
      await exit;
    },
    ...operations(run),
  };
}

/** What a test asks of a server, one line each. `where` is { namespace, rooms, except }. */
function operations(run) {
  return {
    emit: (message) =>
      run(({ target }, { event, args = [], volatile, ...where }) => {
        const sockets = volatile ? target(where).volatile : target(where);
        sockets.emit(event, ...args);
      }, message),

    /** Emits and gathers the answers: which came, and whether all did. */
    ask: (message, timeout) =>
      run(
        ({ target }, { event, args = [], ...where }, timeout) =>
          target(where)
            .timeout(timeout)
            .emitWithAck(event, ...args)
            .then(
              (answers) => ({ answers, complete: true }),
              ({ responses }) => ({ answers: responses, complete: false }),
            ),
        message,
        timeout,
      ),

    sockets: (where) =>
      run(async ({ target }, where) => {
        const sockets = await target(where).fetchSockets();
        return sockets.map(({ id, rooms, handshake, data }) => ({ id, rooms: [...rooms], handshake, data }));
      }, where),

    rooms: (namespace = "/") =>
      run(async ({ io }, namespace) => [...(await io.of(namespace).adapter.allRooms())], namespace),

    join: ({ in: rooms, rooms: to, ...where }) =>
      run(({ target }, where, to) => target(where).socketsJoin(to), { ...where, rooms }, to),

    leave: ({ in: rooms, rooms: from, ...where }) =>
      run(({ target }, where, from) => target(where).socketsLeave(from), { ...where, rooms }, from),

    disconnect: ({ in: rooms, close, ...where }) =>
      run(({ target }, where, close) => target(where).disconnectSockets(close), { ...where, rooms }, close),

    serverCount: (namespace = "/") =>
      run(({ io }, namespace) => io.of(namespace).adapter.serverCount(), namespace),
  };
}
