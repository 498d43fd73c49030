// A Socket.IO server as the documentation of its Redis adapter builds one, to put beside a pod.
//
// It does what the process that started it says: each message is a function, called with the server.
// It follows the rules that pods have in these tests, so that the same client can use either.

import { createServer } from "node:http";
import { once } from "node:events";

import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import * as msgpack from "socket.io-msgpack-parser";

const { kind, redis, parser, namespaces } = JSON.parse(process.argv[2]);

// It must not outlive the tests, however they end.
process.on("disconnect", () => process.exit());

const pub = createClient({ url: redis });
const sub = pub.duplicate();
for (const client of [pub, sub]) client.on("error", (error) => console.error(error));
await Promise.all([pub.connect(), sub.connect()]);

const http = createServer();
const io = new Server(http, {
  adapter: kind === "sharded" ? createShardedAdapter(pub, sub) : createAdapter(pub, sub),
  ...(parser === "msgpack" && { parser: msgpack.default ?? msgpack }),
});
/** Server-side events that came from other servers. */
const seen = [];

for (const path of namespaces) {
  const namespace = io.of(path);
  namespace.on("connection", (socket) => {
    socket.data.who = socket.handshake.query.who;
    socket.on("join", ({ rooms }, ack) => {
      socket.join(rooms);
      ack({ joined: rooms, rejected: [] });
    });
    socket.on("chat", (room, ...args) => relay(socket.to(room), "chat", room, ...args));
    socket.on("announce:all", (...args) => relay(socket.broadcast, "announce:all", ...args));
  });
  // What asks, and what only tells. The second question is answered with nothing.
  namespace.on("tell", (...args) => seen.push(["tell", ...args]));
  namespace.on("question", (...args) => args.pop()({ pod: "node", echo: args }));
  namespace.on("shrug", (...args) => args.pop()());
  namespace.on("slow", (...args) => setTimeout(() => args.pop()({ pod: "node", echo: args }), 300));
  namespace.on("silent", (...args) => args.pop()({ pod: "node", echo: args }));
  namespace.on("never", (...args) => typeof args.at(-1) === "function" && args.pop()({ pod: "node", echo: args }));
  namespace.on("two", (...args) => args.pop()("one", "two"));
}

/** Relays with the ack that a pod gives. */
function relay(target, event, ...args) {
  const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
  target.emit(event, ...args);
  ack({ accepted: true });
}

/** The sockets that an operation is for, in Socket.IO's words. */
const target = ({ namespace = "/", rooms = [], except = [] } = {}) =>
  io.of(namespace).to(rooms).except(except);

process.on("message", async ({ id, body, args }) => {
  try {
    const operation = new Function(`return (${body})`)();
    process.send({ id, value: await operation({ io, target, seen }, ...args) });
  } catch (error) {
    process.send({ id, error: error.stack });
  }
});

http.listen(0, "127.0.0.1");
await once(http, "listening");
process.send({ ready: http.address().port });
