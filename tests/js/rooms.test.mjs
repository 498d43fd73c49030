// Which rooms a socket may be in, by each policy; who may emit to them; who sees who is there.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, WAYS, ask, code, codeOrNone, collect } from "./clients.mjs";
import { HANG, HOOK_SECRET, startHookService } from "./hook-service.mjs";
import { jwt } from "./issuer.mjs";
import { API_KEY, JWT_SECRET, next, startPod, until } from "./pod.mjs";
import { startRedis } from "./redis.mjs";

const clients = new Clients();
const top = (more = "") => `
${more}
[api]
keys = ["${API_KEY}"]
[auth.jwt]
secret = "${JWT_SECRET}"
[namespaces."/"]
auth = "optional"
`;
const rule = (pattern, join, more = "") => `
[[namespaces."/".rooms]]
pattern = "${pattern}"
join = "${join}"
${more}
`;
const join = async (socket, ...rooms) => {
  const { joined, rejected } = await ask(socket, "join", { rooms });
  return { ...Object.fromEntries(joined.map((room) => [room, "joined"])), ...Object.fromEntries(rejected.map(({ room, code }) => [room, code])) };
};

describe("policies", () => {
  let pod;
  before(async () => {
    pod = await startPod(`${top()}
default_rooms = ["default", "default", "${"x".repeat(40)}"]
[namespaces."/".limits]
rooms_per_socket = 12
name_length = 24
${rule("user:{sub}", "auto")}
${rule("own:{teams}", "auto")}
${rule("team:{teams}:*", "claim", 'relay = "chat"')}
${rule("{realm.team}-{sub}", "claim")}
${rule("all:{wide}", "claim")}
${rule("members", "authenticated")}
${rule("public-*", "anyone", 'relay = ["chat", "typing:*"]')}
${rule("staff", "authenticated", 'require = { roles = "admin" }')}
${rule("staff", "authenticated", 'require = { "realm.team" = "x" }')}
`, { args: ["--set", "log.level=info,roomcast::gateway=debug"] });
  });
  afterEach(() => clients.close());
  after(() => pod.stop());

  const claims = { teams: ["red", "blue"], realm: { team: "x" }, wide: "*" };
  const connect = (way, of) => clients.connect(io, pod.url, { ...WAYS[way], ...(of && { auth: { token: jwt(of) } }) });
  const guest = undefined;
  const table = {
    "user:ada": [[guest, "room_denied"], [{}, "joined"], [{ sub: "bob" }, "room_denied"], [{ sub: "*" }, "room_denied"]],
    "user:*": [[{}, "room_denied"], [{ sub: "*" }, "room_denied"]],
    "user:ada:x": [[{ sub: "ada:x" }, "room_denied"]],
    "user:": [[{ sub: "" }, "room_denied"], [{ sub: null }, "room_denied"]],
    "team:red:chat": [[guest, "room_denied"], [claims, "joined"], [{ teams: "red" }, "joined"], [{ teams: ["redder"] }, "room_denied"], [{ teams: [["red"]] }, "room_denied"], [{ teams: { red: 1 } }, "room_denied"]],
    "team:green:chat": [[claims, "room_denied"]],
    "x-ada": [[claims, "joined"], [{ realm: {} }, "room_denied"], [{ realm: "x" }, "room_denied"], [{ "realm.team": "x" }, "joined"]],
    "all:rooms": [[claims, "room_denied"]],
    members: [[guest, "authentication_required"], [{}, "joined"]],
    "public-a": [[guest, "joined"], [{}, "joined"]],
    staff: [[guest, "claim_denied"], [{}, "claim_denied"], [{ roles: ["user", "admin"] }, "joined"], [{ roles: "administrator" }, "claim_denied"], [claims, "joined"]],
    secret: [[guest, "room_denied"], [claims, "room_denied"]],
    "": [[claims, "bad_room_name"]],
    [`public-${"x".repeat(17)}`]: [[guest, "joined"]],
    [`public-${"x".repeat(18)}`]: [[guest, "bad_room_name"]],
    // Bytes, not characters.
    [`public-${"é".repeat(9)}`]: [[guest, "bad_room_name"]],
  };
  for (const way of ["websocket", "polling"]) {
    for (const [room, cases] of Object.entries(table)) {
      test(`${way}: ${room || "no name"}`, async () => {
        for (const [of, expected] of cases) {
          const socket = await connect(way, of);
          assert.deepEqual(await join(socket, room), { [room]: expected }, JSON.stringify(of));
          const news = collect(socket, "news");
          await pod.publish({ rooms: room ? [room] : ["-"], event: "news" });
          const marker = next(socket, "marker");
          await pod.publish({ rooms: [socket.id], event: "marker" });
          await marker;
          assert.equal(news.length, expected === "joined" ? 1 : 0, JSON.stringify(of));
        }
      });
    }
  }

  test("rooms that claims put it in, in its own limits; what does not fit is in the log", async () => {
    const socket = await connect("websocket", { ...claims, teams: Array.from({ length: 30 }, (_, n) => `t${n}`) });
    const news = collect(socket, "news");
    for (const room of ["default", "user:ada", "own:t0", "own:t9", "own:t10", "own:t29"]) {
      await pod.publish({ rooms: [room], event: "news", args: [room] });
    }
    const marker = next(socket, "marker");
    await pod.publish({ rooms: [socket.id], event: "marker" });
    await marker;
    assert.deepEqual(news.map(([room]) => room), ["default", "user:ada", "own:t0", "own:t9"]);
    const lines = () => pod.logs.filter(({ message }) => message.includes("not put in all of its rooms"));
    const mine = await until("the log says so", () => lines().find((line) => line.socket === socket.id));
    assert.equal(lines().filter(({ level }) => level === "WARN").length, 1);
    // 33 rooms, of which one has too long a name, and 12 fit.
    assert.equal(mine.left_out, 33 - 12);
    assert.deepEqual(await join(socket, "public-a"), { "public-a": "room_limit" });
    await ask(socket, "leave", { rooms: ["own:t0"] });
    assert.deepEqual(await join(socket, "public-a", "public-b", "public-a"), { "public-a": "joined", "public-b": "room_limit" });
    const many = Array.from({ length: 13 }, (_, n) => `public-${n}`);
    assert.equal(await code(socket, "join", { rooms: many }), "bad_request");
    for (const bad of [undefined, "public-a", { rooms: "public-a" }, { rooms: [1] }, [], { rooms: null }]) {
      assert.equal(await code(socket, "join", bad), "bad_request", JSON.stringify(bad));
    }
  });

  test("a token whose subject is another socket's id does not lead to what is sent to that", async () => {
    const victim = await connect("websocket");
    const thief = await connect("websocket", { realm: { team: victim.id.slice(0, 8) }, sub: victim.id.slice(9) });
    assert.deepEqual(await join(thief, victim.id), { [victim.id]: "room_reserved" });
  });

  test("only members relay, each to the rooms and by the events of the rule", async () => {
    const [red, blue, other] = [await connect("websocket", claims), await connect("polling", claims), await connect("websocket", { teams: ["green"] })];
    await join(red, "team:red:chat", "public-a");
    await join(blue, "team:red:chat", "public-a");
    await join(other, "public-a");
    const heard = collect(blue, "chat");
    assert.equal(await code(red, "chat", "team:red:chat", 1), "accepted");
    assert.equal(await code(red, "typing:x", "team:red:chat"), "event_denied");
    assert.equal(await code(red, "typing:x", "public-a"), "accepted");
    assert.equal(await code(red, "chat", "team:blue:chat", 2), "not_in_room");
    assert.equal(await code(other, "chat", "team:red:chat", 3), "event_denied");
    assert.equal(await code(other, "chat", "public-a", 4), "accepted");
    assert.equal(await code(other, "chat"), "event_denied");
    assert.equal(await code(other, "chat", { room: "public-a" }), "event_denied");
    await until("both", () => heard.length === 2);
    assert.deepEqual(heard, [["team:red:chat", 1], ["public-a", 4]]);
  });
});

