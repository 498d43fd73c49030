// Tokens: where they come from, which are refused, and key sets that rotate, hang and lie.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, describe, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, VERSIONS, WAYS, ask, collect } from "./clients.mjs";
import { Key, good, hs256, serveKeys, token } from "./issuer.mjs";
import { API_KEY, BIN, JWT_SECRET, next, startPod, until } from "./pod.mjs";

const folder = mkdtempSync(join(tmpdir(), "roomcast-auth-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const clients = new Clients();
const ends = [];
afterEach(async () => {
  clients.close();
  for (const end of ends.splice(0).reverse()) await end();
});

const RULES = `
[namespaces."/"]
auth = "required"
default_rooms = ["all"]
[[namespaces."/".rooms]]
pattern = "members"
join = "authenticated"
`;
const REFUSED = /the token is invalid or has expired/;

async function pod(jwt, { cookie = "", auth = "required", args } = {}) {
  const config = `
[api]
keys = ["${API_KEY}"]
[auth]
cookie = "${cookie}"
[auth.jwt]
${jwt}
${RULES.replace("required", auth)}`;
  const started = await startPod(config, { args });
  ends.push(() => started.stop());
  return started;
}

async function issuerOf(keys, tls) {
  const issuer = await serveKeys(keys, tls);
  ends.push(issuer.stop);
  return issuer;
}

const fast = (issuer, more = "", timeout = "500ms") => `
jwks_url = "${issuer.url}"
jwks_min_interval = "200ms"
jwks_timeout = "${timeout}"
${more}`;
const ready = (started) =>
  until("the pod is ready", async () => (await fetch(`${started.internal}/readyz`)).status === 200);

const bySocket = (value) => ({ auth: { token: value } });
const byHeader = (value) => ({ extraHeaders: { authorization: `Bearer ${value}` } });
const byCookie = (value) => ({ extraHeaders: { cookie: `a=b; session=${value}; c=d` } });

async function refused(url, options) {
  const socket = clients.open(io, url, { reconnection: false, ...options });
  const outcome = await Promise.race([
    next(socket, "connect_error"),
    next(socket, "connect").then(() => {
      throw new Error(`it was let in: ${JSON.stringify(options).slice(0, 200)}`);
    }),
  ]);
  socket.disconnect();
  assert.match(outcome[0].message, REFUSED);
}

describe("where a token comes from", () => {
  const secret = `secret = "${JWT_SECRET}"`;
  const valid = () => token({ alg: "HS256" }, good(), hs256(JWT_SECRET));
  const sources = { "auth.token": bySocket, "the header": byHeader, "the cookie": byCookie };

  for (const [version, client] of Object.entries(VERSIONS)) {
    for (const [way, transports] of Object.entries(WAYS)) {
      test(`from auth.token, the header, a cookie: ${version} over ${way}`, async () => {
        const started = await pod(secret, { cookie: "session" });
        for (const [name, source] of Object.entries(sources)) {
          const socket = await clients.connect(client, started.url, { ...transports, ...source(valid()) });
          assert.deepEqual((await ask(socket, "join", { rooms: ["members"] })).joined, ["members"], name);
          await refused(started.url, { ...transports, ...source("a.b.c") });
        }
      });
    }
  }

  test("the first that is there counts, also if it is invalid, also where it is optional", async () => {
    const started = await pod(secret, { cookie: "session", auth: "optional" });
    await refused(started.url, { ...byHeader(valid()), ...bySocket("a.b.c") });
    const both = { authorization: "Bearer a.b.c", cookie: `session=${valid()}` };
    await refused(started.url, { extraHeaders: both });
    const better = { ...bySocket(valid()), extraHeaders: both };
    await clients.connect(io, started.url, better);
    // Not a token at all: a guest.
    const guest = await clients.connect(io, started.url, { extraHeaders: { authorization: "Basic YTpi" } });
    assert.deepEqual((await ask(guest, "join", { rooms: ["members"] })).joined, []);
  });

  test("no cookie is looked at unless it is named", async () => {
    const started = await pod(secret);
    const socket = clients.open(io, started.url, byCookie(valid()));
    const [error] = await next(socket, "connect_error");
    assert.match(error.message, /authentication required/);
  });

  test("`roomcast token` prints one that the same configuration accepts", async () => {
    const jwt = `${secret}\nissuer = ["https://id.example", "other"]\naudience = "chat"\nalgorithms = "HS384"`;
    const file = join(folder, "token.toml");
    writeFileSync(file, `[auth.jwt]\n${jwt}\n`);
    const args = ["--config", file, "token", "--sub", "ada", "--claim", "role=admin", "--ttl", "1h"];
    const minted = execFileSync(join(BIN, "roomcast"), args).toString().trim();
    const started = await pod(jwt);
    await clients.connect(io, started.url, bySocket(minted));
  });
});

test("hostile tokens are refused, each for its reason, and nobody else notices", async () => {
  const keys = [new Key("rsa", "RS256"), new Key("pss", "PS256"), new Key("ec"), new Key("ed", "EdDSA")];
  const [rsa, , ec, ed] = keys;
  const stranger = new Key("ec");
  const withdrawn = new Key("withdrawn");
  const issuer = await issuerOf(keys);
  const started = await pod(fast(issuer, `issuer = "us"\naudience = "chat"\nsecret = "${JWT_SECRET}"`));
  await ready(started);
  const ours = (claims) => good({ iss: "us", aud: "chat", ...claims });
  const now = Math.floor(Date.now() / 1000);
  for (const key of keys) await clients.connect(io, started.url, bySocket(key.token(ours())));

  const none = (alg) => token({ alg }, ours(), () => "");
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`claim${n}`, n]));
  const hostile = [
    ["algorithm", none("none")],
    ["algorithm", none("NoNe")],
    ["algorithm", token({ alg: "none", kid: "ec" }, ours(), ec.sign)],
    ["algorithm", token({ alg: "HS256", kid: "rsa" }, ours(), hs256(rsa.pem))],
    ["signature", token({ alg: "HS256" }, ours(), hs256(rsa.pem))],
    ["signature", token({ alg: "HS256" }, ours(), hs256(JSON.stringify(rsa.jwk)))],
    ["signature", stranger.token(ours())],
    ["algorithm", token({ alg: "ES256", kid: "rsa" }, ours(), ec.sign)],
    ["signature", token({ alg: "ES256", kid: "ec", jwk: stranger.jwk, jku: issuer.url }, ours(), stranger.sign)],
    ["unknown_key", withdrawn.token(ours())],
    ["unknown_key", token({ alg: "ES256", kid: "../../etc/passwd\u0000' OR 1=1" }, ours(), ec.sign)],
    ["malformed", token({ alg: "ES256", kid: 7 }, ours(), ec.sign)],
    ["malformed", token({ alg: "ES256", kid: "ec", crit: ["exp"] }, ours(), ec.sign)],
    ["audience", ec.token(ours({ aud: "shop" }))],
    ["audience", ec.token(ours({ aud: undefined }))],
    ["issuer", ec.token(ours({ iss: "them" }))],
    ["expired", ed.token(ours({ exp: now - 3600 }))],
    ["no_expiry", ed.token(ours({ exp: undefined }))],
    ["not_yet_valid", rsa.token(ours({ nbf: now + 3600 }))],
    ["no_expiry", rsa.token(ours({ exp: "tomorrow" }))],
    ["malformed", rsa.token(ours({ nbf: "yesterday" }))],
    ["malformed", rsa.token("[]")],
    ["malformed", rsa.token(`{"exp":${now + 60},${'"a":['.repeat(500)}`)],
    ["too_large", ec.token(ours(many))],
    ["too_large", "x".repeat(500_000)],
    ["malformed", "x".repeat(8000)],
    ["malformed", "."],
    ["malformed", ""],
  ];
  const witness = await clients.connect(io, started.url, bySocket(ec.token(ours())));
  const heard = collect(witness, "news");
  const before = issuer.requests;
  const begun = Date.now();
  for (const [n, [, bad]] of hostile.entries()) {
    await started.publish({ rooms: ["all"], event: "news", args: [n] });
    await refused(started.url, bySocket(bad));
  }
  // All at once, and from all places.
  await Promise.all(hostile.map(([, bad]) => refused(started.url, bySocket(bad))));
  const headers = hostile.filter(([, bad]) => bad.length < 10_000 && /^[ -~]+$/.test(bad));
  await Promise.all(headers.map(([, bad]) => refused(started.url, byHeader(bad))));

  await until("the witness heard all", () => heard.length === hostile.length);
  assert.deepEqual(heard.map(([n]) => n), hostile.map((_, n) => n));
  assert.ok(witness.connected);
  const refusals = 2 * hostile.length + headers.length;
  assert.equal(await started.metric("roomcast_connects_refused_total", 'code="token_invalid"'), refusals);
  const counted = {};
  for (const reason of new Set(hostile.map(([reason]) => reason))) {
    const sent = 2 * hostile.filter(([of]) => of === reason).length + headers.filter(([of]) => of === reason).length;
    counted[reason] = await started.metric("roomcast_token_checks_total", `result="${reason}"`);
    assert.equal(counted[reason], sent, reason);
  }
  const fetches = issuer.requests - before;
  assert.ok(fetches <= 1 + (Date.now() - begun) / 200, `${fetches} fetches`);
  const logs = JSON.stringify(started.logs);
  assert.ok(hostile.every(([, bad]) => bad.length < 20 || !logs.includes(bad.slice(-40))), "a token is in the log");
  console.log(`${refusals} hostile tokens: ${JSON.stringify(counted)}, ${fetches} fetches of the set`);
});

