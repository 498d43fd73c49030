// Polling requests that come to another pod than their session's, when that one is silent, or the client is.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";

import { until } from "../pod.mjs";
import { openSession, poll, startPair } from "./pair.mjs";

const UNKNOWN = { code: 1, message: "Session ID unknown" };
const failed = (pod) => pod.metric("roomcast_forwarded_requests_total", 'result="failed"');
const refusal = async (response) => ({ status: response.status, body: await response.json() });

test("a pod that stands still is not waited for", async () => {
  // Longer than it may take.
  const patient = '[engine]\nping_interval = "10m"';
  const { owner, other, stop } = await startPair(patient, 'timeout = "1s"\nheartbeat = "200ms"');
  try {
    const [posting, polling] = [await openSession(owner), await openSession(owner)];
    const hanging = poll(other, polling);
    await until("a poll waits for it", async () => (await other.metric("roomcast_held_polls")) === 1);
    owner.signal("SIGSTOP");
    const post = await poll(other, posting, "POST", '42["x"]');
    assert.deepEqual(await refusal(post), { status: 400, body: UNKNOWN });
    assert.deepEqual(await refusal(await hanging), { status: 400, body: UNKNOWN });
    assert.equal(await failed(other), 2);
  } finally {
    await stop();
  }
});

test("a poll may wait, and a body may come slowly", async () => {
  const { owner, other, stop } = await startPair('[sessions]\nforward_timeout = "300ms"');
  try {
    const sid = await openSession(owner);
    const hanging = poll(other, sid);
    const words = ['42["join",', '{"rooms":["public-a"]}', "]"];
    const slowly = async function* () {
      for (const word of words) {
        await new Promise((resolve) => setTimeout(resolve, 1000));
        yield Buffer.from(word);
      }
    };
    const post = await fetch(`${other.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: "POST", body: slowly(), duplex: "half" });
    assert.equal(post.status, 200);
    await owner.publish({ rooms: ["public-a"], event: "news", args: ["late"] });
    assert.match(await (await hanging).text(), /42\["news","late"\]/);
    assert.equal(await failed(other), 0);
  } finally {
    await stop();
  }
});

test("a body that does not come is answered as on the session's own pod, and is no failure of that", async () => {
  const { owner, other, stop } = await startPair('[public]\nrequest_timeout = "1s"');
  /** The answer to a request whose body does not go on. */
  const begin = async (pod) => {
    const socket = connect(pod.port, "127.0.0.1");
    socket.write(`POST /socket.io/?EIO=4&transport=polling&sid=${await openSession(owner)} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n42[`);
    let answer = "";
    for await (const part of socket) answer += part;
    return { status: answer.split("\r\n")[0], body: answer.split("\r\n\r\n")[1] };
  };
  try {
    const here = await begin(owner);
    assert.equal(here.status, "HTTP/1.1 408 Request Timeout");
    assert.deepEqual(await begin(other), here);
    assert.equal(await failed(other), 0);
    await until("both sessions have ended", async () => (await owner.metric("roomcast_connections")) === 0);
  } finally {
    await stop();
  }
});
