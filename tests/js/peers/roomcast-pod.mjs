// A pod in the words of node-pod.mjs, so that one table asks the same of both.

import assert from "node:assert/strict";

import { OPEN, startPod, until } from "../pod.mjs";

/** Starts a pod that is in the cluster of a Redis; `options` are those of `startPod`. */
export async function startRoomcastPod({ kind, redis, parser = "json" }, options) {
  const backplane = `[backplane]\nkind = "${kind}"\nurl = "${redis}"\n`;
  const pod = await startPod(`engine.parser = "${parser}"\n${OPEN}\n${backplane}`, options);
  await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
  return Object.assign(pod, operations(pod));
}

function operations(pod) {
  const api = async (...request) => {
    const { status, body } = await pod.api(...request);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  };
  const query = ({ namespace = "/", rooms = [], except = [] } = {}) => {
    const words = new URLSearchParams({ namespace });
    rooms.forEach((room) => words.append("room", room));
    except.forEach((room) => words.append("except", room));
    return words;
  };
  /** No pod was silent. */
  const whole = ({ pods }) => pods.silent === 0;

  return {
    isNode: false,

    emit: async (message) => assert.deepEqual(await api("POST", "emit", message), { accepted: true }),

    ask: async (message, timeout) => {
      const answer = await api("POST", "emit", { ...message, ack_timeout: `${timeout}ms` });
      return { answers: answer.answers, complete: answer.missing === 0 && whole(answer) };
    },

    sockets: async (where) => {
      const answer = await api("GET", `sockets?${query(where)}`);
      assert.ok(whole(answer), JSON.stringify(answer.pods));
      return answer.sockets;
    },

    rooms: async (namespace = "/") => {
      const answer = await api("GET", `rooms?${query({ namespace })}`);
      assert.ok(whole(answer), JSON.stringify(answer.pods));
      return answer.rooms;
    },

    join: (change) => api("POST", "rooms/join", change),
    leave: (change) => api("POST", "rooms/leave", change),
    disconnect: (change) => api("POST", "sockets/disconnect", change),

    serverCount: async () => {
      const { pods, others } = await api("GET", "cluster");
      return pods.length + others;
    },
  };
}
