// A pod that does not read for a while, until Redis has had enough of keeping messages for it.

import { until } from "../pod.mjs";
import { redisCli } from "./redis-cli.mjs";

const ROOM = "public-bulk";
const LIMIT = "pubsub 1mb 256kb 1";
/** Large enough to fill the buffers of the kernel soon. */
const BULK = "x".repeat(200_000);
const AT_ONCE = 4;

/** Ids of the connections that subscribe. */
async function subscribers(redis) {
  const list = await redisCli(redis.port, ["client", "list", "type", "pubsub"]);
  return [...list.matchAll(/^id=(\d+) /gm)].map(([, id]) => id);
}

/** Stops the last pod, and publishes to it until Redis has closed a connection of it; then lets it go on. */
export async function overflow({ pods, load }, redis) {
  const [publisher, stopped] = [pods[0], pods.at(-1)];
  await redisCli(redis.port, ["config", "set", "client-output-buffer-limit", LIMIT]);
  // A member, or nobody would be sent a message for the room.
  await load.reader(stopped, ROOM);
  const subscribed = await subscribers(redis);
  stopped.signal("SIGSTOP");
  try {
    await until("Redis closes a connection of the pod", async () => {
      const bulk = { rooms: [ROOM], event: "bulk", args: [BULK] };
      await Promise.all(Array.from({ length: AT_ONCE }, () => publisher.publish(bulk)));
      const still = new Set(await subscribers(redis));
      return subscribed.some((id) => !still.has(id));
    });
  } finally {
    stopped.signal("SIGCONT");
  }
}
