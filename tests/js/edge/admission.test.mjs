// Whom a pod lets in, in which order it asks, and a storm of clients.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { io } from "socket.io-client";

import { OPEN, next, startPod, until } from "../pod.mjs";
import { BALANCERS, startBalancer } from "./balancers.mjs";
import { watchPulse } from "./pulse.mjs";
import { openRaw } from "./raw.mjs";

const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";
const refused = (pod, code) => pod.metric("roomcast_requests_refused_total", `code="${code}"`);
const status = async (pod, headers = {}) => {
  const response = await fetch(pod.url + HANDSHAKE, { headers });
  const body = response.status === 200 ? {} : await response.json();
  return [response.status, body.error?.code, response.headers.get("retry-after")];
};
const rss = (pod) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pod.pid}/status`, "utf8"))[1]) / 1024;

describe("admission", () => {
  const withPod = async (config, body) => {
    const pod = await startPod(`${OPEN}\n${config}`);
    try {
      await body(pod);
    } finally {
      // Without a drain: that is not what is looked at here.
      await pod.stop("SIGKILL");
    }
  };

  test("a pod takes so many connections, and says before it is full that it is", () =>
    withPod("[admission]\nmax_connections = 4\nready_share = 0.5", async (pod) => {
      const ready = async () => {
        const response = await fetch(`${pod.internal}/readyz`);
        return `${response.status} ${(await response.text()).trim()}`;
      };
      const sockets = [];
      for (let count = 0; count < 4; count += 1) {
        assert.equal(await ready(), count < 2 ? "200 serving" : "503 serving, full");
        const { socket, status } = await openRaw(pod);
        assert.equal(status, 101);
        sockets.push(socket);
      }
      assert.deepEqual(await status(pod), [503, "connection_limit", "1"]);
      assert.equal((await openRaw(pod)).status, 503);
      assert.equal(await refused(pod, "connection_limit"), 2);
      for (const socket of sockets.splice(0, 3)) socket.destroy();
      await until("there is room again", async () => (await ready()) === "200 serving");
      const client = io(pod.url, { forceNew: true });
      await next(client, "connect");
      client.disconnect();
    }));

  test("new sessions have a rate, sessions that are there have none", () =>
    withPod("[admission]\nrate = 2\nburst = 3", async (pod) => {
      const begun = Date.now();
      const answers = await Promise.all(Array.from({ length: 6 }, () => status(pod)));
      const more = Math.ceil((2 * (Date.now() - begun)) / 1000);
      const taken = answers.filter(([code]) => code === 200).length;
      assert.ok(taken >= 3 && taken <= 3 + more, `${taken} are in`);
      const others = answers.filter(([code]) => code !== 200);
      for (const answer of others) assert.deepEqual(answer, [429, "rate_limited", "1"]);
      assert.equal(await refused(pod, "rate_limited"), others.length);
      const client = io(pod.url, { transports: ["polling"], forceNew: true, reconnectionDelay: 200 });
      await next(client, "connect");
      for (let n = 0; n < 30; n += 1) await client.timeout(5000).emitWithAck("join", { rooms: [`public-${n}`] });
      client.disconnect();
    }));

  test("what is refused anyway takes nothing of the rate, and has one of its own", () =>
    withPod('[admission]\nrate = 2\nrefused_rate = 4\norigins = ["https://good.example"]', async (pod) => {
      const flood = await Promise.all(Array.from({ length: 30 }, () => status(pod, { origin: "https://bad.example" })));
      const told = flood.filter(([code]) => code === 403).length;
      assert.ok(told >= 4 && told < 30, `${told} were told why`);
      for (const answer of flood.filter(([code]) => code !== 403)) assert.deepEqual(answer, [429, "rate_limited", "1"]);
      assert.deepEqual(await status(pod, { origin: "https://good.example" }), [200, undefined, null]);
    }));

  test("an address has so many connections; who is behind a load balancer is known by it", () =>
    withPod('[admission]\nmax_per_address = 2\n[public.proxies]\ntrusted = ["127.0.0.2"]', async (pod) => {
      const open = (localAddress, client) => openRaw(pod, { localAddress, headers: client && { "X-Forwarded-For": client } });
      const first = await open("127.0.0.1");
      assert.equal((await open("127.0.0.1", "192.0.2.1")).status, 101, "what it says is not believed");
      assert.equal((await open("127.0.0.1", "192.0.2.2")).status, 429);
      assert.equal((await open("127.0.0.3")).status, 101);
      for (const client of ["192.0.2.1", "192.0.2.2"]) {
        assert.equal((await open("127.0.0.2", client)).status, 101);
        assert.equal((await open("127.0.0.2", `10.0.0.1, ${client}`)).status, 101);
        assert.match((await open("127.0.0.2", client)).answer, /"code":"address_limit"/);
      }
      assert.equal(await refused(pod, "address_limit"), 3);
      first.socket.destroy();
      await until("its place is free", async () => (await open("127.0.0.1")).status === 101);
    }));

  test("the PROXY protocol of haproxy tells where clients are", () =>
    withPod('[admission]\nmax_per_address = 1\n[public.proxies]\ntrusted = ["127.0.0.1"]\nproxy_protocol = true', async (pod) => {
      const balancer = await startBalancer("haproxy", [pod], { proxyProtocol: true });
      const port = Number(new URL(balancer.url).port);
      try {
        for (const localAddress of ["127.0.0.5", "127.0.0.6"]) {
          assert.equal((await openRaw({ port }, { localAddress })).status, 101);
          assert.equal((await openRaw({ port }, { localAddress })).status, 429);
        }
        await assert.rejects(fetch(pod.url + HANDSHAKE), "without the header");
        assert.ok((await refused(pod, "bad_proxy_header")) >= 1);
      } finally {
        await balancer.stop();
      }
    }));

  test("a client behind nginx or haproxy does not choose its address", async () => {
    for (const name of BALANCERS) {
      await withPod('[admission]\nmax_per_address = 1\n[public.proxies]\ntrusted = ["127.0.0.1"]', async (pod) => {
        const balancer = await startBalancer(name, [pod], { forwardedFor: true });
        const through = { port: Number(new URL(balancer.url).port) };
        const open = async (localAddress, headers) => (await openRaw(through, { localAddress, headers })).status;
        try {
          assert.equal(await open("127.0.0.5"), 101, name);
          for (const headers of [
            {},
            { Forwarded: "for=198.51.100.1" },
            { Forwarded: "for=198.51.100.2;proto=https" },
            { "X-Forwarded-For": "198.51.100.3" },
          ]) {
            assert.equal(await open("127.0.0.5", headers), 429, `${name}: ${JSON.stringify(headers)}`);
          }
          assert.equal(await open("127.0.0.6", { Forwarded: "for=127.0.0.5" }), 101, name);
        } finally {
          await balancer.stop();
        }
      });
    }
  });

  test("load balancers that write Forwarded are believed that alone, where the setting says so", () =>
    withPod('[admission]\nmax_per_address = 1\n[public.proxies]\ntrusted = ["127.0.0.2"]\nheader = "forwarded"', async (pod) => {
      const open = async (headers) => (await openRaw(pod, { localAddress: "127.0.0.2", headers })).status;
      assert.equal(await open({ Forwarded: "for=192.0.2.1" }), 101);
      assert.equal(await open({ Forwarded: "for=192.0.2.1", "X-Forwarded-For": "192.0.2.9" }), 429);
      assert.equal(await open({ Forwarded: 'for=192.0.2.1, for="192.0.2.2:80"' }), 101);
    }));

  test("pages of some origins connect, over either transport; who is no browser passes", () =>
    withPod('[admission]\norigins = ["https://app.example.com", "HTTPS://Other.example.com:443"]', async (pod) => {
      for (const [headers, polling, websocket] of [
        [{ Origin: "https://app.example.com" }, 200, 101],
        [{ Origin: "https://other.example.com" }, 200, 101],
        [{ Origin: "https://evil.example.com" }, 403, 403],
        [{ Origin: "null" }, 403, 403],
        [{}, 200, 101],
      ]) {
        assert.equal((await status(pod, headers))[0], polling, JSON.stringify(headers));
        assert.equal((await openRaw(pod, { headers })).status, websocket, JSON.stringify(headers));
      }
      assert.equal(await refused(pod, "origin_denied"), 4);
    }));

  test("what is asked first is answered first", () =>
    withPod('[admission]\nmax_connections = 1\nrate = 1\nmax_per_address = 1\norigins = ["https://app.example.com"]\n[drain]\ndelay = "30s"\ntimeout = "31s"', async (pod) => {
      const evil = { Origin: "https://evil.example.com" };
      assert.equal((await status(pod, evil))[1], "origin_denied");
      await until("the rate is asked first", async () => (await status(pod, evil))[1] === "rate_limited");
      await until("the rate allows one", async () => (await status(pod))[0] === 200);
      assert.equal((await status(pod, evil))[1], "connection_limit");
      await pod.api("POST", "drain");
      assert.equal((await status(pod, evil))[1], "draining");
      await pod.api("DELETE", "drain");
    }));
});

test("a storm: 5000 clients in one second against 500 a second are all in at the end", async (t) => {
  const [COUNT, RATE] = [5000, 500];
  const pod = await startPod(`${OPEN}\n[admission]\nrate = ${RATE}\n[engine]\nping_interval = "10m"`);
  const sockets = [];
  const attempts = [];
  const pulse = watchPulse(pod);
  // As the stock client: again after a while that grows, at random.
  const client = async (index) => {
    await new Promise((resolve) => setTimeout(resolve, (index / COUNT) * 1000));
    for (let attempt = 1; ; attempt += 1) {
      const { socket, status } = await openRaw(pod);
      if (status === 101) {
        socket.resume();
        sockets.push(socket);
        attempts.push(attempt);
        return;
      }
      assert.equal(status, 429);
      const delay = Math.min(1000 * 2 ** (attempt - 1), 5000) * (0.5 + Math.random());
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  };
  try {
    const before = rss(pod);
    const begun = Date.now();
    await Promise.all(Array.from({ length: COUNT }, (_, index) => client(index)));
    const seconds = (Date.now() - begun) / 1000;
    await until("all have a socket", async () => (await pod.metric("roomcast_sockets")) === COUNT);
    const slowest = await pulse();
    const memory = rss(pod) - before;
    t.diagnostic(`all in after ${seconds.toFixed(1)} s, ${(attempts.reduce((a, b) => a + b) / COUNT).toFixed(1)} attempts each; ${await refused(pod, "rate_limited")} refused; /livez took ${slowest} ms at most; ${memory.toFixed(0)} MiB for all`);
    assert.ok(seconds > COUNT / RATE - 2, "the rate was held");
    // On a machine that is busy itself, all of it takes longer.
    assert.ok(slowest < (seconds * 1000) / 2, `/livez took ${slowest} ms of ${seconds} s`);
    assert.ok(memory < 400, `${memory} MiB`);
  } finally {
    for (const socket of sockets) socket.destroy();
    await pod.stop();
  }
});
