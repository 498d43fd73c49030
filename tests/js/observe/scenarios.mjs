// What goes wrong, for real: one pod or two for each kind of trouble, as a job of its own in Prometheus. `begin` makes the trouble, `end`
// takes it away.

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

import { io } from "socket.io-client";

import { openRaw } from "../edge/raw.mjs";
import { HOOK_SECRET, startHookService } from "../hook-service.mjs";
import { OPEN, next, startPod, until } from "../pod.mjs";
import { freePort, startRedis } from "../redis.mjs";
import { startReceiver } from "./otlp.mjs";

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const ready = (pod) => until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);

/** Does something again and again, so many times a second, until it is stopped. */
function again(perSecond, act) {
  const timer = setInterval(() => act().catch(() => {}), 1000 / perSecond);
  return () => clearInterval(timer);
}

/** Stops a process and lets it go on, again and again. */
function stutter(pid, { stopped, running }) {
  let ended = false;
  const going = (async () => {
    while (!ended) {
      process.kill(pid, "SIGSTOP");
      await sleep(stopped);
      process.kill(pid, "SIGCONT");
      await sleep(running);
    }
  })();
  return async () => {
    ended = true;
    await going;
  };
}

const WEBSOCKET = { transports: ["websocket"], forceNew: true, reconnection: false };

