// Ten thousand messages at once, from server to server: none is lost, and they arrive in order.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, afterEach, before, describe, test } from "node:test";

import { collect } from "./clients.mjs";
import { API_KEY, until } from "./pod.mjs";
import { Cast, newRoom } from "./peers/cast.mjs";
import { DIRECTIONS, KINDS, ONLY_NODE, startCluster } from "./peers/cluster.mjs";

const COUNT = 10_000;
const NUMBERS = Array.from({ length: COUNT }, (_, index) => index);

for (const kind of KINDS) {
  describe(kind, () => {
    let cluster, cast;
    before(async () => {
      cluster = await startCluster(kind);
    });
    after(() => cluster?.stop());
    afterEach(() => cast?.close());

    /** Clients in one room: one of a server, and one for each of the others, with what it got. */
    const meet = async (from, ...others) => {
      cast = new Cast(cluster);
      const room = newRoom();
      const near = await cast.add("near", cluster[from], { rooms: [room] });
      const received = {};
      for (const to of others) {
        received[to] = collect(await cast.add(to, cluster[to], { rooms: [room] }), "chat");
      }
      await cast.settled();
      return { room, near, received, before: await lost() };
    };
    const arrived = async ({ received, before }) => {
      for (const [to, events] of Object.entries(received)) {
        await until(`${COUNT} events at ${to}`, () => events.length >= COUNT).catch(async (error) => {
          throw new Error(`${error.message}: ${events.length}, lost: ${JSON.stringify(await lost())}`);
        });
        assert.deepEqual(events.map((args) => args.at(-1)), NUMBERS);
      }
      assert.deepEqual(await lost(), before);
    };
    /** What the pods have counted as lost, with the reason. */
    const lost = async () => {
      const pods = ONLY_NODE ? [] : [cluster.roomcast1, cluster.roomcast2];
      const pages = await Promise.all(pods.map(async (pod) => (await fetch(`${pod.internal}/metrics`)).text()));
      const isLoss = (line) => /^roomcast_\w+_dropped_total.* [1-9]/.test(line);
      return pages.map((page) => page.split("\n").filter(isLoss).sort());
    };

    for (const [direction, [from, to]] of Object.entries(DIRECTIONS)) {
      test(`emits of a client, ${direction}`, async () => {
        const scene = await meet(from, to);
        for (const number of NUMBERS) scene.near.emit("chat", scene.room, number);
        await arrived(scene);
      });
    }

    // Each is answered when Redis has it, which takes its time: for one kind only.
    const skip = ONLY_NODE || kind !== "pubsub";
    test("publishes over one connection of HTTP", { skip }, async () => {
      const scene = await meet("roomcast1", "roomcast2", "node1");
      const message = (number) => ({ rooms: [scene.room], event: "chat", args: [number] });
      await pipeline(cluster.roomcast1, NUMBERS.map(message));
      await arrived(scene);
    });
  });
}

/** Sends all requests without waiting for an answer, and checks that each is accepted. */
async function pipeline(pod, messages) {
  const { hostname, port } = new URL(pod.internal);
  const socket = connect(Number(port), hostname);
  let answers = "";
  socket.setEncoding("utf8").on("data", (text) => (answers += text));
  const requests = messages.map((message, index) => {
    const body = JSON.stringify(message);
    const last = index === messages.length - 1 ? "connection: close\r\n" : "";
    const head = `POST /api/v1/emit HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${API_KEY}\r\n`;
    return `${head}${last}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  });
  socket.write(requests.join(""));
  await once(socket, "close");
  assert.equal(answers.split("HTTP/1.1 200").length - 1, messages.length);
}
