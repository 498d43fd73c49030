// Asks a pod whether it lives, on a thread of its own: that of a test with thousands of clients is late itself.

import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const EVERY = 100;

/** Begins to ask. What is given back stops, and says how many milliseconds the slowest answer took. */
export function watchPulse(pod) {
  const worker = new Worker(new URL(import.meta.url), { workerData: pod.internal });
  const told = once(worker, "message");
  // Whoever stops it sees why it failed.
  told.catch(() => {});
  return async () => {
    worker.postMessage("stop");
    const [slowest] = await told;
    await worker.terminate();
    return slowest;
  };
}

async function ask() {
  let ended = false;
  parentPort.once("message", () => {
    ended = true;
  });
  let slowest = 0;
  while (!ended) {
    const begun = Date.now();
    assert.equal((await fetch(`${workerData}/livez`)).status, 200);
    slowest = Math.max(slowest, Date.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
  parentPort.postMessage(slowest);
}

if (!isMainThread) await ask();
