// What metrics say of clients, beside what the test has counted itself; and that no client makes series.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, test } from "node:test";

import { io } from "socket.io-client";
import io2 from "socket.io-client-2";

import { Clients, WAYS, ask, code } from "./clients.mjs";
import { HOOK_SECRET } from "./hook-service.mjs";
import { API_KEY, OPEN, startPod, until } from "./pod.mjs";

const clients = new Clients();
const ends = [];
afterEach(async () => {
  clients.close();
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(config = OPEN) {
  const pod = await startPod(config);
  ends.push(() => pod.stop());
  return pod;
}

const page = async (pod) => (await fetch(`${pod.internal}/metrics`)).text();
/** The series of a page, without their values. */
const series = (text) => text.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => line.slice(0, line.lastIndexOf(" ")));
const reaches = (pod, name, labels, value) =>
  until(`${name}{${labels}} is ${value}`, async () => (await pod.metric(name, labels)) === value);

/** A WebSocket without a client library: it reads nothing until it is told to. */
async function raw(pod, query) {
  const tcp = connect(pod.port, "127.0.0.1");
  ends.push(() => tcp.destroy());
  tcp.on("error", () => {});
  const key = "AAAAAAAAAAAAAAAAAAAAAA==";
  tcp.write(
    `GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n` +
      `upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
  );
  const [head] = await once(tcp, "data");
  assert.match(head.toString("latin1"), /^HTTP\/1.1 101/);
  tcp.pause();
  return tcp;
}

/** A short text frame, masked with zeros. */
const frame = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);

/** A polling session without a client library: its id. */
async function session(pod) {
  const text = await (await fetch(`${pod.url}/socket.io/?EIO=4&transport=polling`)).text();
  return JSON.parse(text.slice(1)).sid;
}

describe("figures of clients", () => {
  test("a pod that has just started has its series, at 0", async () => {
    const pod = await start(`${OPEN}
[auth.jwt]
secret = "a secret for the tests only, long enough"
[hooks]
secrets = ["${HOOK_SECRET}"]
[namespaces."/hooked"]
auth = "optional"
[namespaces."/hooked".hooks]
connect = "http://127.0.0.1:9/hook"
`);
    const text = await page(pod);
    const zero = [
      `connections{transport="websocket"}`, `connections{transport="polling"}`,
      `connection_duration_seconds_count{transport="websocket"}`, `handshake_duration_seconds_count{transport="polling"}`,
      `upgrades_total{result="timeout"}`, `rooms{nsp="/"}`, `rooms{nsp="/second"}`, `acks_total{result="gone"}`,
      `send_queue_packets_count`, `send_queue_bytes_count`, `slow_clients`, `slow_clients_closed_total{reason="queue full"}`,
      `limit_used_ratio{limit="admission.max_connections"}`, `limits_reached_total{limit="client answers"}`,
      `events_total{nsp="/",result="ok"}`, `events_total{nsp="/second",result="rate_limited"}`,
      `connects_refused_total{nsp="/",code="token_invalid"}`, `token_checks_total{result="signature"}`,
      `rooms_refused_total{nsp="/",code="room_limit"}`, `invalid_namespaces_total`,
      `hook_calls_total{hook="http://127.0.0.1:9/hook",kind="connect",result="breaker open"}`,
      `hook_breaker{hook="http://127.0.0.1:9/hook",state="open"}`, `hook_retries_total{hook="http://127.0.0.1:9/hook",kind="connect"}`,
      `requests_refused_total{code="file_limit"}`, `api_requests_total{path="/api/v1/emit",result="unauthorized"}`,
    ];
    for (const one of zero) assert.ok(text.includes(`\nroomcast_${one} 0\n`), one);
    // The paths of the API are those that it has.
    const { body } = await pod.api("GET", "openapi.json");
    const known = [...text.matchAll(/^roomcast_api_requests_total\{path="([^"]+)"/gm)].map((found) => found[1]);
    assert.deepEqual([...new Set(known)].sort(), [...Object.keys(body.paths).map((path) => `/api/v1${path}`), "other"].sort());
    for (const path of ["sockets/x", "none", "emit/none", ""]) await pod.api("GET", path);
    assert.deepEqual(series(await page(pod)).sort(), series(text).sort());
  });

  test("100 connections are 100, as are their durations; rooms are as many as are made", async () => {
    const pod = await start();
    const begun = Date.now();
    const ways = [...Array(60).fill("websocket"), ...Array(30).fill("polling"), ...Array(10).fill("upgrade")];
    const sockets = await Promise.all(ways.map((way) => clients.connect(io, pod.url, WAYS[way])));
    const allThere = Date.now();
    assert.equal(await pod.metric("roomcast_connections"), 100);
    await reaches(pod, "roomcast_connections", "polling", 30);
    assert.equal(await pod.metric("roomcast_upgrades_total", `result="ok"`), 10);
    assert.equal(await pod.metric("roomcast_upgrades_total"), 10);
    // Once a connection, also when it connects to a second namespace.
    await clients.connect(io, pod.url.replace(/$/, "/second"), { ...WAYS.websocket, forceNew: true });
    await reaches(pod, "roomcast_handshake_duration_seconds_count", "", 101);
    const waited = await pod.metric("roomcast_handshake_duration_seconds_sum");
    assert.ok(waited > 0 && waited < (101 * (Date.now() - begun)) / 1000, `${waited} s`);
    assert.ok((await pod.metric("roomcast_handshake_duration_seconds_count", "websocket")) >= 61);
    await Promise.all(sockets.map((socket, i) => ask(socket, "join", { rooms: [`public-${i % 7}`, "public-all"] })));
    assert.equal(await pod.metric("roomcast_rooms", `nsp="/"`), 8);
    assert.equal(await pod.metric("roomcast_rooms", `nsp="/second"`), 0);
    await Promise.all(sockets.filter((_, i) => i % 7 === 0).map((socket) => ask(socket, "leave", { rooms: ["public-0"] })));
    assert.equal(await pod.metric("roomcast_rooms"), 7);
    assert.equal(await pod.metric("roomcast_connection_duration_seconds_count"), 0);
    const closing = Date.now();
    clients.close();
    await reaches(pod, "roomcast_connection_duration_seconds_count", "", 101);
    assert.equal(await pod.metric("roomcast_connection_duration_seconds_count", "websocket"), 71);
    const open = await pod.metric("roomcast_connection_duration_seconds_sum");
    const [least, most] = [(100 * (closing - allThere)) / 1000, (101 * (Date.now() - begun)) / 1000];
    assert.ok(open >= least && open <= most, `${least} <= ${open} <= ${most}`);
    assert.equal(await pod.metric("roomcast_rooms"), 0);
    assert.equal(await pod.metric("roomcast_connections_closed_total"), 101);
  });

  test("a handshake is as long as the client takes to ask, and one that is refused is none", async () => {
    const pod = await start(`
[auth.jwt]
secret = "a secret for the tests only, long enough"
[namespaces."/"]
auth = "required"
auth_timeout = "10s"
[namespaces."/open"]
auth = "none"
`);
    const tcp = await raw(pod, "");
    await new Promise((resolve) => setTimeout(resolve, 600));
    tcp.write(frame(`40{"token":"x"}`));
    await until("it is refused", () => pod.metric("roomcast_connects_refused_total", "token_invalid"));
    assert.equal(await pod.metric("roomcast_handshake_duration_seconds_count"), 0);
    tcp.write(frame("40/open,"));
    await reaches(pod, "roomcast_handshake_duration_seconds_count", "websocket", 1);
    assert.ok((await pod.metric("roomcast_handshake_duration_seconds_sum")) >= 0.6);
  });

  test("a polling client that closes is gone at once, in a namespace or not", async () => {
    const pod = await start();
    for (const [packets, reason] of [[[], "no namespace"], [["40/none,"], "no namespace"], [["40"], "transport close"]]) {
      const url = `${pod.url}/socket.io/?EIO=4&transport=polling&sid=${await session(pod)}`;
      for (const body of packets) {
        await fetch(url, { method: "POST", body });
        await (await fetch(url)).text();
      }
      assert.equal(await pod.metric("roomcast_connections", 'transport="polling"'), 1);
      const before = await pod.metric("roomcast_connections_closed_total", `reason="${reason}"`);
      assert.equal((await fetch(url, { method: "POST", body: "1" })).status, 200);
      // Far sooner than the pod would give it up.
      await until("it is gone", async () => (await pod.metric("roomcast_connections", 'transport="polling"')) === 0, 5_000);
      assert.equal(await pod.metric("roomcast_connections_closed_total", `reason="${reason}"`), before + 1);
    }
  });

  test("upgrades count by what became of them", async () => {
    const pod = await start(`engine.upgrade_timeout = "300ms"\n${OPEN}`);
    const sid = await session(pod);
    const results = async () =>
      Object.fromEntries(
        await Promise.all(
          ["ok", "timeout", "abandoned", "session ended", "surplus"].map(async (result) => [
            result, await pod.metric("roomcast_upgrades_total", `result="${result}"`),
          ]),
        ),
      );
    await raw(pod, `&sid=${sid}`);
    await reaches(pod, "roomcast_upgrades_total", `result="timeout"`, 1);
    const probing = await raw(pod, `&sid=${sid}`);
    await raw(pod, `&sid=${sid}`);
    probing.destroy();
    await reaches(pod, "roomcast_upgrades_total", `result="abandoned"`, 1);
    const upgraded = await raw(pod, `&sid=${sid}`);
    upgraded.write(Buffer.concat([frame("2probe"), frame("5")]));
    await reaches(pod, "roomcast_upgrades_total", `result="ok"`, 1);
    await raw(pod, `&sid=${sid}`);
    const other = await session(pod);
    const say = (body) => fetch(`${pod.url}/socket.io/?EIO=4&transport=polling&sid=${other}`, { method: "POST", body });
    await say("40");
    await reaches(pod, "roomcast_sockets", "", 1);
    (await raw(pod, `&sid=${other}`)).write(frame("2probe"));
    await say("1");
    await until("the last has ended", async () => (await pod.metric("roomcast_upgrades_total")) === 6);
    const ended = await results();
    assert.deepEqual(ended, { ok: 1, timeout: 1, abandoned: 1, "session ended": 1, surplus: 2 });
  });

  test("acks are as many as were asked for, and each ends once", async () => {
    const pod = await start();
    const sockets = await Promise.all(Array.from({ length: 10 }, () => clients.connect(io, pod.url, WAYS.websocket)));
    sockets.forEach((socket, i) => socket.on("vote", (ack) => {
      if (i < 6) ack(i);
      else if (i < 8) socket.disconnect();
    }));
    const { body } = await pod.publish({ event: "vote", ack_timeout: "1s" });
    assert.equal(body.answers.length, 6);
    for (const [result, count] of [["asked", 10], ["answered", 6], ["gone", 2], ["timeout", 2]]) {
      assert.equal(await pod.metric("roomcast_acks_total", `result="${result}"`), count, result);
    }
  });

  test("rooms of children of a dynamic namespace count for that", async () => {
    const pod = await start(`
[namespaces."/game-{id}"]
auth = "none"
[[namespaces."/game-{id}".rooms]]
pattern = "*"
join = "anyone"
`);
    const sockets = await Promise.all([1, 2, 3].map((id) => clients.connect(io, `${pod.url}/game-${id}`, WAYS.websocket)));
    await Promise.all(sockets.map((socket) => ask(socket, "join", { rooms: ["a", "b"] })));
    assert.equal(await pod.metric("roomcast_rooms", `nsp="/game-{id}"`), 6);
    sockets[0].disconnect();
    await reaches(pod, "roomcast_rooms", `nsp="/game-{id}"`, 4);
    clients.close();
    await reaches(pod, "roomcast_child_namespaces", "", 0);
    assert.equal(await pod.metric("roomcast_rooms"), 0);
  });

  test("rooms that are refused are as many as were asked for", async () => {
    const pod = await start(`
[limits]
rooms_per_socket = 3
[namespaces."/"]
auth = "none"
default_rooms = ["public-d", "public-e", "public-f", "public-g", "public-h"]
[[namespaces."/".rooms]]
pattern = "public-*"
join = "anyone"
`);
    const refused = (code) => pod.metric("roomcast_rooms_refused_total", `code="${code}"`);
    const socket = await clients.connect(io, pod.url, WAYS.websocket);
    assert.equal(await refused("room_limit"), 2);
    const { rejected } = await ask(socket, "join", { rooms: ["public-1", "private-1", "private-2"] });
    assert.deepEqual(rejected.map((one) => one.code), ["room_limit", "room_denied", "room_denied"]);
    await ask(socket, "leave", { rooms: [socket.id] });
    assert.deepEqual(await Promise.all(["room_limit", "room_denied", "room_reserved"].map(refused)), [3, 2, 1]);
    assert.equal(await pod.metric("roomcast_rooms_refused_total"), 6);
  });

  test("namespaces that there are not are counted once for each that asks, known patterns or not", async () => {
    for (const more of ["", `[namespaces."/game-{id}"]\nauth = "none"\n`]) {
      const pod = await start(`engine.allow_eio3 = true\n${OPEN}${more}`);
      const refused = async (ask, path, way) => {
        const socket = clients.open(ask, `${pod.url}${path}`, { ...WAYS[way], reconnection: false });
        await once(socket, ask === io2 ? "error" : "connect_error");
        socket.disconnect();
      };
      let asked = 0;
      for (const way of Object.keys(WAYS)) {
        for (const path of ["/none", "/none?x=1", "/game-1/2"]) {
          await refused(io, path, way);
          asked += 1;
        }
        for (const path of ["/none", "/none?x=1"]) {
          await refused(io2, path, way);
          asked += 1;
        }
      }
      assert.equal(await pod.metric("roomcast_invalid_namespaces_total"), asked);
    }
  });

  test("limits that refuse nobody are counted when they are reached", async () => {
    const pod = await start(`
api.keys = ["${API_KEY}"]
[limits]
max_payload = "2MB"
[namespaces."/"]
auth = "none"
[namespaces."/game-{id}"]
auth = "none"
`);
    const reached = (limit) => pod.metric("roomcast_limits_reached_total", `limit="${limit}"`);
    assert.equal(await pod.metric("roomcast_limits_reached_total"), 0);
    const socket = await clients.connect(io, pod.url, WAYS.websocket);
    for (const length of [1100, 500, 1500]) await code(socket, "x".repeat(length));
    assert.equal(await reached("event name"), 2);
    // Eight are waited for.
    const tcp = await raw(pod, "");
    tcp.write(Buffer.concat(Array.from({ length: 11 }, (_, i) => frame(`40/game-${i},`))));
    await reaches(pod, "roomcast_sockets", "game", 11);
    assert.equal(await reached("namespaces at once"), 3);
    // A WebSocket that its session has no use for, and that stays.
    const sid = await session(pod);
    await raw(pod, `&sid=${sid}`);
    await raw(pod, `&sid=${sid}`);
    await reaches(pod, "roomcast_limits_reached_total", "websocket farewell", 1);
    // Of twelve answers of 1.5 MB, eleven are within 16 MiB.
    const voters = await Promise.all(Array.from({ length: 12 }, () => clients.connect(io, pod.url, WAYS.websocket)));
    for (const voter of voters) voter.on("vote", (ack) => ack("x".repeat(1_500_000)));
    const { body } = await pod.publish({ event: "vote", rooms: voters.map(({ id }) => id), ack_timeout: "20s" });
    assert.deepEqual([body.answers.length, await reached("client answers")], [11, 1]);
    // What is kept for a key.
    assert.equal(await pod.metric("roomcast_limit_used_ratio", "idempotency notes"), 0);
    await pod.api("POST", "emit", { event: "x" }, API_KEY, { "idempotency-key": "a" });
    const kept = await pod.metric("roomcast_limit_used_ratio", "idempotency notes");
    assert.ok(kept > 0 && kept < 0.001, `${kept}`);
    const memory = await pod.metric("roomcast_limit_used_ratio", "limits.memory");
    assert.ok(memory >= 0 && memory < 1, `${memory}`);
  });

  test("how many connections there are is seen beside how many there may be", async () => {
    const pod = await start(`admission.max_connections = 8\n${OPEN}`);
    await Promise.all([1, 2, 3, 4].map(() => clients.connect(io, pod.url, WAYS.websocket)));
    await reaches(pod, "roomcast_limit_used_ratio", "admission.max_connections", 0.5);
    clients.close();
    await reaches(pod, "roomcast_limit_used_ratio", "admission.max_connections", 0);
  });
});

describe("slow clients", () => {
  const big = { event: "big", args: ["x".repeat(100_000)] };
  const FEW = `limits.send_queue_bytes = "4MB"\n${OPEN}`;
  const SLOW = `engine.ping_interval = "10m"\nlimits.send_queue_bytes = "40MB"\n${OPEN}`;

  test("who does not read is seen, with what waits, and closed", async () => {
    const pod = await start(SLOW);
    const tcp = await raw(pod, "");
    tcp.write(frame("40"));
    const reader = await clients.connect(io, pod.url, WAYS.websocket);
    await reaches(pod, "roomcast_sockets", "", 2);
    let got = 0;
    reader.on("big", () => (got += 1));
    let sent = 0;
    // More than the kernel holds, and less than may wait.
    for (; sent < 200; sent += 1) await pod.publish(big);
    await reaches(pod, "roomcast_slow_clients", "", 1);
    // The one that reads is not observed.
    const text = await page(pod);
    const [looks, bytes, packets] = ["bytes_count", "bytes_sum", "packets_sum"].map((name) =>
      Number(text.match(new RegExp(`^roomcast_send_queue_${name} (.*)$`, "m"))[1]),
    );
    assert.ok(looks >= 1);
    assert.ok(packets > 0 && packets <= looks * sent && Math.abs(bytes - packets * 100_008) < packets * 100, `${packets} packets, ${bytes} bytes`);
    await until("it is closed", async () => {
      sent += 1;
      await pod.publish(big);
      return pod.metric("roomcast_slow_clients_closed_total", `reason="queue full"`);
    });
    await until("none is slow", async () => (await pod.metric("roomcast_slow_clients")) === 0);
    await until("the other has all", () => got === sent);
    assert.equal(await pod.metric("roomcast_slow_clients_closed_total"), 1);
  });

  test("one that takes nothing in time is closed for that", async () => {
    const pod = await start(`limits.write_timeout = "500ms"\n${SLOW}`);
    const tcp = await raw(pod, "");
    tcp.write(frame("40"));
    await reaches(pod, "roomcast_sockets", "", 1);
    await until("it is closed", async () => {
      if ((await pod.metric("roomcast_slow_clients_closed_total")) === 0) await pod.publish(big);
      return pod.metric("roomcast_slow_clients_closed_total");
    });
  });

  for (const way of Object.keys(WAYS)) {
    test(`one that takes all is not slow, however much it is sent, over ${way}`, async () => {
      const pod = await start(FEW);
      const socket = await clients.connect(io, pod.url, WAYS[way]);
      let got = 0;
      socket.on("big", () => (got += 1));
      for (let sent = 1; sent <= 80; sent += 1) {
        await pod.publish(big);
        await until("it has it", () => got === sent);
      }
      // One that polls may be seen between two polls, while something waits for it.
      const looks = await pod.metric("roomcast_send_queue_packets_count");
      if (way !== "polling") assert.equal(looks, 0);
      assert.equal(await pod.metric("roomcast_connections"), 1);
      assert.equal(await pod.metric("roomcast_slow_clients_closed_total"), 0);
    });
  }
});

describe("what clients make up", () => {
  test("makes no series", async () => {
    const pod = await start(`
api.keys = ["${API_KEY}"]
[limits]
child_namespaces = 50
[auth.jwt]
secret = "a secret for the tests only, long enough"
[namespaces."/"]
auth = "optional"
[[namespaces."/".rooms]]
pattern = "*"
join = "anyone"
relay = ["*"]
[namespaces."/game-{id}"]
auth = "none"
`);
    const made = (i) => `${i.toString(36)}-${Math.random().toString(36).slice(2)}`;
    const rounds = async (from, to) => {
      const socket = await clients.connect(io, pod.url, WAYS.websocket);
      for (let i = from; i < to; i += 1) {
        await Promise.all([
          code(socket, made(i), made(i)),
          code(socket, "join", { rooms: [made(i)] }),
          code(socket, "leave", { rooms: [made(i)] }),
          code(socket, made(i).repeat(60), 1),
        ]);
      }
      socket.disconnect();
      for (let i = from; i < to; i += 50) {
        const asked = Array.from({ length: 10 }, (_, n) => n).flatMap((n) => [
          fetch(`${pod.url}/socket.io/?EIO=4&transport=${made(i + n)}`),
          fetch(`${pod.url}/socket.io/?EIO=${made(n)}&transport=polling&${made(i)}=${made(n)}`),
          fetch(`${pod.url}/socket.io/?EIO=4&transport=polling&sid=${made(i)}`),
          fetch(`${pod.url}/${made(i)}`),
          fetch(`${pod.url}/socket.io/${made(i)}`, { method: n % 2 ? "PUT" : "GET" }),
          fetch(`${pod.internal}/api/v1/${made(i)}`),
          fetch(`${pod.internal}/api/v1/sockets/${made(i)}`, { headers: { authorization: `Bearer ${made(n)}` } }),
        ]);
        await Promise.all(asked.map(async (answer) => (await answer).text()));
        for (const path of [`/game-${made(i)}`, `/${made(i)}`, `/game-${made(i)}?${made(i)}=1`]) {
          const child = clients.open(io, `${pod.url}${path}`, { ...WAYS.websocket, reconnection: false, auth: { token: made(i) } });
          await Promise.race([once(child, "connect"), once(child, "connect_error")]);
          child.disconnect();
        }
        const guest = await clients.connect(io, pod.url, WAYS.websocket);
        guest.emit("authenticate", { token: made(i) });
        await until("its token is looked at", async () => (await pod.metric("roomcast_token_checks_total")) > i / 50);
        guest.disconnect();
      }
      await reaches(pod, "roomcast_child_namespaces", "", 0);
    };
    const before = series(await page(pod)).sort();
    await rounds(0, 1000);
    assert.deepEqual(series(await page(pod)).sort(), before);
    // They were seen, all the same.
    assert.ok((await pod.metric("roomcast_events_total")) >= 4000);
    assert.ok((await pod.metric("roomcast_requests_refused_total", "session_unknown")) >= 200);
    assert.ok((await pod.metric("roomcast_token_checks_total", "malformed")) >= 20);
  });
});
