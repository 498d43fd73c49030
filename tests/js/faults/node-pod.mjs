// A Node server in the place of a pod: what the same faults cost there, and whether the suite sees it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { until } from "../pod.mjs";

const SERVER = fileURLToPath(new URL("node-server.mjs", import.meta.url));

/** Starts one; it has the calls of `startPod` that the faults make. */
export async function startNodePod(backplane) {
  const child = spawn(process.execPath, [SERVER, JSON.stringify(backplane)], {
    stdio: ["pipe", "inherit", "pipe"],
  });
  const exit = once(child, "exit");
  const logs = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    logs.push(line.startsWith("{") ? JSON.parse(line) : { message: line });
  });
  const address = await until("the Node server listens", () => {
    if (child.exitCode !== null) throw new Error(`it ended: ${logs.map((line) => line.message).join("\n")}`);
    return logs.find(({ message }) => message === "listening")?.address;
  });
  const url = `http://${address}`;
  return {
    ...{ url, internal: url, logs },
    async stop(signal) {
      child.kill(signal);
      await exit;
    },
    async publish(body) {
      const response = await fetch(`${url}/api/v1/emit`, { method: "POST", body: JSON.stringify(body) });
      return { status: response.status, body: await response.json() };
    },
    async metric(name) {
      const page = await (await fetch(`${url}/metrics`)).text();
      const line = page.split("\n").find((each) => each.startsWith(`${name} `));
      return Number(line?.split(" ").pop() ?? 0);
    },
  };
}
