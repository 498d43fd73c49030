// HTTP beside Node's server with the same options: the stock client that is served, CORS, compressed polls.

import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { afterEach, describe, test } from "node:test";
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";

import { Server } from "socket.io";
import { io } from "socket.io-client";

import { launch } from "./chromium.mjs";
import { startPair } from "./edge/pair.mjs";
import { OPEN, next, startPod } from "./pod.mjs";

const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";
const ORIGIN = "https://app.example.com";

const stops = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function pod(config) {
  const pod = await startPod(OPEN + config);
  stops.push(() => pod.stop());
  return pod;
}

/** A Node server with these options. */
async function node(options = {}) {
  const http = createServer((_, response) => response.writeHead(404).end());
  const server = new Server(http, options);
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  stops.push(() => server.close());
  return { server, url: `http://127.0.0.1:${http.address().port}` };
}

/** An answer as it is on the wire: its headers as they are, its body not decoded. */
function ask(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent: false }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

const DECODE = { br: brotliDecompressSync, gzip: gunzipSync, deflate: inflateSync };

/** The body without its encoding. */
const plain = ({ headers, body }) => (DECODE[headers["content-encoding"]] ?? ((bytes) => bytes))(body);

test("the endpoint has its slash or not, whatever the client's addTrailingSlash is", async () => {
  const ours = await pod("");
  for (const addTrailingSlash of [true, false]) {
    for (const transports of [["polling"], ["websocket"]]) {
      const client = io(ours.url, { addTrailingSlash, transports, forceNew: true, reconnection: false });
      stops.push(() => client.close());
      await next(client, "connect");
    }
  }
});

describe("the stock client below the endpoint", () => {
  const FILES = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];
  const NAMES = FILES.flatMap((file) => [file, `${file}.map`]);
  const OF_BOTH = ["content-type", "cache-control", "etag", "content-encoding"];
  const some = (answer) => Object.fromEntries(OF_BOTH.map((name) => [name, answer.headers[name]]));

  test("each file is as on Node, in each encoding", async () => {
    const [ours, theirs] = [await pod(""), await node()];
    // Node compresses anew for each request, which takes it long.
    const all = [undefined, "gzip, deflate, br, zstd", "br", "gzip", "deflate", "gzip;q=0, *", "identity", "br;q=0.5, gzip"];
    for (const name of NAMES) {
      for (const accepted of name === "socket.io.min.js" ? all : ["gzip", undefined]) {
        const headers = accepted === undefined ? {} : { "accept-encoding": accepted };
        const [our, their] = await Promise.all([ours, theirs].map(({ url }) => ask(`${url}/socket.io/${name}?v=1`, { headers })));
        assert.equal(our.status, 200, name);
        assert.deepEqual(some(our), some(their), `${name}, ${accepted}`);
        assert.equal(our.headers.vary, "Accept-Encoding");
        assert.ok(plain(our).equals(plain(their)), `${name}, ${accepted}`);
      }
      const [whole, ...encoded] = await Promise.all(
        ["identity", "br", "gzip", "deflate"].map((accepted) =>
          ask(`${ours.url}/socket.io/${name}`, { headers: { "accept-encoding": accepted } }),
        ),
      );
      for (const answer of encoded) assert.ok(plain(answer).equals(whole.body) && answer.body.length < whole.body.length / 2, name);
      const head = await ask(`${ours.url}/socket.io/${name}`, { method: "HEAD" });
      assert.deepEqual([head.status, head.body.length], [200, 0]);
      assert.ok(Number(head.headers["content-length"]) > 10_000);
    }
  });

  test("one that the client has is not sent again", async () => {
    const [ours, theirs] = [await pod(""), await node()];
    const { etag } = (await ask(`${theirs.url}/socket.io/socket.io.js`)).headers;
    for (const [tag, status] of [
      [etag, 304],
      [`W/${etag}`, 304],
      [`"other", ${etag}`, 304],
      ["*", 304],
      ['"other"', 200],
      [etag.replaceAll('"', ""), 200],
      ["", 200],
    ]) {
      const answer = await ask(`${ours.url}/socket.io/socket.io.js`, { headers: { "if-none-match": tag } });
      assert.equal(answer.status, status, tag);
      assert.equal(answer.headers.etag, etag);
      if (status === 304) assert.equal(answer.body.length, 0);
    }
    for (const tag of [etag, `W/${etag}`]) {
      assert.equal((await ask(`${theirs.url}/socket.io/socket.io.js`, { headers: { "if-none-match": tag } })).status, 304);
    }
  });

  test("it is not there when it is turned off, and nothing else is", async () => {
    const off = await pod("[public]\nserve_client = false\n");
    assert.equal((await ask(`${off.url}/socket.io/socket.io.js`)).status, 404);
    const on = await pod("[public]\npath = '/chat'\n");
    assert.equal((await ask(`${on.url}/chat/socket.io.min.js`)).status, 200);
    assert.equal((await ask(`${on.url}/socket.io/socket.io.min.js`)).status, 404);
    for (const name of ["other.js", "socket.io.js/", "..%2fsocket.io.js", "socket.io.jsx"]) {
      assert.equal((await ask(`${on.url}/chat/${name}`)).status, 404, name);
    }
  });
});

