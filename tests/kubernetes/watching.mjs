// What happens to the pods while a cluster changes: connections of each, and how many are ready.

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
