// A pod that drains sends HTTP clients to other pods: their next request comes over a new TCP connection.

import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect, createServer } from "node:net";
import { test } from "node:test";

import { io } from "socket.io-client";

import { ask } from "../clients.mjs";
import { OPEN, next, startPod, until } from "../pod.mjs";
import { openRaw } from "./raw.mjs";

const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";
const phase = async (pod) => (await (await fetch(`${pod.internal}/readyz`)).text()).trim();

/** Asks as a client does that keeps its connections: the status, whether the connection stays, and the body. */
async function asked(agent, pod, path, { method = "GET", body } = {}) {
  const asking = request(`${pod.url}${path}`, { agent, method });
  asking.end(body);
  const [response] = await once(asking, "response");
  let text = "";
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, stays: response.headers.connection !== "close", text };
}

test("once a drain is announced, each answer is the last of its connection, until the drain is taken back", async () => {
  const pod = await startPod(`${OPEN}\n[drain]\ndelay = "10m"\ntimeout = "11m"`);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const http = (path, options) => asked(agent, pod, path, options);
  const upgrading = io(pod.url, { forceNew: true, reconnection: false, transports: ["polling", "websocket"], upgrade: false });
  try {
    await next(upgrading, "connect");
    const opened = await http(HANDSHAKE);
    const session = `${HANDSHAKE}&sid=${JSON.parse(opened.text.slice(1)).sid}`;
    const answers = async () => [
      await http(HANDSHAKE),
      await http("/nothing"),
      await http(session, { method: "POST", body: "40" }),
      await http(`${HANDSHAKE}&sid=nobody`),
      await http("/socket.io/", { method: "OPTIONS" }),
    ];
    const statuses = (all) => all.map(({ status }) => status);
    const before = await answers();
    assert.deepEqual(before.map(({ stays }) => stays), [true, true, true, true, true]);

    await pod.api("POST", "drain");
    const during = await answers();
    assert.deepEqual(statuses(during), [503, ...statuses(before).slice(1)]);
    assert.deepEqual(during.map(({ stays }) => stays), [false, false, false, false, false]);
    assert.match((await http(session)).text, /40\{/, "sessions go on");
    // An upgrade is no answer like these: its connection is the WebSocket.
    const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": 13, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
    const upgrade = request(`${pod.url}/socket.io/?EIO=4&transport=websocket&sid=${upgrading.io.engine.id}`, { headers });
    upgrade.end();
    const [answer, websocket] = await next(upgrade, "upgrade");
    assert.deepEqual([answer.statusCode, answer.headers.connection], [101, "Upgrade"]);
    websocket.destroy();

    await pod.api("DELETE", "drain");
    assert.equal((await http(HANDSHAKE)).stays, true);
  } finally {
    upgrading.disconnect();
    agent.destroy();
    await pod.stop("SIGKILL");
  }
});

test("connections that are kept and idle are closed when the pod closes its sessions, and new ones are answered", async () => {
  const pod = await startPod(`${OPEN}\n[drain]\nwindow = "10m"\ntimeout = "11m"`);
  const kept = connect({ port: pod.port, host: "127.0.0.1" });
  const members = [];
  try {
    // These keep the pod closing.
    for (let count = 0; count < 3; count += 1) members.push((await openRaw(pod)).socket);
    kept.write("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(String((await next(kept, "data"))[0]), /^HTTP\/1.1 404/);
    const ended = next(kept, "end");
    const early = connect({ port: pod.port, host: "127.0.0.1" });
    await once(early, "connect");
    await pod.api("POST", "drain");
    await ended;
    assert.equal(await phase(pod), "closing");
    // Not used yet: it may be the next poll of a session.
    early.write("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(String((await next(early, "data"))[0]), /^HTTP\/1.1 404[^]*\r\nconnection: close\r\n/);
    await until("it is closed", () => early.readableEnded || early.destroyed);
  } finally {
    for (const socket of members) socket.destroy();
    await pod.stop("SIGKILL");
  }
});

test("a stock polling client that keeps its connections is on another pod with its first attempt", async () => {
  const [old, other] = await Promise.all([startPod(`${OPEN}\n[drain]\ndelay = "1s"\nwindow = "3s"\ntimeout = "10s"`), startPod(OPEN)]);
  // A load balancer of TCP connections, which gives all that are new to the other pod once the first is not ready.
  let to = old;
  const balancer = createServer((client) => {
    const server = connect({ port: to.port, host: "127.0.0.1" });
    client.pipe(server).pipe(client);
    for (const end of [client, server]) end.on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(balancer, "listening");
  const agent = new Agent({ keepAlive: true });
  const socket = io(`http://127.0.0.1:${balancer.address().port}`, { forceNew: true, transports: ["polling"], agent, reconnectionDelay: 100 });
  const [errors, others] = [[], []];
  socket.on("connect_error", (error) => errors.push(`${error.message} ${error.description}`));
  try {
    await next(socket, "connect");
    await ask(socket, "join", { rooms: ["public-a"] });
    // While these go, the old pod is still there.
    for (let count = 0; count < 20; count += 1) others.push((await openRaw(old)).socket);
    const gone = next(socket, "disconnect");
    const stopping = old.stop();
    await until("it is announced", () => old.logs.some(({ message }) => message.startsWith("stopping")));
    to = other;
    await gone;
    await next(socket, "connect");
    assert.deepEqual(errors, []);
    assert.equal(await stopping, 0);
  } finally {
    for (const each of [...others, socket.disconnect()]) each.destroy?.();
    agent.destroy();
    balancer.close();
    await Promise.all([old.stop("SIGKILL"), other.stop("SIGKILL")]);
  }
});
