// Values that make no sense are refused, in words that say what to set instead.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { parse } from "yaml";

import { CHART, refusal } from "./render.mjs";

const REDIS = { config: { backplane: { url: "redis://redis" } } };
const CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----";

/** The values of a path such as `autoscaling.enabled`. */
const at = (path, value) => path.split(".").reduceRight((inner, key) => ({ [key]: inner }), value);

test("each name of another chart is refused with the one that is meant", () => {
  const renamed = parse(readFileSync(join(CHART, "files/renamed.yaml"), "utf8"));
  const values = {};
  const merge = (into, from) => {
    for (const [key, value] of Object.entries(from)) {
      if (typeof into[key] === "object" && typeof value === "object") merge(into[key], value);
      else into[key] = value;
    }
  };
  for (const path of Object.keys(renamed)) merge(values, at(path, { anything: true }));
  const said = refusal(values);
  for (const [path, advice] of Object.entries(renamed)) {
    assert.ok(said.includes(`- ${path} is not a value of this chart: ${advice}`), `${path}\n${said}`);
  }
});

test("the advice for a renamed value names values that there are", () => {
  const values = parse(readFileSync(join(CHART, "values.yaml"), "utf8"));
  const renamed = parse(readFileSync(join(CHART, "files/renamed.yaml"), "utf8"));
  for (const [old, advice] of Object.entries(renamed)) {
    for (const [, path] of advice.matchAll(/\bset ([a-z]\w*(?:\.[a-z]\w*)*)/g)) {
      const [first] = path.split(".");
      assert.ok(["what", "one"].includes(first) || first in values, `${old}: ${path}`);
    }
  }
});

for (const [name, values, said] of [
  ["a typing mistake", { replcas: 2 }, /additional properties 'replcas' not allowed/],
  ["a typing mistake further in", { publicService: { prot: 80 } }, /'\/publicService'.*'prot' not allowed/],
  ["a typing mistake in a setting", { config: { backplane: { ulr: "redis://redis" } } }, /'\/config\/backplane'.*'ulr' not allowed/],
  ["a wrong choice in a setting", { config: { namespaces: { "/": { auth: "maybe" } } } }, /'\/config\/namespaces\/~1\/auth'|'\/config\/namespaces\/\/\/auth'/],
  ["a wrong type", { drain: { delaySeconds: "5s" } }, /'\/drain\/delaySeconds': got string, want integer/],
  ["a wrong choice", { publicService: { type: "Loadbalancer" } }, /'\/publicService\/type': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'/],
  ["an internal Service for the world", { internalService: { type: "LoadBalancer" } }, /'type' not allowed/],
  ["a port that is none", { publicService: { port: 0 } }, /'\/publicService\/port'/],
  ["a tag in the repository", { image: { repository: "roomcast:1.2" } }, /'\/image\/repository'/],
  ["pods without Redis", { replicas: 2 }, /replicas is 2: more than one pod needs Redis: set config.backplane.url or secrets.backplaneUrl.name/],
  ["an autoscaler without Redis", { autoscaling: { kind: "keda" } }, /autoscaling.kind is keda: more than one pod needs Redis/],
  ["a window longer than the drain", { drain: { windowSeconds: 80 } }, /drain.timeoutSeconds is 75, and must be more than drain.windowSeconds, 80/],
  [
    "a grace period that is too short",
    { terminationGracePeriodSeconds: 60, lifecycle: { preStop: { sleep: { seconds: 7 } } } },
    /terminationGracePeriodSeconds is 60, and must be at least 182: drain.rolloutWaitSeconds 90 \+ drain.delaySeconds 5 \+ drain.timeoutSeconds 75 \+ drain.marginSeconds 5 \+ lifecycle.preStop.sleep.seconds 7/,
  ],
  ["a delay that nobody notices", { replicas: 2, ...REDIS, drain: { delaySeconds: 1 } }, /drain.delaySeconds is 1, and must be at least 2 where there are several pods/],
  ["a password in the settings", { config: { backplane: { url: "redis://:s3cret@redis" } } }, /config.backplane.url has a password in it.*set secrets.backplaneUrl.name/],
  ["a password of a sentinel in the settings", { config: { backplane: { url: "redis-sentinel://s:26379?sentinelPassword=s3cret" } } }, /has a password in it/],
  ["a deadline before pods count", { minReadySeconds: 60, progressDeadlineSeconds: 60 }, /progressDeadlineSeconds is 60, and must be more than minReadySeconds, 60/],
  ["a rollout that cannot move", { strategy: { rollingUpdate: { maxSurge: "0%" } } }, /maxSurge and maxUnavailable are both 0/],
  ["fewer at most than at least", { ...REDIS, autoscaling: { kind: "keda", maxReplicas: 1 } }, /minReplicas is 2, and must not be more than autoscaling.maxReplicas, 1/],
  [
    "a target that pods never reach",
    { config: { ...REDIS.config, admission: { max_connections: 5000 } }, autoscaling: { kind: "keda" } },
    /connectionsPerPod is 5000, and must be less than config.admission.max_connections × ready_share, 5000 × 0.9/,
  ],
  ["two ways to scale", { autoscaling: { kind: "keda,external" } }, /'\/autoscaling\/kind': value must be one of/],
  ["external metrics without the API server", { ...REDIS, autoscaling: { kind: "external" }, kubernetes: { enabled: false } }, /external, which needs kubernetes.enabled/],
  [
    "a certificate without its authority",
    { ...REDIS, autoscaling: { kind: "external", external: { certificate: { secretName: "tls" } } } },
    /certificate.secretName needs ca/,
  ],
  [
    "an authority without its certificate",
    { ...REDIS, autoscaling: { kind: "external", external: { certificate: { ca: CERTIFICATE } } } },
    /certificate.ca is for a certificate of yours: set secretName, too/,
  ],
  [
    "two certificates",
    { ...REDIS, autoscaling: { kind: "external", external: { certificate: { secretName: "tls", ca: CERTIFICATE, certManager: { enabled: true } } } } },
    /set secretName or certManager.enabled, not both/,
  ],
  [
    "Prometheus without its address",
    { ...REDIS, autoscaling: { kind: "keda", keda: { trigger: "prometheus" } } },
    /needs autoscaling.keda.prometheus.serverAddress/,
  ],
  ["both monitors", { metrics: { serviceMonitor: { enabled: true }, podMonitor: { enabled: true } } }, /both enabled: every series would be there twice/],
  ["an ingress without hosts", { ingresses: { public: {} } }, /'\/ingresses\/public': missing property 'hosts'/],
]) {
  test(`refused: ${name}`, () => assert.match(refusal(values), said));
}

test("all that is wrong is said at once", () => {
  const said = refusal({ replicaCount: 3, drain: { windowSeconds: 80 }, progressDeadlineSeconds: 5 });
  assert.equal(said.match(/^ {2}- /gm).length, 3, said);
});
