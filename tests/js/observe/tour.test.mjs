// `make observe`: it starts, everything that it names answers, and after Ctrl-C nothing of it is left.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { until } from "../pod.mjs";

const TOUR = fileURLToPath(new URL("tour.mjs", import.meta.url));

/** Processes and their parents. */
function processes() {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const [, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop().split(" ");
        return [{ pid: Number(pid), parent: Number(parent) }];
      } catch {
        return [];
      }
    });
}
const children = (pid) => processes().filter(({ parent }) => parent === pid).map((one) => one.pid);
const isAlive = (pid) => processes().some((one) => one.pid === pid);

/** Runs the tour; `terminal` as Ctrl-C in one does it: all of its processes get the signal. */
async function tour(look, { terminal }) {
  const own = mkdtempSync(join(tmpdir(), "roomcast-tour-"));
  const child = spawn(process.execPath, [TOUR], { stdio: ["ignore", "pipe", "pipe"], detached: true, env: { ...process.env, TMPDIR: own } });
  const exit = once(child, "exit");
  let [said, errors] = ["", ""];
  child.stdout.on("data", (bytes) => (said += bytes));
  child.stderr.on("data", (bytes) => (errors += bytes));
  try {
    await look({ said: () => said, isRunning: () => child.exitCode === null });
    const started = children(child.pid);
    process.kill(terminal ? -child.pid : child.pid, "SIGINT");
    assert.deepEqual(await Promise.race([exit, new Promise((resolve) => setTimeout(resolve, 30_000, "still there").unref())]), [0, null], said + errors);
    assert.deepEqual(started.filter(isAlive), []);
    assert.deepEqual(readdirSync(own), [], "files");
    return { said, errors, started };
  } finally {
    // Only a tour that has not ended has anything left.
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGKILL");
    rmSync(own, { recursive: true, force: true });
  }
}

test("it starts, answers, and leaves nothing behind on Ctrl-C", async () => {
  const { errors, started } = await tour(
    async ({ said, isRunning }) => {
      await until("it says where to look", () => {
        assert.ok(isRunning(), said());
        return said().includes("Ctrl-C");
      }, 60_000);
      const [, prometheus] = /Prometheus (http:..[^/]+)/.exec(said());
      const ask = async (query) => (await (await fetch(`${prometheus}/api/v1/query?${new URLSearchParams({ query })}`)).json()).data.result;
      await until("three pods are scraped, with clients", async () => {
        const [up, clients] = await Promise.all([ask("sum(up)"), ask("sum(roomcast_connections)")]);
        return Number(up[0]?.value[1]) === 3 && Number(clients[0]?.value[1]) > 20;
      });
      const addresses = said().match(/http:\/\/127\.0\.0\.1:\d+[^\s']*/g);
      assert.ok(addresses.length > 12, said());
      for (const address of addresses) {
        // Two of the pods have no page; that somebody is there is what counts.
        const { status } = await fetch(address);
        if (/g0.expr|\/alerts|\/metrics$/.test(address)) assert.equal(status, 200, address);
      }
      const page = await (await fetch(/chat page\s+(\S+)/.exec(said())[1])).text();
      assert.match(page, /Roomcast demo/);
      for (const [link] of said().matchAll(/http\S+g0\.expr=\S+/g)) {
        const query = new URL(link).searchParams.get("g0.expr");
        const answer = await fetch(`${prometheus}/api/v1/query?${new URLSearchParams({ query })}`);
        assert.equal(answer.status, 200, query);
      }
    },
    { terminal: true },
  );
  assert.equal(errors, "");
  // Three pods, Redis, Prometheus.
  assert.equal(started.length, 5);
});

test("a signal to it alone, while it starts, leaves nothing behind", async () => {
  await tour(async () => new Promise((resolve) => setTimeout(resolve, 1500)), { terminal: false });
});
