// Looks at pods while something happens to them: how many connections each has, and how many are new.

const EVERY = 100;

/** Begins to look at the pods that `pods` gives, by name; a pod that cannot be asked has none. */
export function watch(pods) {
  const begun = Date.now();
  const connections = {};
  /** [seconds, all that were opened until then], by pod. */
  const opened = [];
  const before = new Map();
  let ended = false;
  const looking = (async () => {
    while (!ended) {
      const seconds = (Date.now() - begun) / 1000;
      const now = await Promise.all(
        Object.entries(pods()).map(async ([name, pod]) => {
          const ask = (metric) => pod.metric(metric).catch(() => 0);
          const [open, total] = await Promise.all([ask("roomcast_connections"), ask("roomcast_connections_opened_total")]);
          (connections[name] ??= []).push([seconds, open]);
          // A counter that begins anew belongs to another pod; one that cannot be asked stands still.
          const last = before.get(pod) ?? 0;
          before.set(pod, Math.max(total, last));
          return Math.max(0, total - last);
        }),
      );
      opened.push([seconds, now.reduce((a, b) => a + b, 0)]);
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  })();
  return {
    connections,
    /** New connections in the second that ends at each look. */
    rates: () => opened.map(([at]) => [at, opened.filter(([time]) => time > at - 1 && time <= at).reduce((sum, [, count]) => sum + count, 0)]),
    seconds: () => (Date.now() - begun) / 1000,
    async stop() {
      ended = true;
      await looking;
    },
  };
}
