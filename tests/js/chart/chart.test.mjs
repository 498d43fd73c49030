// The chart renders what it says, and the pod accepts the configuration that it renders.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { BIN } from "../pod.mjs";
import { CHART, folder, render, template } from "./render.mjs";

const checkConfig = (rendered) => {
  const file = join(folder, "roomcast.yaml");
  writeFileSync(file, rendered.find("ConfigMap").data["roomcast.yaml"]);
  const secret = join(folder, "secret");
  writeFileSync(secret, "k".repeat(40));
  const url = join(folder, "url");
  writeFileSync(url, "redis://:password@redis:6379");
  const variables = rendered.pod.containers[0].env
    .filter(({ value }) => value !== undefined)
    .map(({ name, value }) => [name, name.endsWith("URL_FILE") ? url : name.endsWith("_FILE") ? secret : value]);
  const env = { ...process.env, ...Object.fromEntries(variables) };
  return execFileSync(join(BIN, "roomcast"), ["check-config", "--config", file], { env }).toString();
};

test("the defaults make one pod, three services, the smallest Role and a configuration that it accepts", () => {
  const rendered = render();
  const { documents, find, pod } = rendered;
  assert.deepEqual(documents.map(({ kind }) => kind).sort(), ["ConfigMap", "Deployment", "Pod", "Role", "RoleBinding", "Service", "Service", "Service", "ServiceAccount"]);
  assert.equal(find("Deployment").spec.replicas, 1);
  assert.equal(checkConfig(rendered), "the configuration is fine\n");
  assert.equal(pod.terminationGracePeriodSeconds, 90 + 5 + 75 + 5);
  const [container] = pod.containers;
  assert.equal(container.image, "roomcast:0.1.0");
  assert.equal(container.readinessProbe.httpGet.path, "/readyz");
  assert.equal(container.livenessProbe.httpGet.path, "/livez");
  assert.equal(container.securityContext.readOnlyRootFilesystem, true);
  assert.equal(pod.securityContext.runAsNonRoot, true);
  assert.equal(find("Service", "chat").spec.ports[0].targetPort, "public");
  assert.equal(find("Service", "chat-internal").spec.ports[0].targetPort, "internal");
  assert.deepEqual(find("Service", "chat").spec.selector, find("Deployment").spec.selector.matchLabels);
});

test("settings and secrets reach the pod, and a changed setting is a new pod", () => {
  const config = {
    namespaces: { "/": { auth: "required", rooms: [{ pattern: "public-*", join: "anyone", relay: ["chat"] }] } },
    public: { path: "/live/" },
  };
  const secrets = { apiKeys: { name: "keys" }, jwtSecret: { name: "jwt", key: "hs256" }, hookSecrets: { name: "hooks" }, sessionSecret: { name: "sessions" } };
  const rendered = render({ config, secrets, drain: { delaySeconds: 10, windowSeconds: 30, timeoutSeconds: 60 } });
  assert.equal(checkConfig(rendered), "the configuration is fine\n");
  assert.equal(rendered.pod.terminationGracePeriodSeconds, 90 + 10 + 60 + 5);
  const text = rendered.find("ConfigMap").data["roomcast.yaml"];
  assert.match(text, /path: \/live\//);
  assert.match(text, /window: 30s/);
  const { env, volumeMounts } = rendered.pod.containers[0];
  for (const path of ["jwt-secret/hs256", "hook-secrets/keys", "session-secret/secret"]) {
    assert.ok(env.some(({ value }) => value === `/etc/roomcast/${path}`), path);
  }
  assert.ok(volumeMounts.some(({ mountPath }) => mountPath === "/etc/roomcast/api-keys"));
  const checksum = ({ find }) => find("Deployment").spec.template.metadata.annotations["checksum/config"];
  assert.notEqual(checksum(rendered), checksum(render({ secrets })));
});

test("several pods need a backplane, and know where others reach them", () => {
  const config = { backplane: { kind: "sharded", url: "redis://redis:6379" }, namespaces: { "/": { auth: "none" } } };
  const secrets = { backplanePassword: { name: "redis" } };
  const rendered = render({ replicas: 3, config, secrets, publicService: { sessionAffinity: "ClientIP" } });
  assert.equal(checkConfig(rendered), "the configuration is fine\n");
  assert.equal(rendered.find("Deployment").spec.replicas, 3);
  assert.equal(rendered.find("Service", "chat").spec.sessionAffinity, "ClientIP");
  const { env, volumeMounts } = rendered.pod.containers[0];
  const value = (name) => env.find((variable) => variable.name === name)?.value;
  // An IPv6 address needs brackets before a port, which the pod adds and a variable cannot.
  assert.equal(value("ROOMCAST__INTERNAL__ADVERTISE"), undefined);
  const { fieldPath } = env.find(({ name }) => name === "POD_IP").valueFrom.fieldRef;
  assert.equal(fieldPath, "status.podIP");
  // What its traces say of it.
  const field = (name) => env.find((variable) => variable.name === name).valueFrom.fieldRef.fieldPath;
  assert.equal(field("K8S_POD_NAME"), "metadata.name");
  assert.equal(field("K8S_NODE_NAME"), "spec.nodeName");
  assert.equal(value("ROOMCAST__BACKPLANE__PASSWORD_FILE"), "/etc/roomcast/backplane-password/password");
  assert.ok(volumeMounts.some(({ mountPath }) => mountPath === "/etc/roomcast/backplane-password"));
});

test("an address of Redis is enough for several pods", () => {
  for (const values of [{ config: { backplane: { url: "redis://redis:6379" } } }, { secrets: { backplaneUrl: { name: "redis" } } }]) {
    assert.match(template({ replicas: 3, ...values }).stdout, /replicas: 3/, JSON.stringify(values));
  }
  const none = template({ replicas: 3, config: { backplane: { kind: "none", url: "redis://redis:6379" } } });
  assert.match(none.stderr, /needs Redis/);
});

test("the pod accepts the configuration of every way of use in ci/", () => {
  for (const name of readdirSync(join(CHART, "ci"))) {
    assert.equal(checkConfig(render(join(CHART, "ci", name))), "the configuration is fine\n", name);
  }
});
