// Namespaces that are made when a client asks for them, and who may open a session (examples/dynamic.rs).

import assert from "node:assert/strict";
import { get } from "node:http";
import { after, afterEach, before, describe, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, ask, everyClient } from "./clients.mjs";
import { startNodePod } from "./node-pod.mjs";
import { API_KEY, next, startPod, until } from "./pod.mjs";
import { startRedis } from "./redis.mjs";

const CONFIG = `
api.keys = ["${API_KEY}"]
[limits]
child_namespaces = 20
child_namespaces_per_connection = 10
[public]
kept_headers = ["*"]
`;
/** Bytes of an `auth` that is kept, at most. */
const KEPT_AUTH = 16 * 1024;
const start = (config = CONFIG) => startPod(config, { binary: "examples/dynamic" });
const children = (pod) => pod.metric("roomcast_child_namespaces");
const refused = async (socket) => (await next(socket, "connect_error"))[0];

everyClient(({ version, way, io, options }) => {
  describe(`client ${version} over ${way}`, () => {
    const clients = new Clients();
    let pod;
    before(async () => {
      pod = await start();
    });
    afterEach(() => clients.close());
    after(() => pod.stop());
    const connect = (path, more = {}) => clients.connect(io, `${pod.url}${path}`, { ...options, ...more });

    test("a child is made by the first client, and ends with the last", async () => {
      const [one, two, other] = [await connect("/room-1"), await connect("/room-1"), await connect("/room-2")];
      assert.equal(await children(pod), 2);
      const strangers = [];
      other.onAny((event) => strangers.push(event));
      const heard = Promise.all([next(one, "chat"), next(two, "chat")]);
      await ask(one, "chat", "hello");
      assert.deepEqual(await heard, [["hello"], ["hello"]]);
      const went = next(two, "went");
      one.disconnect();
      await went;
      two.disconnect();
      await until("one child", async () => (await children(pod)) === 1);
      const again = await connect("/room-1");
      assert.equal((await ask(again, "me")).namespace, "/room-1");
      assert.deepEqual(strangers, []);
    });

    test("auth and the whole request reach handlers", async () => {
      const query = { lang: "de", token: "ü" };
      const socket = await connect("/room-é", { auth: { name: "ada" }, query, extraHeaders: { "x-one": "1" } });
      const { namespace, handshake } = await ask(socket, "me");
      assert.equal(namespace, "/room-é");
      assert.deepEqual(handshake.auth, { name: "ada" });
      assert.equal(handshake.query.lang, "de");
      assert.equal(handshake.query.token, "ü");
      assert.equal(handshake.headers["x-one"], "1");
      assert.ok(handshake.headers.host);
      assert.equal(handshake.address, "127.0.0.1");
      assert.equal(handshake.secure, false);
      assert.ok(handshake.url.startsWith("/socket.io/"));
    });

    test("what stands for the parts of a pattern reaches handlers", async () => {
      const [seven, name] = [await connect("/room-7"), await connect("/room-é")];
      const of = async (socket) => {
        const { number, parameters } = await ask(socket, "me");
        return { number, parameters };
      };
      assert.deepEqual(await of(seven), { number: 7, parameters: { id: "7" } });
      assert.deepEqual(await of(name), { number: null, parameters: { id: "é" } });
      const none = clients.open(io, `${pod.url}/tenant-0`, { ...options, auth: { name: "ada" } });
      assert.match((await refused(none)).message, /who are you\?/);
    });

    test("an auth that is kept is bounded", async () => {
      const auth = (length) => ({ auth: { name: "x".repeat(length - JSON.stringify({ name: "" }).length) } });
      const kept = await connect("/room-4", auth(KEPT_AUTH));
      assert.equal(JSON.stringify((await ask(kept, "me")).handshake.auth).length, KEPT_AUTH);
      const socket = clients.open(io, `${pod.url}/room-4`, { ...options, ...auth(KEPT_AUTH + 1) });
      assert.equal((await refused(socket)).data.code, "bad_request");
      // One that nobody keeps may be larger.
      await connect("/", auth(KEPT_AUTH + 1));
    });

    test("a client that leaves and comes back in one breath is in", async () => {
      const socket = await connect("/room-3");
      for (let i = 0; i < 20; i += 1) {
        socket.disconnect().connect();
        await next(socket, "connect");
      }
      assert.equal((await ask(socket, "me")).namespace, "/room-3");
    });
  });
});

