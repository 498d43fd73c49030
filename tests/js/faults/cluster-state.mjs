// What a pod says of its connection to the backplane, in all the places where it says it.

import { setTimeout } from "node:timers/promises";

import { API_KEY } from "../pod.mjs";

async function ofPod(pod) {
  const headers = { authorization: `Bearer ${API_KEY}` };
  const [ready, cluster, gauge] = await Promise.all([
    fetch(`${pod.internal}/readyz`),
    fetch(`${pod.internal}/api/v1/cluster`, { headers }).then((response) => response.json()),
    pod.metric("roomcast_backplane_connected"),
  ]);
  return {
    ready: ready.status === 200,
    readyText: (await ready.text()).trim(),
    gauge,
    connected: cluster.backplane?.connected,
    pods: cluster.pods?.length,
  };
}

/** The state of each pod. */
export async function states(pods) {
  const all = await Promise.all(pods.map(ofPod));
  // Asked in a loop beside the load: the pods have better things to do than to answer this.
  await setTimeout(100);
  return all;
}
