// What servers of a mixed cluster ask of each other: answers of clients, who is connected, changes of rooms.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { next, until } from "./pod.mjs";
import { Cast, newRoom } from "./peers/cast.mjs";
import { DIRECTIONS, KINDS, ONLY_NODE, startCluster } from "./peers/cluster.mjs";
import { each } from "./peers/targets.mjs";

/** Longer than any answer takes, and shorter than a server waits for one that does not come. */
const SOON = 4_000;
/** For questions that are not answered. */
const SHORT = 4_000;

for (const kind of KINDS) {
  describe(kind, () => {
    let cluster;
    before(async () => {
      cluster = await startCluster(kind);
    });
    after(() => cluster?.stop());

    test("every server counts four", async () => {
      for (const pod of cluster.all) assert.equal(await pod.serverCount(), 4);
    });

    test("the API tells pods and servers of Node apart", { skip: ONLY_NODE }, async (t) => {
      const { roomcast1, roomcast2, node1 } = cluster;
      const { body } = await roomcast1.api("GET", "cluster");
      assert.deepEqual([body.pods.length, body.others], [2, 2]);
      assert.deepEqual([body.backplane.kind, body.backplane.connected], [kind, true]);
      assert.deepEqual(sorted(body.pods.map(({ state }) => state)), ["serving", "serving"]);

      const cast = new Cast(cluster);
      t.after(() => cast.close());
      const pods = [];
      for (const pod of [roomcast1, roomcast2, node1]) {
        const { id } = await cast.add("one", pod);
        const { status, body } = await roomcast1.api("GET", `sockets/${id}?namespace=/`);
        assert.deepEqual([status, body.socket?.id], [200, id]);
        pods.push(body.socket.pod);
      }
      assert.deepEqual(sorted(pods.slice(0, 2)), sorted(body.pods.map(({ id }) => id)));
      assert.equal(pods[2], null);
      const unknown = await roomcast1.api("GET", "sockets/nobody?namespace=/");
      assert.deepEqual([unknown.status, unknown.body.error.code], [404, "unknown_socket"]);
    });

    for (const [direction, names] of Object.entries(DIRECTIONS)) {
      describe(direction, () => {
        const scene = scenes(() => cluster, names);
        questions(scene);
        sockets(scene, kind);
        changes(scene);
        if (names[0].startsWith("node")) remoteSockets(scene);
      });
    }

    test("a server that is gone is not waited for", async () => {
      const { node1, node2, roomcast1, roomcast2 } = cluster;
      await Promise.all([node2.stop("SIGKILL"), roomcast2.stop("SIGTERM")]);
      for (const pod of [node1, roomcast1]) {
        await until("two servers", async () => (await pod.serverCount()) === 2);
        assert.deepEqual(await pod.ask({ rooms: [newRoom()], event: "question" }, SOON), { answers: [], complete: true });
        assert.deepEqual(await pod.sockets({ rooms: [newRoom()] }), []);
      }
    });
  });
}

/** For each test a new room, with clients near and far of the server that asks. */
function scenes(cluster, [from, to, third]) {
  const scene = {};
  beforeEach(async () => {
    const cast = new Cast(cluster());
    const room = newRoom();
    Object.assign(scene, { cast, room, cluster: cluster(), from: cluster()[from], to: cluster()[to] });
    await cast.add("near", scene.from, { rooms: [room] });
    await cast.add("far", scene.to, { rooms: [room], extraHeaders: { "x-tag": "a tag" }, auth: { token: "t" } });
    await cast.add("far too", scene.to, { rooms: [room] });
    await cast.add("third", cluster()[third], { rooms: [room] });
    await cast.add("outside", scene.to);
    scene.in = (...names) => ({ rooms: names.map((name) => cast.id(name)) });
  });
  afterEach(() => scene.cast?.close());
  return scene;
}

const MEMBERS = ["near", "far", "far too", "third"];
const sorted = (list) => [...list].sort();

