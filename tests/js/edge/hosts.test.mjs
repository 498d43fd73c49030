// Pods on different machines, each a network of its own, with the environment of the image and the address of Redis. It needs
// root and `ip` of iproute2, to make networks.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { BIN, ROOT, until } from "../pod.mjs";
import { startRedis } from "../redis.mjs";

const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";
/** The bridge that joins the machines, and the one in between them that has Redis. */
const BRIDGE = `rc${process.pid}`;
const GATEWAY = { v4: "198.18.77.254", v6: "fd77::fe" };
const machine = (index) => ({ name: `${BRIDGE}h${index}`, cable: `${BRIDGE}${"abc"[index]}`, v4: `198.18.77.${index + 1}`, v6: `fd77::${index + 1}` });
const MACHINES = [0, 1, 2].map(machine);

/** What is said to `ip`; whether it did it. */
const ip = (...words) => spawnSync("ip", words, { stdio: "ignore" }).status === 0;

function build() {
  if (!ip("link", "add", BRIDGE, "type", "bridge")) return false;
  const all = [`addr add ${GATEWAY.v4}/24 dev ${BRIDGE}`, `-6 addr add ${GATEWAY.v6}/64 dev ${BRIDGE} nodad`, `link set ${BRIDGE} up`];
  for (const { name, cable, v4, v6 } of MACHINES) {
    all.push(
      ...[`netns add ${name}`, `link add ${cable} type veth peer name eth0 netns ${name}`, `link set ${cable} master ${BRIDGE} up`],
      ...[`-n ${name} addr add ${v4}/24 dev eth0`, `-n ${name} -6 addr add ${v6}/64 dev eth0 nodad`],
      ...[`-n ${name} link set eth0 up`, `-n ${name} link set lo up`],
    );
  }
  return all.every((line) => ip(...line.split(" ")));
}

function clear() {
  for (const { name } of MACHINES) ip("netns", "del", name);
  ip("link", "del", BRIDGE);
}

/** The environment that the image sets. */
const [, LISTEN] = /^ENV ROOMCAST__INTERNAL__LISTEN='(.*)'$/m.exec(readFileSync(join(ROOT, "Dockerfile"), "utf8"));

test("pods on three machines find each other with nothing but the address of Redis", async (t) => {
  if (!build()) {
    clear();
    return t.skip("no right to make networks");
  }
  const redis = await startRedis({ args: ["--bind", "127.0.0.1", GATEWAY.v4, GATEWAY.v6, "--protected-mode", "no"] });
  const running = [];
  const end = async () => {
    for (const pod of running.splice(0)) {
      const ended = once(pod, "exit");
      pod.kill("SIGKILL");
      await ended;
    }
  };
  try {
    for (const [what, host, at] of [
      ["IPv4", GATEWAY.v4, ({ v4 }) => `${v4}:9000`],
      ["IPv6", `[${GATEWAY.v6}]`, ({ v6 }) => `[${v6}]:9000`],
    ]) {
      const environment = {
        PATH: process.env.PATH,
        ROOMCAST__INTERNAL__LISTEN: LISTEN,
        ROOMCAST__BACKPLANE__URL: `redis://${host}:${redis.port}`,
        ROOMCAST__BACKPLANE__KEY_PREFIX: what,
      };
      for (const { name } of MACHINES) {
        const words = ["netns", "exec", name, join(BIN, "roomcast")];
        running.push(spawn("ip", words, { env: environment, stdio: "ignore" }));
      }
      for (const { v4 } of MACHINES) {
        const ready = () => fetch(`http://${v4}:9000/readyz`).then(({ ok }) => ok, () => false);
        await until(`${what}: the pod at ${v4} is ready`, ready);
      }
      const ids = redis.cli("smembers", `{${what}}:pods`).split("\n");
      const records = ids.map((id) => JSON.parse(redis.cli("get", `{${what}}:pod:${id}`)));
      assert.deepEqual(records.map(({ address }) => address).sort(), MACHINES.map(at));
      const first = `http://${MACHINES[0].v4}:3000${HANDSHAKE}`;
      const { sid } = JSON.parse((await (await fetch(first)).text()).slice(1));
      for (const { v4 } of MACHINES) {
        const answer = await fetch(`http://${v4}:3000${HANDSHAKE}&sid=${sid}`, { method: "POST", body: "40" });
        assert.equal(answer.status, 200, `${what}: a request that comes to ${v4}`);
      }
      await end();
    }
  } finally {
    await end();
    await redis.stop();
    clear();
  }
});
