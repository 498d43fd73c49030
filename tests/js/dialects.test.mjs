// What clients of other languages, and of version 2, write otherwise than the JavaScript client of today: it is taken as
// Socket.IO's own server takes it.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";

import { Server } from "socket.io";
import { io } from "socket.io-client";
import io2 from "socket.io-client-2";
import WebSocket from "ws";

import { WAYS } from "./clients.mjs";
import { jwt } from "./issuer.mjs";
import { JWT_SECRET, OPEN, next, startPod, until } from "./pod.mjs";

const CONFIG = `engine.allow_eio3 = true
${OPEN}
[[namespaces."/".events]]
name = "bin"
action = "relay"
[auth.jwt]
secret = "${JWT_SECRET}"
[namespaces."/chat"]
auth = "required"
[namespaces."/open"]
auth = "none"
[[namespaces."/open".events]]
name = "e"
action = "relay"
`;

const BYTES = Buffer.from(Array.from({ length: 200 }, (_, at) => at));
const BASE64 = BYTES.toString("base64");

/** Base64 as it is written elsewhere; what Node's decoder makes of it is right. */
const WRITTEN = {
  "lines that end with \\n": BASE64.replace(/.{76}/g, "$&\n") + "\n",
  "lines that end with \\r\\n": BASE64.replace(/.{60}/g, "$&\r\n"),
  "no padding": BASE64.replace(/=+$/, ""),
  "the URL alphabet": BYTES.toString("base64url"),
  "spaces, tabs and odd characters": BASE64.replace(/.{7}/g, "$& \t!*"),
  "more behind the padding": `${BASE64}QUJD`,
  "a character too many": `${Buffer.from("abc").toString("base64")}Q`,
  "bits that belong to no byte": "QUJDRR==",
  nothing: "",
};

/** A polling session: the bodies of requests as they are. */
async function open(url, query = "EIO=4") {
  const at = `${url}/socket.io/?${query}&transport=polling`;
  const opening = await (await fetch(at)).text();
  const sid = JSON.parse(opening.slice(opening.indexOf("{"), opening.indexOf("}") + 1)).sid;
  const session = {
    opening,
    post: async (body, type = "text/plain;charset=UTF-8") => {
      const answer = await fetch(`${at}&sid=${sid}`, { method: "POST", body, headers: { "content-type": type } });
      return [answer.status, await answer.text()];
    },
    poll: async () => Buffer.from(await (await fetch(`${at}&sid=${sid}`)).arrayBuffer()),
  };
  if (query === "EIO=4") await session.post("40");
  if (!opening.endsWith("2:40")) await session.poll();
  return session;
}

const EVENT = '451-["bin",{"_placeholder":true,"num":0}]';
const text = (...packets) => packets.map((packet) => `${packet.length}:${packet}`).join("");
const octets = (...packets) =>
  Buffer.concat(
    packets.map((packet) => {
      const [kind, bytes] = typeof packet === "string" ? [0, Buffer.from(packet)] : [1, Buffer.concat([Buffer.from([4]), packet])];
      return Buffer.concat([Buffer.from([kind, ...`${bytes.length}`.split("").map(Number), 255]), bytes]);
    }),
  );

let pod;
before(async () => {
  pod = await startPod(CONFIG);
});
after(() => pod.stop("SIGKILL"));

const connected = async (make, path, options) => {
  const socket = make(pod.url + path, { forceNew: true, reconnection: false, ...options });
  socket.opened = await Promise.race([
    next(socket, "connect").then(() => "connect"),
    ...["error", "connect_error"].map((event) => next(socket, event).then(([error]) => `${event} ${error.message ?? JSON.stringify(error)}`)),
  ]);
  return socket;
};

describe("base64 over polling", () => {
  let witness;
  before(async () => {
    witness = await connected(io, "/", WAYS.websocket);
  });
  after(() => witness.close());

  for (const [how, written] of Object.entries(WRITTEN)) {
    for (const [version, query, body, type] of [
      ["4", "EIO=4", () => `${EVENT}\x1eb${written}`],
      ["3", "EIO=3", () => text(EVENT, `b4${written}`)],
      ["3 in octets", "EIO=3", () => octets(EVENT, `b4${written}`), "application/octet-stream"],
    ]) {
      test(`${how}, in version ${version}`, async () => {
        const session = await open(pod.url, query);
        const heard = next(witness, "bin", 5_000);
        assert.deepEqual(await session.post(body(), type), [200, "ok"]);
        assert.deepEqual(Buffer.from((await heard)[0]), Buffer.from(written, "base64"));
      });
    }
  }
});

/** Socket.IO's own server, with what the pod does with these events. */
let node;
before(async () => {
  const server = createServer();
  const socketio = new Server(server, { allowEIO3: true });
  socketio.on("connection", (socket) =>
    socket.on("bin", (...args) => {
      const done = typeof args.at(-1) === "function" ? args.pop() : () => {};
      socket.broadcast.emit("bin", ...args);
      done({ accepted: true });
    }),
  );
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  node = { url: `http://127.0.0.1:${server.address().port}`, stop: () => (server.closeAllConnections(), server.close()) };
});
after(() => node.stop());