/** Has clients answer a question. */
function answering(cast, names, answer = (who) => [who]) {
  for (const who of names) {
    cast.socket(who).on("question", (...args) => args.at(-1)(...answer(who, ...args.slice(0, -1))));
  }
}

function questions(scene) {
  test("a question that all answer", async () => {
    answering(scene.cast, MEMBERS, (who, ...args) => [{ who, args }, "not this one"]);
    const args = ["how are you?", { wörd: [1, null] }];
    const { answers, complete } = await scene.from.ask({ rooms: [scene.room], event: "question", args }, SOON);
    assert.deepEqual(sorted(answers.map(({ who }) => who)), sorted(MEMBERS));
    for (const answer of answers) assert.deepEqual(answer.args, args);
    assert.equal(complete, true);
  });

  test("a question to one socket, and to all but some", async () => {
    const { cast, room, from } = scene;
    answering(cast, MEMBERS);
    const one = await from.ask({ ...scene.in("far"), event: "question" }, SOON);
    assert.deepEqual(one, { answers: ["far"], complete: true });
    const except = [cast.id("far"), cast.id("near")];
    const { answers, complete } = await from.ask({ rooms: [room], except, event: "question" }, SOON);
    assert.deepEqual([sorted(answers), complete], [["far too", "third"], true]);
  });

  test("a question that one client does not answer", async () => {
    answering(scene.cast, ["near", "far too", "third"]);
    const { answers, complete } = await scene.from.ask({ rooms: [scene.room], event: "question" }, SHORT);
    assert.deepEqual([sorted(answers), complete], [["far too", "near", "third"], false]);
  });

  test("a question to a room that nobody is in, or to a namespace", async () => {
    const nobody = await scene.from.ask({ rooms: [newRoom()], event: "question" }, SOON);
    assert.deepEqual(nobody, { answers: [], complete: true });
    const empty = await scene.from.ask({ namespace: "/second", event: "question" }, SOON);
    assert.deepEqual(empty, { answers: [], complete: true });
  });

  test("answers of every kind", async () => {
    const kinds = { near: [null], far: [], "far too": [[1, { "ключ": "\u0000é" }]], third: [0.5] };
    answering(scene.cast, MEMBERS, (who) => kinds[who]);
    const { answers, complete } = await scene.from.ask({ rooms: [scene.room], event: "question" }, SOON);
    const expected = [null, null, [1, { "ключ": "\u0000é" }], 0.5];
    const texts = (list) => sorted(list.map((answer) => JSON.stringify(answer ?? null)));
    assert.deepEqual([texts(answers), complete], [texts(expected), true]);
  });

  test("two questions at once get their own answers", async () => {
    answering(scene.cast, MEMBERS, (who, number) => [`${number} ${who}`]);
    const asked = await Promise.all(
      [1, 2].map((number) => scene.from.ask({ rooms: [scene.room], event: "question", args: [number] }, SOON)),
    );
    asked.forEach(({ answers }, index) => {
      assert.deepEqual(sorted(answers), sorted(MEMBERS.map((who) => `${index + 1} ${who}`)));
    });
  });
}