describe("rooms that a hook decides", () => {
  for (const on_failure of ["deny", "allow"]) {
    test(`when it is down: ${on_failure}`, async () => {
      let behave = ({ data: { rooms } }) => ({ allow: true, rooms: rooms.filter((room) => !room.endsWith("no")) });
      const service = await startHookService((call) => behave(call));
      // One that waits for answers that come, and one that need not wait for those that do not.
      const pods = ["20s", "300ms"].map((timeout) => startPod(`${top(`[hooks]
secrets = ["${HOOK_SECRET}"]
on_failure = "${on_failure}"
timeout = "${timeout}"
total_timeout = "${timeout} 200ms"
breaker_failures = 1000
[hooks.x]`.replace("[hooks.x]", ""))}
${rule("hook-*", "hook", `hook = "${service.url("room")}"`)}
${rule("public-*", "anyone")}`));
      const [pod, hasty] = await Promise.all(pods);
      try {
        for (const way of ["websocket", "polling"]) {
          behave = ({ data: { rooms } }) => ({ allow: true, rooms: [...rooms.filter((room) => !room.endsWith("no")), "public-other"] });
          const socket = await clients.connect(io, pod.url, { ...WAYS[way], auth: { token: jwt() } });
          assert.deepEqual(await join(socket, "hook-a", "hook-no", "public-a", "x"), {
            "hook-a": "joined",
            "public-a": "joined",
            "hook-no": "hook_denied",
            x: "room_denied",
          });
          const { call } = service.calls("socket.join").at(-1);
          assert.deepEqual(call.data.rooms, ["hook-a", "hook-no"]);
          assert.equal(call.data.socket.id, socket.id);
          assert.equal(call.data.socket.claims.sub, "ada");
          behave = () => ({ allow: false, code: "banned" });
          assert.deepEqual(await join(socket, "hook-b", "public-b"), { "hook-b": "banned", "public-b": "joined" });
          const other = await clients.connect(io, hasty.url, { ...WAYS[way], auth: { token: jwt() } });
          const down = on_failure === "allow" ? "joined" : "hook_unavailable";
          for (const [n, answer] of [HANG, { status: 500, body: "" }, { status: 200, body: "<html>" }].entries()) {
            behave = () => answer;
            assert.deepEqual(await join(other, `hook-down-${n}`), { [`hook-down-${n}`]: down });
          }
        }
      } finally {
        clients.close();
        await service.stop();
        await Promise.all([pod.stop(), hasty.stop()]);
      }
    });
  }

  test("a room that is left, and a socket that goes, while the hook is asked", async () => {
    let release;
    let held = new Promise((resolve) => (release = resolve));
    const service = await startHookService(async () => {
      await held;
      return { allow: true };
    });
    const pod = await startPod(`${top(`[hooks]\nsecrets = ["${HOOK_SECRET}"]`)}
${rule("hook-*", "hook", `hook = "${service.url("room")}"\npresence = true`)}`);
    try {
      const socket = await clients.connect(io, pod.url);
      const first = join(socket, "hook-a", "hook-b");
      await until("the hook is asked", () => service.received.length === 1);
      await ask(socket, "leave", { rooms: ["hook-a"] });
      release();
      assert.deepEqual(await first, { "hook-b": "joined", "hook-a": "not_in_room" });
      const news = collect(socket, "news");
      for (const room of ["hook-a", "hook-b"]) await pod.publish({ rooms: [room], event: "news", args: [room] });
      await until("news", () => news.length > 0);
      assert.deepEqual(news, [["hook-b"]]);
      // Asked for again, it is joined.
      assert.deepEqual(await join(socket, "hook-a"), { "hook-a": "joined" });

      const came = collect(socket, "presence:join");
      held = new Promise((resolve) => (release = resolve));
      const leaving = await clients.connect(io, pod.url);
      leaving.emit("join", { rooms: ["hook-b"] });
      await until("the hook is asked", () => service.received.length === 3);
      leaving.disconnect();
      await until("it has gone", async () => (await pod.metric("roomcast_sockets")) === 1);
      release();
      await until("nothing waits", async () => (await pod.metric("roomcast_hook_in_flight")) === 0);
      await clients.connect(io, pod.url).then((last) => join(last, "hook-b"));
      await until("the last one came", () => came.length > 0);
      assert.equal(came.length, 1);
      assert.notEqual(came[0][0].id, leaving.id);
    } finally {
      clients.close();
      await service.stop();
      await pod.stop();
    }
  });
});

