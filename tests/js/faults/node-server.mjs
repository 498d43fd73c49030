// Socket.IO on Node with its Redis adapter, as far as the faults ask for it. Its argument is JSON: kind, url.

import { createServer } from "node:http";

import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createClient, createCluster, createSentinel } from "redis";
import { Server } from "socket.io";

// It must not outlive the tests, however they end.
process.stdin.on("end", () => process.exit()).resume();

const { kind, url } = JSON.parse(process.argv[2]);
const log = (level, message, more) => console.error(JSON.stringify({ level, message, ...more }));

// The adapter leaves a publish that Redis did not take to this, which ends the process if nobody listens.
process.on("unhandledRejection", (error) => log("WARN", `redis: ${error.message}`));

function redisClient() {
  const { protocol, host, searchParams } = new URL(url);
  const hosts = [host, ...searchParams.getAll("node")];
  if (protocol === "redis-cluster:") {
    return createCluster({ rootNodes: hosts.map((each) => ({ url: `redis://${each}` })) });
  }
  if (protocol === "redis-sentinel:") {
    const sentinelRootNodes = hosts.map((each) => {
      const [name, port] = each.split(":");
      return { host: name, port: Number(port) };
    });
    return createSentinel({ name: searchParams.get("sentinelServiceName"), sentinelRootNodes });
  }
  return createClient({ url });
}

const clients = [redisClient(), redisClient()];
for (const client of clients) client.on("error", (error) => log("WARN", `redis: ${error.message}`));
// As its documentation has it: such a server does not start without Redis.
await Promise.all(clients.map((client) => client.connect()));
const adapter = kind === "sharded" ? createShardedAdapter(...clients) : createAdapter(...clients);
const connected = () => clients.every((client) => client.isReady ?? client.isOpen);

const http = createServer();
const io = new Server(http, { adapter });
io.on("connection", (socket) => {
  socket.on("join", async ({ rooms }, answer) => {
    await socket.join(rooms);
    answer({ joined: rooms, rejected: [] });
  });
  socket.on("chat", (room, ...args) => {
    socket.to(room).emit("chat", room, ...args.slice(0, -1));
    args.at(-1)({ accepted: true });
  });
});

const routes = {
  "/readyz": () => (connected() ? [200, "ready"] : [503, "cut off"]),
  "/metrics": () => [200, `roomcast_backplane_connected ${Number(connected())}\n`],
  "/api/v1/cluster": () => [200, JSON.stringify({ backplane: { connected: connected() } })],
  async "/api/v1/emit"(request) {
    const { rooms, event, args } = JSON.parse(Buffer.concat(await request.toArray()).toString());
    io.to(rooms).emit(event, ...args);
    return [200, `{"accepted":true}`];
  },
};
http.on("request", async (request, response) => {
  // Other paths are those of Socket.IO, which answers them itself.
  if (!(request.url in routes)) return;
  const [status, body] = await routes[request.url](request);
  response.writeHead(status).end(body);
});
http.listen(0, "127.0.0.1", () => log("INFO", "listening", { address: `127.0.0.1:${http.address().port}` }));
