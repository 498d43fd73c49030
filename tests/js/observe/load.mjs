// Light load on a cluster: each kind of client, each way to publish, and a little of what goes wrong on any day.

import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { io } from "socket.io-client";

import { WAYS } from "../clients.mjs";

const ROOMS = ["public-a", "public-b", "public-c"];
const pick = (list) => list[Math.floor(Math.random() * list.length)];

/** Begins: `clients` of them stay, spread over the pods and the transports. */
export async function startLoad({ pods, redis, issuer, apiKey }, { clients = 24 } = {}) {
  const timers = [];
  const sockets = new Set();
  let ended = false;
  // What fails here is for the metrics to show: pods drain and Redis goes while the load goes on.
  const every = (milliseconds, act) => {
    const turn = async () => {
      if (!ended) await act().catch(() => {});
    };
    timers.push(setInterval(turn, milliseconds));
  };

  const open = (index, { namespace = "", token = issuer.key.token() } = {}) => {
    const way = WAYS[Object.keys(WAYS)[index % 3]];
    const options = { ...way, forceNew: true, reconnectionDelay: 200, reconnectionDelayMax: 2000, auth: { token } };
    const socket = io(`${pods[index % pods.length].url}${namespace}`, options);
    sockets.add(socket);
    socket.on("connect", () => socket.emit("join", { rooms: [ROOMS[index % ROOMS.length], "demo-lobby"] }));
    socket.on("question", (answer) => typeof answer === "function" && answer(index));
    return socket;
  };
  const close = (socket) => {
    socket.disconnect();
    sockets.delete(socket);
  };
  const staying = Array.from({ length: clients }, (_, index) => open(index));
  staying.push(open(0, { namespace: "/table-1" }));

  const backend = createClient({ url: redis.url, disableOfflineQueue: true });
  backend.on("error", () => {});
  await backend.connect();
  // The emitter waits for nothing: it is for us to pass over what Redis did not take.
  const emitter = new Emitter({ publish: (...words) => backend.publish(...words).catch(() => {}) });
  const publish = (body, pod = pick(pods), key = apiKey) => pod.publish({ event: "news", args: [Date.now()], ...body }, key);

  every(150, () => publish({ rooms: [pick(ROOMS)] }));
  every(300, async () => {
    const index = Math.floor(Math.random() * clients);
    staying[index].emit("chat", ROOMS[index % ROOMS.length], { text: "hi" }, () => {});
  });
  every(500, async () => emitter.to(pick(ROOMS)).emit("news", "from an emitter"));
  every(500, () => backend.xAdd("roomcast:publish", "*", { emit: JSON.stringify({ rooms: [pick(ROOMS)], event: "news", args: ["from the stream"] }) }));
  every(1000, () => publish({ rooms: [pick(ROOMS)], event: "question", args: [], ack_timeout: "500ms" }));
  every(1000, async () => pick(staying).emit("order", { item: 1 }, () => {}));
  every(1000, async () => pick(staying).emit("presence", { room: pick(ROOMS) }, () => {}));
  every(2000, () => pick(pods).api("GET", "sockets?room=public-a", undefined, apiKey));
  // Some come and go.
  let count = 0;
  every(700, async () => {
    const socket = open(count++);
    setTimeout(() => close(socket), 3000).unref();
  });
  // What is refused on any day: an event without a rule, an old token, a wrong key, a session that nobody knows.
  every(2500, async () => pick(staying).emit("unheard-of", 1, () => {}));
  every(2500, async () => {
    const socket = open(1, { token: issuer.key.token({ sub: "old", exp: 1 }) });
    setTimeout(() => close(socket), 1000).unref();
  });
  every(5000, () => publish({}, pick(pods), "a-wrong-key-of-somebody"));
  every(10_000, () => fetch(`${pick(pods).url}/socket.io/?EIO=4&transport=polling&sid=unknown`));
  // A load balancer without affinity: the session is of one pod, and another is asked.
  every(1500, async () => {
    const [own, other] = pods;
    const path = "socket.io/?EIO=4&transport=polling";
    const { sid } = JSON.parse((await (await fetch(`${own.url}/${path}`)).text()).slice(1));
    await fetch(`${other.url}/${path}&sid=${sid}`, { method: "POST", body: "40" });
    await (await fetch(`${other.url}/${path}&sid=${sid}`)).text();
    await fetch(`${own.url}/${path}&sid=${sid}`, { method: "POST", body: "1" });
  });
  // One that is behind: it polls once, and comes back when some has waited for it.
  every(5000, async () => {
    const path = `${pick(pods).url}/socket.io/?EIO=4&transport=polling`;
    const { sid } = JSON.parse((await (await fetch(path)).text()).slice(1));
    const own = `${path}&sid=${sid}`;
    await fetch(own, { method: "POST", body: "40" });
    await (await fetch(own)).text();
    await fetch(own, { method: "POST", body: '42["join",{"rooms":["public-a"]}]' });
    await new Promise((resolve) => setTimeout(resolve, 8000));
    await (await fetch(own)).text();
    await fetch(own, { method: "POST", body: "1" });
  });

  return {
    sockets: staying,
    async stop() {
      ended = true;
      for (const timer of timers) clearInterval(timer);
      for (const socket of sockets) socket.disconnect();
      backend.destroy();
    },
  };
}
