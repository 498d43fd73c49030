// What a client sees of settings: tokens, older clients, the msgpack parser, CORS.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";

import { io } from "socket.io-client";
import io2 from "socket.io-client-2";
import * as msgpack from "socket.io-msgpack-parser";

import { Clients, WAYS, ask } from "./clients.mjs";
import { BIN, JWT_SECRET, OPEN, next, startPod } from "./pod.mjs";

const clients = new Clients();
afterEach(() => clients.close());

describe("tokens", () => {
  const rules = (auth) => `
[auth.jwt]
secret = "${JWT_SECRET}"
[namespaces."/"]
auth = "${auth}"
[[namespaces."/".rooms]]
pattern = "members"
join = "authenticated"
`;
  const mint = (...claims) => {
    const args = ["token", "--sub", "ada", "--set", `auth.jwt.secret=${JWT_SECRET}`, ...claims];
    return execFileSync(join(BIN, "roomcast"), args).toString().trim();
  };
  const joinMembers = (socket) => ask(socket, "join", { rooms: ["members"] });
  const refusal = async (pod, auth) => {
    const [error] = await next(clients.open(io, pod.url, { auth }), "connect_error");
    return error.message;
  };

  test("required: only a valid token gets in", async () => {
    const pod = await startPod(rules("required"));
    assert.match(await refusal(pod, {}), /authentication required/);
    assert.match(await refusal(pod, { token: "no.token.atall" }), /invalid/);
    assert.match(await refusal(pod, { token: 42 }), /authentication required/);
    const early = mint("--claim", "nbf=9999999999");
    assert.match(await refusal(pod, { token: early }), /invalid/);
    const socket = await clients.connect(io, pod.url, { auth: { token: mint() } });
    assert.deepEqual(await joinMembers(socket), { joined: ["members"], rejected: [] });
    assert.equal(await pod.metric("roomcast_connects_refused_total"), 4);
    await pod.stop();
  });

  test("optional: without a token one gets in, and not in rooms for members", async () => {
    const pod = await startPod(rules("optional"));
    const guest = await clients.connect(io, pod.url);
    assert.deepEqual((await joinMembers(guest)).rejected, [{ room: "members", code: "authentication_required" }]);
    assert.match(await refusal(pod, { token: "forged" }), /invalid/);
    const member = await clients.connect(io, pod.url, { auth: { token: mint() } });
    assert.deepEqual((await joinMembers(member)).joined, ["members"]);
    await pod.stop();
  });
});

describe("Socket.IO clients of version 2 (Engine.IO v3)", () => {
  for (const [way, options] of Object.entries(WAYS)) {
    test(`are served over ${way} when the setting says so`, async () => {
      const pod = await startPod(`engine.allow_eio3 = true\n${OPEN}`);
      const old = io2(pod.url, { forceNew: true, ...options });
      await next(old, "connect");
      const joined = await new Promise((resolve) => old.emit("join", { rooms: ["public-a"] }, resolve));
      assert.deepEqual(joined, { joined: ["public-a"], rejected: [] });
      const fresh = await clients.connect(io, pod.url, options);
      await ask(fresh, "join", { rooms: ["public-a"] });
      const [toOld, toFresh] = [next(old, "chat"), next(fresh, "chat")];
      await ask(fresh, "chat", "public-a", { bin: Buffer.from("hi") });
      assert.deepEqual(Buffer.from((await toOld)[1].bin).toString(), "hi");
      old.emit("chat", "public-a", "hello");
      assert.deepEqual(await toFresh, ["public-a", "hello"]);
      old.close();
      await pod.stop();
    });
  }

  test("are refused otherwise, and counted", async () => {
    const pod = await startPod();
    const old = io2(pod.url, { forceNew: true, reconnection: false });
    await next(old, "connect_error");
    old.close();
    assert.equal(await pod.metric("roomcast_requests_refused_total", "unsupported_protocol"), 1);
    await pod.stop();
  });
});

