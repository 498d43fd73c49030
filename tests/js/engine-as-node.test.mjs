// Engine.IO at its edges: each scenario runs against Socket.IO's own server and against a pod, which answer the same.

import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { after, before, describe, test } from "node:test";

import { Server } from "socket.io";
import WebSocket from "ws";

import { OPEN, startPod, until } from "./pod.mjs";

const CONFIG = `engine.allow_eio3 = true
${OPEN}
[[namespaces."/".events]]
name = "e"
action = "relay"
`;

/** A request over a connection of its own: what is answered, or how it ends. */
function http(url, { method = "GET", body, headers = {} } = {}) {
  let sent;
  const answer = new Promise((resolve) => {
    sent = request(url, { method, headers, agent: false }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => resolve({ status: response.statusCode, body: Buffer.concat(pieces).toString("latin1") }));
      response.on("error", () => resolve("cut"));
    });
    sent.on("error", () => resolve("cut"));
    sent.end(body);
  });
  answer.abort = () => sent.destroy();
  return answer;
}

/** A session of one version of Engine.IO, that began with polling and has connected to `/`. */
class Session {
  constructor(server, eio, query = "") {
    this.server = server;
    this.eio = eio;
    this.query = query;
    this.sockets = [];
  }

  static async begin(server, eio, query) {
    const session = new Session(server, eio, query);
    const { body } = await session.poll();
    session.opening = body;
    session.sid = JSON.parse(body.slice(body.indexOf("{"), body.indexOf("}") + 1)).sid;
    if (eio === 4) await session.post("40");
    // In version 3 the root is there at once, with the opening or behind it.
    if (!body.endsWith("2:40")) session.connected = await session.poll();
    return session;
  }

  at(transport = "polling", eio = this.eio) {
    const sid = this.sid ? `&sid=${this.sid}` : "";
    return `${this.server.url}/socket.io/?EIO=${eio}&transport=${transport}${sid}${this.query}`;
  }

  /** Packets as the body of a request. */
  body(...packets) {
    if (this.eio === 4) return packets.join("\x1e");
    return packets.map((packet) => `${packet.length}:${packet}`).join("");
  }

  poll() {
    return http(this.at());
  }

  post(...packets) {
    return http(this.at(), { method: "POST", body: this.body(...packets), headers: { "content-type": "text/plain;charset=UTF-8" } });
  }

  /** A WebSocket of this session; `seen` is what has happened to it. */
  async socket(eio = this.eio) {
    const socket = new WebSocket(this.at("websocket", eio).replace("http", "ws"));
    this.sockets.push(socket);
    socket.seen = [];
    socket.on("message", (data) => socket.seen.push(String(data)));
    socket.on("close", (code) => socket.seen.push(`close ${code}`));
    socket.on("error", (error) => socket.seen.push(error.message));
    await Promise.race([new Promise((open) => socket.once("open", open)), new Promise((close) => socket.once("close", close))]);
    return socket;
  }

  /** A WebSocket of a session that begins with it, and has connected to `/`. */
  async begins() {
    delete this.sid;
    const socket = await this.socket();
    await until("it is opened", () => socket.seen.length > 0);
    this.sid = JSON.parse(socket.seen[0].slice(1)).sid;
    if (this.eio === 4) socket.send("40");
    await until("it is connected", () => socket.seen.some((frame) => frame.startsWith("40")));
    return socket;
  }

  /** The same, probed. */
  async probe() {
    const socket = await this.socket();
    socket.send("2probe");
    await until("the probe is answered", () => socket.seen.includes("3probe"));
    return socket;
  }

  /** The same, upgraded. */
  async upgrade() {
    const socket = await this.probe();
    socket.send("5");
    socket.send('421["e",1]');
    await until("it is upgraded", () => socket.seen.some((frame) => frame.startsWith("431")));
    socket.seen.splice(0);
    return socket;
  }

