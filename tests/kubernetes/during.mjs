// A crowd of stock clients, and a backend that publishes, while a cluster changes: what each client missed, and how often it moved.

import { Crowd } from "../js/edge/crowd.mjs";
import { until } from "../js/pod.mjs";
import { address, backend } from "./cluster.mjs";
import { watchPods } from "./watching.mjs";

/** Joins a crowd, half of it polling, changes the cluster while messages go out, and reckons. */
export async function during(room, change, { count = 120, rate = 5, back = 60_000, to } = {}) {
  const { publish, again } = await backend();
  const crowd = new Crowd(to ?? (await address()), room);
  const watching = watchPods();
  try {
    await crowd.join(count / 2, { transports: ["polling"] });
    await crowd.join(count / 2, { transports: ["polling", "websocket"] });
    let changed = false;
    const publishing = (async () => {
      let sent = 0;
      while (!changed) sent += await crowd.publish(() => [{ publish }], { seconds: 1, rate, first: sent });
      return sent;
    })();
    const begun = watching.seconds();
    await change();
    const took = watching.seconds() - begun;
    await until("all are back, and answered", async () => crowd.isBack() && (await crowd.isAnswered()), back);
    changed = true;
    const sent = await publishing;
    const sums = await crowd.reckon(sent);
    return { sums, sent, took, again: again(), crowd, watching };
  } finally {
    crowd.close();
    await watching.stop();
  }
}

/** What is told of a crowd that was moved. */
export const rows = ({ sums, sent, took, again, crowd }) => ({
  "clients, half polling": crowd.clients.length,
  "it took": `${took.toFixed(0)} s`,
  "connects of each client, as many times": JSON.stringify(connects(crowd)),
  "most that came back within a second": `${crowd.fastest()} (${((100 * crowd.fastest()) / crowd.clients.length).toFixed(1)} %)`,
  "what clients saw": [...crowd.errors].map(([error, times]) => `${times} × ${error}`).join("; ") || "nothing",
  "longest time away": `${Math.max(...crowd.clients.map(({ longestAway }) => longestAway))} ms`,
  "messages; deliveries due": `${sent}; ${sums.due}`,
  "missed while away": sums.missing,
  "doubled, out of order": `${sums.doubled}, ${sums.disordered}`,
  "publishes asked again with the same key": again,
});
/** How many clients connected how often. */
export function connects(crowd) {
  const counts = {};
  for (const client of crowd.clients) counts[client.connects] = (counts[client.connects] ?? 0) + 1;
  return counts;
}
