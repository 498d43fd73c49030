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

    /** A client on each of two servers, in one room; `numbers` are those that the far one got. */
    const meet = async (from, to) => {
      cast = new Cast(cluster);
      const room = newRoom();
      const near = await cast.add("near", cluster[from], { rooms: [room] });
      const far = await cast.add("far", cluster[to], { rooms: [room] });
      await cast.settled();
      const received = collect(far, "chat");
      const numbers = () => received.map((args) => args.at(-1));
      return { room, near, received, numbers };
    };
    const arrived = async ({ received, numbers }) => {
      const before = await lost();
      await until(`${COUNT} events`, async () => {
        assert.deepEqual(await lost(), before);
        return received.length >= COUNT;
      });
      assert.deepEqual(numbers(), NUMBERS);
      assert.deepEqual(await lost(), before);
    };
    /** What the pods have counted as lost, with the reason. */
    const lost = async () => {
      const pods = ONLY_NODE ? [] : [cluster.roomcast1, cluster.roomcast2];
      const pages = await Promise.all(pods.map(async (pod) => (await fetch(`${pod.internal}/metrics`)).text()));
      return pages.map((page) => page.split("\n").filter((line) => /^roomcast_\w+_dropped_total.* [^0]/.test(line)).sort());
    };

    for (const [direction, [from, to]] of Object.entries(DIRECTIONS)) {
      test(`emits of a client, ${direction}`, async () => {
        const scene = await meet(from, to);
        for (const number of NUMBERS) scene.near.emit("chat", scene.room, number);
        await arrived(scene);
      });
    }

    for (const to of ["node1", "roomcast2"]) {
      test(`publishes over one connection of HTTP, to ${to}`, { skip: ONLY_NODE }, async () => {
        const scene = await meet("roomcast1", to);
        const published = pipeline(cluster.roomcast1, NUMBERS.map((number) => ({
          rooms: [scene.room],
          event: "chat",
          args: [number],
        })));
        await Promise.all([published, arrived(scene)]);
      });
    }
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