describe("presence", () => {
  const RULES = `${rule("public-*", "anyone", "presence = true")}
${rule("quiet-*", "anyone")}
${rule("user:{sub}", "auto", "presence = true")}`;

  for (const pods of [1, 2]) {
    test(`over ${pods} pod(s): asked by members, told of who comes and goes`, async () => {
      const redis = pods > 1 ? await startRedis() : undefined;
      const backplane = redis ? `[backplane]\nkind = "pubsub"\nurl = "${redis.url}"` : "";
      const started = [];
      for (let n = 0; n < pods; n += 1) started.push(await startPod(`${top(backplane)}${RULES}`));
      const [here, there] = [started[0], started.at(-1)];
      try {
        for (const pod of started) {
          await until("ready", async () => (await fetch(`${pod.internal}/readyz`)).status === 200);
        }
        const connect = (pod, options, of) => clients.connect(io, pod.url, { ...options, ...(of && { auth: { token: jwt(of) } }) });
        const watcher = await connect(here, WAYS.websocket, { sub: "eve" });
        const stranger = await connect(here, WAYS.websocket);
        const seen = [];
        for (const event of ["presence:join", "presence:leave"]) {
          watcher.on(event, ({ room, id, sub }) => seen.push([event, room, id, sub]));
          stranger.on(event, (member) => seen.push(["stranger", event, member]));
        }
        assert.equal(await code(watcher, "presence", { room: "public-a" }), "not_in_room");
        assert.equal(await code(watcher, "presence", { room: "quiet-a" }), "room_denied");
        assert.equal(await code(watcher, "presence", { room: "user:ada" }), "room_denied");
        assert.equal(await code(watcher, "presence"), "bad_request");
        await join(watcher, "public-a", "quiet-a");
        await join(stranger, "public-b");
        assert.equal(await code(watcher, "presence", { room: "quiet-a" }), "room_denied");

        const expected = [];
        for (const [way, options] of Object.entries(WAYS)) {
          const [ada, guest] = [await connect(there, options, { sub: "ada" }), await connect(there, options)];
          const expect = (...what) => {
            expected.push(what);
            return until(`${way}: ${what}`, () => seen.length >= expected.length);
          };
          await join(ada, "public-a", "quiet-a");
          await expect("presence:join", "public-a", ada.id, "ada");
          await join(guest, "public-a");
          await expect("presence:join", "public-a", guest.id, null);
          // Again: nothing new.
          await join(guest, "public-a", "quiet-a");
          const { room, members, silent } = await ask(watcher, "presence", { room: "public-a" });
          const sorted = (list) => list.map(({ id, sub }) => [id, sub]).sort();
          const all = [{ id: ada.id, sub: "ada" }, { id: guest.id, sub: null }, { id: watcher.id, sub: "eve" }];
          assert.deepEqual([room, sorted(members), silent], ["public-a", sorted(all), 0]);
          const { id } = ada;
          await ask(guest, "leave", { rooms: ["public-a", "quiet-a", "public-never"] });
          await expect("presence:leave", "public-a", guest.id, null);
          if (way === "polling") ada.disconnect();
          else ada.io.engine.close();
          await expect("presence:leave", "public-a", id, "ada");
        }
        // The room of a user: told also of those that are put in it.
        const first = await connect(there, WAYS.websocket, { sub: "kim" });
        const came = next(first, "presence:join");
        const second = await connect(here, WAYS.websocket, { sub: "kim" });
        assert.deepEqual(await came, [{ room: "user:kim", id: second.id, sub: "kim" }]);
        assert.equal((await ask(second, "presence", { room: "user:kim" })).members.length, 2);
        // Those with the connection closed by themselves come back, in no room.
        assert.deepEqual(seen.slice(0, expected.length), expected);
        assert.equal(seen.length, expected.length, JSON.stringify(seen));
      } finally {
        clients.close();
        for (const pod of started) await pod.stop();
        await redis?.stop();
      }
    });
  }

  test("without a rule that says so there is none", async () => {
    const pod = await startPod(`${top()}${rule("public-*", "anyone")}`);
    const [a, b] = [await clients.connect(io, pod.url), await clients.connect(io, pod.url)];
    await join(a, "public-a");
    const told = collect(a, "presence:join");
    assert.equal(await code(a, "presence", { room: "public-a" }), "event_denied");
    await join(b, "public-a");
    const marker = next(a, "marker");
    await pod.publish({ event: "marker" });
    await marker;
    assert.deepEqual(told, []);
    clients.close();
    await pod.stop();
  });
});

