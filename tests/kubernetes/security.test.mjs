// What pods may do and be asked: NetworkPolicies that are enforced, and what `roomcast doctor` says inside a pod.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Crowd } from "../js/edge/crowd.mjs";
import { until } from "../js/pod.mjs";
import * as cluster from "./cluster.mjs";
import { saw } from "./report.mjs";

before(async () => {
  assert.equal(cluster.missing(), undefined);
  await cluster.prepare();
  await cluster.lab("add", "policy");
  const [busybox, curl] = [await cluster.tool("which", "busybox"), await cluster.tool("which", "curl")];
  await cluster.lab("image", "rclab.test/tools:1", busybox, curl, "--user", "65532:65532");
});
after(async () => {
  await cluster.uninstall();
  await cluster.kubectl("delete", "pod", "stranger", "backend", "--ignore-not-found", "--now");
});

/** A pod with these labels from which to ask. */
const asker = (name, labels) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels },
  spec: {
    containers: [{ name: "curl", image: "rclab.test/tools:1", imagePullPolicy: "Never", command: ["/busybox", "sleep", "3600"] }],
    terminationGracePeriodSeconds: 0,
  },
});

/** The status that a pod gets for this address, or 0 if it does not get through. */
async function ask(from, url) {
  const format = ["-s", "-o", "/dev/null", "-m", "2", "-w", "%{http_code}"];
  return Number(await cluster.kubectl("exec", from, "--", "/curl", ...format, url).catch(() => "0"));
}

test("with NetworkPolicies: clients and who is named get in, nobody else; the pods do their work, and the doctor finds nothing", async () => {
  const networkPolicy = {
    enabled: true,
    internal: [{ podSelector: { matchLabels: { publishes: "chat" } } }],
    redis: { to: [{ podSelector: { matchLabels: { app: "redis" } } }] },
    // The lab's own: others have `k8s-app: kube-dns`, and 443 or 6443.
    dns: { to: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: "coredns" } } }] },
    apiServer: { ports: [20443] },
  };
  await cluster.install({ replicas: 2, networkPolicy });
  await cluster.apply(asker("stranger", { app: "stranger" }), asker("backend", { app: "backend", publishes: "chat" }));
  await cluster.kubectl("wait", "--for=condition=Ready", "pod/stranger", "pod/backend", "--timeout=60s");
  const [{ ip, name }] = await cluster.ready();
  const [client, readyz] = [`http://${ip}:3000/socket.io/?EIO=4&transport=polling`, `http://${ip}:9000/readyz`];
  // What is refused is looked at once what is let in gets in: then the rules are there.
  await until("the policy lets the backend in", async () => (await ask("backend", readyz)) === 200, 60_000);
  const rows = {
    "a client from any pod": await ask("stranger", client),
    "the internal listener, from a pod that is named": await ask("backend", readyz),
    "the internal listener, from another pod": await ask("stranger", readyz),
  };
  assert.deepEqual(Object.values(rows), [200, 200, 0]);
  const crowd = new Crowd(await cluster.address(), "public-policy");
  try {
    // Behind a Service without affinity, their requests pass from pod to pod.
    for (const transports of [["polling"], ["polling", "websocket"]]) await crowd.join(10, { transports });
    assert.ok(await crowd.isAnswered());
    assert.deepEqual([...crowd.errors], []);
  } finally {
    crowd.close();
  }
  const doctor = await cluster.kubectl("exec", name, "--", "/roomcast", "doctor");
  const wrong = doctor.split("\n").filter((line) => /^(FAIL|WARN|error|warning)/i.test(line));
  saw("NetworkPolicy, and the doctor", {
    ...Object.fromEntries(Object.entries(rows).map(([what, status]) => [what, status || "refused"])),
    "`kubectl exec POD -- /roomcast doctor`": wrong.length === 0 ? `nothing is wrong (${doctor.split("\n").length} lines)` : wrong.join("; "),
  });
});
