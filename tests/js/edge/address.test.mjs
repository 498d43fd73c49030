// Where pods reach each other when nobody has told them: nothing but the address of Redis.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { OPEN, startPod, until } from "../pod.mjs";
import { startRedis } from "../redis.mjs";

const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";

describe("the address of a pod", () => {
  let redis;
  let count = 0;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis?.stop());

  /** Starts pods of a cluster of their own, and stops them. */
  const withPods = async (each, body) => {
    count += 1;
    const pods = [];
    try {
      for (const { settings = () => "", ...options } of each) {
        const config = `${OPEN}\n[backplane]\nurl = "${redis.url}"\nkey_prefix = "address-${count}"\n${settings(pods)}`;
        pods.push(await startPod(config, { env: { POD_IP: "" }, ...options }));
      }
      for (const pod of pods) await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
      const known = async () => (await pods[0].api("GET", "cluster")).body.pods;
      await until("the pods know each other", async () => (await known())?.length === pods.length);
      await body(pods, (await known()).map(({ address }) => address).sort());
    } finally {
      for (const pod of pods) await pod.stop("SIGKILL");
    }
  };
  const open = async (pod) => JSON.parse((await (await fetch(pod.url + HANDSHAKE)).text()).slice(1)).sid;
  const post = async (pod, sid) => (await fetch(`${pod.url}${HANDSHAKE}&sid=${sid}`, { method: "POST", body: "40" })).status;
  const portOf = (pod) => new URL(pod.internal).port;

  for (const [what, host, at, options] of [
    ["listens on all addresses: the one on the way to Redis", "0.0.0.0", "127.0.0.1", {}],
    ["has an IP by the Downward API", "0.0.0.0", "127.0.0.9", { env: { POD_IP: "127.0.0.9" } }],
    ["has one of IPv6", "[::]", "[::1]", { env: { POD_IP: "::1" } }],
    ["has an address of IPv6 in the settings", "[::]", "[::1]", { settings: () => '[internal]\nadvertise = "::1"' }],
  ]) {
    test(`a pod that ${what}`, () =>
      withPods([{ internalHost: host, ...options }, { internalHost: host, ...options }], async (pods, addresses) => {
        assert.deepEqual(addresses, pods.map((pod) => `${at}:${portOf(pod)}`).sort());
        assert.equal(await post(pods[1], await open(pods[0])), 200);
        assert.equal(await post(pods[0], await open(pods[1])), 200);
      }));
  }

  test("one that says that it is at another pod's address is named in the log, once", () =>
    withPods([{}, { settings: ([first]) => `[internal]\nadvertise = "127.0.0.1:${portOf(first)}"` }], async ([first, second]) => {
      const warnings = () => first.logs.filter(({ level }) => level === "WARN").map(({ message }) => message);
      for (let attempt = 0; attempt < 2; attempt += 1) assert.equal(await post(first, await open(second)), 400);
      const told = () => warnings().filter((message) => message.includes("this pod's own address"));
      await until("the log says so", () => told().length > 0);
      assert.equal(told().length, 1);
      assert.deepEqual(warnings().filter((message) => message.includes("sessions.secret")), []);
    }));
});
