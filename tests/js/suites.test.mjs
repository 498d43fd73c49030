// What the test suites of the protocols of Socket.IO ask of a server: Engine.IO 3, Engine.IO 4, and Socket.IO 5. Each test
// runs against Node and against examples/suites.rs, with the suites' times: a ping every 300 ms, which is late after 200.
// Engine.IO alone has no server here, so an event is what a message is there.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Server } from "socket.io";
import WebSocket from "ws";

import { startPod, until } from "./pod.mjs";

const [INTERVAL, TIMEOUT, CONNECT_TIMEOUT] = [300, 200, 1000];
const LARGEST = 1_000_000;
const BYTES = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
const PLACES = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

/** The server on Node, with the same handlers as examples/suites.rs has. */
async function startNode(allowEIO3) {
  const server = createServer();
  const options = { allowEIO3, pingInterval: INTERVAL, pingTimeout: TIMEOUT, connectTimeout: CONNECT_TIMEOUT };
  const io = new Server(server, { ...options, maxHttpBufferSize: LARGEST });
  io.on("connection", (socket) => {
    socket.emit("auth", socket.handshake.auth);
    socket.on("message", (...all) => socket.emit("message-back", ...all));
    socket.on("message-with-ack", (...all) => all.pop()(...all));
  });
  io.of("/custom").on("connection", (socket) => socket.emit("auth", socket.handshake.auth));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const stop = () => {
    server.closeAllConnections();
    return io.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, stop };
}

async function startOurs(allowEIO3) {
  const pod = await startPod(
    `engine.allow_eio3 = ${allowEIO3}
engine.ping_interval = "${INTERVAL}ms"
engine.ping_timeout = "${TIMEOUT}ms"
engine.connect_timeout = "${CONNECT_TIMEOUT}ms"
`,
    { binary: "examples/suites" },
  );
  // A drain would wait for sessions that tests leave behind.
  return { url: pod.url, stop: () => pod.stop("SIGKILL") };
}

/** One version of Engine.IO against one server. */
class Peer {
  sockets = [];

  constructor(url, eio) {
    [this.url, this.eio] = [url, eio];
  }

  at(transport, query = "") {
    return `${this.url}/socket.io/?EIO=${this.eio}&transport=${transport}${query}`;
  }

  poll = (sid, options) => fetch(this.at("polling", `&sid=${sid}`), options);
  post = (sid, ...packets) => this.poll(sid, { method: "POST", body: this.payload(...packets) });

  payload(...packets) {
    return this.eio === 4 ? packets.join("\x1e") : packets.map((one) => `${one.length}:${one}`).join("");
  }

  /** A WebSocket, whose messages and end can be waited for in turn. */
  socket(sid, url = this.at("websocket", sid ? `&sid=${sid}` : "")) {
    const socket = new WebSocket(url.replace("http", "ws"));
    this.sockets.push(socket);
    const [come, waiting] = [[], []];
    const put = (one) => (waiting.length > 0 ? waiting.shift()(one) : come.push(one));
    socket.on("message", (data, isBinary) => put(isBinary ? data : String(data)));
    socket.on("close", () => put("closed"));
    socket.on("error", () => {});
    socket.next = () => (come.length > 0 ? come.shift() : new Promise((resolve) => waiting.push(resolve)));
    /** What comes but pings. */
    socket.said = async () => {
      for (;;) {
        const one = await socket.next();
        if (one !== "2") return one;
        socket.send("3");
      }
    };
    return socket;
  }

  /** The id of a session that polls. */
  async session(query = "") {
    const opening = await (await fetch(this.at("polling", query))).text();
    return JSON.parse(opening.slice(opening.indexOf("{"), opening.indexOf("}") + 1)).sid;
  }

  /** The same, in the namespace `/`, and with nothing left to poll. */
  async member(query) {
    const sid = await this.session(query);
    if (this.eio === 4) await this.post(sid, "40");
    let come = "";
    while (!come.includes('["auth"')) come += await (await this.poll(sid)).text();
    return sid;
  }

  /** A WebSocket that is in the namespace `/`. */
  async connected() {
    const socket = this.socket();
    await socket.next(); // the opening
    if (this.eio === 4) socket.send("40");
    assert.match(await socket.said(), /^40/);
    assert.equal(await socket.said(), '42["auth",{}]');
    return socket;
  }

  close() {
    this.sockets.forEach((socket) => socket.terminate());
  }
}

const status = async (answer) => (await answer).status;
const text = async (request) => {
  const answer = await request;
  const body = await answer.text();
  assert.equal(answer.status, 200, body);
  return body;
};
const closed = async (socket) => {
  while ((await socket.next()) !== "closed");
};

