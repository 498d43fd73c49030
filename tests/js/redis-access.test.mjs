// How a pod gets in to Redis: certificates, a user with a password, what ACLs allow; and what shows of it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { io } from "socket.io-client";

import { Clients, ask } from "./clients.mjs";
import { OPEN, next, startPod, until } from "./pod.mjs";
import { freePort, startRedis } from "./redis.mjs";

const PASSWORD = "a password: with #odd %characters";
const folder = mkdtempSync(join(tmpdir(), "roomcast-tls-"));
const file = (name) => join(folder, name);
const openssl = (...words) => execFileSync("openssl", words, { cwd: folder, stdio: "pipe" });

/** An authority, and a certificate of it for a name. */
function certify(name) {
  openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
  writeFileSync(file("names"), "subjectAltName = IP:127.0.0.1, DNS:localhost\n");
  const signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
  openssl("x509", "-req", "-in", `${name}.csr`, ...signed, "-out", `${name}.crt`);
}

describe("Redis with TLS, client certificates and ACL", () => {
  let redis, tls;
  before(async () => {
    const authority = ["-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=authority"];
    openssl("req", ...authority, "-keyout", "ca.key", "-out", "ca.crt");
    ["redis", "pod"].forEach(certify);
    tls = await freePort();
    redis = await startRedis({
      args: [
        ...["--tls-port", String(tls), "--tls-auth-clients", "yes"],
        ...["--tls-ca-cert-file", file("ca.crt"), "--tls-cert-file", file("redis.crt")],
        ...["--tls-key-file", file("redis.key")],
      ],
    });
    // What docs/cluster.md says that a pod needs.
    const commands = ["+@connection", "+@pubsub", "+get", "+set", "+del", "+mget", "+sadd", "+srem", "+smembers", "+info"];
    // Redis takes a pattern only if it is named to the letter.
    const channels = ["&socket.io*", "&socket.io#/#*", "&socket.io#/second#*", "&roomcast-pulse#*"];
    const allow = (user, channels) =>
      redis.cli("acl", "setuser", user, "on", `>${PASSWORD}`, "~{roomcast}:*", ...channels, ...commands);
    allow("roomcast", channels);
    // And what it needs more for the publish stream.
    const keys = ["~roomcast:publish", "~roomcast:publish:dead"];
    const streams = ["xgroup", "xreadgroup", "xack", "xdel", "xpending", "xclaim", "xadd", "xinfo", "xlen", "xtrim"];
    allow("streaming", channels);
    redis.cli("acl", "setuser", "streaming", ...keys, ...streams.map((command) => `+${command}`));
    allow("narrow", channels.filter((channel) => !channel.endsWith("second#*")));
    allow("unlisted", channels);
    redis.cli("acl", "setuser", "unlisted", "-sadd");
    writeFileSync(file("password"), `${PASSWORD}\n`);
    writeFileSync(file("wrong"), "not the password\n");
  });
  after(async () => {
    await redis?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const settings = (kind, { user = "roomcast", password = "password", ca = "ca.crt" } = {}) => `${OPEN}
[backplane]
kind = "${kind}"
url = "rediss://127.0.0.1:${tls}/2"
username = "${user}"
password_file = "${file(password)}"
[backplane.tls]
ca_file = "${file(ca)}"
cert_file = "${file("pod.crt")}"
key_file = "${file("pod.key")}"
`;
  const ready = async (pod) => (await fetch(`${pod.internal}/readyz`)).ok;

  for (const kind of ["pubsub", "sharded"]) {
    test(`pods reach each other, ${kind}`, async () => {
      const pods = await Promise.all([1, 2].map(() => startPod(settings(kind))));
      const clients = new Clients();
      try {
        for (const pod of pods) await until("the pod is ready", () => ready(pod));
        const socket = await clients.connect(io, pods[1].url, { transports: ["websocket"] });
        await ask(socket, "join", { rooms: ["public-a"] });
        const got = next(socket, "chat");
        assert.equal((await pods[0].publish({ rooms: ["public-a"], event: "chat", args: [1] })).status, 200);
        assert.deepEqual(await got, [1]);

        const { body } = await pods[0].api("GET", "cluster");
        const names = body.pods.flatMap(({ id }) =>
          ["publish", "subscribe", "commands"].map((concern) => `roomcast-${id}-${concern}`),
        );
        assert.equal(names.length, 6);
        const named = () => [...redis.cli("client", "list").matchAll(/name=(\S+)/g)].map(([, name]) => name).sort();
        await until("each connection has its name", () => String(named()) === String(names.sort()));
        const users = [...redis.cli("client", "list").matchAll(/user=(\S+)/g)].map(([, user]) => user);
        assert.equal(users.filter((user) => user === "roomcast").length, 6);
      } finally {
        clients.close();
        await Promise.all(pods.map((pod) => pod.stop()));
      }
      const left = () => redis.cli("client", "list").includes("name=roomcast-");
      await until("a stopped pod leaves no connection", () => !left());
    });
  }

  test("the publish stream, with an ACL of its own", async () => {
    const cli = (...words) => redis.cli("-n", 2, ...words);
    // One that a pod has left behind, to be claimed.
    cli("xgroup", "create", "roomcast:publish", "roomcast", "0", "mkstream");
    cli("xadd", "roomcast:publish", "*", "emit", `{"event":"left","args":[0]}`);
    cli("xreadgroup", "group", "roomcast", "gone", "streams", "roomcast:publish", ">");
    const stream = `\n[publish.stream]\nenabled = true\nclaim_after = "4s"\n`;
    const pod = await startPod(`${settings("pubsub", { user: "streaming" })}${stream}`);
    const clients = new Clients();
    try {
      await until("the pod is ready", () => ready(pod));
      const socket = await clients.connect(io, pod.url, { transports: ["websocket"] });
      const got = next(socket, "news");
      const add = (...fields) => cli("xadd", "roomcast:publish", "*", ...fields);
      add("other", "x");
      add("emit", `{"event":"news","args":[1]}`);
      assert.deepEqual(await got, [1]);
      await until("the dead letter is counted", async () => (await pod.metric("roomcast_stream_dead_letters")) === 1);
      const entries = () => pod.metric("roomcast_stream_entries_total", `result="ok"`);
      await until("the one that was left is claimed", async () => (await entries()) === 2);
      const forgotten = () => !cli("xinfo", "consumers", "roomcast:publish", "roomcast").includes("gone");
      await until("who left it is forgotten", forgotten);
      const denied = pod.logs.filter((line) => JSON.stringify(line).includes("NOPERM"));
      assert.deepEqual(denied, []);
    } finally {
      clients.close();
      assert.equal(await pod.stop(), 0);
    }
    assert.equal(cli("acl", "log"), "", "nothing was refused");
    assert.equal(cli("xinfo", "consumers", "roomcast:publish", "roomcast"), "", "its consumer is gone");
  });

  test("a pod that others cannot find is not ready, and says why", async () => {
    const pod = await startPod(settings("pubsub", { user: "unlisted" }));
    try {
      const told = ({ level, message, error }) => level === "WARN" && message.includes("cannot find") && error.includes("sadd");
      await until("the log says so", () => pod.logs.some(told));
      const response = await fetch(`${pod.internal}/readyz`);
      assert.deepEqual([response.status, await response.text()], [503, "serving, meeting the other pods\n"]);
      redis.cli("acl", "setuser", "unlisted", "+sadd");
      await until("it is ready", () => ready(pod));
      assert.equal(pod.logs.filter(told).length, 1, "it is said once");
    } finally {
      await pod.stop();
    }
  });

  for (const [what, wrong] of [
    ["a wrong password", { password: "wrong" }],
    ["a certificate of an unknown authority", { ca: "pod.crt" }],
    ["a user that may not hear all namespaces", { user: "narrow" }],
  ]) {
    test(`${what} is said, and is no way in`, async () => {
      const pod = await startPod(settings("pubsub", wrong));
      try {
        const waiting = (line) => line.level === "WARN" && line.message.includes("waiting for the backplane");
        await until("the log says so", () => pod.logs.find(waiting));
        assert.equal(await ready(pod), false);
        assert.ok(!JSON.stringify(pod.logs).includes(PASSWORD) && !JSON.stringify(pod.logs).includes("not the password"));
      } finally {
        await pod.stop();
      }
    });
  }
});
