// Hooks, from the client's side: what they decide, what they are told, and what others notice when they hang.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, WAYS, ask, codeOrNone, code, collect } from "./clients.mjs";
import { HANG, HOOK_SECRET, startHookService } from "./hook-service.mjs";
import { jwt } from "./issuer.mjs";
import { API_KEY, JWT_SECRET, next, startPod, until } from "./pod.mjs";

const clients = new Clients();
const ends = [];
afterEach(async () => {
  clients.close();
  for (const end of ends.splice(0).reverse()) await end();
});


/** A service, and a pod whose hooks it is; `answer` may be changed on what is given back. */
async function setup({ auth = "optional", hooks = 'timeout = "20s"\ntotal_timeout = "25s"', kinds = ["connect", "disconnect"], args } = {}) {
  const state = { answer: () => ({ allow: true }) };
  state.service = await startHookService((call, path) => state.answer(call, path));
  ends.push(() => state.service.stop());
  const own = kinds.map((kind) => `${kind} = "${state.service.url(kind)}"`).join("\n");
  state.pod = await startPod(
    `
[api]
keys = ["${API_KEY}"]
[auth.jwt]
secret = "${JWT_SECRET}"
[hooks]
secrets = ["${HOOK_SECRET}"]
${hooks}
[namespaces."/"]
auth = "${auth}"
auth_timeout = "20s"
[namespaces."/".hooks]
${own}
[[namespaces."/".rooms]]
pattern = "hook-*"
join = "hook"
hook = "${state.service.url("join")}"
[[namespaces."/".rooms]]
pattern = "public-*"
join = "anyone"
[[namespaces."/".rooms]]
pattern = "user:{sub}"
join = "auto"
[[namespaces."/".rooms]]
pattern = "members"
join = "authenticated"
[[namespaces."/".events]]
name = "order:*"
hook = "${state.service.url("event")}"
[[namespaces."/".events]]
name = "staff"
hook = "${state.service.url("event")}"
require = { role = "admin" }
[[namespaces."/".events]]
name = "ping"
action = "relay"
[[namespaces."/".events]]
name = "careful"
action = "relay"
auth = true
[namespaces."/quiet"]
auth = "none"
[[namespaces."/quiet".events]]
name = "ping"
action = "relay"
`,
    { args },
  );
  ends.push(() => state.pod.stop());
  return state;
}