test("keys rotate while clients connect: none with a valid token is refused", async () => {
  const [total, each] = [300, 25];
  const kinds = ["ES256", "EdDSA", "RS256", "ES384"];
  // Made beforehand: while a key is made, this process does not answer who fetches the set.
  const keys = Array.from({ length: 1 + total / each }, (_, n) => new Key(`key-${n}`, kinds[n % kinds.length]));
  let key = keys.shift();
  const issuer = await issuerOf([key]);
  const started = await pod(fast(issuer, "", "10s"));
  await ready(started);

  let [connected, forged, rotations] = [0, 0, 0];
  const late = [];
  // The keys of the tokens that are on their way.
  const underway = [];
  const rotate = () => {
    rotations += 1;
    key = keys.shift();
    // The new key is used at once; an old one is kept for the tokens that it has signed, as issuers do.
    issuer.keys = [...new Set([...underway, key])];
  };
  const client = async (n) => {
    const transports = Object.values(WAYS)[n % 3];
    const signer = key;
    const mine = signer.token(good({ sub: `user-${n}` }));
    underway.push(signer);
    // A nonsense key from time to time, which makes the pod fetch the set at the wrong moment.
    if (n % 10 === 0) {
      await refused(started.url, bySocket(new Key(`nonsense-${n}`).token()));
      forged += 1;
    }
    const begun = Date.now();
    const socket = await clients.connect(io, started.url, { ...transports, ...bySocket(mine), reconnection: false });
    late.push(Date.now() - begun);
    underway.splice(underway.indexOf(signer), 1);
    connected += 1;
    socket.disconnect();
  };
  let given = 0;
  const worker = async () => {
    while (given < total) {
      const n = given++;
      if (n % each === each - 1) rotate();
      await client(n);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));

  assert.equal(connected, total);
  // What was taken out is refused.
  const gone = new Key("gone");
  issuer.keys = [gone, key];
  await clients.connect(io, started.url, bySocket(gone.token()));
  issuer.keys = [key];
  await refused(started.url, bySocket(new Key("again").token()));
  await refused(started.url, bySocket(gone.token()));
  assert.equal(await started.metric("roomcast_token_checks_total", 'result="ok"'), total + 1);
  late.sort((a, b) => a - b);
  console.log(
    `${connected} of ${total} valid tokens connected over ${rotations} rotations, ${forged} forged ones refused, ` +
      `${issuer.requests} fetches; ms to connect: median ${late[total / 2]}, longest ${late[total - 1]}`,
  );
});

