// The programs of docs/publishing.md do what the page says: each is taken from the page, run by the real interpreter against
// a real pod, and a stock client gets the event.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { io } from "socket.io-client";

import { Clients, ask, collect } from "../clients.mjs";
import { API_KEY, OPEN, startPod, until } from "../pod.mjs";
import { installPythonEmitter } from "../peers/emitters.mjs";
import { startRedis } from "../redis.mjs";
import { block, fenced } from "./page.mjs";

const PAGE = "docs/publishing.md";
const folder = mkdtempSync(join(tmpdir(), "roomcast-publishing-"));
symlinkSync(fileURLToPath(new URL("../node_modules", import.meta.url)), join(folder, "node_modules"));

/** Who runs a block, by what the page calls it. A language that is missing is an error here: .ci/install installs it. */
const OVER_HTTP = {
  "publish.py": ["python3"],
  "publish.go": ["go", "run"],
  "publish.php": ["php"],
  "publish.rb": ["ruby"],
  "Publish.java": ["java"],
};
const THROUGH_REDIS = {
  "stream.py": ["python3"],
  "stream.php": ["php"],
  "emitter.mjs": ["node"],
  "emitter.py": ["python3"],
};

/** Runs the block of this name; gives its exit code and what it said. */
async function run(name, command, env) {
  const file = join(folder, name);
  writeFileSync(file, block(PAGE, name));
  const [program, ...words] = command;
  const child = spawn(program, [...words, file], { cwd: folder, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (said += piece));
  const [code] = await Promise.race([
    once(child, "close"),
    once(child, "error").then(([error]) => {
      throw new Error(`${program} is needed (.ci/install says what to install): ${error.message}`);
    }),
  ]);
  return { code, said };
}

let redis, pod, clients, received;
before(async () => {
  redis = await startRedis();
  pod = await startPod(`${OPEN}
[backplane]
url = "${redis.url}"
[publish.stream]
enabled = true
`);
  await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
  clients = new Clients();
  const member = await clients.connect(io, pod.url, { transports: ["websocket"] });
  assert.deepEqual((await ask(member, "join", { rooms: ["public-orders"] })).joined, ["public-orders"]);
  received = collect(member, "order:shipped");
});
after(async () => {
  clients?.close();
  await pod?.stop();
  await redis?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function arrives(name, command, env) {
  received.length = 0;
  const { code, said } = await run(name, command, env);
  assert.equal(code, 0, said);
  await until("the event", () => received.length > 0);
  assert.deepEqual(received, [[{ id: 7 }]]);
}

describe("over HTTP", () => {
  for (const [name, command] of Object.entries(OVER_HTTP)) {
    const reached = () => ({ ROOMCAST_URL: pod.internal, ROOMCAST_API_KEY: API_KEY });

    test(`${name}: the client gets it`, () => arrives(name, command, reached()));

    test(`${name}: a refusal is an error of the program`, async () => {
      received.length = 0;
      const { code, said } = await run(name, command, { ...reached(), ROOMCAST_API_KEY: "another-key-that-opens-nothing" });
      assert.notEqual(code, 0, said);
      assert.match(said, /401|unauthorized/i);
      assert.deepEqual(received, []);
    });
  }
});

describe("through Redis", () => {
  for (const [name, command] of Object.entries(THROUGH_REDIS)) {
    test(`${name}: the client gets it`, () =>
      arrives(name, command, { REDIS_URL: redis.url, PYTHONPATH: installPythonEmitter() }));
  }
});

test("each program of the page is run, but for the one in C#", () => {
  const named = fenced(PAGE).map(({ info }) => info.split(" ")[1]).filter(Boolean);
  assert.deepEqual(named.sort(), [...Object.keys({ ...OVER_HTTP, ...THROUGH_REDIS }), "Publish.cs"].sort());
});
