// A Redis Cluster of three primaries, each with a replica that takes over from it.

import { until } from "../pod.mjs";
import { freePort, startRedis } from "../redis.mjs";
import { redisCli, redisCommands } from "./redis-cli.mjs";

const PRIMARIES = 3;
const SLOTS = 16_384;

async function startNode() {
  const busPort = await freePort();
  const server = await startRedis({
    args: [
      ...["--cluster-enabled", "yes", "--cluster-port", String(busPort)],
      // Short, so that a test does not wait for what a deployment would take for a passing hiccup.
      ...["--cluster-node-timeout", "5000", "--cluster-replica-validity-factor", "0"],
      ...["--repl-diskless-sync-delay", "0"],
    ],
  });
  const cli = (...words) => redisCli(server.port, words);
  return { ...server, busPort, cli, id: await cli("cluster", "myid") };
}

/** The slots of each primary, by its place: three even ranges. */
const range = (index) => [
  Math.round((index * SLOTS) / PRIMARIES),
  Math.round(((index + 1) * SLOTS) / PRIMARIES) - 1,
];

async function join(nodes) {
  const [primaries, replicas] = [nodes.slice(0, PRIMARIES), nodes.slice(PRIMARIES)];
  for (const [index, node] of nodes.entries()) await node.cli("cluster", "set-config-epoch", index + 1);
  for (const [index, node] of primaries.entries()) await node.cli("cluster", "addslotsrange", ...range(index));
  for (const node of nodes.slice(1)) {
    await nodes[0].cli("cluster", "meet", "127.0.0.1", node.port, node.busPort);
  }
  await until("all nodes are connected to each other", async () => {
    const pages = await Promise.all(nodes.map((node) => node.cli("cluster", "nodes")));
    const complete = (page) => page.match(/ connected/g)?.length === nodes.length;
    return pages.every((page) => complete(page) && !page.includes("handshake"));
  });
  for (const [index, node] of replicas.entries()) {
    await node.cli("cluster", "replicate", primaries[index].id);
  }
  await until("the replicas are in sync", async () => {
    const pages = await Promise.all(primaries.map((node) => node.cli("info", "replication")));
    return pages.every((page) => page.includes("state=online"));
  });
  await until("all nodes see a cluster that works", async () => {
    const seen = await Promise.all(
      nodes.map(async (node) => {
        const replicasSeen = (await node.cli("cluster", "nodes")).match(/ (?:myself,)?slave /g)?.length;
        const state = await node.cli("cluster", "info");
        return replicasSeen === replicas.length && state.includes("cluster_state:ok");
      }),
    );
    return seen.every(Boolean);
  });
}

/** Starts all of them, and waits until they are one cluster. */
export async function startCluster() {
  const nodes = await Promise.all(Array.from({ length: 2 * PRIMARIES }, startNode));
  const stop = () => Promise.all(nodes.map((node) => node.stop()));
  try {
    await join(nodes);
  } catch (error) {
    await stop();
    throw error;
  }
  const dead = new Set();
  const primaries = async () => {
    const alive = nodes.filter((node) => !dead.has(node));
    const roles = await Promise.all(alive.map((node) => node.cli("role")));
    return alive.filter((_, index) => roles[index].startsWith("master"));
  };
  const lines = async (node, ...words) => (await node.cli(...words)).split("\n").filter(Boolean);
  /** What a node is in the middle of: subscribers, channels of slots, keys. */
  const use = async (node) => ({
    node,
    subscribers: (await lines(node, "client", "list", "type", "pubsub")).length,
    channels: await lines(node, "pubsub", "shardchannels"),
    keys: await lines(node, "--scan"),
  });
  const [first, ...others] = nodes.map(({ port }) => port);
  return {
    url: `redis-cluster://127.0.0.1:${first}?${others.map((port) => `node=127.0.0.1:${port}`).join("&")}`,
    ports: [first, ...others],

    /** Kills the primary that carries the most, and waits until another has taken over its slots. */
    async loseBusiest() {
      const load = ({ channels, subscribers }) => channels.length * 1000 + subscribers;
      const uses = await Promise.all((await primaries()).map(use));
      const [{ node }] = uses.toSorted((one, other) => load(other) - load(one));
      await node.kill();
      dead.add(node);
      await until("a replica has taken over", async () => (await primaries()).length === PRIMARIES);
      await until("the cluster works again", async () => {
        const states = await Promise.all((await primaries()).map((each) => each.cli("cluster", "info")));
        return states.every((state) => state.includes("cluster_state:ok"));
      });
    },

    /** Moves every slot with a channel or a key in it to the next primary. Gives how many there were. */
    async moveSlotsInUse() {
      const owners = await primaries();
      let moved = 0;
      // What is in use is asked before the first move, or the last primary would move it all on.
      const uses = await Promise.all(owners.map(use));
      for (const [index, { node, channels, keys }] of uses.entries()) {
        const target = owners[(index + 1) % owners.length];
        for (const slot of new Set(await slotsOf(node, [...channels, ...keys]))) {
          await moveSlot(slot, node, target, owners);
          moved += 1;
        }
      }
      return moved;
    },
    stop,
  };
}

async function slotsOf(node, names) {
  if (names.length === 0) return [];
  return redisCommands(node.port, names.map((name) => `cluster keyslot "${name}"`));
}

/** The steps of the Redis manual for one slot, in its order: nobody owns nothing at any time. */
async function moveSlot(slot, source, target, primaries) {
  await target.cli("cluster", "setslot", slot, "importing", source.id);
  await source.cli("cluster", "setslot", slot, "migrating", target.id);
  for (;;) {
    const keys = (await source.cli("cluster", "getkeysinslot", slot, 100)).split("\n").filter(Boolean);
    if (keys.length === 0) break;
    await source.cli("migrate", "127.0.0.1", target.port, "", 0, 5000, "keys", ...keys);
  }
  const others = primaries.filter((node) => node !== source && node !== target);
  for (const node of [target, source, ...others]) {
    const answer = await node.cli("cluster", "setslot", slot, "node", target.id);
    if (answer !== "OK") throw new Error(`slot ${slot} of ${source.port} to ${target.port}: ${answer}`);
  }
}