for (const way of ["websocket", "polling"]) {
  const options = WAYS[way];
  describe(`over ${way}`, () => {
    test("connect: claims and rooms are granted, a refusal reaches the client", async () => {
      const state = await setup();
      state.answer = () => ({ allow: true, claims: { sub: "eve", role: "admin" }, rooms: ["granted", "x".repeat(300)] });
      const socket = await clients.connect(io, state.pod.url, { ...options, auth: { token: jwt(), secret: "s3cret" } });
      const [{ call, id }] = state.service.calls("socket.connect");
      assert.match(id, /^msg_/);
      assert.equal(call.data.namespace, "/");
      assert.deepEqual([call.data.socket.id, call.data.socket.rooms], [socket.id, []]);
      assert.equal(call.data.socket.claims.sub, "ada");
      const { address, query, auth } = call.data.socket.handshake;
      assert.deepEqual([address, query.EIO, auth], ["127.0.0.1", "4", {}]);
      assert.equal(JSON.stringify(call).includes("s3cret"), false);

      const news = collect(socket, "news");
      for (const room of ["granted", "user:ada", "user:eve"]) await state.pod.publish({ rooms: [room], event: "news", args: [room] });
      await until("both", () => news.length === 2);
      assert.deepEqual(news, [["granted"], ["user:eve"]]);
      assert.deepEqual(await ask(socket, "staff"), { allow: true, claims: { sub: "eve", role: "admin" }, rooms: ["granted", "x".repeat(300)] });

      for (const [said, message, code] of [
        [{ allow: false, code: "banned", message: 'Not "until" Monday. é' }, 'Not "until" Monday. é', "banned"],
        [{ status: 403, body: '{"error":{"code":"closed","message":"Closed."}}' }, "Closed.", "closed"],
        [{ allow: false }, "refused", "hook_denied"],
        [{ status: 200, body: "<html>" }, "the service that decides this is not available; try again later", "hook_unavailable"],
      ]) {
        state.answer = () => said;
        const [error] = await next(clients.open(io, state.pod.url, { ...options, reconnection: false }), "connect_error");
        assert.deepEqual([error.message, error.data], [message, { code }]);
      }
      await until("nobody is left of them", async () => (await state.pod.metric("roomcast_sockets")) === 1);
    });

    test("connect: rooms that are granted to one who authenticates later are joined then", async () => {
      const state = await setup({ auth: "required" });
      state.answer = ({ data }) => ({ allow: true, rooms: [`granted-${data.socket.claims?.sub ?? "nobody"}`] });
      const socket = await clients.connect(io, state.pod.url, options);
      const news = collect(socket, "news");
      const emit = () => state.pod.publish({ rooms: ["granted-nobody"], event: "news" });
      await emit();
      assert.deepEqual(await ask(socket, "authenticate", { token: jwt() }), { authenticated: true });
      assert.deepEqual(news, []);
      await emit();
      await until("news", () => news.length === 1);
    });

    test("connect: is asked again, with the claims of now, when a socket authenticates", async () => {
      const state = await setup({ auth: "required" });
      state.answer = ({ type, data }) => {
        const { claims } = data.socket;
        if (type !== "socket.connect" || !claims) return { allow: true };
        if (claims.sub === "eve") return { allow: false, code: "banned", message: "Not you." };
        return { allow: true, claims: { ...claims, role: "guest" } };
      };
      const admin = jwt({ sub: "ada", role: "admin" });
      const early = await clients.connect(io, state.pod.url, { ...options, auth: { token: admin } });
      const late = await clients.connect(io, state.pod.url, options);
      assert.deepEqual(await ask(late, "authenticate", { token: admin }), { authenticated: true });
      for (const socket of [early, late]) {
        assert.equal((await ask(socket, "staff")).error.code, "claim_denied");
        assert.deepEqual(await ask(socket, "authenticate", { token: admin }), { authenticated: true });
        assert.equal((await ask(socket, "staff")).error.code, "claim_denied");
        const out = next(socket, "disconnect");
        assert.equal((await ask(socket, "authenticate", { token: jwt({ sub: "eve" }) })).error.code, "banned");
        assert.deepEqual((await out)[0], "io server disconnect");
      }
    });

    test("connect: a guest that is granted claims has them, and has not authenticated", async () => {
      for (const auth of ["optional", "required"]) {
        const state = await setup({ auth });
        state.answer = ({ data }) => ({ allow: true, claims: { sub: data.socket.claims?.sub ?? "guest", role: "admin" } });
        const socket = await clients.connect(io, state.pod.url, options);
        if (auth === "optional") {
          assert.equal((await ask(socket, "staff")).allow, true);
          const { joined, rejected } = await ask(socket, "join", { rooms: ["members", "user:guest"] });
          assert.deepEqual([joined, rejected], [["user:guest"], [{ room: "members", code: "authentication_required" }]]);
        } else {
          assert.equal(await code(socket, "staff"), "authentication_required");
        }
        assert.equal(await code(socket, "careful"), "authentication_required");
        assert.deepEqual(await ask(socket, "authenticate", { token: jwt() }), { authenticated: true });
        assert.equal(await code(socket, "careful"), "accepted");
        assert.deepEqual((await ask(socket, "join", { rooms: ["members"] })).joined, ["members"]);
      }
    });

    test("event: the answer is the ack; arguments, binary among them, reach the hook", async () => {
      const state = await setup({ kinds: [] });
      const socket = await clients.connect(io, state.pod.url, { ...options, auth: { token: jwt({ sub: "kim" }) } });
      await ask(socket, "join", { rooms: ["public-a"] });
      for (const [said, ack] of [
        [{ price: 1.5, list: [null, "é"] }, { price: 1.5, list: [null, "é"] }],
        [{ status: 200, body: "[1, 2]" }, [1, 2]],
        [{ status: 200, body: "null" }, null],
        [{ status: 204, body: "" }, { accepted: true }],
        [{ status: 409, body: '{"code":"sold_out","message":"Gone."}' }, { error: { code: "sold_out", message: "Gone." } }],
        [{ status: 404, body: "<html>" }, { error: { code: "hook_denied", message: "refused" } }],
      ]) {
        state.answer = () => said;
        assert.deepEqual(await ask(socket, "order:new", { item: 7 }), ack, JSON.stringify(said));
      }
      for (const said of [{ status: 200, body: "<html>" }, { status: 500, body: "{}" }, { status: 302, body: "" }, { status: 200, body: `"${"x".repeat(70_000)}"` }]) {
        state.answer = () => said;
        assert.equal(await codeOrNone(socket, "order:new"), "none", JSON.stringify(said).slice(0, 50));
      }
      state.answer = () => ({});
      await ask(socket, "order:file", Buffer.from([1, 2, 255]), { deep: [Buffer.from("é")] }, 9007199254740993n.toString(), null);
      const { data } = state.service.calls("socket.event").at(-1).call;
      assert.equal(data.event, "order:file");
      assert.deepEqual(data.args, [
        { type: "Buffer", data: [1, 2, 255] },
        { deep: [{ type: "Buffer", data: [195, 169] }] },
        "9007199254740993",
        null,
      ]);
      assert.deepEqual([data.socket.rooms.sort(), data.socket.claims.sub], [["public-a", "user:kim"], "kim"]);
      // What the rule forbids does not reach the hook.
      const before = state.service.received.length;
      assert.equal((await ask(socket, "staff")).error.code, "claim_denied");
      assert.equal(state.service.received.length, before);
      assert.equal(state.service.refused, 0);
    });

    test("events of one socket: handed over in order, later ones do not wait for answers", async () => {
      const state = await setup({ kinds: [] });
      let release;
      const held = new Promise((resolve) => (release = resolve));
      state.answer = async ({ data: { event } }) => {
        if (event === "order:slow") await held;
        return { event };
      };
      const socket = await clients.connect(io, state.pod.url, options);
      const slow = ask(socket, "order:slow");
      assert.deepEqual(await ask(socket, "order:quick"), { event: "order:quick" });
      assert.deepEqual(await ask(socket, "ping"), { accepted: true });
      release();
      assert.deepEqual(await slow, { event: "order:slow" });
    });

    test("disconnect: told once, with the reason, claims and rooms", async () => {
      const state = await setup({ kinds: ["disconnect"] });
      const connect = () => clients.connect(io, state.pod.url, { ...options, reconnection: false, auth: { token: jwt() } });
      const told = async (socket, id, reason) => {
        const of = () => state.service.calls("socket.disconnect").filter(({ call }) => call.data.socket.id === id);
        await until(`the hook is told of ${reason}`, () => of().length > 0);
        const [{ call }] = of();
        assert.equal(call.data.reason, reason);
        assert.equal(call.data.socket.claims.sub, "ada");
        assert.deepEqual(call.data.socket.rooms.sort(), ["public-a", "user:ada"]);
      };
      for (const [reason, end] of [
        ["client namespace disconnect", (socket) => socket.disconnect()],
        ["server namespace disconnect", (socket) => socket.emit("authenticate", { token: "a.b.c" })],
        ["transport close", (socket) => socket.io.engine.close()],
      ]) {
        const socket = await connect();
        const { id } = socket;
        await ask(socket, "join", { rooms: ["public-a"] });
        end(socket);
        await told(socket, id, reason);
      }
      assert.equal(state.service.calls("socket.disconnect").length, 3);
    });

    test("a client that goes while its CONNECT waits for the hook leaves nothing behind", async () => {
      const state = await setup({ args: ["--set", "engine.connect_timeout=20s"] });
      let release;
      const held = new Promise((resolve) => (release = resolve));
      state.answer = async () => {
        await held;
        return { allow: true, rooms: ["granted"] };
      };
      const waiting = Array.from({ length: 8 }, () => clients.open(io, state.pod.url, { ...options, reconnection: false }));
      await until("all wait", () => state.service.calls("socket.connect").length === 8);
      for (const socket of waiting.slice(1)) socket.io.engine.close();
      release();
      await until("the one that stayed is in", () => waiting[0].connected);
      await until("only that is in", async () => (await state.pod.metric("roomcast_sockets")) === 1);
      await until("and connected", async () => (await state.pod.metric("roomcast_connections")) === 1);
      waiting[0].disconnect();
      await until("none", async () => (await state.pod.metric("roomcast_sockets")) === 0);
    });
  });
}