describe("a rule counts as a whole", () => {
  const ADMIN = { sub: "ada", role: "admin" };
  const USER = { sub: "bob", role: "user" };
  let pod;
  before(async () => {
    pod = await startPod(`${top()}
default_rooms = ["user:{sub}"]
${rule("staff:{sub}", "auto", 'require = { role = "admin" }')}
${rule("ops-*", "authenticated", 'require = { role = "admin" }\nrelay = "*"\npresence = true')}
${rule("open-*", "anyone", 'relay = "*"\npresence = true')}
${rule("docs:{sub}:*", "claim")}
[namespaces."/".limits]
presence_per_second = 3
[[namespaces."/".events]]
name = "*"
action = "relay"
require = { role = "admin" }
`);
  });
  afterEach(() => clients.close());
  after(() => pod.stop());

  const connect = (of) => clients.connect(io, pod.url, { ...WAYS.websocket, ...(of && { auth: { token: jwt(of) } }) });
  const put = (socket, ...rooms) => pod.api("POST", "rooms/join", { in: [socket.id], rooms });
  /** What a socket hears of an emit to a room, when that is over. */
  const hears = async (socket, room) => {
    const news = collect(socket, "news");
    await pod.publish({ rooms: [room], event: "news" });
    const marker = next(socket, "marker");
    await pod.publish({ rooms: [socket.id], event: "marker" });
    await marker;
    return news.length > 0;
  };

  test("who lacks a claim is not put in a room, and does not get there by itself", async () => {
    const [admin, user] = [await connect(ADMIN), await connect(USER)];
    assert.equal(await hears(admin, "staff:ada"), true);
    assert.equal(await hears(user, "staff:bob"), false);
    assert.deepEqual(await join(user, "staff:bob", "ops-1"), { "staff:bob": "claim_denied", "ops-1": "claim_denied" });
  });

  test("who was put in a room and lacks its claim neither emits to it nor sees who is there", async () => {
    const [admin, user, guest] = [await connect(ADMIN), await connect(USER), await connect()];
    await join(admin, "ops-1");
    const told = [user, guest].map((socket) => ["presence:join", "presence:leave"].map((event) => collect(socket, event)));
    const heard = collect(admin, "chat");
    for (const socket of [user, guest]) {
      await put(socket, "ops-1");
      assert.equal(await hears(socket, "ops-1"), true);
      assert.equal(await code(socket, "chat", "ops-1", 1), "claim_denied");
      assert.equal(await code(socket, "presence", { room: "ops-1" }), "claim_denied");
    }
    const came = next(admin, "presence:join");
    const other = await connect(ADMIN);
    await join(other, "ops-1");
    assert.equal((await came)[0].id, other.id);
    const went = next(admin, "presence:leave");
    await ask(other, "leave", { rooms: ["ops-1"] });
    await went;
    for (const socket of [user, guest]) await hears(socket, "ops-1");
    assert.deepEqual([told.flat(2), heard], [[], []]);
  });

  test("a fresh token without the claim ends its stay, and so does one of somebody else", async () => {
    const socket = await connect(ADMIN);
    await join(socket, "ops-1", "open-1", "docs:ada:1");
    for (const room of ["ops-1", "open-1", "docs:ada:1", "staff:ada", "user:ada"]) assert.equal(await hears(socket, room), true, room);
    await ask(socket, "authenticate", { token: jwt({ ...ADMIN, role: "user" }) });
    for (const room of ["ops-1", "staff:ada"]) assert.equal(await hears(socket, room), false, room);
    for (const room of ["open-1", "docs:ada:1", "user:ada"]) assert.equal(await hears(socket, room), true, room);
    await ask(socket, "authenticate", { token: jwt(USER) });
    for (const room of ["docs:ada:1", "user:ada"]) assert.equal(await hears(socket, room), false, room);
    for (const room of ["open-1", "user:bob"]) assert.equal(await hears(socket, room), true, room);
  });

  test("a claim fills one segment", async () => {
    for (const [sub, expected] of [["ada", "joined"], ["ada:x", "room_denied"], ["*", "room_denied"], ["ad", "room_denied"]]) {
      const room = sub === "ada:x" ? "docs:ada:x:1" : "docs:ada:1";
      assert.deepEqual(await join(await connect({ sub }), room), { [room]: expected }, sub);
    }
  });

  test("events of Roomcast itself are not relayed, to a room or to the namespace", async () => {
    const [admin, member] = [await connect(ADMIN), await connect()];
    await join(member, "open-1");
    await join(admin, "open-1");
    const heard = [];
    member.onAny((event, ...args) => args.includes("made up") && heard.push(event));
    for (const event of ["authenticated", "unauthenticated", "presence:join", "presence:leave", "heartbeat", "error"]) {
      for (const args of [["open-1", "made up"], ["made up"]]) assert.equal(await code(admin, event, ...args), "event_denied", event);
    }
    assert.equal(await code(admin, "chat", "open-1", "made up"), "accepted");
    await until("the last", () => heard.length > 0);
    assert.deepEqual(heard, ["chat"]);
  });

  test("questions who is there have a rate; those who ask at once are all answered", async () => {
    const sockets = await Promise.all(Array.from({ length: 4 }, () => connect()));
    for (const socket of sockets) await join(socket, "open-1");
    const answers = await Promise.all(sockets.map((socket) => ask(socket, "presence", { room: "open-1" })));
    assert.deepEqual(answers.map(({ members }) => members.length), [4, 4, 4, 4]);
    const more = await Promise.all(Array.from({ length: 20 }, () => codeOrNone(sockets[0], "presence", { room: "open-1" })));
    assert.ok(more.filter((one) => one === "none").length >= 10, more.join());
  });
});

