// Two stock clients, one of each transport: they chat, and stay until the pod sends them away.

import { createRequire } from "node:module";

const { io } = createRequire(new URL("../../src/demo/package.json", import.meta.url))("socket.io-client");

const [url] = process.argv.slice(2);
const deadline = setTimeout(() => {
  console.log("nothing happens");
  process.exit(1);
}, 60_000);

const clients = ["polling", "websocket"].map((transport) =>
  io(url, { transports: [transport], reconnection: false, forceNew: true }),
);
const next = (client, event) => new Promise((resolve) => client.once(event, (...args) => resolve(args)));

await Promise.all(
  clients.map(async (client) => {
    await next(client, "connect");
    await client.emitWithAck("join", { rooms: ["demo-lobby"] });
  }),
);
for (const [from, to] of [clients, [...clients].reverse()]) {
  const heard = next(to, "chat");
  from.emit("chat", "demo-lobby", { name: "test", text: "hello" });
  await heard;
}
console.log("chatting");
const reasons = await Promise.all(clients.map((client) => next(client, "disconnect")));
console.log(`ended: ${reasons.map(([reason]) => reason).join(", ")}`);
clearTimeout(deadline);
