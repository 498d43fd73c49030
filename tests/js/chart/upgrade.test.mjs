// `helm upgrade` from the chart before: its values mean the same or are refused with the name of today, and nothing is changed that
// cannot be changed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { refusal, render } from "./render.mjs";

/** The chart 0.1.0, without its dashboard and alerts. */
const BEFORE = fileURLToPath(new URL("roomcast-0.1.0.tgz", import.meta.url));

/** Every value that it had, none as by default. */
const ALL = {
  replicas: 3,
  image: { repository: "registry.example.com/roomcast", tag: "0.1.0", pullPolicy: "Always", pullSecrets: [{ name: "registry" }] },
  config: { backplane: { kind: "sharded" }, namespaces: { "/": { auth: "none" } } },
  secrets: Object.fromEntries(
    [
      ...["apiKeys", "jwtSecret", "jwtPublicKey", "jwksCa", "sessionSecret", "hookSecrets", "hookCa"],
      ...["backplaneUrl", "backplanePassword", "backplaneCa", "backplaneCert", "backplaneKey"],
    ].map((name) => [name, { name: name.toLowerCase(), key: "it" }]),
  ),
  drain: { delaySeconds: 6, windowSeconds: 20, timeoutSeconds: 30 },
  publicService: { type: "NodePort", port: 8080, annotations: { "example.com/a": "b" }, sessionAffinity: "ClientIP" },
  internalService: { port: 9001, annotations: { "example.com/c": "d" } },
  resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { memory: "2Gi" } },
  env: [{ name: "ROOMCAST__LOG__LEVEL", value: "debug" }],
  podAnnotations: { "example.com/e": "f" },
  podLabels: { "example.com/g": "h" },
  nodeSelector: { "kubernetes.io/os": "linux" },
  tolerations: [{ operator: "Exists" }],
  affinity: { podAntiAffinity: {} },
  global: { anything: true },
};

const key = ({ kind, metadata }) => `${kind}/${metadata.name}`;

for (const [name, values] of Object.entries({ defaults: {}, "every value": ALL })) {
  test(`the values of the chart before render: ${name}`, () => {
    const before = render(values, { chart: BEFORE });
    const after = render(values);
    const now = Object.fromEntries(after.documents.map((object) => [key(object), object]));
    for (const object of before.documents) assert.ok(now[key(object)], `${key(object)} would be deleted`);
    // What the API server refuses to change.
    assert.deepEqual(after.find("Deployment").spec.selector, before.find("Deployment").spec.selector);
    for (const service of before.documents.filter(({ kind }) => kind === "Service")) {
      const { type, sessionAffinity, selector, ports } = now[key(service)].spec;
      assert.equal(type, service.spec.type);
      assert.equal(sessionAffinity ?? "None", service.spec.sessionAffinity ?? "None");
      assert.deepEqual(selector, service.spec.selector);
      assert.deepEqual(ports.map(({ name, port, targetPort }) => ({ name, port, targetPort })), service.spec.ports);
    }
    // What was said of the pod still is.
    const [was] = before.pod.containers;
    const [is] = after.pod.containers;
    for (const variable of was.env) assert.deepEqual(is.env.find(({ name }) => name === variable.name), variable);
    for (const mount of was.volumeMounts) assert.deepEqual(is.volumeMounts.find(({ name }) => name === mount.name), mount);
    for (const field of ["nodeSelector", "tolerations", "affinity", "imagePullSecrets", "volumes"]) assert.deepEqual(after.pod[field], before.pod[field]);
    assert.equal(is.image, was.image);
    if (name !== "defaults") assert.deepEqual(is.resources, was.resources);
    assert.ok(after.pod.terminationGracePeriodSeconds >= before.pod.terminationGracePeriodSeconds);
  });
}

test("what the chart before changed in silence is refused now, with what to set", () => {
  // It was overwritten.
  assert.match(refusal({ config: { public: { listen: ["0.0.0.0:80"] } } }), /config.public.listen is not a value of this chart: the chart sets it/);
});
