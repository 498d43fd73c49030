// What Redis spends on a cluster, for docs/sizing.md: by message, by pod and by socket. Prints a table for each.
//
//     cd tests/js && node docs/redis-cost.mjs
//
// Redis spends the same on a message whatever the pods are built like, so a debug build will do.

import { Agent, request } from "node:http";

import { io } from "socket.io-client";

import { Clients, ask } from "../clients.mjs";
import { API_KEY, OPEN, startPod, until } from "../pod.mjs";
import { startRedis } from "../redis.mjs";

const SECONDS = 10;
const RATE = 1000;
const SOCKETS = 1000;
const ROOM = "public-all";
const BODY = JSON.stringify({ event: "news", rooms: [ROOM], args: ["x".repeat(150)] });

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const agent = new Agent({ keepAlive: true, maxSockets: 16 });
const publish = (pod) =>
  new Promise((resolve, reject) => {
    const options = { agent, method: "POST", headers: { authorization: `Bearer ${API_KEY}` } };
    request(`${pod.internal}/api/v1/emit`, options, (answer) => {
      answer.resume().on("end", () => (answer.statusCode === 200 ? resolve() : reject(new Error(`status ${answer.statusCode}`))));
    })
      .on("error", reject)
      .end(BODY);
  });

/** Figures of INFO that only grow, and memory. */
function look(redis) {
  const info = redis.cli("info", "everything");
  const value = (key) => Number(new RegExp(`^${key}:(.*)$`, "m").exec(info)[1]);
  return {
    cpu: value("used_cpu_user") + value("used_cpu_sys"),
    commands: value("total_commands_processed"),
    sent: value("total_net_output_bytes"),
    memory: value("used_memory"),
  };
}

async function spent(redis, body) {
  const [before, from] = [look(redis), performance.now()];
  await body();
  const [after, seconds] = [look(redis), (performance.now() - from) / 1000];
  const each = (key) => (after[key] - before[key]) / seconds;
  return { cpu: each("cpu"), commands: each("commands"), sent: each("sent"), seconds };
}

async function messages() {
  let count = 0;
  const from = performance.now();
  for (let due = from; count < RATE * SECONDS; due += 10) {
    await pause(due - performance.now());
    await Promise.all(Array.from({ length: RATE / 100 }, () => publish(this)));
    count += RATE / 100;
  }
}

async function measure(kind, number) {
  const redis = await startRedis();
  const pods = [];
  const clients = new Clients();
  try {
    const config = `${OPEN}\n[backplane]\nkind = "${kind}"\nurl = "${redis.url}"\n`;
    for (let i = 0; i < number; i += 1) pods.push(await startPod(config));
    for (const pod of pods) {
      await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
      // One member on each pod: the message is for all of them.
      await ask(await clients.connect(io, pod.url, { transports: ["websocket"] }), "join", { rooms: [ROOM] });
    }
    const idle = await spent(redis, () => pause(SECONDS * 1000));
    const busy = await spent(redis, () => messages.call(pods[0]));
    const rate = (RATE * SECONDS) / busy.seconds;
    const of = (key) => (busy[key] - idle[key]) / rate;
    const before = look(redis).memory;
    const crowd = [];
    for (let i = 0; i < SOCKETS; i += 50) {
      crowd.push(...(await Promise.all(Array.from({ length: 50 }, () => clients.connect(io, pods[i % number].url, { transports: ["websocket"] })))));
    }
    const memory = (look(redis).memory - before) / SOCKETS;
    return [
      kind,
      number,
      `${(idle.cpu * 100).toFixed(2)} %`,
      idle.commands.toFixed(0),
      rate.toFixed(0),
      `${(of("cpu") * 1000).toFixed(3)} s`,
      `${(of("sent") / 1).toFixed(0)} B`,
      `${Math.max(0, memory).toFixed(0)} B`,
    ];
  } finally {
    clients.close();
    for (const pod of pods) await pod.stop();
    await redis.stop();
  }
}

const row = (cells) => console.log(`| ${cells.join(" | ")} |`);
row(["kind", "pods", "CPU of Redis, idle", "commands a second, idle", "messages a second", "CPU of Redis for 1000 messages", "sent by Redis for one", "memory of Redis for a socket"]);
row(Array(8).fill("---"));
for (const kind of ["pubsub", "sharded"]) for (const number of [1, 2, 4, 8]) row(await measure(kind, number));
