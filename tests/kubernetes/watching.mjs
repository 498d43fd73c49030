// What happens to a crowd and to the pods while a cluster changes: connections of each pod, and who comes back when.

import { pods } from "./cluster.mjs";

const EVERY = 500;

/** Looks at the pods' connections until it is stopped. */
export function watchPods() {
  const begun = Date.now();
  const connections = {};
  const wanted = [];
  let ended = false;
  const looking = (async () => {
    while (!ended) {
      const seconds = (Date.now() - begun) / 1000;
      // While the API server is away, nothing is known.
      const now = await pods().catch(() => []);
      await Promise.all(
        now.map(async (pod) => {
          const open = await pod.metric("roomcast_connections").catch(() => undefined);
          if (open !== undefined) (connections[pod.name] ??= []).push([seconds, open]);
        }),
      );
      wanted.push([seconds, now.filter(({ ready, ends }) => ready && !ends).length]);
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  })();
  return {
    connections,
    /** [seconds, pods that are ready]. */
    ready: wanted,
    seconds: () => (Date.now() - begun) / 1000,
    async stop() {
      ended = true;
      await looking;
    },
  };
}

/** The most clients that came back within any second, of all. */
export function fastest(clients) {
  const times = clients.flatMap(({ connected }) => connected.slice(1)).sort((a, b) => a - b);
  let most = 0;
  for (let first = 0, last = 0; last < times.length; last += 1) {
    while (times[last] - times[first] >= 1000) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return most;
}
