// A backend that publishes: `@socket.io/redis-emitter` for "pubsub"; what an emitter for the sharded adapter
// would publish for "sharded", since there is none.
//
// Arguments: "pubsub" or "sharded", the URL of the Redis, the number of rooms. Prints "ready". Then each line
// {"run", "rate", "total"} on standard input publishes `total` messages, `rate` a second, to one room after
// the other, and is answered with {"micros"}: how long it took until Redis had them all. What a message
// carries is described in `load/src/cluster/mark.rs`.

import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

import { Emitter } from "@socket.io/redis-emitter";
import { Redis } from "ioredis";

const [mode, url, rooms] = process.argv.slice(2);
// A backend that lost Redis would publish late: the run would measure that.
const redis = new Redis(url, { retryStrategy: null }).on("error", (error) => {
  console.error(`emitter: ${error.message}`);
  process.exit(1);
});

const emitter = new Emitter(redis);
const publish = {
  pubsub: (room, event, ...args) => emitter.to(room).emit(event, ...args),
  sharded: (room, event, ...args) => {
    const packet = { type: 2, data: [event, ...args] };
    const opts = { rooms: [room], except: [], flags: {} };
    const message = { type: 3, data: { packet, opts }, uid: "emitter", nsp: "/" };
    redis.spublish(`socket.io#/#${room}#`, JSON.stringify(message));
  },
}[mode];

// CLOCK_MONOTONIC, which every process of the machine reads alike.
const micros = () => {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1e6 + Math.floor(nanos / 1e3);
};
const digits = (number, width) => String(number).padStart(width, "0");
const filling = "x".repeat(168);

async function run({ run, rate, total }) {
  const begun = micros();
  const sequences = new Uint32Array(rooms);
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((micros() - begun) * rate) / 1e6) + 1);
    for (; sent < due; sent++) {
      const room = sent % rooms;
      const mark = digits(micros(), 16) + digits(run, 4) + digits(room, 4) + digits(sequences[room]++, 8);
      publish(`public-${room}`, "news", mark + filling);
    }
    await pause(begun / 1e3 + (sent * 1e3) / rate - micros() / 1e3);
  }
  await redis.ping();
  return { micros: micros() - begun };
}

await redis.ping();
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(JSON.parse(line))));
}
redis.disconnect();
