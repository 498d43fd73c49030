// Two pods of one cluster, and sessions of the one whose requests come to the other.

import { connect } from "node:net";

import { OPEN, startPod, until } from "../pod.mjs";
import { startRedis } from "../redis.mjs";

const POLLING = "/socket.io/?EIO=4&transport=polling";

/** A request of a polling session, to any pod; it is answered in time. */
export const poll = (pod, sid, method = "GET", body) =>
  fetch(`${pod.url}${POLLING}${sid ? `&sid=${sid}` : ""}`, { method, body, signal: AbortSignal.timeout(30_000) });

/** Starts two pods with these settings, beside those of a cluster; `backplane` has more of those. */
export async function startPair(settings = "", backplane = "") {
  const redis = await startRedis();
  const config = `${OPEN}\n[backplane]\nkind = "pubsub"\nurl = "${redis.url}"\n${backplane}\n${settings}`;
  const pods = await Promise.all([startPod(config), startPod(config)]);
  await Promise.all(pods.map((pod) => until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok)));
  const [owner, other] = pods;
  const stop = async () => {
    for (const pod of pods) pod.signal("SIGCONT");
    await Promise.all(pods.map((pod) => pod.stop("SIGKILL")));
    await redis.stop();
  };
  return { owner, other, stop };
}

/** Opens a polling session, joins the busy room, and gives the id of the session. */
export async function openSession(pod) {
  const { sid } = JSON.parse((await (await poll(pod)).text()).slice(1));
  const hears = (words) => until(words, async () => (await (await poll(pod, sid)).text()).includes(words));
  await poll(pod, sid, "POST", "40");
  await hears("40{");
  await poll(pod, sid, "POST", '420["join",{"rooms":["public-busy"]}]');
  await hears("430[");
  return sid;
}

/** A masked text frame of a client. */
const text = (words) => {
  const body = Buffer.from(words);
  return Buffer.concat([Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]), body]);
};

/** A session of the one pod, upgraded to a WebSocket that passes through the other; gives the TCP connection. */
export async function openRelayed(owner, other, options = {}) {
  const sid = await openSession(owner);
  const socket = connect({ port: other.port, host: "127.0.0.1", ...options });
  socket.on("error", () => {});
  let seen = "";
  const hears = (words) =>
    until(words, () => {
      seen += socket.read()?.toString("latin1") ?? "";
      return seen.includes(words);
    });
  socket.write(
    `GET /socket.io/?EIO=4&transport=websocket&sid=${sid} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  await hears("101 ");
  socket.write(text("2probe"));
  await hears("3probe");
  socket.write(text("5"));
  await until("it has its WebSocket", async () => (await owner.metric("roomcast_connections", "websocket")) > 0);
  return socket;
}