function sockets(scene, kind) {
  test("the sockets of a room", async () => {
    const { cast, room, from } = scene;
    const listed = await from.sockets({ rooms: [room] });
    const byId = Object.fromEntries(listed.map((socket) => [socket.id, socket]));
    assert.deepEqual(sorted(Object.keys(byId)), sorted(MEMBERS.map((who) => cast.id(who))));
    for (const who of MEMBERS) {
      const { id, rooms, handshake, data } = byId[cast.id(who)];
      assert.deepEqual(sorted(rooms), sorted([id, room]));
      assert.equal(typeof data, "object");
      assert.equal(handshake.query.who, who);
      assert.match(handshake.address, /127\.0\.0\.1$/);
      assert.match(handshake.url, /^\/socket\.io\//);
      // Node writes the time without milliseconds.
      assert.ok(Math.abs(new Date(handshake.time) - handshake.issued) < 5_000, handshake.time);
      assert.deepEqual([handshake.secure, handshake.xdomain], [false, false]);
      assert.equal(typeof handshake.headers, "object");
      assert.equal(typeof handshake.auth, "object");
    }
  });

  test("what a server of Node knows of a socket", async () => {
    if (!scene.to.isNode) return;
    const [{ handshake, data }] = await scene.from.sockets(scene.in("far"));
    assert.deepEqual(data, { who: "far" });
    assert.equal(handshake.headers["x-tag"], "a tag");
    assert.deepEqual(handshake.auth, { token: "t" });
  });

  test("sockets of several rooms, but not of others", async () => {
    const { cast, room, from } = scene;
    const ids = async (where) => sorted((await from.sockets(where)).map(({ id }) => id));
    const of = (...names) => sorted(names.map((who) => cast.id(who)));
    assert.deepEqual(await ids({ rooms: [room, cast.id("outside")] }), of(...MEMBERS, "outside"));
    assert.deepEqual(await ids({ rooms: [room], except: [cast.id("far"), newRoom()] }), of("near", "far too", "third"));
    assert.deepEqual(await ids(scene.in("far")), of("far"));
    assert.deepEqual(await ids({ rooms: [newRoom()] }), []);
    assert.deepEqual(await ids({ namespace: "/second" }), []);
    // Clients of the test before may be on their way out.
    await until("only these", async () => (await ids({})).length === MEMBERS.length + 1);
    assert.deepEqual(await ids({}), of(...MEMBERS, "outside"));
  });

  // The sharded adapter of Node has no such request.
  if (kind === "pubsub") {
    test("all rooms", async () => {
      const { cast, room, from, to } = scene;
      const far = newRoom();
      await cast.add("second far", to, { namespace: "/second", rooms: [far] });
      const own = [...MEMBERS, "outside"].map((who) => cast.id(who));
      await until("only these", async () => (await from.rooms()).length === own.length + 1);
      assert.deepEqual(sorted(await from.rooms()), sorted([room, ...own]));
      assert.deepEqual(sorted(await from.rooms("/second")), sorted([far, cast.id("second far")]));
    });
  }
}

function changes(scene) {
  /** Waits until those are in a room and no one else, as each server sees it. */
  const members = async (room, names) => {
    const ids = sorted(names.map((who) => scene.cast.id(who)));
    for (const pod of [scene.from, scene.to]) {
      await until(`${names} in the room`, async () => {
        const listed = await pod.sockets({ rooms: [room] });
        return JSON.stringify(sorted(listed.map(({ id }) => id))) === JSON.stringify(ids);
      }, SOON);
    }
  };

  test("sockets join and leave rooms", async () => {
    const { cast, room, from } = scene;
    const [one, two] = [newRoom(), newRoom()];
    await from.join({ in: [room], except: [cast.id("far too")], rooms: [one, two] });
    await members(one, ["near", "far", "third"]);
    await scene.cluster.listening(one, 3);
    await members(two, ["near", "far", "third"]);
    await from.join({ in: [cast.id("outside"), cast.id("far too")], rooms: [one] });
    await members(one, [...MEMBERS, "outside"]);
    await from.leave({ in: [two], except: [cast.id("near")], rooms: [one, newRoom()] });
    await members(one, ["near", "far too", "outside"]);
    const got = await cast.received(from, () => from.emit({ rooms: [one], event: "news" }));
    assert.deepEqual(got, each(["near", "far too", "outside"], ["news"]));
  });

  test("a whole namespace joins and leaves a room", async () => {
    const { cast, from, to } = scene;
    const room = newRoom();
    await cast.add("second far", to, { namespace: "/second" });
    await from.join({ rooms: [room] });
    await members(room, [...MEMBERS, "outside"]);
    assert.deepEqual(await from.sockets({ namespace: "/second", rooms: [room] }), []);
    await from.leave({ rooms: [room] });
    await members(room, []);
  });

  for (const close of [false, true]) {
    test(`sockets are disconnected${close ? ", and their connections closed" : ""}`, async () => {
      const { cast, room, from } = scene;
      const sibling = await cast.second("far", "/second");
      const reasons = ["near", "far", "third"].map((who) => next(cast.socket(who), "disconnect", SOON));
      const siblingGone = close && next(sibling, "disconnect", SOON);
      await from.disconnect({ in: [room], except: [cast.id("far too")], close });
      for (const [reason] of await Promise.all(reasons)) assert.equal(reason, "io server disconnect");
      if (close) assert.equal((await siblingGone)[0], "io server disconnect");
      await members(room, ["far too"]);
      assert.deepEqual([cast.socket("far too").connected, cast.socket("outside").connected], [true, true]);
      if (!close) assert.ok(sibling.connected);
    });
  }
}

/** What Node makes of the sockets that it has fetched, and what it asks of other servers. */
function remoteSockets(scene) {
  const remote = (body, who, ...args) =>
    scene.from.run(
      `async ({ io }, id, ...args) => {
        const [socket] = await io.in(id).fetchSockets();
        return (${body})(socket, ...args);
      }`,
      scene.cast.id(who),
      ...args,
    );

  test("a fetched socket is emitted to, asked, put in rooms and disconnected", async () => {
    const { cast, from } = scene;
    await cast.settled();
    const got = await cast.received(from, () => remote((socket) => void socket.emit("news", 1), "far"));
    assert.deepEqual(got, each(["far"], ["news", 1]));
    answering(cast, ["far"]);
    assert.equal(await remote((socket) => socket.timeout(4_000).emitWithAck("question"), "far"), "far");

    const room = newRoom();
    const inRoom = async () => (await from.sockets({ rooms: [room] })).map(({ id }) => id);
    await remote((socket, room) => socket.join(room), "far", room);
    await until("it joined", async () => (await inRoom()).includes(cast.id("far")), SOON);
    await remote((socket, room) => socket.leave(room), "far", room);
    await until("it left", async () => (await inRoom()).length === 0, SOON);
    const gone = next(cast.socket("far"), "disconnect", SOON);
    await remote((socket) => void socket.disconnect(true), "far");
    assert.deepEqual((await gone)[0], "io server disconnect");
  });

  test("binary in a question and in its answers", async () => {
    const { cast, from, room } = scene;
    answering(cast, MEMBERS, (who, { data }) => [{ who, data: Buffer.concat([data, Buffer.from([3])]) }]);
    const args = [{ data: Buffer.from([1, 2]) }];
    const { answers, complete } = await from.ask({ rooms: [room], event: "question", args }, SOON);
    assert.deepEqual(sorted(answers.map(({ who }) => who)), sorted(MEMBERS));
    for (const { data } of answers) assert.deepEqual([...data], [1, 2, 3]);
    assert.equal(complete, true);
  });

  for (const namespace of ["/", "/second"]) {
    test(`servers answer what a server asks in ${namespace}, with or without clients there`, async () => {
      const ask = (event, ...args) =>
        scene.from.run(
          ({ io }, namespace, event, ...args) => io.of(namespace).serverSideEmitWithAck(event, ...args),
          namespace,
          event,
          ...args,
        );
      // The binary knows no server-side event, and says so at once: with null.
      const node = { pod: "node", echo: [1, { é: null }] };
      const answers = await ask("question", ...node.echo);
      assert.deepEqual(answers.filter((answer) => answer !== null), Array(ONLY_NODE ? 3 : 1).fill(node));
      assert.equal(answers.length, 3);
      assert.equal((await ask("shrug")).length, 3);
    });
  }
}
