// Starts real Redis servers on free ports of 127.0.0.1, and stops what it started.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { until } from "./pod.mjs";

const given = new Set();
/** A port that was free a moment ago: none that was given before, nor one that the system gives to others by itself. */
export async function freePort() {
  for (;;) {
    const port = 16_384 + Math.floor(Math.random() * 16_000);
    if (given.has(port)) continue;
    given.add(port);
    const server = createServer().listen(port, "127.0.0.1");
    const taken = await once(server, "listening").then(() => false, () => true);
    if (taken) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

/** Starts one `redis-server` that keeps nothing on disk; `args` are more of its options. */
export async function startRedis({ args = [], port } = {}) {
  const wanted = port;
  port ??= await freePort();
  const folder = mkdtempSync(join(tmpdir(), "roomcast-redis-"));
  const command = () => [
    ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder],
    ...["--save", "", "--appendonly", "no"],
    ...args,
  ];
  let child;
  const cli = (...words) => {
    const done = spawnSync("redis-cli", ["-p", String(port), ...words.map(String)], { encoding: "utf8" });
    return done.stdout.trim();
  };
  const launch = async () => {
    child = spawn("redis-server", command(), { stdio: "ignore" });
    const ended = () => child.exitCode !== null || child.signalCode !== null;
    // What answers may be another one's, which took the port first: then this one ends.
    await until(`redis-server on port ${port}`, () => ended() || cli("info", "server").includes(`process_id:${child.pid}`));
    if (ended()) throw new Error(`redis-server on port ${port} ended: ${child.exitCode ?? child.signalCode}`);
  };
  const end = async (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      await launch();
      break;
    } catch (error) {
      // The port was free a moment ago: somebody else has it now.
      if (wanted || attempt === 5) throw error;
      port = await freePort();
    }
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    /** Runs `redis-cli` with these words, and gives what it printed. */
    cli,
    /** The process id now. */
    pid: () => child.pid,
    signal: (signal) => child.kill(signal),
    /** Ends the process at once, as a crash would. */
    kill: () => end("SIGKILL"),
    /** Starts it again on the same port, empty. */
    restart: launch,
    async stop() {
      child.kill("SIGCONT");
      await end("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