test("a key server that hangs, lies or sends a megabyte: the last good set stays, and clients are served", async () => {
  const key = new Key("key");
  const issuer = await issuerOf([key]);
  const started = await pod(fast(issuer, 'jwks_refresh = "300ms"', "3s"));
  await ready(started);
  const refreshes = (result) => started.metric("roomcast_jwks_refreshes_total", `result="${result}"`);
  const lies = {
    timeout: () => {},
    unreachable: (response) => response.socket.destroy(),
    status: (response) => response.writeHead(302, { location: issuer.url }).end(),
    too_large: (response) => response.end(JSON.stringify({ keys: [key.jwk], padding: "x".repeat(1024 * 1024) })),
    malformed: (response) => response.end("<html>"),
    empty: (response) => response.end('{"keys":[{"kty":"oct","k":"AAAA","kid":"key"}]}'),
  };
  for (const [result, lie] of Object.entries(lies)) {
    const before = await refreshes(result);
    issuer.behave = lie;
    await until(`a fetch ends with ${result}`, async () => (await refreshes(result)) > before);
    await clients.connect(io, started.url, bySocket(key.token()));
    await refused(started.url, bySocket(new Key("other").token()));
  }
  const old = await until("the set grows old", async () => {
    const age = await started.metric("roomcast_jwks_age_seconds");
    return age > 1 && age;
  });
  issuer.behave = undefined;
  await until("it is fresh again", async () => (await started.metric("roomcast_jwks_age_seconds")) < old);
  const next = new Key("next");
  issuer.keys = [next];
  await clients.connect(io, started.url, bySocket(next.token()));
});