function checkOpening(value, upgrades) {
  assert.equal(typeof value.sid, "string");
  assert.deepEqual(value.upgrades, upgrades);
  assert.deepEqual([value.pingInterval, value.pingTimeout, value.maxPayload], [INTERVAL, TIMEOUT, LARGEST]);
}

const ECHO = '42["message","hello"]';
const ECHOED = '42["message-back","hello"]';

/** A session that polls, and a WebSocket which it has probed. */
async function probed(peer) {
  const sid = await peer.member("&b64=1");
  const socket = peer.socket(sid);
  await once(socket, "open");
  socket.send("2probe");
  assert.equal(await socket.next(), "3probe");
  return { sid, socket };
}

/** An event is answered over it. */
async function echoes(socket) {
  socket.send(ECHO);
  assert.equal(await socket.said(), ECHOED);
}

const ENGINE = {
  "a session over polling": async (peer) => {
    const opening = await text(fetch(peer.at("polling")));
    const start = opening.indexOf("{");
    checkOpening(JSON.parse(opening.slice(start, opening.indexOf("}") + 1)), ["websocket"]);
    if (peer.eio === 4) assert.deepEqual(Object.keys(JSON.parse(opening.slice(1))).sort(), KEYS);
  },
  "no version": async (peer) => {
    if (peer.eio === 3) return;
    assert.equal(await status(fetch(`${peer.url}/socket.io/?transport=polling`)), 400);
    assert.equal(await status(fetch(`${peer.url}/socket.io/?EIO=abc&transport=polling`)), 400);
  },
  "no transport": async (peer) => {
    assert.equal(await status(fetch(`${peer.url}/socket.io/?EIO=${peer.eio}`)), 400);
    assert.equal(await status(fetch(peer.at("abc"))), 400);
  },
  "a method that opens no session": async (peer) => {
    assert.equal(await status(fetch(peer.at("polling"), { method: "POST" })), 400);
    if (peer.eio === 4) assert.equal(await status(fetch(peer.at("polling"), { method: "PUT" })), 400);
  },
  "a session over WebSocket": async (peer) => {
    checkOpening(JSON.parse((await peer.socket().next()).slice(1)), []);
  },
  "a WebSocket without a version or a transport": async (peer) => {
    for (const query of ["transport=websocket", "EIO=abc&transport=websocket", `EIO=${peer.eio}`, `EIO=${peer.eio}&transport=abc`]) {
      await closed(peer.socket("", `${peer.url}/socket.io/?${query}`));
    }
  },
  "a text over polling": async (peer) => {
    const sid = await peer.member("&b64=1");
    assert.equal(await text(peer.post(sid, ECHO)), "ok");
    assert.equal(await text(peer.poll(sid)), peer.payload(ECHOED));
  },
  "several texts over polling": async (peer) => {
    const sid = await peer.member("&b64=1");
    const [sent, back] = ["", "-back"].map((end) => [1, 2, 3].map((n) => `42["message${end}","test${n}"]`));
    assert.equal(await text(peer.post(sid, ...sent)), "ok");
    let come = "";
    while (!come.includes("test3")) come += (come && peer.eio === 4 ? "\x1e" : "") + (await text(peer.poll(sid)));
    assert.equal(come, peer.payload(...back));
  },
  "text and binary over polling, as base64": async (peer) => {
    const sid = await peer.member("&b64=1");
    const mark = peer.eio === 4 ? "b" : "b4";
    assert.equal(await text(peer.post(sid, '451-["message",{"_placeholder":true,"num":0}]', `${mark}AQIDBA==`)), "ok");
    const come = [];
    while (!come.at(-1)?.endsWith("AQIDBA==")) come.push(await text(peer.poll(sid)));
    const back = ['451-["message-back",{"_placeholder":true,"num":0}]', `${mark}AQIDBA==`];
    assert.equal(come.join(peer.eio === 4 ? "\x1e" : ""), peer.payload(...back));
  },
  "binary over polling, as octets": async (peer) => {
    if (peer.eio === 4) return;
    const sid = await peer.member();
    await text(peer.post(sid, '451-["message",{"_placeholder":true,"num":0}]', "b4AQIDBA=="));
    const come = [];
    const octets = Buffer.from([1, 5, 255, 4, 1, 2, 3, 4]);
    while (!come.at(-1)?.includes(octets)) come.push(Buffer.from(await (await peer.poll(sid)).arrayBuffer()));
    const event = Buffer.from('451-["message-back",{"_placeholder":true,"num":0}]');
    const digits = [...String(event.length)].map(Number);
    assert.deepEqual(Buffer.concat(come), Buffer.concat([Buffer.from([0, ...digits, 255]), event, octets]));
  },
  "a body that is no packet ends the session": async (peer) => {
    const sid = await peer.session();
    // The suites take any answer, also none.
    await fetch(peer.at("polling", `&sid=${sid}`), { method: "POST", body: "abc" }).catch(() => {});
    assert.equal(await status(peer.poll(sid)), 400);
  },
  "two polls at once end the session": async (peer) => {
    const sid = await peer.member("&b64=1");
    const polls = await Promise.all([peer.poll(sid), pause(5).then(() => peer.poll(`${sid}&t=burst`))]);
    assert.equal(await text(polls[0]), peer.payload("1"));
    assert.ok([400, 500].includes(polls[1].status), polls[1].status);
    assert.equal(await status(peer.poll(sid)), 400);
  },
  "a poll that is cancelled ends the session": async (peer) => {
    const sid = await peer.member();
    const cancel = new AbortController();
    peer.poll(sid, { signal: cancel.signal }).catch(() => {});
    await pause(5);
    cancel.abort();
    assert.equal(await status(peer.poll(sid)), 400);
  },
  "texts over WebSocket": async (peer) => {
    const socket = await peer.connected();
    await echoes(socket);
  },
  "binary over WebSocket": async (peer) => {
    const socket = await peer.connected();
    socket.send('451-["message",{"_placeholder":true,"num":0}]');
    socket.send(Buffer.from(peer.eio === 4 ? [1, 2, 3, 4] : [4, 1, 2, 3, 4]));
    assert.equal(await socket.said(), '451-["message-back",{"_placeholder":true,"num":0}]');
    assert.deepEqual([...(await socket.said())], peer.eio === 4 ? [1, 2, 3, 4] : [4, 1, 2, 3, 4]);
  },
  "a frame that is no packet closes the connection": async (peer) => {
    const socket = peer.socket();
    await socket.next();
    socket.send("abc");
    await closed(socket);
  },
  "pings over polling": async (peer) => {
    const sid = peer.eio === 3 ? await peer.member("&b64=1") : await peer.session();
    const [first, answer] = peer.eio === 3 ? ["2", "3"] : ["3", "2"];
    for (let times = 0; times < 3; times++) {
      if (peer.eio === 3) assert.equal(await status(peer.post(sid, first)), 200);
      assert.equal(await text(peer.poll(sid)), peer.payload(answer));
      if (peer.eio === 4) assert.equal(await status(peer.post(sid, first)), 200);
    }
  },
  "a session that polls ends for lack of a heartbeat": async (peer) => {
    const sid = await peer.session();
    const ended = () => (peer.eio === 4 ? peer.poll(sid) : peer.post(sid, '42["message"]'));
    await until("the end", async () => (await status(ended())) === 400);
  },
  "pings over WebSocket": async (peer) => {
    const socket = peer.socket();
    const seen = async (wanted) => {
      for (let one; one !== wanted; ) assert.notEqual((one = await socket.next()), "closed");
    };
    for (let times = 0; times < 3; times++) {
      if (peer.eio === 3) socket.readyState === WebSocket.OPEN || (await once(socket, "open"));
      if (peer.eio === 3) socket.send("2");
      await seen(peer.eio === 3 ? "3" : "2");
      if (peer.eio === 4) socket.send("3");
    }
  },
  "a WebSocket is closed for lack of a heartbeat": async (peer) => {
    const [begun, socket] = [Date.now(), peer.socket()];
    await closed(socket);
    assert.ok(Date.now() - begun < CONNECT_TIMEOUT);
  },
  "a close packet over polling": async (peer) => {
    const sid = peer.eio === 3 ? await peer.member("&b64=1") : await peer.session();
    const [polled] = await Promise.all([peer.poll(sid), peer.post(sid, "1")]);
    assert.equal(await text(polled), peer.payload("6"));
    assert.equal(await status(peer.poll(sid)), 400);
  },
  "a close packet over WebSocket": async (peer) => {
    const socket = peer.socket();
    await socket.next();
    socket.send("1");
    await closed(socket);
  },
  "an upgrade": async (peer) => {
    const { sid, socket } = await probed(peer);
    assert.equal(await text(peer.poll(sid)), peer.payload("6"));
    socket.send("5");
    await echoes(socket);
  },
  "a poll after an upgrade": async (peer) => {
    const { sid, socket } = await probed(peer);
    socket.send("5");
    assert.equal(await status(peer.poll(sid)), 400);
    await echoes(socket);
  },
  "a poll after an upgrade that waited for nothing": async (peer) => {
    const sid = await peer.member("&b64=1");
    const socket = peer.socket(sid);
    await once(socket, "open");
    socket.send("2probe");
    socket.send("5");
    assert.equal(await status(peer.poll(sid)), 400);
  },
  "a second WebSocket after an upgrade": async (peer) => {
    const { sid, socket } = await probed(peer);
    socket.send("5");
    await closed(peer.socket(sid));
    await echoes(socket);
  },
};
const KEYS = ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"];