test("a hook with too many calls under way allows nothing, whatever `on_failure` says", async () => {
  const hooks = 'on_failure = "allow"\ntimeout = "30s"\ntotal_timeout = "40s"\nin_flight = 4';
  const state = await setup({ hooks, kinds: [] });
  let release;
  const held = new Promise((resolve) => (release = resolve));
  state.answer = async () => {
    await held;
    return { allow: false };
  };
  const join = async () => ask(await clients.connect(io, state.pod.url), "join", { rooms: ["hook-a"] });
  const asked = [join(), join(), join(), join()];
  await until("as many are asked as may be", () => state.service.calls("socket.join").length === 4);
  assert.deepEqual(await join(), { joined: [], rejected: [{ room: "hook-a", code: "hook_unavailable" }] });
  release();
  const denied = { joined: [], rejected: [{ room: "hook-a", code: "hook_denied" }] };
  assert.deepEqual(await Promise.all(asked), [denied, denied, denied, denied]);
});

test("a socket that keeps a hook busy leaves places for others", async () => {
  const hooks = 'timeout = "30s"\ntotal_timeout = "80s"\nin_flight = 8';
  const state = await setup({ hooks, kinds: [] });
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const [greedy, other] = [await clients.connect(io, state.pod.url), await clients.connect(io, state.pod.url)];
  state.answer = async ({ data }) => {
    if (data.socket.id === greedy.id) await held;
    return { for: data.socket.id };
  };
  const all = Array.from({ length: 50 }, () => ask(greedy, "order:x"));
  await until("its share is under way", () => state.service.calls("socket.event").length === 2);
  for (let n = 0; n < 20; n++) assert.deepEqual(await ask(other, "order:x"), { for: other.id });
  assert.equal(state.service.calls("socket.event").length, 22);
  release();
  assert.ok((await Promise.all(all)).every((answer) => answer.for === greedy.id));
});

