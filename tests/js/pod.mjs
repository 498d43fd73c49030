// Starts real pods on free ports of 127.0.0.1, and stops what it started.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
/** Where the binaries under test are. */
export const BIN = process.env.ROOMCAST_BIN_DIR ?? join(TARGET, "debug");

export const API_KEY = "a-key-for-the-tests-only";
export const JWT_SECRET = "a secret for the tests only, long enough";

/** What most tests run: rooms that anyone may join, and events that members may relay. */
export const OPEN = `
[api]
keys = ["${API_KEY}"]
[namespaces."/"]
auth = "none"
[[namespaces."/".rooms]]
pattern = "public-*"
join = "anyone"
relay = ["chat"]
[[namespaces."/".events]]
name = "announce:*"
action = "relay"
[namespaces."/second"]
auth = "none"
[[namespaces."/second".rooms]]
pattern = "public-*"
join = "anyone"
relay = ["chat"]
`;

/** Waits until a condition holds, and says what it was when it does not in time. */
export async function until(what, condition, timeout = 30_000) {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not in ${timeout} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The next event of an emitter, in time. */
export async function next(emitter, event, timeout = 30_000) {
  return Promise.race([
    new Promise((resolve) => emitter.once(event, (...args) => resolve(args))),
    new Promise((_, reject) =>
      setTimeout(() => reject(new Error(`no ${event} in ${timeout} ms`)), timeout).unref(),
    ),
  ]);
}

/** The sum of a metric over all labels that contain `labels`, as the internal listener of a pod serves it. */
export async function metric(internal, name, labels = "", options = {}) {
  const page = await (await fetch(`${internal}/metrics`, options)).text();
  return page
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(labels))
    .reduce((sum, line) => sum + Number(line.split(" ").pop()), 0);
}

/**
 * Starts a pod with a configuration; `port` and `internalPort` ask for those that an earlier pod had, `internalHost` for
 * another address, `env` adds to the environment.
 */
export async function startPod(
  config = OPEN,
  { binary = "roomcast", args = [], port = 0, internalPort = 0, internalHost = "127.0.0.1", env = {} } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-"));
  const file = join(folder, "roomcast.toml");
  writeFileSync(file, config);
  const flags = [
    ...args,
    ...["--config", file],
    ...["--listen", `127.0.0.1:${port}`, "--internal-listen", `${internalHost}:${internalPort}`],
    ...["--set", "log.format=json"],
  ];
  const options = { cwd: ROOT, env: { ...process.env, ...env }, stdio: ["ignore", "inherit", "pipe"] };
  const child = spawn(join(BIN, binary), flags, options);
  const exit = once(child, "exit");
  const logs = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    try {
      logs.push(JSON.parse(line));
    } catch {
      logs.push({ message: line });
    }
  });
  const address = (listener) => () => {
    if (child.exitCode !== null) {
      throw new Error(`the pod ended: ${logs.map((line) => line.message).join("\n")}`);
    }
    return logs.find((line) => line.message.startsWith(`${listener} listener`))?.address;
  };
  const publicAddress = await until("public listener", address("public"));
  const internal = await until("internal listener", address("internal"));

  const pod = {
    url: `http://${publicAddress}`,
    port: Number(publicAddress.split(":").pop()),
    internal: `http://${internal}`,
    logs,
    pid: child.pid,
    isAlive: () => child.exitCode === null && child.signalCode === null,
    signal: (signal) => child.kill(signal),
    /** Sends a signal and waits for the end. */
    async stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await exit;
      rmSync(folder, { recursive: true, force: true });
      return child.exitCode;
    },
    /** Sends a request to the HTTP API: `path` is what follows `/api/v1/`. */
    async api(method, path, body, key = API_KEY, headers = {}) {
      const response = await fetch(`http://${internal}/api/v1/${path}`, {
        method,
        headers: { authorization: `Bearer ${key}`, ...headers },
        body: body && JSON.stringify(body),
      });
      return { status: response.status, body: await response.json() };
    },
    /** Publishes over the HTTP API. */
    publish: (body, key) => pod.api("POST", "emit", body, key),
    /** As [`metric`]. */
    metric: (name, labels) => metric(`http://${internal}`, name, labels),
  };
  return pod;
}