describe("the msgpack parser", () => {
  for (const [way, options] of Object.entries(WAYS)) {
    test(`carries events, acks and binary over ${way}`, async () => {
      const pod = await startPod(`engine.parser = "msgpack"\n${OPEN}`);
      const parser = msgpack.default ?? msgpack;
      const [a, b] = [
        await clients.connect(io, pod.url, { ...options, parser }),
        await clients.connect(io, pod.url, { ...options, parser }),
      ];
      for (const socket of [a, b]) {
        assert.deepEqual((await ask(socket, "join", { rooms: ["public-a"] })).joined, ["public-a"]);
      }
      const received = next(b, "chat");
      await ask(a, "chat", "public-a", { n: 1.5, bytes: Buffer.from([1, 2, 255]), nothing: null });
      const [room, argument] = await received;
      assert.equal(room, "public-a");
      assert.deepEqual([...new Uint8Array(argument.bytes)], [1, 2, 255]);
      assert.deepEqual([argument.n, argument.nothing], [1.5, null]);
      const published = next(b, "news");
      await pod.publish({ rooms: ["public-a"], event: "news", args: [{ deep: ["é", 7] }, 2] });
      assert.deepEqual(await published, [{ deep: ["é", 7] }, 2]);
      await pod.stop();
    });
  }
});

test("path and transports are settings", async () => {
  const pod = await startPod(`engine.transports = "websocket"\npublic.path = "/live/"\n${OPEN}`);
  const socket = await clients.connect(io, pod.url, { path: "/live/", transports: ["websocket"] });
  assert.deepEqual((await ask(socket, "join", { rooms: ["public-a"] })).joined, ["public-a"]);
  const polling = await fetch(`${pod.url}/live/?EIO=4&transport=polling`);
  assert.deepEqual(await polling.json(), { code: 0, message: "Transport unknown" });
  assert.equal((await fetch(`${pod.url}/socket.io/?EIO=4&transport=polling`)).status, 404);
  await pod.stop();
});

test("pages of configured origins may connect", async () => {
  const origin = "https://app.example.com";
  const pod = await startPod(`[public.cors]\norigins = ["HTTPS://App.example.com:443"]\ncredentials = true\n`);
  const handshake = (from) =>
    fetch(`${pod.url}/socket.io/?EIO=4&transport=polling`, { headers: { origin: from } });
  const allowed = (await handshake(origin)).headers;
  assert.equal(allowed.get("access-control-allow-origin"), origin);
  assert.equal(allowed.get("access-control-allow-credentials"), "true");
  assert.equal((await handshake("https://evil.example")).headers.get("access-control-allow-origin"), null);
  const preflight = await fetch(`${pod.url}/socket.io/?EIO=4&transport=polling`, {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "POST" },
  });
  assert.match(preflight.headers.get("access-control-allow-methods"), /POST/);
  await pod.stop();
});

test("the handshake has the headers that are named, and what a trusted load balancer says", async () => {
  const settings = '[public]\nkept_headers = ["Accept-Language", "x-tenant"]\n[public.proxies]\ntrusted = ["127.0.0.1"]\n';
  const pod = await startPod(OPEN + settings);
  const extraHeaders = {
    "accept-language": "de",
    "x-other": "not kept",
    "x-forwarded-for": "192.0.2.7",
    "x-forwarded-proto": "https",
    origin: "https://app.example.com",
  };
  for (const way of Object.values(WAYS)) {
    const socket = await clients.connect(io, pod.url, { ...way, extraHeaders });
    const { body } = await pod.api("GET", `sockets/${socket.id}`);
    const { headers, address, secure, xdomain } = body.socket.handshake;
    assert.deepEqual(headers, { "accept-language": "de" });
    assert.deepEqual([address, secure, xdomain], ["192.0.2.7", true, true]);
  }
  await pod.stop();
});