/** Each makes its pods, and gives `{ pods, troubles, stop }`: a trouble has the alerts that it sets off. */
export const SCENARIOS = {
  async drain() {
    const pod = await startPod(`${OPEN}\n[drain]\ndelay = "10m"\ntimeout = "11m"`);
    const socket = io(pod.url, WEBSOCKET);
    return {
      pods: [pod],
      troubles: [
        {
          name: "a drain that does not go on",
          alerts: ["RoomcastDrainHangs"],
          begin: () => pod.api("POST", "drain"),
          end: () => pod.api("DELETE", "drain"),
        },
      ],
      async stop() {
        socket.disconnect();
        await pod.stop("SIGKILL");
      },
    };
  },

  async slow() {
    const pod = await startPod(`${OPEN}\n[limits]\nsend_queue = 64`);
    let socket;
    return {
      pods: [pod],
      troubles: [
        {
          name: "a client that does not read",
          alerts: ["RoomcastPacketsDropped"],
          async begin() {
            ({ socket } = await openRaw(pod));
            await until("it is closed", async () => {
              await pod.publish({ event: "news", args: ["x".repeat(20_000)] });
              return (await pod.metric("roomcast_connections_closed_total", 'reason="queue full"')) > 0;
            }, 120_000);
          },
          async end() {},
        },
      ],
      async stop() {
        socket?.destroy();
        await pod.stop("SIGKILL");
      },
    };
  },

  async strangers() {
    const pod = await startPod(`${OPEN}\n[admission]\nrate = 2`);
    const path = `${pod.url}/socket.io/?EIO=4&transport=polling`;
    let [storm, lost] = [() => {}, () => {}];
    return {
      pods: [pod],
      troubles: [
        {
          name: "more clients than are let in",
          alerts: ["RoomcastHandshakesRefused"],
          begin: async () => (storm = again(20, () => fetch(path).then((answer) => answer.text()))),
          end: async () => storm(),
        },
        {
          name: "sessions that no pod knows",
          alerts: ["RoomcastSessionsUnknown"],
          begin: async () => (lost = again(5, () => fetch(`${path}&sid=unknown`).then((answer) => answer.text()))),
          end: async () => lost(),
        },
      ],
      async stop() {
        storm();
        lost();
        await pod.stop("SIGKILL");
      },
    };
  },

  async full() {
    const pod = await startPod(`${OPEN}\n[admission]\nmax_connections = 10`);
    let raw = [];
    const end = async () => {
      for (const { socket } of raw.splice(0)) socket.destroy();
    };
    return {
      pods: [pod],
      troubles: [
        {
          name: "a pod that is nearly full",
          alerts: ["RoomcastConnectionsNearLimit"],
          begin: async () => (raw = await Promise.all(Array.from({ length: 9 }, () => openRaw(pod)))),
          end,
        },
      ],
      async stop() {
        await end();
        await pod.stop("SIGKILL");
      },
    };
  },

  async notes() {
    const pod = await startPod(`${OPEN.replace("[api]", '[api]\nidempotency_ttl = "25s"')}`);
    const socket = io(pod.url, WEBSOCKET);
    socket.on("question", (answer) => answer("x".repeat(400_000)));
    await next(socket, "connect");
    let asking = () => {};
    const question = { event: "question", args: [], ack_timeout: "5s" };
    return {
      pods: [pod],
      troubles: [
        {
          name: "16 MiB of answers that are kept for idempotency keys",
          alerts: ["RoomcastLimitNear"],
          async begin() {
            for (let count = 0; count < 45; count += 1) await pod.api("POST", "emit", question, undefined, { "idempotency-key": `key-${count}` });
          },
          // They are forgotten with the first request after their time.
          end: async () => (asking = again(1, () => pod.api("POST", "emit", { event: "news" }, undefined, { "idempotency-key": "late" }))),
        },
      ],
      async stop() {
        asking();
        socket.disconnect();
        await pod.stop("SIGKILL");
      },
    };
  },

  async memory() {
    const ports = { port: await freePort(), internalPort: await freePort() };
    const start = (limit) => startPod(`${OPEN}\n[limits]\nmemory = "${limit}"`, ports);
    let pod = await start("1GiB");
    const replace = async (limit) => {
      await pod.stop();
      pod = await start(limit);
    };
    return {
      pods: [pod],
      troubles: [
        {
          name: "a pod with little memory",
          alerts: ["RoomcastMemoryNearLimit"],
          begin: () => replace("16MiB"),
          end: () => replace("1GiB"),
        },
      ],
      stop: () => pod.stop("SIGKILL"),
    };
  },

  async process() {
    const pod = await startPod(OPEN);
    const limit = (files) => {
      const { status, stderr } = spawnSync("prlimit", ["--pid", String(pod.pid), `--nofile=${files}:`], { encoding: "utf8" });
      if (status !== 0) throw new Error(stderr);
    };
    // So many that files which are open for a moment, and those that answering Prometheus takes, do not count.
    const sockets = Array.from({ length: 60 }, () => io(pod.url, WEBSOCKET));
    await until("all are connected", () => sockets.every(({ connected }) => connected));
    let steady = async () => {};
    return {
      pods: [pod],
      troubles: [
        {
          name: "few open files",
          alerts: ["RoomcastFilesNearLimit"],
          begin: async () => limit(Math.floor(readdirSync(`/proc/${pod.pid}/fd`).length / 0.88)),
          end: async () => {
            limit(1024);
            for (const socket of sockets) socket.disconnect();
          },
        },
        {
          name: "a pod that gets no processor",
          alerts: ["RoomcastPodStalls"],
          begin: async () => (steady = stutter(pod.pid, { stopped: 300, running: 100 })),
          end: () => steady(),
        },
      ],
      async stop() {
        await steady();
        for (const socket of sockets) socket.disconnect();
        await pod.stop("SIGKILL");
      },
    };
  },

  async hook() {
    let down = false;
    const service = await startHookService(() => (down ? { status: 503, body: "" } : { allow: true }));
    const hooks = `[hooks]\nsecrets = ["${HOOK_SECRET}"]\nretries = 0\nbreaker_open = "1s"\ndisconnect_timeout = "1s"`;
    const names = `[namespaces."/".hooks]\nconnect = "${service.url("connect")}"\ndisconnect = "${service.url("disconnect")}"`;
    const pod = await startPod(`${OPEN}\n${hooks}\n${names}`);
    // Who is in when the hook goes is told to nobody when he leaves.
    const sockets = Array.from({ length: 5 }, () => io(pod.url, WEBSOCKET));
    const arrivals = again(10, async () => {
      const socket = io(pod.url, WEBSOCKET);
      setTimeout(() => socket.disconnect(), 500).unref();
    });
    return {
      pods: [pod],
      troubles: [
        {
          name: "a hook that is down",
          alerts: ["RoomcastHookBreakerOpen", "RoomcastHookNotificationsDropped"],
          async begin() {
            down = true;
            for (const socket of sockets) socket.disconnect();
          },
          end: async () => (down = false),
        },
      ],
      async stop() {
        arrivals();
        await pod.stop("SIGKILL");
        await service.stop();
      },
    };
  },

  async stream() {
    const redis = await startRedis();
    const pod = await startPod(`${OPEN}\n[backplane]\nkind = "pubsub"\nurl = "${redis.url}"\n[publish.stream]\nenabled = true`);
    await ready(pod);
    const add = (emit) => redis.cli("xadd", "roomcast:publish", "*", "emit", emit);
    return {
      pods: [pod],
      troubles: [
        {
          name: "entries that are no emits",
          alerts: ["RoomcastDeadLetters"],
          begin: async () => add("no JSON"),
          end: async () => redis.cli("del", "roomcast:publish:dead"),
        },
        {
          name: "a stream that pods may not read",
          alerts: ["RoomcastStreamLag"],
          async begin() {
            redis.cli("acl", "setuser", "default", "-xreadgroup");
            for (let count = 0; count < 200; count += 1) add('{"event":"news"}');
          },
          end: async () => redis.cli("acl", "setuser", "default", "+xreadgroup"),
        },
      ],
      async stop() {
        await pod.stop("SIGKILL");
        await redis.stop();
      },
    };
  },

  async redis() {
    const redis = await startRedis();
    const config = `${OPEN}\n[backplane]\nkind = "pubsub"\nurl = "${redis.url}"`;
    const pods = await Promise.all([startPod(config), startPod(config)]);
    await Promise.all(pods.map(ready));
    const socket = io(pods[1].url, WEBSOCKET);
    const publishing = again(5, () => pods[0].publish({ event: "news", args: [] }));
    let steady = async () => {};
    return {
      pods,
      troubles: [
        {
          name: "a Redis that is full",
          alerts: ["RoomcastRecordFailures"],
          begin: async () => redis.cli("config", "set", "maxmemory", "1"),
          end: async () => redis.cli("config", "set", "maxmemory", "0"),
        },
        {
          name: "a Redis that gets no processor",
          alerts: ["RoomcastRedisSlow", "RoomcastEmitsSlow"],
          begin: async () => (steady = stutter(redis.pid(), { stopped: 700, running: 50 })),
          end: () => steady(),
        },
      ],
      async stop() {
        publishing();
        socket.disconnect();
        await steady();
        await Promise.all(pods.map((pod) => pod.stop("SIGKILL")));
        await redis.stop();
      },
    };
  },

  async spans() {
    let receiver = await startReceiver();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf", OTEL_BSP_SCHEDULE_DELAY: "500" };
    const pod = await startPod(OPEN, { env });
    const publishing = again(10, () => pod.publish({ event: "news", args: [] }));
    return {
      pods: [pod],
      troubles: [
        {
          name: "a collector that is away",
          alerts: ["RoomcastSpansFailing"],
          begin: () => receiver.stop(),
          end: async () => (receiver = await startReceiver({ port: receiver.port })),
        },
      ],
      async stop() {
        publishing();
        await pod.stop("SIGKILL");
        await receiver.stop();
      },
    };
  },
};