for (const kind of ["pubsub", "sharded"]) {
  test(`${kind}: who may not ask who is there is not told by other pods either`, async () => {
    const redis = await startRedis();
    const config = `${top(`[backplane]\nkind = "${kind}"\nurl = "${redis.url}"`)}
${rule("ops-*", "authenticated", 'require = { role = "admin" }\npresence = true')}`;
    const pods = [await startPod(config), await startPod(config)];
    try {
      for (const pod of pods) await until("ready", async () => (await fetch(`${pod.internal}/readyz`)).status === 200);
      const [here, there] = pods;
      const connect = (pod, of) => clients.connect(io, pod.url, { ...WAYS.websocket, ...(of && { auth: { token: jwt(of) } }) });
      const user = await connect(there, { sub: "bob", role: "user" });
      const admin = await connect(there, { sub: "ada", role: "admin" });
      await join(admin, "ops-1");
      await there.api("POST", "rooms/join", { in: [user.id], rooms: ["ops-1"] });
      const [seen, told] = [[], []];
      for (const event of ["presence:join", "presence:leave"]) {
        admin.on(event, ({ id }) => seen.push([event, id]));
        user.on(event, ({ id }) => told.push([event, id]));
      }
      const comes = await connect(here, { sub: "eve", role: "admin" });
      await join(comes, "ops-1");
      const { id } = comes;
      comes.disconnect();
      await until("both", () => seen.length === 2);
      assert.deepEqual(seen, [["presence:join", id], ["presence:leave", id]]);
      const marker = next(user, "marker");
      await here.publish({ rooms: ["ops-1"], event: "marker" });
      await marker;
      assert.deepEqual(told, []);
    } finally {
      clients.close();
      for (const pod of pods) await pod.stop();
      await redis.stop();
    }
  });
}

