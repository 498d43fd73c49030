// A pod of Socket.IO as the documentation of its Redis adapter shows it, for Node and for Bun.
//
// Arguments: "pubsub" or "sharded", and the URL of the Redis. Prints the address it listens on, and ends with
// its standard input.

import { createServer } from "node:http";

import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";
import { Server } from "socket.io";

const [mode, url] = process.argv.slice(2);
const publisher = new Redis(url, { lazyConnect: true });
const subscriber = publisher.duplicate();
// ioredis asks a Redis how it is before it calls it ready, and may not once it has subscribed.
await Promise.all([publisher.connect(), subscriber.connect()]);
const adapter = { pubsub: createAdapter, sharded: createShardedAdapter }[mode](publisher, subscriber);

const http = createServer();
const io = new Server(http, { adapter, serveClient: false });
io.on("connection", (socket) => {
  // The request and the answer of Roomcast's `join`, so that one client serves all.
  socket.on("join", ({ rooms }, answer) => {
    socket.join(rooms);
    answer({ joined: rooms, rejected: [] });
  });
});
http.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${http.address().port}`));

process.stdin.resume().on("end", () => process.exit());