describe("clients that want no binary (forceBase64)", () => {
  const LARGE = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7) & 255));
  const SAID = { "one attachment": [BYTES], "several, with text": ["é", { a: BYTES, b: [Buffer.alloc(0), Buffer.from("x")] }], "a large one": [LARGE], "text alone": ["é"] };

  for (const [version, make] of Object.entries({ "4.8": io, "2.5": io2 })) {
    for (const [way, options] of Object.entries(WAYS)) {
      test(`version ${version} over ${way}: what it sends and what it is sent`, { timeout: 20_000 }, async () => {
        for (const { url } of [node, pod]) {
          const sockets = [0, 1].map(() => make(url, { forceNew: true, reconnection: false, forceBase64: true, ...options }));
          const [sender, reader] = sockets;
          try {
            await Promise.all(sockets.map((socket) => next(socket, "connect")));
            if (way === "upgrade") await until("both are upgraded", () => sockets.every(({ io: { engine } }) => engine.transport.name === "websocket"));
            for (const [what, args] of Object.entries(SAID)) {
              const heard = next(reader, "bin", 5_000);
              assert.deepEqual(await new Promise((acked, gone) => (sender.emit("bin", ...args, acked), sender.once("disconnect", gone))), { accepted: true }, what);
              assert.deepEqual(await heard, args, what);
            }
          } finally {
            for (const socket of sockets) socket.close();
          }
        }
      });
    }
  }

  for (const query of ["EIO=4&b64=1", "EIO=4&b64=0", "EIO=4&b64=", "EIO=4", "EIO=3&b64=1", "EIO=3&b64=no", "EIO=3&b64="]) {
    test(`with ${query} frames of a WebSocket are text or binary as on Node, both ways`, async () => {
      const seen = [];
      for (const { url } of [node, pod]) {
        const [reader, sender] = await Promise.all(
          [query, `${query.slice(0, 5)}&b64=1`].map(async (query) => {
            const socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?transport=websocket&${query}`);
            socket.seen = [];
            socket.on("message", (data, binary) => socket.seen.push(binary ? data.toString("hex") : String(data)));
            socket.on("close", () => socket.seen.push("closed"));
            await next(socket, "open");
            if (query.startsWith("EIO=4")) socket.send("40");
            await until("it is connected", () => socket.seen.some((frame) => frame.startsWith("40")));
            return socket;
          }),
        );
        try {
          const binary = query.startsWith("EIO=3") ? "b4" : "b";
          for (const written of Object.values(WRITTEN)) {
            sender.send(EVENT);
            sender.send(binary + written);
          }
          sender.send('42["bin","end"]');
          await until("all is heard", () => reader.seen.at(-1) === '42["bin","end"]');
          seen.push(reader.seen.slice(2));
        } finally {
          for (const socket of [reader, sender]) socket.terminate();
        }
      }
      assert.deepEqual(seen[1], seen[0]);
    });
  }
});

describe("binary for clients of version 2 that poll", () => {
  for (const query of ["EIO=3", "EIO=3&b64=1", "EIO=3&b64=0", "EIO=3&b64="]) {
    test(`with ${query} it is framed as on Node, both ways`, async () => {
      const seen = [];
      for (const { url } of [node, pod]) {
        const [sender, reader] = [await open(url, query), await open(url, query)];
        const sent = !/b64=./.test(query)
          ? [octets("451-[\"bin\",{\"_placeholder\":true,\"num\":0},\"é\"]", BYTES, '42["bin","é"]'), "application/octet-stream"]
          : [text(EVENT, `b4${BASE64}`, '42["bin","é"]')];
        assert.deepEqual(await sender.post(...sent), [200, "ok"]);
        let read = Buffer.alloc(0);
        while (!read.includes('42["bin","é"]')) read = Buffer.concat([read, await reader.poll()]);
        seen.push(read.toString("latin1"));
      }
      assert.equal(seen[1], seen[0]);
    });
  }
});

describe("CONNECT of version 2 with a query", () => {
  for (const [way, options] of Object.entries(WAYS)) {
    test(`over ${way}: it is the auth of the handshake`, async () => {
      const query = { token: jwt({ sub: "ada" }), room: "a b&c=é", list: ["1", "2"] };
      const socket = await connected(io2, "/chat", { ...options, query });
      assert.equal(socket.opened, "connect");
      socket.close();
      const stranger = await connected(io2, "/chat", { ...options, query: { token: "forged" } });
      assert.match(stranger.opened, /^error/);
      stranger.close();
    });

    test(`over ${way}: in the address, and events behind it`, async () => {
      const socket = await connected(io2, "/open?x=1", options);
      assert.equal(socket.opened, "connect");
      const acked = await new Promise((done) => socket.emit("e", 1, done));
      assert.deepEqual(acked, { accepted: true });
      socket.close();
    });
  }
});

describe("engine.allow_upgrades = false", () => {
  test("a client that polls goes on polling", async () => {
    const still = await startPod(`engine.allow_upgrades = false\n${CONFIG}`);
    try {
      for (const version of ["EIO=4", "EIO=3"]) {
        const { opening } = await open(still.url, version);
        assert.ok(opening.includes('"upgrades":[]'), opening);
        if (version === "EIO=3") assert.equal(opening.indexOf("}") - opening.indexOf("0{") + 1, Number.parseInt(opening, 10));
      }
      const socket = io(still.url, { forceNew: true, ...WAYS.upgrade });
      await next(socket, "connect");
      assert.equal(socket.io.engine.transport.name, "polling");
      assert.deepEqual(socket.io.engine.upgrades ?? socket.io.engine._upgrades, []);
      socket.close();
    } finally {
      await still.stop("SIGKILL");
    }
  });
});
