// Who a client is, after it has connected: the events `authenticate`, `authenticated` and `unauthenticated`, tokens that
// end, and events whose token is checked each time.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, WAYS, ask, codeOrNone, collect } from "./clients.mjs";
import { HANG, HOOK_SECRET, startHookService } from "./hook-service.mjs";
import { Key, jwt, serveKeys } from "./issuer.mjs";
import { API_KEY, JWT_SECRET, next, startPod, until } from "./pod.mjs";

const clients = new Clients();
const ends = [];
afterEach(async () => {
  clients.close();
  for (const end of ends.splice(0).reverse()) await end();
});

const soon = (seconds) => ({ exp: Math.floor(Date.now() / 1000) + seconds });

async function pod(rules, keys = `secret = "${JWT_SECRET}"\nleeway = "0s"`, top = "") {
  const started = await startPod(`
${top}
[api]
keys = ["${API_KEY}"]
[auth.jwt]
${keys}
[namespaces."/"]
default_rooms = ["all"]
${rules}
[[namespaces."/".rooms]]
pattern = "user:{sub}"
join = "auto"
[[namespaces."/".rooms]]
pattern = "team:{teams}"
join = "claim"
[[namespaces."/".rooms]]
pattern = "public-*"
join = "anyone"
[[namespaces."/".events]]
name = "announce:*"
action = "relay"
[[namespaces."/".events]]
name = "careful"
action = "relay"
auth = true
`);
  ends.push(() => started.stop());
  return started;
}

const LATE = 'auth = "required"\nauth_timeout = "20s"';
const code = async (socket, ...args) => (await ask(socket, ...args)).error?.code;

/** Emits to targets, then to the socket itself; gives what of it arrived. */
async function heard(started, socket, targets) {
  const news = collect(socket, "news");
  for (const target of targets) await started.publish({ event: "news", args: [JSON.stringify(target)], ...target });
  const marker = next(socket, "marker");
  await started.publish({ rooms: [socket.id], event: "marker" });
  await marker;
  socket.off("news");
  return news.map(([target]) => JSON.parse(target));
}

const TARGETS = [{ rooms: ["all"] }, { rooms: ["user:ada"] }, {}];

for (const [way, options] of Object.entries(WAYS)) {
  describe(`late authentication over ${way}`, () => {
    test("before: refused and nowhere; after: told, answered, in its rooms", async () => {
      const started = await pod(LATE);
      const socket = await clients.connect(io, started.url, options);
      assert.equal(await code(socket, "announce:x", 1), "authentication_required");
      assert.equal(await code(socket, "join", { rooms: ["public-a"] }), "authentication_required");
      assert.equal(await code(socket, "presence", { room: "all" }), "authentication_required");
      assert.deepEqual(await heard(started, socket, TARGETS), []);

      const told = next(socket, "authenticated");
      assert.deepEqual(await ask(socket, "authenticate", { token: jwt() }), { authenticated: true });
      assert.ok(Math.abs((await told)[0].time - Date.now()) < 60_000);
      assert.deepEqual(await heard(started, socket, TARGETS), TARGETS);
      assert.deepEqual((await ask(socket, "join", { rooms: ["public-a"] })).joined, ["public-a"]);
    });

    test("what follows `authenticate` in the same breath is handled", async () => {
      const started = await pod(LATE);
      const socket = await clients.connect(io, started.url, options);
      const answers = [ask(socket, "authenticate", jwt())];
      for (let n = 0; n < 20; n += 1) answers.push(ask(socket, "announce:x", n));
      assert.deepEqual(await Promise.all(answers), [{ authenticated: true }, ...Array(20).fill({ accepted: true })]);
    });

    for (const [name, shown, expected] of [
      ["a forged token", { token: "a.b.c" }, "token_invalid"],
      ["one that has expired", { token: jwt(soon(-60)) }, "token_invalid"],
      ["no token", { password: "secret" }, "bad_request"],
      ["nothing", undefined, "bad_request"],
    ]) {
      test(`${name}: answered, told, and put out`, async () => {
        const started = await pod(LATE);
        const socket = await clients.connect(io, started.url, options);
        const order = [];
        socket.on("unauthenticated", (why) => order.push(["unauthenticated", why]));
        socket.on("disconnect", (reason) => order.push(["disconnect", reason]));
        const ack = shown === undefined ? ask(socket, "authenticate") : ask(socket, "authenticate", shown);
        assert.equal((await ack).error.code, expected);
        await until("it is out", () => order.length === 2);
        const [[, why], end] = order;
        assert.deepEqual(Object.keys(why).sort(), ["code", "message", "time"]);
        assert.equal(why.code, expected);
        assert.ok(why.message.length > 5 && Math.abs(why.time - Date.now()) < 60_000);
        assert.deepEqual(end, ["disconnect", "io server disconnect"]);
        await until("nothing is left", async () => (await started.metric("roomcast_sockets")) === 0);
      });
    }

    test("no token in time", async () => {
      const started = await pod('auth = "required"\nauth_timeout = "5s"');
      const slow = clients.open(io, started.url, options);
      const [told, gone] = [next(slow, "unauthenticated"), next(slow, "disconnect")];
      const quick = clients.open(io, started.url, options);
      quick.once("connect", () => quick.emit("authenticate", jwt()));
      await next(quick, "authenticated");
      assert.equal((await told)[0].code, "authentication_timeout");
      assert.equal((await gone)[0], "io server disconnect");
      // Long after its own time the other one is still there.
      await new Promise((resolve) => setTimeout(resolve, 5500));
      assert.deepEqual(await ask(quick, "announce:x"), { accepted: true });
    });

    test("a token that ends: told, nobody, and out unless a fresh one comes", async () => {
      const started = await pod('auth = "required"\nauth_timeout = "5s"');
      const events = {};
      const open = (name) => {
        const socket = clients.open(io, started.url, { ...options, auth: { token: jwt(soon(6)) } });
        const seen = (events[name] = []);
        socket.on("unauthenticated", ({ code }) => seen.push(code));
        socket.on("disconnect", (reason) => seen.push(reason));
        return socket;
      };
      const [idle, fresh, early] = ["idle", "fresh", "early"].map(open);
      await Promise.all([idle, fresh, early].map((socket) => next(socket, "connect")));
      await ask(early, "authenticate", { token: jwt() });
      await until("the token has ended", () => events.fresh.length === 1);
      assert.equal(await code(fresh, "announce:x"), "authentication_required");
      assert.deepEqual(await ask(fresh, "authenticate", { token: jwt() }), { authenticated: true });
      await until("the idle one is out", () => events.idle.includes("io server disconnect"));
      assert.deepEqual(await ask(fresh, "announce:x"), { accepted: true });
      assert.deepEqual(await ask(early, "announce:x"), { accepted: true });
      assert.deepEqual(events, {
        idle: ["token_invalid", "authentication_timeout", "io server disconnect"],
        fresh: ["token_invalid"],
        early: [],
      });
    });
  });
}

