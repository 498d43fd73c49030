// A Socket.IO server for the tests of the client in Rust (tests/it/client/node.rs).
//
// It listens on the port that it is given (0: any), prints it, and ends with its input. With the address of a `redis` it is
// one of a cluster, with the adapter for `kind` ("pubsub" or "sharded").

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";

import { Server } from "socket.io";

const { port = 0, key, cert, redis, kind, ...options } = JSON.parse(process.argv[2] ?? "{}");
const http = key ? createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }) : createServer();
if (redis) {
  const { createAdapter, createShardedAdapter } = await import("@socket.io/redis-adapter");
  const { createClient } = await import("redis");
  const pub = createClient({ url: redis });
  const sub = pub.duplicate();
  await Promise.all([pub.connect(), sub.connect()]);
  options.adapter = kind === "sharded" ? createShardedAdapter(pub, sub) : createAdapter(pub, sub);
}
const io = new Server(http, options);

// It must not outlive the tests, however they end.
process.stdin.on("end", () => process.exit()).resume();

function serve(socket) {
  socket.on("echo", (...args) => args.pop()(...args));
  socket.on("send back", (...args) => socket.emit("back", ...args));
  // Asks the client, and gives its answer as the answer.
  socket.on("ask me", (...args) => {
    const ack = args.pop();
    socket.timeout(10_000).emit("question", ...args, (error, ...answers) => ack(error?.message ?? null, ...answers));
  });
  socket.on("who am i", (ack) => {
    const { auth, headers, query } = socket.handshake;
    ack({ id: socket.id, transport: socket.conn.transport.name, auth, headers, query, rooms: [...socket.rooms] });
  });
  socket.on("authenticate", ({ token }) => {
    // As a server that asks somebody else first.
    setTimeout(() => {
      if (token === "good") {
        socket.data.known = true;
        socket.emit("authenticated");
      } else {
        socket.emit("unauthenticated", { message: "token is bad", time: 1234 });
        socket.disconnect();
      }
    }, 20);
  });
  socket.on("join", ({ rooms }, ack) => {
    const may = rooms.filter((room) => socket.data.known || !room.startsWith("members"));
    socket.join(may);
    const rejected = rooms.filter((room) => !may.includes(room));
    ack({ joined: may, rejected: rejected.map((room) => ({ room, code: "authentication_required" })) });
  });
  socket.on("leave", ({ rooms }, ack) => {
    rooms.forEach((room) => socket.leave(room));
    ack({ left: rooms, rejected: [] });
  });
  socket.on("to room", (room, ...args) => io.of(socket.nsp.name).to(room).emit("news", ...args));
  socket.on("open up", () => open());
  socket.on("sockets of", async (path, ack) => ack((await io.of(path).fetchSockets()).length));
  socket.on("kick me", () => socket.disconnect());
  socket.on("cut me", () => socket.conn.close());
  socket.on("garbage", () => socket.conn.write("9no packet"));
  socket.on("large", (size) => socket.emit("back", "x".repeat(size)));
  socket.on("many", (count) => {
    for (let i = 0; i < count; i += 1) socket.emit("number", i);
  });
}

for (const path of ["/", "/chat", "/private"]) io.of(path).on("connection", serve);
io.of("/private").use((socket, next) => {
  if (socket.handshake.auth.token === "good") return next();
  const error = new Error("no entry");
  error.data = { code: 7 };
  next(error);
});
// It says whether a client may come in when it is told to.
let open = () => {};
io.of("/silent").use((socket, next) => (open = next)).on("connection", serve);

http.listen(port, "127.0.0.1", () => console.log(http.address().port));