describe("a hook that is down", () => {
  // Who waited for the hook would not have twenty answers before `until` gives up.
  const patient = 'timeout = "3s"\ntotal_timeout = "4s"\nbreaker_failures = 1000000\nin_flight = 16';
  const kinds = {
    hangs: () => HANG,
    fails: () => ({ status: 500, body: "{}" }),
    "says it has too much to do": () => ({ status: 503, body: "" }),
    "answers garbage": () => ({ status: 200, body: "\u0000<html>" }),
  };
  for (const [name, answer] of Object.entries(kinds)) {
    test(`${name}: others see no delay`, async () => {
      const state = await setup({ hooks: patient, kinds: ["connect"] });
      // One after another: all at once they could be more than the hook takes.
      const callers = [];
      while (callers.length < 20) callers.push(await clients.connect(io, state.pod.url));
      const witnesses = [
        await clients.connect(io, state.pod.url, WAYS.websocket),
        await clients.connect(io, state.pod.url, WAYS.polling),
        await clients.connect(io, `${state.pod.url}/quiet`, WAYS.websocket),
      ];
      let over = false;
      const waits = witnesses.map(() => []);
      const pinging = witnesses.map(async (witness, n) => {
        while (!over) {
          const begun = performance.now();
          await ask(witness, "ping");
          waits[n].push(performance.now() - begun);
        }
      });
      state.answer = answer;
      let [answers, refused] = [0, 0];
      const load = callers.flatMap((caller) => [
        (async () => {
          while (!over) {
            assert.equal(await codeOrNone(caller, "order:x", 1), "none");
            answers += 1;
          }
        })(),
        (async () => {
          while (!over) {
            const { rejected } = await ask(caller, "join", { rooms: ["hook-a"] });
            assert.equal(rejected[0].code, "hook_unavailable");
            refused += 1;
          }
        })(),
      ]);
      const newcomer = clients.open(io, state.pod.url, { reconnection: false });
      assert.equal((await next(newcomer, "connect_error"))[0].data.code, "hook_unavailable");
      await until("the witnesses have their answers", () => waits.every((list) => list.length >= 20));
      await until("the callers have theirs", () => answers > 0 && refused > 0);
      over = true;
      await Promise.all([...load, ...pinging]);
      const shown = waits.map((list) => {
        list.sort((a, b) => a - b);
        return `${list.length} pings, median ${list[list.length >> 1].toFixed(1)} ms, longest ${list.at(-1).toFixed(1)} ms`;
      });
      console.log(`hook ${name}, ${answers} events and ${refused} joins refused; witnesses: ${shown.join("; ")}`);
    });
  }

  test("allow: who asks is let in, but an event has no answer", async () => {
    const state = await setup({ hooks: `on_failure = "allow"\n${patient}`, kinds: ["connect"] });
    state.answer = () => ({ status: 500, body: "" });
    const socket = await clients.connect(io, state.pod.url, { auth: { token: jwt() } });
    assert.deepEqual((await ask(socket, "join", { rooms: ["hook-a"] })).joined, ["hook-a"]);
    assert.equal(await codeOrNone(socket, "order:x"), "none");
    state.answer = () => ({ allow: false, code: "banned" });
    assert.deepEqual((await ask(socket, "join", { rooms: ["hook-b"] })).rejected, [{ room: "hook-b", code: "banned" }]);
  });

  test("the circuit breaker: after failures in a row nobody waits for it, and it comes back", async () => {
    const state = await setup({ hooks: 'timeout = "300ms"\ntotal_timeout = "1s"\nbreaker_failures = 3\nbreaker_open = "8s"', kinds: [] });
    const socket = await clients.connect(io, state.pod.url);
    state.answer = () => HANG;
    for (let n = 1; n <= 13; n += 1) {
      socket.emit("order:x");
      await until("it is refused", async () => (await state.pod.metric("roomcast_events_total", "hook_unavailable")) === n);
    }
    // Three have waited for it.
    const spared = await state.pod.metric("roomcast_hook_calls_total", 'result="breaker open"');
    assert.equal(spared, 10);
    state.answer = () => ({});
    await until("it is back", async () => (await codeOrNone(socket, "order:x")) === "accepted");
  });
});

test("a drain tells the hook of each socket before the pod ends", async () => {
  const state = await setup({ kinds: ["disconnect"], args: ["--set", "drain.window=1s"] });
  state.answer = async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return {};
  };
  const sockets = [];
  for (let n = 0; n < 60; n += 1) {
    const options = n % 3 ? WAYS.websocket : WAYS.polling;
    sockets.push(await clients.connect(io, state.pod.url, { ...options, reconnection: false, auth: { token: jwt() } }));
  }
  const ids = sockets.map(({ id }) => id).sort();
  assert.equal(await state.pod.stop(), 0);
  const told = state.service.calls("socket.disconnect").map(({ call }) => call.data);
  assert.deepEqual(told.map(({ socket }) => socket.id).sort(), ids);
  const reasons = told.reduce((counts, { reason }) => ({ ...counts, [reason]: (counts[reason] ?? 0) + 1 }), {});
  console.log(`60 sockets of a drained pod: the hook was told ${JSON.stringify(reasons)}`);
  assert.deepEqual(reasons, { "server shutting down": 60 });
});