test("optional: a guest may act, may authenticate, and is told when its token ends", async () => {
  const started = await pod('auth = "optional"\nauth_timeout = "800ms"');
  const guest = await clients.connect(io, started.url);
  assert.deepEqual(await heard(started, guest, TARGETS), [TARGETS[0], TARGETS[2]]);
  assert.deepEqual(await ask(guest, "announce:x"), { accepted: true });
  // A guest has no deadline.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const [told, gone] = [next(guest, "unauthenticated"), next(guest, "disconnect")];
  assert.deepEqual(await ask(guest, "authenticate", { token: jwt(soon(6)) }), { authenticated: true });
  assert.deepEqual(await heard(started, guest, TARGETS), TARGETS);
  assert.equal((await told)[0].code, "token_invalid");
  assert.equal((await gone)[0], "io server disconnect");
});

test("a token with other claims: rooms that it does not allow are left", async () => {
  const started = await pod('auth = "required"');
  const socket = await clients.connect(io, started.url, { auth: { token: jwt({ teams: ["red", "blue"] }) } });
  const { joined } = await ask(socket, "join", { rooms: ["team:red", "team:blue", "public-a"] });
  assert.equal(joined.length, 3);
  await ask(socket, "authenticate", { token: jwt({ sub: "bob", teams: ["blue"] }) });
  const rooms = ["all", "public-a", "team:red", "team:blue", "user:ada", "user:bob"].map((room) => ({ rooms: [room] }));
  const left = (await heard(started, socket, rooms)).map(({ rooms: [room] }) => room);
  assert.deepEqual(left, ["all", "public-a", "team:blue", "user:bob"]);
});

test("`none`: `authenticate` is an event like others", async () => {
  const started = await startPod('[namespaces."/"]\nauth = "none"');
  ends.push(() => started.stop());
  const socket = await clients.connect(io, started.url);
  assert.equal(await code(socket, "authenticate", { token: "a.b.c" }), "event_denied");
  assert.ok(socket.connected);
});

test("one token of a socket is checked at a time", async () => {
  const known = new Key("known");
  const issuer = await serveKeys([known]);
  ends.push(issuer.stop);
  const started = await pod(LATE, `jwks_url = "${issuer.url}"\njwks_min_interval = "200ms"\njwks_timeout = "10s"`);
  await until("ready", async () => (await fetch(`${started.internal}/readyz`)).status === 200);
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const unknown = new Key("unknown");
  issuer.behave = async (response) => {
    await held;
    response.end(JSON.stringify({ keys: [known.jwk, unknown.jwk] }));
  };
  const socket = await clients.connect(io, started.url);
  const first = ask(socket, "authenticate", { token: unknown.token() });
  const others = await Promise.all(Array.from({ length: 50 }, () => codeOrNone(socket, "authenticate", { token: unknown.token() })));
  assert.deepEqual(new Set(others), new Set(["none"]));
  assert.ok(socket.connected);
  release();
  assert.deepEqual(await first, { authenticated: true });
  assert.equal(await started.metric("roomcast_token_checks_total", 'result="ok"'), 1);
});

