// What an idle client that polls takes of a pod's memory, for docs/sizing.md. Beside it a WebSocket, by the same measure.
//
//     cargo build --release && cd tests/js && ROOMCAST_BIN_DIR=../../target/release node docs/polling-cost.mjs

import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";

import { WebSocket } from "ws";

import { OPEN, startPod, until } from "../pod.mjs";

const [FEW, MANY] = [1000, 4000];

const resident = (pid) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;

/** A poll that waits keeps its TCP connection, so there is one for each client. */
const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: Infinity });
const ask = (url, method = "GET", body) =>
  new Promise((resolve, reject) => {
    request(url, { agent, method }, (answer) => {
      let said = "";
      answer.setEncoding("utf8").on("data", (piece) => (said += piece)).on("end", () => resolve(said));
    })
      .on("error", reject)
      .end(body);
  });

async function poll(pod) {
  const url = `${pod.url}/socket.io/?EIO=4&transport=polling`;
  const { sid } = JSON.parse((await ask(url)).slice(1));
  await ask(`${url}&sid=${sid}`, "POST", "40");
  await ask(`${url}&sid=${sid}`);
  // This one waits until the pod pings.
  ask(`${url}&sid=${sid}`).catch(() => {});
}

async function websocket(pod) {
  const socket = new WebSocket(`${pod.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  await new Promise((resolve, reject) => {
    socket.on("error", reject).on("message", (data) => {
      if (data.toString().startsWith("0")) socket.send("40");
      if (data.toString().startsWith("40")) resolve();
    });
  });
}

console.log("| client | at start | at the end | per connection |\n|---|---|---|---|");
for (const [name, open] of [["websocket", websocket], ["polling", poll]]) {
  // No ping in the time that it takes: polls would be answered, and none would wait.
  const pod = await startPod(`${OPEN}\n[engine]\nping_interval = "10m"\n`);
  const start = resident(pod.pid);
  let few;
  for (let count = 0; count < MANY; count += 50) {
    if (count === FEW) few = resident(pod.pid);
    await Promise.all(Array.from({ length: 50 }, () => open(pod)));
  }
  await until("all are there", async () => (await pod.metric("roomcast_connections")) === MANY);
  const end = resident(pod.pid);
  const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  console.log(`| ${name} | ${mebibytes(start)} | ${mebibytes(end)} | ${Math.round((end - few) / (MANY - FEW))} B |`);
  await pod.stop("SIGKILL");
}
process.exit();