test("the id of a socket is no room of others, on any pod", async () => {
  const redis = await startRedis();
  const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"];
  const config = `${top(`[backplane]\nkind = "pubsub"\nurl = "${redis.url}"`)}
${letters.map((letter) => rule(`${letter}*`, "anyone")).join("")}
${rule("{sub}", "auto")}
${rule("public-*", "anyone")}`;
  const pods = [await startPod(config), await startPod(config)];
  try {
    for (const pod of pods) await until("ready", async () => (await fetch(`${pod.internal}/readyz`)).status === 200);
    const victim = await clients.connect(io, pods[0].url, WAYS.websocket);
    for (const pod of pods) {
      const thief = await clients.connect(io, pod.url, { ...WAYS.websocket, auth: { token: jwt({ sub: victim.id }) } });
      const stolen = collect(thief, "secret");
      assert.deepEqual(await join(thief, victim.id), { [victim.id]: "room_reserved" });
      const heard = next(victim, "secret");
      await pod.publish({ rooms: [victim.id], event: "secret" });
      await heard;
      const marker = next(thief, "marker");
      await pod.publish({ rooms: [thief.id], event: "marker" });
      await marker;
      assert.deepEqual(stolen, []);
      // As long as an id, but the pattern says what it begins with.
      assert.deepEqual(await join(thief, "public-abcdefghi"), { "public-abcdefghi": "joined" });
    }
  } finally {
    clients.close();
    for (const pod of pods) await pod.stop();
    await redis.stop();
  }
});
