// The worked example (examples/chat*.rs): its server on two pods, its worker and its client, beside stock clients.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, ask, collect } from "./clients.mjs";
import { BIN, ROOT, next, startPod, until } from "./pod.mjs";
import { startRedis } from "./redis.mjs";

const SETTINGS = join(ROOT, "examples", "chat.toml");

let redis, pods;
const clients = new Clients();
const programs = [];

before(async () => {
  redis = await startRedis();
  const settings = readFileSync(SETTINGS, "utf8").replace("redis://127.0.0.1:6379", redis.url);
  assert.ok(settings.includes(redis.url), "the example's Redis is replaced by that of the test");
  process.env.CHAT_REDIS = redis.url;
  pods = await Promise.all([1, 2].map(() => startPod(settings, { binary: "examples/chat" })));
  for (const pod of pods) await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
});
afterEach(async () => {
  clients.close();
  await Promise.all(programs.splice(0).map((program) => program.stop()));
});
after(async () => {
  await Promise.all(pods.map((pod) => pod.stop()));
  await redis.stop();
  delete process.env.CHAT_REDIS;
});

/** Runs one of the examples; `text` is what it has printed. */
function start(name, args = [], env = {}) {
  const stdio = ["ignore", "pipe", "pipe"];
  const child = spawn(join(BIN, "examples", name), args, { env: { ...process.env, ...env }, stdio });
  const program = { child, text: "", exit: once(child, "exit") };
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (program.text += text));
  program.prints = (text) => until(`${name} prints ${text}`, () => program.text.includes(text));
  /** Waits for its end, which is to be a good one. */
  program.ends = async () => {
    await until(`${name} ends: ${program.text}`, () => child.exitCode !== null || child.signalCode !== null);
    assert.equal(child.exitCode, 0, program.text);
  };
  program.stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await program.exit;
  };
  programs.push(program);
  return program;
}

/** A token, as the header of the example says. */
function token(sub) {
  const words = ["token", "--config", SETTINGS, "--sub", sub];
  const { status, stdout, stderr } = spawnSync(join(BIN, "roomcast"), words, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

const connect = (pod, auth = {}) =>
  clients.connect(io, `${pods[pod].url}/chat`, { transports: ["websocket"], auth });

test("guests join and listen; what needs a token is refused without one", async () => {
  const guest = await connect(0);
  assert.deepEqual(await ask(guest, "join", { rooms: ["public-a", "user:ada", "x"] }), {
    joined: ["public-a"],
    rejected: [
      { room: "user:ada", code: "room_denied" },
      { room: "x", code: "room_denied" },
    ],
  });
  const more = await ask(guest, "join", { rooms: Array.from({ length: 20 }, (_, n) => `public-${n}`) });
  assert.equal(more.joined.length, 9);
  assert.ok(more.rejected.every(({ code }) => code === "room_limit"));
  for (const [event, ...args] of [["chat", "public-a", "hi"], ["summarize", "a text"]]) {
    assert.equal((await ask(guest, event, ...args)).error.code, "authentication_required");
  }
  assert.equal((await ask(guest, "typing", "public-b")).error.code, "not_in_room");
  assert.deepEqual(await ask(guest, "typing", "public-a"), { accepted: true });
});

test("those with a token talk, across pods, under the name that it has", async () => {
  const [ada, guest] = [await connect(0, { token: token("ada") }), await connect(1)];
  for (const socket of [ada, guest]) await ask(socket, "join", { rooms: ["public-talk"] });
  const heard = next(guest, "chat");
  const own = collect(ada, "chat");
  assert.deepEqual(await ask(ada, "chat", "public-talk", "hello"), { accepted: true });
  assert.deepEqual(await heard, ["public-talk", "ada", "hello"]);
  assert.equal((await ask(ada, "chat", "public-talk", "x".repeat(1001))).error.code, "bad_text");
  assert.equal((await ask(ada, "chat", "public-talk", 7)).error.code, "bad_request");
  assert.deepEqual(own, []);
});

test("a job waits for a worker, and its result reaches all tabs of the user, on both pods", async () => {
  const auth = { token: token("grace") };
  const [one, two, other] = [await connect(0, auth), await connect(1, auth), await connect(1, { token: token("eve") })];
  const results = [next(one, "summary"), next(two, "summary")];
  const strangers = collect(other, "summary");
  const { job } = await ask(one, "summarize", "To be, or not to be");
  assert.match(job, /^\d+-\d+$/);
  // One that makes no sense does not hold up the others.
  redis.cli("xadd", "chat:jobs", "*", "job", "{");
  assert.equal(redis.cli("xlen", "chat:jobs"), "2");
  const worker = start("chat-worker");
  await worker.prints(`did job ${job}`);
  await worker.prints("cannot be read");
  const summary = { words: 6, most: [["be", 2], ["to", 2], ["not", 1]] };
  for (const result of results) assert.deepEqual(await result, [{ job, summary }]);
  await until("the queue is empty", () => redis.cli("xlen", "chat:jobs") === "0");
  // Nothing comes for longer than the worker waits at a time (`BLOCK`); it goes on all the same.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const later = await ask(one, "summarize", "again");
  await worker.prints(`did job ${later.job}`);
  assert.deepEqual(strangers, []);
});

test("the example's client does all of it", async () => {
  const listener = await connect(1);
  await ask(listener, "join", { rooms: ["public-lobby"] });
  const heard = next(listener, "chat");
  start("chat-worker");
  const client = start("chat-client", [token("ada")], { CHAT_URL: `${pods[0].url}/chat` });
  await client.ends();
  assert.deepEqual(await heard, ["public-lobby", "ada", "hello"]);
  const lines = client.text.split("\n");
  for (const line of ['joined ["public-lobby"]', "authenticated", 'chat: {"accepted":true}']) {
    assert.ok(lines.includes(line), `${line} in ${client.text}`);
  }
  assert.match(client.text, /^summary: .*"words":8/m);
  // A guest is let in, and told why it may not talk.
  const guest = start("chat-client", [], { CHAT_URL: `${pods[0].url}/chat` });
  await guest.ends();
  assert.match(guest.text, /^chat: .*authentication_required/m);
});

/** Asks for a summary until the job is taken. */
const queued = (socket) =>
  until("a job is taken again", async () => (await ask(socket, "summarize", "once more")).job);

test("jobs are taken again after connections to Redis were lost", async () => {
  const socket = await connect(0, { token: token("ada") });
  const { job } = await ask(socket, "summarize", "it has a connection");
  assert.ok(job);
  const worker = start("chat-worker");
  await worker.prints(`did job ${job}`);
  for (const type of ["normal", "pubsub"]) assert.match(redis.cli("client", "kill", "type", type), /^[1-9]/);
  await worker.prints(`did job ${await queued(socket)}`);
});

test("a Redis that comes back empty gets jobs, which the same worker does", async () => {
  const socket = await connect(0, { token: token("ada") });
  const worker = start("chat-worker");
  await worker.prints("waits for jobs");
  const connected = (value) =>
    Promise.all(pods.map((pod) => until("the link", async () => (await pod.metric("roomcast_backplane_connected")) === value)));
  await redis.kill();
  await connected(0);
  await redis.restart();
  await connected(1);
  const results = collect(socket, "summary");
  const job = await queued(socket);
  await worker.prints(`did job ${job}`);
  await until("its result comes", () => results.some(([result]) => result.job === job));
});
