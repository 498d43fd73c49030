// Events from server to server (`serverSideEmit`): pods of a program in Rust (examples/cluster.rs) and of Node.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { ask } from "./clients.mjs";
import { until } from "./pod.mjs";
import { Cast } from "./peers/cast.mjs";
import { KINDS, ONLY_NODE, startCluster } from "./peers/cluster.mjs";
import { nodeEmitter } from "./peers/emitters.mjs";

const NAMESPACE = "/cluster";
const ARGS = [1, { é: [null, "\"quoted\""] }];

for (const kind of KINDS) {
  describe(kind, { skip: ONLY_NODE }, () => {
    let cluster, cast, servers;
    before(async () => {
      cluster = await startCluster(kind, { namespaces: ["/", NAMESPACE], binary: "examples/cluster" });
      cast = new Cast(cluster);
      servers = {};
      for (const name of ["node1", "node2"]) servers[name] = ofNode(cluster[name]);
      for (const name of ["roomcast1", "roomcast2"]) {
        servers[name] = ofRust(await cast.add(name, cluster[name], { namespace: NAMESPACE }));
      }
    });
    after(async () => {
      cast?.close();
      await cluster?.stop();
    });

    for (const from of ["node1", "roomcast1"]) {
      const others = () => Object.entries(servers).filter(([name]) => name !== from);

      test(`what ${from} tells reaches the others once, and not itself`, async () => {
        await servers[from].tell("tell", ...ARGS);
        await servers[from].tell("tell", "last");
        for (const [name, server] of others()) {
          await until(`${name} has the last`, async () => (await server.seen()).length >= 2);
          assert.deepEqual(await server.seen(), [["tell", ...ARGS], ["tell", "last"]]);
        }
        // The others have had time to answer by now, so the pod would have got its own.
        await servers[from].ask("question");
        assert.deepEqual(await servers[from].seen(), []);
        for (const server of Object.values(servers)) await server.forget();
      });

      test(`the others answer what ${from} asks`, async () => {
        const answers = await servers[from].ask("question", ...ARGS);
        assert.equal(answers.length, 3);
        for (const { echo } of answers) assert.deepEqual(echo, ARGS);
        const pods = answers.map(({ pod }) => pod);
        const rust = pods.filter((pod) => pod !== "node");
        assert.equal(rust.length, from === "node1" ? 2 : 1);
        assert.equal(new Set(rust).size, rust.length);
      });

      test(`an answer to ${from} may take time, and others are heard meanwhile`, async () => {
        const [asked, other] = [servers[from].ask("slow", ...ARGS), servers[from].ask("question", ...ARGS)];
        const first = await Promise.race([asked.then(() => "slow"), other.then(() => "question")]);
        assert.equal(first, "question");
        const answers = await asked;
        assert.deepEqual(answers.map(({ echo }) => echo), [ARGS, ARGS, ARGS]);
      });

      for (const event of ["silent", "never"]) {
        test(`${from} is told which answers there are when not all have come: ${event}`, async () => {
          const { answers, silent } = await servers[from].askSome(event, ...ARGS);
          const pods = Object.keys(servers).filter((name) => name !== from && name.startsWith("roomcast")).length;
          assert.deepEqual(answers.map(({ pod }) => pod), Array(3 - pods).fill("node"));
          assert.equal(silent, from === "node1" ? true : pods);
        });
      }

      test(`of several values of Node, ${from} gets the first`, async () => {
        const answers = await servers[from].ask("two");
        assert.equal(answers.filter((answer) => answer === "one").length, from === "node1" ? 1 : 2);
        assert.equal(answers.length, 3);
      });

      test(`an answer to ${from} may be empty`, async () => {
        const answers = await servers[from].ask("shrug");
        assert.equal(answers.length, 3);
      });
    }

    test("no more handlers wait than may, and what is answered at once still is", async () => {
      for (let i = 0; i < 300; i += 1) await servers.node1.tell("never", i);
      const dropped = () => cluster.roomcast1.metric("roomcast_backplane_messages_dropped_total", "server events");
      await until("44 are dropped", async () => (await dropped()) === 44);
      assert.equal((await servers.node1.ask("shrug", 1)).length, 3);
      // They have had their time.
      await until("slow ones are handled again", async () => !(await servers.node1.askSome("slow")).silent);
      for (const server of Object.values(servers)) await server.forget();
    });

    if (kind === "pubsub") {
      test("what an emitter tells reaches all", async () => {
        nodeEmitter(cluster.client).serverSideEmit(NAMESPACE, "tell", ...ARGS);
        for (const [name, server] of Object.entries(servers)) {
          await until(`${name} has it`, async () => (await server.seen()).length > 0);
          assert.deepEqual(await server.seen(), [["tell", ...ARGS]]);
        }
      });
    }
  });
}

function ofNode(pod) {
  return {
    tell: (...event) =>
      pod.run(({ io }, namespace, event) => void io.of(namespace).serverSideEmit(...event), NAMESPACE, event),
    ask: (...event) =>
      pod.run(({ io }, namespace, event) => io.of(namespace).serverSideEmitWithAck(...event), NAMESPACE, event),
    /** What has come when not all did: Node tells of an error, and of these. */
    askSome: (...event) =>
      pod.run(({ io }, namespace, event) => new Promise((resolve) => {
        io.of(namespace).serverSideEmit(...event, (error, answers) => resolve({ answers, silent: Boolean(error) }));
      }), NAMESPACE, event),
    seen: () => pod.run(({ seen }) => seen),
    forget: () => pod.run(({ seen }) => void seen.splice(0)),
  };
}

/** Through a client of the pod: it has handlers for it. The pod counts what it has seen from its start. */
function ofRust(socket) {
  let forgotten = 0;
  const seen = async () => (await ask(socket, "server-side-seen")).filter(([name]) => name === "tell");
  const askSome = async (...event) => {
    const { answers, pods } = await ask(socket, "server-side-ask", ...event);
    return { answers, silent: pods.silent };
  };
  return {
    askSome,
    tell: async (...event) => assert.deepEqual(await ask(socket, "server-side-emit", ...event), { accepted: true }),
    ask: async (...event) => {
      const { answers, silent } = await askSome(...event);
      assert.equal(silent, 0);
      return answers;
    },
    seen: async () => (await seen()).slice(forgotten),
    forget: async () => {
      forgotten = (await seen()).length;
    },
  };
}