describe("CORS", () => {
  const list = (values) => JSON.stringify(values);
  const PREFLIGHTS = [
    { origin: ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "content-type,x-custom" },
    { origin: ORIGIN, "access-control-request-method": "DELETE" },
    { origin: "https://evil.example", "access-control-request-method": "PUT", "access-control-request-headers": "x-custom" },
    { origin: "null", "access-control-request-method": "GET", "access-control-request-headers": "" },
    {},
  ];
  const REQUESTS = [{ origin: ORIGIN }, { origin: "https://a.b.example.org" }, { origin: "https://evil.example" }, {}];
  /** What CORS is about, and the status. */
  const said = ({ status, headers }) => {
    const about = Object.entries(headers).filter(([name]) => name.startsWith("access-control-") || name === "vary");
    return { status, headers: Object.fromEntries(about) };
  };

  for (const [name, settings, options] of [
    ["of named origins", `origins = ${list([ORIGIN, "https://b.example.com"])}`, { origin: [ORIGIN, "https://b.example.com"] }],
    ["with credentials", `origins = ${list([ORIGIN])}\ncredentials = true`, { origin: [ORIGIN], credentials: true }],
    ["of any origin", `origins = "*"`, { origin: "*" }],
    [
      "below a domain",
      `origins = ["https://*.example.org", "https://*.example.com"]`,
      { origin: [/^https:\/\/([^.:\/]+\.)+example\.org$/, /^https:\/\/([^.:\/]+\.)+example\.com$/] },
    ],
    [
      "with everything",
      `origins = ${list([ORIGIN])}\ncredentials = true\nmethods = ["GET", "POST"]\nheaders = ["x-custom", "Authorization"]
exposed_headers = ["X-Served-By", "date"]\nmax_age = "10m"`,
      {
        ...{ origin: [ORIGIN], credentials: true, methods: ["GET", "POST"], allowedHeaders: ["x-custom", "Authorization"] },
        ...{ exposedHeaders: ["X-Served-By", "date"], maxAge: 600 },
      },
    ],
  ]) {
    test(`${name}: each answer is Node's`, async () => {
      const [ours, theirs] = [await pod(`[public.cors]\n${settings}\n`), await node({ cors: options })];
      const same = async (path, request) => {
        const [our, their] = await Promise.all([ours, theirs].map(({ url }) => ask(url + path, request)));
        // What is sent to those who take it encoded is another answer: Node does not say so.
        if (path.endsWith(".js")) our.headers.vary = our.headers.vary.replace(/^Accept-Encoding(, )?/, "") || undefined;
        assert.deepEqual(JSON.parse(JSON.stringify(said(our))), said(their), `${path} ${JSON.stringify(request)}`);
      };
      for (const headers of PREFLIGHTS) {
        await same(HANDSHAKE, { method: "OPTIONS", headers });
        await same("/socket.io/socket.io.js", { method: "OPTIONS", headers });
      }
      for (const headers of REQUESTS) {
        await same(HANDSHAKE, { headers });
        await same("/socket.io/?EIO=4&transport=polling&sid=unknown", { headers });
        await same("/socket.io/?EIO=4&transport=none", { headers });
        await same("/socket.io/socket.io.js", { headers });
      }
    });
  }

  test("without origins, nothing is said", async () => {
    const [ours, theirs] = [await pod(""), await node()];
    for (const request of [{ method: "OPTIONS", headers: PREFLIGHTS[0] }, { headers: { origin: ORIGIN } }]) {
      const [our, their] = await Promise.all([ours, theirs].map(({ url }) => ask(url + HANDSHAKE, request)));
      assert.deepEqual(said(our), said(their));
    }
  });

  test("headers that are kept are allowed beside those that are named", async () => {
    const settings = `[public]\nkept_headers = ["x-tenant", "X-Custom"]\n[public.cors]\norigins = "${ORIGIN}"\n`;
    const allowed = async (more) => {
      const { url } = await pod(settings + more);
      return (await ask(url + HANDSHAKE, { method: "OPTIONS", headers: PREFLIGHTS[0] })).headers["access-control-allow-headers"];
    };
    assert.equal(await allowed(""), "content-type,x-custom");
    assert.equal(await allowed('headers = ["x-custom"]\n'), "x-custom,x-tenant");
  });

  test("sessions are for pages below a domain, and for no others", async () => {
    const { url } = await pod('[admission]\norigins = ["https://*.example.com:8443"]\n');
    for (const [origin, status] of [
      ["https://a.example.com:8443", 200],
      ["https://a.b.example.com:8443", 200],
      ["https://example.com:8443", 403],
      ["https://a.example.com", 403],
      ["http://a.example.com:8443", 403],
      ["https://a.example.com:8443.evil.net", 403],
      ["https://evil.net/.example.com:8443", 403],
      ["https://a.example.com:8443@evil.net", 403],
    ]) {
      assert.equal((await ask(url + HANDSHAKE, { headers: { origin } })).status, status, origin);
    }
  });
});

