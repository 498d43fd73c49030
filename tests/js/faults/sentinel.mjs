// A primary, its replica, and three sentinels that agree on which of the two is the primary.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { until } from "../pod.mjs";
import { freePort, startRedis } from "../redis.mjs";
import { redisCli } from "./redis-cli.mjs";

const SERVICE = "roomcast";

async function startSentinel(primary) {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "roomcast-sentinel-"));
  const file = join(folder, "sentinel.conf");
  const settings = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${folder}`,
    `sentinel monitor ${SERVICE} 127.0.0.1 ${primary.port} 2`,
    // Short, so that a test does not wait for what a deployment would take for a passing hiccup.
    `sentinel down-after-milliseconds ${SERVICE} 1000`,
    `sentinel failover-timeout ${SERVICE} 5000`,
  ];
  writeFileSync(file, settings.join("\n"));
  const child = spawn("redis-server", [file, "--sentinel"], { stdio: "ignore" });
  const exit = once(child, "exit");
  return {
    port,
    cli: (...words) => redisCli(port, words),
    async stop() {
      child.kill("SIGKILL");
      await exit;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts all of them, and waits until the sentinels know each other and the replica. */
export async function startSentinels() {
  const primary = await startRedis();
  const replica = await startRedis({
    args: ["--replicaof", "127.0.0.1", String(primary.port), "--repl-diskless-sync-delay", "0"],
  });
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(primary)));
  const stop = () => Promise.all([primary, replica, ...sentinels].map((server) => server.stop()));
  const field = async (sentinel, name) => {
    const lines = (await sentinel.cli("sentinel", "master", SERVICE)).split("\n");
    return lines[lines.indexOf(name) + 1];
  };
  const ready = async (sentinel) => {
    const others = await field(sentinel, "num-other-sentinels");
    return others === "2" && (await field(sentinel, "num-slaves")) === "1";
  };
  const all = async (condition) => (await Promise.all(sentinels.map(condition))).every(Boolean);
  try {
    await until("the sentinels see each other", () => all(ready));
    await until("the replica is in sync", () => primary.cli("info", "replication").includes("state=online"));
  } catch (error) {
    await stop();
    throw error;
  }

  const [first, ...others] = sentinels.map(({ port }) => port);
  const nodes = others.map((port) => `&node=127.0.0.1:${port}`).join("");
  return {
    url: `redis-sentinel://127.0.0.1:${first}?sentinelServiceName=${SERVICE}${nodes}`,
    ports: [first, ...others],
    /** Kills the primary, and waits until all sentinels name the replica, and it is one no more. */
    async failOver() {
      await primary.kill();
      const named = async (sentinel) =>
        (await sentinel.cli("sentinel", "get-master-addr-by-name", SERVICE)).endsWith(`\n${replica.port}`);
      await until("the sentinels have promoted the replica", () => all(named));
      await until("it is the primary", async () =>
        (await redisCli(replica.port, ["info", "replication"])).includes("role:master"),
      );
    },
    stop,
  };
}