const connects = (path, sent, auth) => async (peer) => {
  const socket = peer.socket();
  await socket.next();
  socket.send(`40${path}${sent}`);
  const answer = await socket.said();
  assert.ok(answer.startsWith(`40${path}`), answer);
  const { sid, ...rest } = JSON.parse(answer.slice(2 + path.length));
  assert.deepEqual([typeof sid, rest], ["string", {}]);
  assert.equal(await socket.said(), `42${path}["auth",${auth}]`);
};

const comesBack = (sent, back) => async (peer) => {
  const socket = await peer.connected();
  socket.send(sent);
  BYTES.forEach((bytes) => socket.send(bytes));
  const come = [await socket.said(), await socket.said(), await socket.said()];
  assert.deepEqual(come, [back, ...BYTES]);
};

const closes = (sent) => async (peer) => {
  const socket = await peer.connected();
  socket.send(sent);
  await closed(socket);
};

const SOCKET = {
  "CONNECT": connects("", "", "{}"),
  "CONNECT with a payload": connects("", '{"token":"123"}', '{"token":"123"}'),
  "CONNECT to a namespace": connects("/custom,", "", "{}"),
  "CONNECT to a namespace with a payload": connects("/custom,", '{"token":"abc"}', '{"token":"abc"}'),
  "CONNECT to a namespace that does not exist": async (peer) => {
    const socket = peer.socket();
    await socket.next();
    socket.send("40/random");
    assert.equal(await socket.said(), '44/random,{"message":"Invalid namespace"}');
  },
  "something else than CONNECT": async (peer) => {
    const socket = peer.socket();
    await socket.next();
    socket.send("4abc");
    await closed(socket);
  },
  "no CONNECT": async (peer) => {
    const socket = peer.socket();
    for (let one; one !== "closed"; ) if ((one = await socket.next()) === "2") socket.send("3");
  },
  "DISCONNECT leaves the connection": async (peer) => {
    const socket = await peer.connected();
    socket.send("41");
    assert.equal(await socket.next(), "2");
  },
  "DISCONNECT of one namespace leaves the other": async (peer) => {
    const socket = await peer.connected();
    socket.send("40/custom");
    assert.match(await socket.said(), /^40\/custom,/);
    assert.equal(await socket.said(), '42/custom,["auth",{}]');
    socket.send("41/custom");
    socket.send('42["message","message to main namespace"]');
    assert.equal(await socket.said(), '42["message-back","message to main namespace"]');
  },
  "an event": async (peer) => {
    const socket = await peer.connected();
    socket.send('42["message",1,"2",{"3":[true]}]');
    assert.equal(await socket.said(), '42["message-back",1,"2",{"3":[true]}]');
  },
  "an event with binary": comesBack(`452-["message",${PLACES}]`, `452-["message-back",${PLACES}]`),
  "an event with an ack": async (peer) => {
    const socket = await peer.connected();
    socket.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    assert.equal(await socket.said(), '43456[1,"2",{"3":[false]}]');
  },
  "an event with binary and an ack": comesBack(`452-789["message-with-ack",${PLACES}]`, `462-789[${PLACES}]`),
  "a type that does not exist": closes("4abc"),
  "a payload that is no list": closes("42{}"),
  "an id that is no number": closes('42abc["message-with-ack",1,"2",{"3":[false]}]'),
};

for (const [protocol, eio, scenarios] of [["Engine.IO 3", 3, ENGINE], ["Engine.IO 4", 4, ENGINE], ["Socket.IO 5", 4, SOCKET]]) {
  for (const [name, start] of [["Node", startNode], ["handlers in Rust", startOurs]]) {
    describe(`${protocol}, ${name}`, () => {
      let server, peer;
      before(async () => {
        server = await start(eio === 3);
      });
      afterEach(() => peer.close());
      after(() => server.stop());

      for (const [what, scenario] of Object.entries(scenarios)) {
        test(what, { timeout: 10_000 }, () => {
          peer = new Peer(server.url, eio);
          return scenario(peer);
        });
      }
    });
  }
}