describe("which there may be", () => {
  const clients = new Clients();
  let pod;
  before(async () => {
    pod = await start();
  });
  afterEach(async () => {
    clients.close();
    await until("no children", async () => (await children(pod)) === 0);
  });
  after(() => pod.stop());
  const open = (path, options = {}) => clients.open(io, `${pod.url}${path}`, options);

  test("names that no pattern takes are invalid, as on Node", async () => {
    for (const path of ["/nothing", "/room-", "/room-1/2", "/tenant-x", "/a/tenant-1", "/room-a#b", "/room-*"]) {
      const error = await new Promise((resolve) => {
        const manager = open("/", {}).io;
        manager.socket(path).once("connect_error", resolve).once("connect", () => resolve("connected"));
      });
      assert.equal(error.message, "Invalid namespace", path);
    }
    assert.equal(await children(pod), 0);
  });

  test("a middleware refuses", async () => {
    assert.match((await refused(open("/tenant-7"))).message, /who are you\?/);
    await clients.connect(io, `${pod.url}/tenant-7`, { auth: { name: "ada" } });
  });

  test("a function is asked for the first client only", async () => {
    assert.equal((await refused(open("/game/7"))).message, "Invalid namespace");
    await clients.connect(io, `${pod.url}/game/7`, { auth: { host: true } });
    await clients.connect(io, `${pod.url}/game/7`);
  });

  test("many clients that ask for one at once are all in the same", async () => {
    const sockets = Array.from({ length: 100 }, () => open("/room-many", { transports: ["websocket"] }));
    await Promise.all(sockets.map((socket) => next(socket, "connect")));
    await until("all are there", async () => (await pod.metric("roomcast_sockets", "room")) === 100);
    const heard = Promise.all(sockets.map((socket) => next(socket, "chat")));
    await ask(sockets[0], "chat", "all");
    await heard;
    assert.equal(await children(pod), 1);
  });

  test("one client cannot have them all, nor can all clients have more than there may be", async () => {
    const managers = [];
    const limit = async (count) => {
      const manager = open("/", { transports: ["websocket"] }).io;
      managers.push(manager);
      const tries = Array.from({ length: count }, (_, i) => {
        const socket = manager.socket(`/room-${manager.engine?.id}-${Math.random()}-${i}`);
        return Promise.race([
          next(socket, "connect").then(() => "in"),
          next(socket, "connect_error").then(([error]) => error.data?.code ?? error.message),
        ]);
      });
      return Promise.all(tries);
    };
    const first = await limit(30);
    assert.ok(first.filter((result) => result === "in").length <= 10, first.join());
    assert.ok(first.filter((result) => result === "in").length >= 9, first.join());
    assert.match(first.find((result) => result !== "in"), /namespace_limit|as many namespaces/);
    await limit(15);
    const third = await limit(15);
    assert.ok(third.some((result) => result !== "in"), third.join());
    assert.equal(await children(pod), 20);
    assert.ok((await pod.metric("roomcast_connects_refused_total", "namespace_limit")) >= 20);
    managers.forEach((manager) => manager._close());
  });
});

test("an upgrade is told of, and which transport a socket has", async () => {
  const clients = new Clients();
  const pod = await start();
  try {
    const told = [];
    // As on Node, nobody is told of an upgrade that is over before the socket is connected: another one, then.
    for (let tries = 0; tries < 20 && told.length === 0; tries += 1) {
      const socket = clients.open(io, `${pod.url}/room-1`);
      socket.on("upgraded", (transport) => told.push(transport));
      await next(socket, "connect");
      await until("it is a WebSocket", () => socket.io.engine.transport.name === "websocket");
      // What was told was told before this answer.
      await until("the pod knows", async () => (await ask(socket, "me")).transport === "websocket");
    }
    assert.deepEqual(told, ["websocket"]);
    const polling = await clients.connect(io, `${pod.url}/room-1`, { transports: ["polling"] });
    assert.equal((await ask(polling, "me")).transport, "polling");
  } finally {
    clients.close();
    await pod.stop();
  }
});