describe("events with `auth = true`", () => {
  test("are refused once the key of the token is gone", async () => {
    const [old, fresh] = [new Key("old"), new Key("fresh")];
    const issuer = await serveKeys([old]);
    ends.push(issuer.stop);
    const started = await pod(
      'auth = "required"',
      `jwks_url = "${issuer.url}"\njwks_min_interval = "200ms"\njwks_refresh = "300ms"`,
    );
    await until("ready", async () => (await fetch(`${started.internal}/readyz`)).status === 200);
    const socket = await clients.connect(io, started.url, { auth: { token: old.token() } });
    assert.deepEqual(await ask(socket, "careful", 1), { accepted: true });
    issuer.keys = [fresh];
    await until("the key is gone", async () => (await code(socket, "careful", 2)) === "token_invalid");
    assert.deepEqual(await ask(socket, "announce:x"), { accepted: true });
    assert.deepEqual(await ask(socket, "authenticate", { token: fresh.token() }), { authenticated: true });
    assert.deepEqual(await ask(socket, "careful", 3), { accepted: true });
    assert.ok(socket.connected);
  });

  test("are refused to guests, and once the token has ended", async () => {
    const started = await pod('auth = "optional"\nauth_timeout = "20s"');
    const guest = await clients.connect(io, started.url);
    assert.equal(await code(guest, "careful"), "authentication_required");
    const member = clients.open(io, started.url, { auth: { token: jwt(soon(6)) } });
    const ended = next(member, "unauthenticated");
    await next(member, "connect");
    assert.deepEqual(await ask(member, "careful"), { accepted: true });
    await ended;
    assert.equal(await code(member, "careful"), "authentication_required");
    assert.deepEqual(await ask(member, "announce:x"), { accepted: true });
  });
});

test("the heartbeat goes to authenticated sockets only", async () => {
  const started = await pod(`${LATE}\nheartbeat = "200ms"`);
  const [waiting, member] = [
    await clients.connect(io, started.url),
    await clients.connect(io, started.url, { auth: { token: jwt() } }),
  ];
  const [none, beats] = [collect(waiting, "heartbeat"), collect(member, "heartbeat")];
  await until("three beats", () => beats.length >= 3);
  const times = beats.map(([{ time }]) => time);
  assert.ok(times.every((time) => Math.abs(time - Date.now()) < 60_000) && times[2] - times[0] >= 300, `${times}`);
  assert.deepEqual(none, []);
  await ask(waiting, "authenticate", jwt());
  await until("it beats for it too", () => none.length > 0);
});

test("a hook that says who a client is, also later", async () => {
  const service = await startHookService(({ data: { token: shown, socket } }) => {
    if (shown === "hang") return HANG;
    if (shown === "ada" || socket.handshake.auth.name === "ada") return { allow: true, claims: { sub: "ada" }, rooms: ["granted"] };
    return { allow: false, code: "stranger", message: `Who is "${shown}"?` };
  });
  ends.push(service.stop);
  const started = await pod(
    `${LATE}\n[namespaces."/".hooks]\nauthenticate = "${service.url("who")}"`,
    "",
    `[hooks]\nsecrets = ["${HOOK_SECRET}"]\ntimeout = "5s"\ntotal_timeout = "6s"`,
  );
  const all = [...TARGETS, { rooms: ["granted"] }];
  const byName = await clients.connect(io, started.url, { auth: { name: "ada" } });
  assert.deepEqual(await heard(started, byName, all), all);
  const byToken = await clients.connect(io, started.url, { auth: { token: "ada" } });
  assert.deepEqual(await heard(started, byToken, all), all);
  // What is there and is refused, is refused.
  const [error] = await next(clients.open(io, started.url, { auth: { token: "bob" } }), "connect_error");
  assert.deepEqual([error.message, error.data], ['Who is "bob"?', { code: "stranger" }]);

  const late = await clients.connect(io, started.url, { auth: { more: 1 } });
  assert.deepEqual(await heard(started, late, all), []);
  assert.deepEqual(await ask(late, "authenticate", { token: "ada" }), { authenticated: true });
  assert.deepEqual(await heard(started, late, all), all);
  const calls = service.calls("socket.authenticate").map(({ call }) => call.data);
  assert.deepEqual(calls.map(({ token: shown }) => shown), [undefined, "ada", "bob", undefined, "ada"]);
  // What a client sent when it connected is not kept; what it sends later takes that place.
  assert.deepEqual(calls.map(({ socket }) => socket.handshake.auth).slice(3), [{ more: 1 }, { token: "ada" }]);

  const refused = await clients.connect(io, started.url);
  const gone = next(refused, "disconnect");
  assert.deepEqual(await ask(refused, "authenticate", { token: "eve" }), {
    error: { code: "stranger", message: 'Who is "eve"?' },
  });
  assert.equal((await gone)[0], "io server disconnect");
  const waiting = await clients.connect(io, started.url);
  waiting.emit("authenticate", { token: "hang" });
  assert.equal(await codeOrNone(waiting, "authenticate", { token: "ada" }), "none");
  assert.equal(await started.metric("roomcast_events_total", "too_many_pending"), 1);
});
