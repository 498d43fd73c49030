// The server of docs/from-node.md before and after: on Node and as a pod, beside each other on one Redis, with a stock client at each.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { io } from "socket.io-client";
import { Clients, ask, code, collect } from "../clients.mjs";
import { BIN, startPod, until } from "../pod.mjs";
import { freePort, startRedis } from "../redis.mjs";
import { block, text } from "./page.mjs";

const PAGE = "docs/from-node.md";
const KEY = "a-key-for-the-migration-only";
const ROOM = "room:1";
const folder = mkdtempSync(join(tmpdir(), "roomcast-from-node-"));
symlinkSync(fileURLToPath(new URL("../node_modules", import.meta.url)), join(folder, "node_modules"));
const value = (toml, key) => new RegExp(`^${key} = \\[?"([^"]+)"`, "m").exec(toml)[1];

/** Runs a program of the page on a port of its own, until somebody answers there. */
async function start(name, env) {
  const port = await freePort();
  writeFileSync(join(folder, name), block(PAGE, name));
  const child = spawn(process.execPath, [name], { cwd: folder, env: { ...process.env, PORT: port, ...env }, stdio: ["ignore", "inherit", "inherit"] });
  const url = `http://127.0.0.1:${port}`;
  await until(name, () => {
    if (child.exitCode !== null) throw new Error(`${name} ended`);
    return fetch(url).then(() => true, () => false);
  });
  const stop = async () => {
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  };
  return { url, stop };
}

const running = [];
const clients = new Clients();
let redis, pod, node, ada, bob;
before(async () => {
  redis = await startRedis();
  running.push(redis);
  const toml = block(PAGE, "roomcast.toml");
  const hook = await start("hook.mjs", { HOOK_SECRET: value(toml, "secrets") });
  running.push(hook);
  node = await start("server.mjs", { REDIS_URL: redis.url, JWT_SECRET: value(toml, "secret") });
  running.push(node);
  // The page's hosts are the reader's.
  const here = toml.replace("redis://redis:6379", redis.url).replace("http://shop:8080", hook.url);
  assert.notEqual(here, toml);
  pod = await startPod(here);
  running.push(pod);
  writeFileSync(join(folder, "roomcast.toml"), here);
  await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
  const token = (sub) =>
    execFileSync(join(BIN, "roomcast"), ["token", "--config", join(folder, "roomcast.toml"), "--sub", sub], { encoding: "utf8" }).trim();
  ada = await clients.connect(io, node.url, { auth: { token: token("ada") } });
  bob = await clients.connect(io, pod.url, { auth: { token: token("bob") } });
  for (const socket of [ada, bob]) {
    assert.deepEqual(await ask(socket, "join", { rooms: [ROOM] }), { joined: [ROOM], rejected: [] });
  }
});
after(async () => {
  clients.close();
  for (const part of running.reverse()) await part.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("the pod counts the server of Node, as step 2 asks it", async () => {
  await until("one other", async () => (await pod.api("GET", "cluster", undefined, KEY)).body.others === 1);
  assert.match(text(PAGE), new RegExp(`Bearer ${KEY}' http://127.0.0.1:9000/api/v1/cluster`));
  const { sockets } = (await pod.api("GET", "sockets", undefined, KEY)).body;
  assert.deepEqual(sockets.map((socket) => socket.pod === null).sort(), [false, true]);
});

test("chat goes both ways, with the same arguments", async () => {
  for (const [from, to, said] of [[ada, bob, "from Node"], [bob, ada, "from the pod"]]) {
    const heard = collect(to, "chat");
    from.emit("chat", ROOM, said);
    await until(said, () => heard.length > 0);
    assert.deepEqual(heard, [[ROOM, said]]);
    to.off("chat");
  }
});

test("an order is acked the same on both sides", async () => {
  for (const [socket, user] of [[ada, "ada"], [bob, "bob"]]) {
    assert.deepEqual(await ask(socket, "order", { item: "tea" }), { number: 7, item: "tea", user });
  }
});

test("an emitter reaches a user's room on either side", async () => {
  const client = await createClient({ url: redis.url }).connect();
  for (const [socket, user] of [[ada, "ada"], [bob, "bob"]]) {
    const heard = collect(socket, "news");
    new Emitter(client).to(`user:${user}`).emit("news", user);
    await until(user, () => heard.length > 0);
    assert.deepEqual(heard, [[user]]);
  }
  await client.close();
});

test("what no rule allows is refused, with the codes that the page names", async () => {
  assert.deepEqual((await ask(bob, "join", { rooms: ["admins"] })).rejected, [{ room: "admins", code: "room_denied" }]);
  assert.equal(await code(bob, "wave", ROOM), "event_denied");
  assert.equal(await code(bob, "join", ROOM), "bad_request");
});

test("a forged token is refused on both sides", async () => {
  for (const { url } of [node, pod]) {
    await assert.rejects(clients.connect(io, url, { auth: { token: "a.e30.c" } }), /token|invalid/i);
  }
});