describe("who may open a session", () => {
  const clients = new Clients();
  let pod;
  before(async () => {
    pod = await start();
  });
  afterEach(() => clients.close());
  after(() => pod.stop());

  test("a function refuses with 403, as allowRequest on Node", async () => {
    const url = `${pod.url}/socket.io/?EIO=4&transport=polling&ticket=bad`;
    const answer = await fetch(url, { headers: { "x-name": "ada" } });
    assert.equal(answer.status, 403);
    assert.deepEqual(await answer.json(), { code: 4, message: "no ticket, ada" });
    for (const transports of [["polling"], ["websocket"]]) {
      const socket = clients.open(io, pod.url, { transports, query: { ticket: "bad" }, reconnection: false });
      const error = await refused(socket);
      assert.equal(error.type, "TransportError");
    }
    await clients.connect(io, pod.url, { query: { ticket: "good" } });
    assert.equal(await pod.metric("roomcast_requests_refused_total", "forbidden"), 3);
    assert.equal(await pod.metric("roomcast_connections_opened_total"), 1);
  });

  test("layers around all requests of a client, as io.engine.use on Node, initial_headers and headers", async () => {
    const base = `${pod.url}/socket.io/?EIO=4&transport=`;
    const seen = ({ headers }) => [headers.get("x-every"), headers.get("set-cookie")];
    const first = await fetch(`${base}polling`);
    assert.deepEqual(seen(first), ["1", "first=1"]);
    const { sid } = JSON.parse((await first.text()).slice(1));
    const post = await fetch(`${base}polling&sid=${sid}`, { method: "POST", body: "40" });
    assert.deepEqual(seen(post), ["1", null]);
    const upgrade = await new Promise((resolve, reject) => {
      const headers = { connection: "upgrade", upgrade: "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
      const request = get(`${base}websocket`, { headers });
      request.on("upgrade", ({ headers }, socket) => resolve((socket.destroy(), headers))).on("error", reject);
    });
    assert.deepEqual([upgrade["x-every"], upgrade["set-cookie"]], ["1", ["first=1"]]);
    assert.deepEqual(seen(await fetch(`${pod.url}/socket.io/socket.io.js`)), [null, null]);
    // What a layer says of a client is known to its handlers, whatever the client says.
    for (const transports of [["polling"], ["websocket"]]) {
      const options = { transports, extraHeaders: { "x-layer": "a lie" } };
      const { handshake } = await ask(await clients.connect(io, `${pod.url}/room-1`, options), "me");
      assert.equal(handshake.headers["x-layer"], "seen");
    }
  });

  test("a function that does not answer in time is answered for", async () => {
    const slow = await start(`${CONFIG}\n[admission]\nallow_request_timeout = "200ms"\n`);
    try {
      const answer = await fetch(`${slow.url}/socket.io/?EIO=4&transport=polling&ticket=unknown`);
      assert.deepEqual([answer.status, answer.headers.get("retry-after")], [503, "1"]);
      assert.match(await answer.text(), /allow_request_timeout/);
      for (const transports of [["polling"], ["websocket"]]) {
        const socket = clients.open(io, slow.url, { transports, query: { ticket: "unknown" }, reconnection: false });
        assert.equal((await refused(socket)).type, "TransportError");
      }
      await clients.connect(io, slow.url);
      assert.equal(await slow.metric("roomcast_requests_refused_total", "allow_request_timeout"), 3);
      assert.equal(await slow.metric("roomcast_connections_opened_total"), 1);
    } finally {
      await slow.stop();
    }
  });

  test("refused requests are told of, as connection_error on Node", async () => {
    await fetch(`${pod.url}/socket.io/?EIO=9&transport=polling`);
    await fetch(`${pod.url}/socket.io/?EIO=4&transport=polling&sid=nobody`);
    await fetch(`${pod.url}/socket.io/?EIO=4&transport=polling&ticket=bad`);
    const socket = await clients.connect(io, pod.url);
    const seen = (await ask(socket, "refused")).slice(0, 3).map(({ code, message, label }) => [code, message, label]);
    assert.deepEqual(seen, [
      [4, "no ticket, nobody", "forbidden"],
      [1, "Session ID unknown", "session_unknown"],
      [5, "Unsupported protocol version", "unsupported_protocol"],
    ]);
  });
});

test("a pattern in the configuration", async () => {
  const clients = new Clients();
  const pod = await startPod(`
[namespaces."/room-{id}"]
auth = "none"
default_rooms = ["all"]
[[namespaces."/room-{id}".rooms]]
pattern = "public-*"
join = "anyone"
relay = ["chat"]
`);
  try {
    const connect = (path) => clients.connect(io, `${pod.url}${path}`);
    const [one, two, other] = [await connect("/room-1"), await connect("/room-1"), await connect("/room-2")];
    for (const socket of [one, two, other]) await ask(socket, "join", { rooms: ["public-a"] });
    const strangers = [];
    other.onAny((event) => strangers.push(event));
    const heard = next(two, "chat");
    assert.deepEqual(await ask(one, "chat", "public-a", "hello"), { accepted: true });
    assert.deepEqual(await heard, ["public-a", "hello"]);
    assert.equal(await pod.metric("roomcast_sockets", 'nsp="/room-{id}"'), 3);
    assert.deepEqual(strangers, []);
  } finally {
    clients.close();
    await pod.stop();
  }
});

for (const kind of ["pubsub", "sharded"]) {
  describe(`in a cluster: ${kind}`, () => {
    const clients = new Clients();
    let redis, pods;
    before(async () => {
      redis = await startRedis();
      const config = `${CONFIG}\n[backplane]\nkind = "${kind}"\nurl = "${redis.url}"\n`;
      pods = await Promise.all([start(config), start(config)]);
      const ready = (pod) => async () => (await fetch(`${pod.internal}/readyz`)).ok;
      for (const pod of pods) await until("ready", ready(pod));
    });
    afterEach(() => clients.close());
    after(async () => {
      await Promise.all(pods.map((pod) => pod.stop()));
      await redis.stop();
    });

    test("an emit to a child reaches the clients of both pods", async () => {
      for (let round = 0; round < 3; round += 1) {
        const path = `/room-${round}`;
        const [here, there] = await Promise.all(pods.map((pod) => clients.connect(io, `${pod.url}${path}`)));
        for (const from of [here, there]) {
          const heard = Promise.all([next(here, "chat"), next(there, "chat")]);
          await ask(from, "chat", "hello");
          assert.deepEqual(await heard, [["hello"], ["hello"]]);
        }
        // The one pod has it no longer, and has it again.
        here.disconnect();
        await until("one pod has left it", async () => (await children(pods[0])) === 0);
        const back = await clients.connect(io, `${pods[0].url}${path}`);
        const heard = next(back, "chat");
        await ask(there, "chat", "again");
        assert.deepEqual(await heard, ["again"]);
        clients.close();
        await until("nobody", async () => (await children(pods[0])) + (await children(pods[1])) === 0);
      }
    });

    test("a backend publishes to a child that only the other pod has", async () => {
      const socket = await clients.connect(io, `${pods[1].url}/room-9`);
      const heard = next(socket, "news");
      const answer = await pods[0].publish({ namespace: "/room-9", event: "news", args: [1] });
      assert.equal(answer.status, 200, JSON.stringify(answer));
      assert.deepEqual(await heard, [1]);
      const nobody = await pods[0].publish({ namespace: "/a#b", event: "news", args: [1] });
      assert.equal(nobody.status, 404);
    });

    const api = async (method, path, body) => {
      const answer = await pods[0].api(method, path, body);
      return { status: answer.status, ...answer.body };
    };
    const subscriptions = () =>
      ["CHANNELS", "SHARDCHANNELS"].flatMap((which) => redis.cli("PUBSUB", which, "*room-*").split("\n")).filter(Boolean);

    test("a child that only the other pod has is asked about, and makes none here", async () => {
      const [socket, lobby] = [await clients.connect(io, `${pods[1].url}/room-8`), await clients.connect(io, pods[0].url)];
      socket.on("ping", (n, ack) => ack(n + 1));
      for (let round = 0; round < 3; round += 1) {
        const seen = await ask(lobby, "look", "/room-8");
        assert.deepEqual(seen, {
          ids: [socket.id], rooms: [socket.id], acks: [2], servers: [{ heard: "who" }],
          pods: [{ asked: 2, silent: 0 }, { asked: 2, silent: 0 }],
        });
      }
      // All at once.
      const looks = await Promise.all(Array.from({ length: 20 }, () => ask(lobby, "look", "/room-8")));
      for (const { ids, pods } of looks) assert.deepEqual([ids, pods[0].silent], [[socket.id], 0]);
      const of = "namespace=/room-8";
      const whole = { asked: 2, silent: 0 };
      const moved = { namespace: "/room-8", in: [socket.id], rooms: ["public-a"] };
      assert.equal((await api("POST", "rooms/join", moved)).status, 200);
      await until("it is in", async () => (await api("GET", `rooms?${of}`)).rooms.includes("public-a"));
      const present = await api("GET", `presence?${of}&room=public-a`);
      assert.deepEqual([present.rooms["public-a"].count, present.pods], [1, whole]);
      const found = await api("GET", `sockets?${of}&room=public-a`);
      assert.deepEqual([found.sockets.map(({ id }) => id), found.pods], [[socket.id], whole]);
      assert.equal((await api("GET", `sockets/${socket.id}?${of}`)).socket.id, socket.id);
      const asked = await api("POST", "emit", { namespace: "/room-8", event: "ping", args: [4], ack_timeout: "2s" });
      assert.deepEqual(asked.answers, [5]);
      assert.equal((await api("POST", "rooms/leave", moved)).status, 200);
      await until("it is out", async () => !(await api("GET", `rooms?${of}`)).rooms.includes("public-a"));
      assert.equal(await children(pods[0]), 0);
      const gone = next(socket, "disconnect");
      assert.equal((await api("POST", "sockets/disconnect", { namespace: "/room-8" })).status, 200);
      assert.equal((await gone)[0], "io server disconnect");
      await until("no child", async () => (await children(pods[1])) === 0);
      const nobody = await ask(lobby, "look", "/room-8");
      assert.deepEqual([nobody.ids, nobody.pods[0]], [[], { asked: 1, silent: 0 }]);
      await until("nothing is heard any more", () => subscriptions().length === 0);
    });

    test("answers are whole while clients come to a child here, and go", async () => {
      const [there, lobby] = [await clients.connect(io, `${pods[1].url}/room-6`), await clients.connect(io, pods[0].url)];
      there.on("ping", (n, ack) => ack(n));
      let over = false;
      const coming = (async () => {
        for (let i = 0; i < 3; i += 1) {
          const here = await clients.connect(io, `${pods[0].url}/room-6`);
          here.on("ping", (n, ack) => ack(n));
          here.disconnect();
          await until("the child has ended here", async () => (await children(pods[0])) === 0);
        }
        over = true;
      })();
      while (!over) {
        const { ids, pods: asked } = await ask(lobby, "look", "/room-6");
        assert.ok(ids.includes(there.id), ids.join());
        assert.deepEqual(asked.map(({ silent }) => silent), [0, 0]);
      }
      await coming;
    });

    test("a child that only a server of Node has is asked about", async () => {
      const node = await startNodePod({ kind, redis: redis.url, namespaces: ["/", "/room-node"] });
      try {
        const [socket, lobby] = [await clients.connect(io, `${node.url}/room-node`), await clients.connect(io, pods[0].url)];
        socket.on("ping", (n, ack) => ack(n + 1));
        await node.run(({ io }) => void io.of("/room-node").on("who", (ack) => ack("node")));
        assert.deepEqual(await ask(lobby, "look", "/room-node"), {
          ids: [socket.id], rooms: [socket.id], acks: [2], servers: ["node"],
          pods: [{ asked: 2, silent: 0 }, { asked: 2, silent: 0 }],
        });
      } finally {
        clients.close();
        await node.stop();
      }
    });

    test("of names that no pattern takes, nothing is asked", async () => {
      const lobby = await clients.connect(io, pods[0].url);
      assert.match((await ask(lobby, "look", "/a#b")).error.message, /does not exist/);
      const { status, error } = await api("GET", "rooms?namespace=/a%23b");
      assert.deepEqual([status, error.code], [404, "unknown_namespace"]);
    });
  });
}