  /** Whether it goes on by polling: an event is acked. */
  async goesOn() {
    const posted = await this.post('422["e",1]');
    if (posted.status !== 200) return posted;
    const polled = await this.poll();
    return polled.body?.includes("432[") || polled;
  }

  /** Whether it goes on by a WebSocket. */
  async goesOnBy(socket) {
    socket.send('423["e",1]');
    return Promise.race([
      until("an ack", () => socket.seen.some((frame) => frame.startsWith("433"))),
      new Promise((close) => socket.once("close", () => close(false))),
    ]);
  }

  end() {
    this.sockets.forEach((socket) => socket.terminate());
  }
}

/** Waits until a poll has got to the server, which cannot be seen: a request over another connection was answered since. */
async function waits(session) {
  for (let times = 0; times < 5; times++) await http(`${session.server.url}/socket.io/?EIO=4&transport=none`);
}

/** What is done with a session, and gives what is to be the same. */
const SCENARIOS = {
  "a poll that waits when the probe comes": async (session) => {
    const poll = session.poll();
    await waits(session);
    await session.probe();
    return [await poll];
  },
  "a poll after the probe": async (session) => {
    await session.probe();
    return [await session.poll(), await session.poll()];
  },
  "a packet while it is probed": async (session) => {
    await session.probe();
    return [await session.post('424["e",1]'), (await session.poll()).body.includes("434[")];
  },
  "a poll and a request after the upgrade": async (session) => {
    const socket = await session.upgrade();
    return [await session.poll(), await session.post('42["e"]'), await session.poll(), await session.goesOnBy(socket)];
  },
  "a poll right behind the upgrade": async (session) => {
    const socket = await session.probe();
    socket.send("5");
    return [await session.poll(), await session.goesOnBy(socket)];
  },
  "an upgrade that does not wait for the answer to its probe": async (session) => {
    const socket = await session.socket();
    socket.send("2probe");
    socket.send("5");
    return [await session.poll(), await session.goesOnBy(socket)];
  },
  "a poll of another version": async (session) => {
    const other = session.eio === 4 ? 3 : 4;
    return [await http(session.at("polling", other)), await session.goesOn()];
  },
  "a WebSocket of another version": async (session) => {
    const socket = await session.socket(session.eio === 4 ? 3 : 4);
    return [socket.seen, await session.goesOn()];
  },
  "a second WebSocket while another is probed": async (session) => {
    const first = await session.probe();
    const second = await session.socket();
    await until("it is closed", () => second.seen.length > 0);
    first.send("5");
    return [second.seen, await session.goesOnBy(first)];
  },
  "a second WebSocket after the upgrade": async (session) => {
    const first = await session.upgrade();
    const second = await session.socket();
    second.on("error", () => {});
    if (second.readyState === WebSocket.OPEN) second.send("2probe");
    await until("it is closed", () => second.seen.length > 0);
    return [second.seen, await session.goesOnBy(first)];
  },
  "a second WebSocket of a session that began as one": async (session) => {
    const first = await session.begins();
    const second = await session.socket();
    await until("it is closed", () => second.seen.some((frame) => frame.startsWith("close")));
    return [second.seen, await session.goesOnBy(first)];
  },
  "a poll that waits when the server disconnects": async (session) => {
    const poll = session.poll();
    await waits(session);
    await session.server.disconnect();
    return [await poll, await session.poll(), await session.poll()];
  },
  "a server that disconnects between polls": async (session) => {
    await session.server.disconnect();
    return [await session.poll(), await session.poll(), await session.poll()];
  },
  "a poll that is given up": async (session) => {
    const poll = session.poll();
    await waits(session);
    poll.abort();
    await poll;
    await until("it is known", async () => (await session.post('42["e"]')).status !== 200);
    return [await session.poll(), await session.post('42["e"]')];
  },
  "a poll that is given up, and another at once": async (session) => {
    const poll = session.poll();
    await waits(session);
    poll.abort();
    return [(await session.poll()).status, (await session.poll()).status];
  },
  "two polls at once": async (session) => {
    const first = session.poll();
    await waits(session);
    const second = session.poll();
    return [await first, await second, await session.poll(), await session.post('42["e"]')];
  },
  "a close packet, and a poll that waits": async (session) => {
    const poll = session.poll();
    await waits(session);
    return [await session.post("1"), await poll, await session.poll(), await session.post('42["e"]')];
  },
  "a close packet and a poll at once": async (session) => {
    const [poll, post] = [session.poll(), session.post("1")];
    return [await poll, await post, await session.poll()];
  },
  "octets": async (session) => {
    if (session.eio === 3) return [];
    const headers = { "content-type": "application/octet-stream" };
    const { status } = await http(session.at(), { method: "POST", body: "42[]", headers });
    return [status, await session.poll()];
  },
  "a close packet": async (session) => [await session.post("1"), await session.poll()],
  "packets behind a close packet": async (session) => {
    const poll = session.poll();
    await waits(session);
    return [await session.post("1", '425["e",1]'), await poll, await session.poll()];
  },
  "a close packet behind others": async (session) => {
    return [await session.post('425["e",1]', "1"), await session.poll()];
  },
  "a packet and a poll that waits when the server disconnects": async (session) => {
    const poll = session.poll();
    await waits(session);
    await session.post('426["e",1]');
    await session.server.disconnect();
    return [(await poll).body.includes("436["), await session.poll(), await session.poll(), await session.poll()];
  },
  "an empty session id, which is none": async (session) => {
    const at = (transport) => `${session.server.url}/socket.io/?EIO=${session.eio}&transport=${transport}&sid=`;
    const { status, body } = await http(at("polling"));
    const posted = await http(at("polling"), { method: "POST", body: "40" });
    const socket = new WebSocket(at("websocket").replace("http", "ws"));
    session.sockets.push(socket);
    const first = await new Promise((message) => (socket.once("message", message), socket.once("error", message)));
    return [status, /0\{"sid":/.test(body), posted, String(first).slice(0, 7)];
  },
  "CONNECT to a namespace with a query": async (session) => {
    // In version 3 the query is no part of the name.
    if (session.eio === 3) return [];
    const answers = [await session.post("40/?x=1"), await session.poll()];
    const socket = await session.upgrade();
    socket.send("40/?x=1,");
    await until("an answer", () => socket.seen.length > 0);
    return [answers, socket.seen, await session.goesOnBy(socket)];
  },
  "DISCONNECT, and CONNECT": async (session) => {
    if (session.eio === 3) return [];
    return [await session.post("41"), await session.post("40"), await session.poll(), await session.goesOn()];
  },
  "a probe that is none": async (session) => {
    const socket = await session.socket();
    socket.send("2prob");
    await until("it is closed", () => socket.seen.length > 0);
    return [socket.seen, await session.goesOn()];
  },
  "a probe of bytes": async (session) => {
    const socket = await session.socket();
    socket.send(Buffer.from("2probe"));
    await until("it is closed", () => socket.seen.length > 0);
    return [socket.seen, await session.goesOn()];
  },
  "a probe, and something else than an upgrade": async (session) => {
    const socket = await session.probe();
    socket.send('42["e",1]');
    await until("it is closed", () => socket.seen.length > 1);
    return [socket.seen, await session.goesOn()];
  },
  "a probe, and the end": async (session) => {
    const socket = await session.probe();
    socket.close();
    await until("it is closed", () => socket.seen.length > 1);
    return [await session.goesOn()];
  },
  "a probe, and a reset": async (session) => {
    const socket = await session.probe();
    socket._socket.resetAndDestroy();
    await until("it is closed", () => socket.seen.length > 1);
    return [await session.goesOn()];
  },
  "a WebSocket that says nothing": async (session) => {
    const socket = await session.socket();
    await until("it is closed", () => socket.seen.length > 0);
    return [socket.seen, await session.goesOn()];
  },
  "a probe, and no upgrade": async (session) => {
    const socket = await session.probe();
    await until("it is closed", () => socket.seen.length > 1);
    return [socket.seen, await session.goesOn()];
  },
  "an upgrade after one that failed": async (session) => {
    const failed = await session.socket();
    failed.send("3");
    await until("it is closed", () => failed.seen.length > 0);
    return [await session.goesOnBy(await session.upgrade())];
  },
};

/** The same, where pings are due every 300 ms, and late after 200. */
const HEARTBEATS = {
  "pings over polling": async (session) => {
    const seen = [];
    for (let times = 0; times < 3; times++) {
      if (session.eio === 3) seen.push(await session.post("2"));
      seen.push(await session.poll());
      if (session.eio === 4) seen.push(await session.post("3"));
    }
    return seen;
  },
  "no pong over polling": async (session) => {
    await new Promise((late) => setTimeout(late, 700));
    return [await session.poll()];
  },
  "pings over a WebSocket, and then no pong": async (session) => {
    const socket = await session.probe();
    socket.send("5");
    for (let times = 1; times <= 3; times++) {
      if (session.eio === 3) socket.send("2");
      const sent = session.eio === 3 ? "3" : "2";
      await until("a heartbeat", () => socket.seen.filter((frame) => frame === sent).length === times);
      if (session.eio === 4) socket.send("3");
    }
    // Node forgets the time-out of a session of version 3 that is upgraded.
    if (session.eio === 3) return socket.seen;
    await until("it is closed", () => socket.seen.at(-1).startsWith("close"));
    return socket.seen;
  },
  "a WebSocket that was opened as one": async (session) => {
    delete session.sid;
    const socket = await session.socket();
    await until("it is closed", () => socket.seen.at(-1)?.startsWith("close"));
    return socket.seen.slice(1);
  },
};

/** What differs from time to time. */
const masked = (value) => JSON.parse(JSON.stringify(value).replace(/sid\\":\\"[\w-]+/g, 'sid\\":\\"…'));

/** The same server, by Node and by us. */
async function startBoth({ upgrade, interval, timeout }) {
  const server = createServer();
  const io = new Server(server, { allowEIO3: true, upgradeTimeout: upgrade, pingInterval: interval, pingTimeout: timeout });
  io.on("connection", (socket) => {
    socket.on("e", (...args) => {
      const done = args.at(-1);
      if (typeof done === "function") done({ accepted: true });
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const pod = await startPod(`engine.upgrade_timeout = "${upgrade}ms"
engine.ping_interval = "${interval}ms"
engine.ping_timeout = "${timeout}ms"
${CONFIG}`);
  pod.disconnect = async () => {
    const { status } = await pod.api("POST", "sockets/disconnect", { close: true });
    assert.equal(status, 200);
  };
  const node = { url: `http://127.0.0.1:${server.address().port}`, disconnect: async () => io.disconnectSockets(true) };
  const stop = async () => {
    server.closeAllConnections();
    server.close();
    await pod.stop("SIGKILL");
  };
  return { servers: [node, pod], stop };
}

for (const [group, scenarios, times] of [
  ["Engine.IO at its edges", SCENARIOS, { upgrade: 1_000, interval: 25_000, timeout: 20_000 }],
  ["heartbeats", HEARTBEATS, { upgrade: 10_000, interval: 300, timeout: 200 }],
]) {
  describe(group, () => {
    let both;
    before(async () => {
      both = await startBoth(times);
    });
    after(() => both.stop());

    for (const eio of [4, 3]) {
      for (const [what, scenario] of Object.entries(scenarios)) {
        test(`${what}, in version ${eio}`, { timeout: 20_000 }, async () => {
          const seen = [];
          for (const server of both.servers) {
            const session = await Session.begin(server, eio);
            try {
              seen.push(masked(await scenario(session)));
            } finally {
              session.end();
            }
          }
          assert.deepEqual(seen[1], seen[0]);
        });
      }
    }
  });
}
