// Programs that publish through Redis and serve no one, in the words of node-pod.mjs.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { Emitter } from "@socket.io/redis-emitter";

import { ROOT } from "../pod.mjs";

/** The npm package, with a connection to Redis. */
export function nodeEmitter(client) {
  const to = ({ namespace, rooms = [], except = [] }) => {
    const emitter = namespace === undefined ? new Emitter(client) : new Emitter(client).of(namespace);
    return emitter.to(rooms).except(except);
  };
  return {
    emit: ({ event, args = [], volatile, ...where }) => {
      const target = volatile ? to(where).volatile : to(where);
      target.emit(event, ...args);
    },
    join: ({ in: rooms, rooms: joined, ...where }) => to({ ...where, rooms }).socketsJoin(joined),
    leave: ({ in: rooms, rooms: left, ...where }) => to({ ...where, rooms }).socketsLeave(left),
    disconnect: ({ in: rooms, close, ...where }) => to({ ...where, rooms }).disconnectSockets(close),
    serverSideEmit: (namespace, ...event) => new Emitter(client).of(namespace).serverSideEmit(...event),
  };
}

const PEERS = fileURLToPath(new URL(".", import.meta.url));
const PACKAGES = join(ROOT, ".tools", "python-emitter");

/** Installs the Python package where `make clean` finds it, unless it is there; gives the folder. */
export function installPythonEmitter() {
  const requirements = readFileSync(join(PEERS, "requirements.txt"), "utf8");
  const stamp = join(PACKAGES, "installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === requirements) return PACKAGES;
  rmSync(PACKAGES, { recursive: true, force: true });
  const install = ["install", "--quiet", "--no-deps", "--target", PACKAGES, "-r", join(PEERS, "requirements.txt")];
  const { status, stderr, error } = spawnSync("python3", ["-m", "pip", ...install], { encoding: "utf8" });
  if (status !== 0) {
    throw new Error(`Python 3.10 or newer with pip is needed (Debian: apt-get install python3-pip): ${error ?? stderr}`);
  }
  writeFileSync(stamp, requirements);
  return PACKAGES;
}

/** The Python package. It knows one way to publish: to rooms or a namespace. */
export async function startPythonEmitter(redis) {
  installPythonEmitter();
  const child = spawn("python3", [join(PEERS, "emitter.py"), String(redis.port)], {
    env: { ...process.env, PYTHONPATH: PACKAGES },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exit = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  return {
    async emit(message) {
      const published = once(lines, "line");
      child.stdin.write(`${JSON.stringify(message)}\n`);
      await Promise.race([
        published,
        exit.then(([code]) => {
          throw new Error(`the Python emitter ended with ${code}`);
        }),
      ]);
    },
    async stop() {
      child.stdin.end();
      await exit;
    },
  };
}