describe("compressed polls", () => {
  const TEXT = "What is said again and again. ".repeat(200);

  /** A polling session in a room, and the answer to the poll that an event of `text` is told with. */
  async function polled(pod, accepted, text = TEXT, other = pod) {
    const { body } = await ask(pod.url + HANDSHAKE);
    const at = `${other.url}${HANDSHAKE}&sid=${JSON.parse(body.subarray(1)).sid}`;
    await ask(at, { method: "POST", body: "40" });
    const { body: connected } = await ask(at);
    const { sid } = JSON.parse(connected.subarray(2));
    const headers = accepted === undefined ? {} : { "accept-encoding": accepted };
    const answer = ask(at, { headers });
    await pod.publish({ rooms: [sid], event: "news", args: [text] });
    const found = await answer;
    assert.equal(plain(found).toString(), `42["news",${JSON.stringify(text)}]`);
    assert.equal(Number(found.headers["content-length"]), found.body.length);
    assert.equal(found.headers["cache-control"], "no-store");
    return found;
  }

  test("an answer is compressed as the client likes best, from the threshold on", async () => {
    const ours = await pod("");
    for (const [accepted, encoding] of [
      ["gzip", "gzip"],
      ["deflate", "deflate"],
      ["gzip, deflate, br", "gzip"],
      ["deflate, gzip;q=0.5", "deflate"],
      ["br", undefined],
      ["gzip;q=0", undefined],
      ["identity", undefined],
      [undefined, undefined],
    ]) {
      const { headers, body } = await polled(ours, accepted);
      assert.equal(headers["content-encoding"], encoding, accepted);
      assert.equal(body.length < 1000, encoding !== undefined);
      assert.match(headers["content-type"], /^text\/plain; charset=UTF-8$/);
    }
    const packet = '42["news",""]'.length;
    assert.equal((await polled(ours, "gzip", "x".repeat(1023 - packet))).headers["content-encoding"], undefined);
    assert.equal((await polled(ours, "gzip", "x".repeat(1024 - packet))).headers["content-encoding"], "gzip");
    // Too much for the thread that serves connections.
    assert.equal((await polled(ours, "gzip", "x".repeat(500_000))).headers["content-encoding"], "gzip");
  });

  test("they pass through another pod", async () => {
    const { owner, other, stop } = await startPair();
    stops.push(stop);
    assert.equal((await polled(owner, "gzip", TEXT, other)).headers["content-encoding"], "gzip");
    assert.equal((await polled(owner, undefined, TEXT, other)).headers["content-encoding"], undefined);
  });

  test("as it is configured", async () => {
    const off = await pod("[public.http_compression]\nenabled = false\n");
    assert.equal((await polled(off, "gzip")).headers["content-encoding"], undefined);
    const larger = await pod("[public.http_compression]\nthreshold = '5kB'\n");
    assert.equal((await polled(larger, "gzip", "x".repeat(4000))).headers["content-encoding"], undefined);
    assert.equal((await polled(larger, "gzip")).headers["content-encoding"], "gzip");
  });
});

test("a page of another origin loads the client from the pod, sets a header, and reads compressed polls", async () => {
  const pages = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>page</title>"));
  await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
  stops.push(() => (pages.closeAllConnections(), pages.close()));
  const { port } = pages.address();
  const ours = await pod(`[public.cors]\norigins = ["http://*.localhost:${port}"]\ncredentials = true\n`);
  const browser = await launch();
  stops.push(() => browser.close());
  const page = await browser.newPage();
  const encodings = [];
  page.on("response", (response) => encodings.push(response.headers()["content-encoding"]));
  await page.goto(`http://app.localhost:${port}/`);
  await page.addScriptTag({ url: `${ours.url}/socket.io/socket.io.js` });
  assert.ok(encodings.includes("gzip"), `the client came as it is: ${encodings}`);
  encodings.length = 0;
  const id = await page.evaluate(
    (url) =>
      new Promise((resolve, reject) => {
        const options = { transports: ["polling"], withCredentials: true, extraHeaders: { "x-custom": "1" } };
        globalThis.socket = globalThis.io(url, options);
        globalThis.told = new Promise((tell) => globalThis.socket.once("news", tell));
        globalThis.socket.once("connect", () => resolve(globalThis.socket.id));
        globalThis.socket.once("connect_error", (error) => reject(new Error(error.message)));
      }),
    ours.url,
  );
  const text = "What is said again and again. ".repeat(200);
  await ours.publish({ rooms: [id], event: "news", args: [text] });
  assert.equal(await page.evaluate(() => globalThis.told), text);
  assert.ok(encodings.includes("gzip"), `the poll came as it is: ${encodings}`);
});