test("without its first key set a pod is not ready; with it, it is", async () => {
  const key = new Key("key");
  const issuer = await issuerOf([key]);
  issuer.behave = () => {};
  const started = await pod(fast(issuer));
  const response = await fetch(`${started.internal}/readyz`);
  assert.equal(response.status, 503);
  assert.match(await response.text(), /waiting for auth.jwt.jwks_url/);
  await refused(started.url, bySocket(key.token()));
  issuer.behave = undefined;
  await ready(started);
  await clients.connect(io, started.url, bySocket(key.token()));
});

test("clients that leave while they wait for a key leave nothing behind", async () => {
  const first = new Key("first");
  const issuer = await issuerOf([first]);
  // Until then, a connection without a namespace is kept.
  const args = ["--set", "engine.connect_timeout=8s"];
  const started = await pod(`jwks_url = "${issuer.url}"\njwks_min_interval = "1s"\njwks_timeout = "10s"`, { args });
  await ready(started);
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const second = new Key("second");
  let asked = 0;
  issuer.behave = async (response) => {
    asked += 1;
    await held;
    response.end(JSON.stringify({ keys: [first.jwk, second.jwk] }));
  };
  const waiting = Object.values(WAYS).flatMap((way) =>
    [1, 2, 3, 4].map(() => clients.open(io, started.url, { ...way, ...bySocket(second.token()), reconnection: false })),
  );
  const connections = () => started.metric("roomcast_connections");
  const open = () => waiting.every((socket) => socket.io.engine.readyState === "open");
  await until("all are there", async () => asked > 0 && open() && (await connections()) === waiting.length);
  for (const socket of waiting.slice(0, 10)) socket.io.engine.close();
  // Those over WebSocket are seen to go; the pod still waits with their tokens in hand.
  await until("some have gone", async () => (await started.metric("roomcast_connections_closed_total")) >= 4);
  release();
  await until("the others are in", () => waiting.slice(10).every((socket) => socket.connected));
  await until("only those are in", async () => (await started.metric("roomcast_sockets")) === 2);
  await until("and connected", async () => (await connections()) === 2);
});

test("over https the server of the set is verified", async () => {
  const at = (name) => join(folder, name);
  const subject = ["-subj", "/CN=roomcast test", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"];
  const files = ["-keyout", at("tls.key"), "-out", at("tls.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...subject, ...files], {
    stdio: "ignore",
  });
  const key = new Key("key");
  const tls = { key: readFileSync(at("tls.key")), cert: readFileSync(at("tls.pem")) };
  const issuer = await issuerOf([key], tls);
  const trusting = await pod(fast(issuer, `jwks_ca_file = "${at("tls.pem")}"`));
  await ready(trusting);
  await clients.connect(io, trusting.url, bySocket(key.token()));

  const wary = await pod(fast(issuer));
  const failed = () => wary.metric("roomcast_jwks_refreshes_total", 'result="unreachable"');
  await until("the certificate is refused", failed);
  await until("the log says why", () => wary.logs.some((line) => /certificate/i.test(line.error ?? "")));
  assert.equal((await fetch(`${wary.internal}/readyz`)).status, 503);
});
