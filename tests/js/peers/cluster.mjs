// A mixed cluster: two pods, two servers of Node, one Redis.

import { createClient } from "redis";

import { startNodePod } from "../node-pod.mjs";
import { until } from "../pod.mjs";
import { startRedis } from "../redis.mjs";
import { startRoomcastPod } from "./roomcast-pod.mjs";

/** From whom to whom. Node to Node is the control: it shows that the table asks what Node does. */
export const DIRECTIONS = {
  "Node to Node": ["node1", "node2", "roomcast1"],
  "Roomcast to Node": ["roomcast1", "node1", "roomcast2"],
  "Node to Roomcast": ["node1", "roomcast1", "node2"],
  "Roomcast to Roomcast": ["roomcast1", "roomcast2", "node1"],
};

/** What carries the messages, in Roomcast's words. */
export const KINDS = ["pubsub", "sharded"];

/** With CONTROL=node, servers of Node stand where Roomcast does: then the tables test only themselves. */
export const ONLY_NODE = process.env.CONTROL === "node";

const startRoomcast = ONLY_NODE ? startNodePod : startRoomcastPod;

/**
 * Starts it, and waits until each server can hear the others.
 *
 * `namespaces` are those of the servers of Node; pods have "/" and "/second". `parser` is that of the first pod.
 */
export async function startCluster(kind, { namespaces = ["/", "/second"], binary, parser } = {}) {
  const redis = await startRedis();
  const client = await createClient({ url: redis.url }).on("error", () => {}).connect();
  const settings = { kind, redis: redis.url, namespaces };
  const starting = {
    node1: startNodePod(settings),
    node2: startNodePod(settings),
    roomcast1: startRoomcast({ ...settings, parser }, { binary }),
    roomcast2: startRoomcast(settings, { binary }),
  };
  const stop = async () => {
    const started = await Promise.allSettled(Object.values(starting));
    await Promise.all(started.map(({ value }) => value?.stop("SIGKILL")));
    client.destroy();
    await redis.stop();
  };
  const pods = {};
  try {
    for (const [name, pod] of Object.entries(starting)) pods[name] = await pod;
  } catch (error) {
    await stop();
    throw error;
  }

  /** How many listen to the channel of a namespace, or of a room in it. */
  const listeners = async (namespace, room) => {
    const command = kind === "sharded" ? "SHARDNUMSUB" : "NUMSUB";
    const prefix = kind === "sharded" ? "socket.io" : "socket.io-request";
    const channel = `${prefix}#${namespace}#${room === undefined ? "" : `${room}#`}`;
    const [, count] = await client.sendCommand(["PUBSUB", command, channel]);
    return Number(count);
  };
  for (const namespace of namespaces) {
    await until(`four servers in ${namespace}`, async () => (await listeners(namespace)) === 4);
  }

  return {
    kind,
    redis,
    stop,
    ...pods,
    all: Object.values(pods),
    /** A connection to that Redis, for what a test looks at or publishes itself. */
    client,
    listeners,
    /**
     * Waits until `count` servers listen for a room. In sharded mode a server does so some time after a
     * client has joined; one that only has pattern subscriptions hears every room from its start.
     */
    async listening(room, count, namespace = "/") {
      if (kind !== "sharded") return;
      await until(`listeners of ${room}`, async () => (await listeners(namespace, room)) >= count);
    },
  };
}
