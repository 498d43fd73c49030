// Every way of use in ci/ renders objects that the API servers of several versions of Kubernetes would take, unknown fields refused.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { parse } from "yaml";

import { ROOT } from "../pod.mjs";
import { CHART, folder, KUBERNETES, render, template } from "./render.mjs";

/** `.ci/install kubernetes-schemas` puts them there. */
const SCHEMAS = join(ROOT, ".tools/kubernetes-schemas");
const BUILT_IN = join(SCHEMAS, "kubernetes_validate/kubernetes-json-schema");
/** What the chart and k8s/ have of Kubernetes' own. */
const KINDS = [
  ...["configmap-v1", "namespace-v1", "pod-v1", "service-v1", "serviceaccount-v1", "deployment-apps-v1", "horizontalpodautoscaler-autoscaling-v2"],
  ...["poddisruptionbudget-policy-v1", "ingress-networking-v1", "networkpolicy-networking-v1", "apiservice-apiregistration-v1"],
  ...["role", "rolebinding", "clusterrole", "clusterrolebinding"].map((kind) => `${kind}-rbac-v1`),
];
/** Else the one that they name would be looked for elsewhere. */
const DRAFT = "http://json-schema.org/draft-07/schema#";
/** Of Google, which publishes no schemas of them. */
const WITHOUT = "BackendConfig,GCPBackendPolicy,HealthCheckPolicy";

/** As an API server with structural schemas does: fields that are not there are refused, where it is not said otherwise. */
function strict(schema) {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== "object" || schema === null) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strict(value)]));
  if (schema.properties && schema.type === "object" && !schema["x-kubernetes-preserve-unknown-fields"]) copy.additionalProperties ??= false;
  if (schema["x-kubernetes-int-or-string"]) copy.type = ["integer", "string"];
  return copy;
}

for (const file of readdirSync(join(SCHEMAS, "crds"))) {
  const { spec } = parse(readFileSync(join(SCHEMAS, "crds", file), "utf8"));
  for (const { name, schema } of spec.versions) {
    const root = strict(schema.openAPIV3Schema);
    // A CRD does not say what is in it.
    root.properties.metadata = { type: "object" };
    write(`${spec.names.kind.toLowerCase()}-${spec.group.split(".")[0]}-${name}.json`, root, KUBERNETES);
  }
}

// One file for each kind, with the definitions that it refers to: kubeconform finds those of another file at their address only.
for (const kubernetes of KUBERNETES) {
  const from = join(BUILT_IN, `v${kubernetes}-local-strict`);
  const { $defs } = JSON.parse(readFileSync(join(from, "_definitions.json"), "utf8"));
  for (const kind of KINDS) {
    const root = JSON.parse(readFileSync(join(from, `${kind}.json`), "utf8"));
    const needed = {};
    const take = (schema) => {
      for (const [, name] of JSON.stringify(schema).matchAll(/#\/\$defs\/([\w.-]+)/g)) {
        if (needed[name]) continue;
        needed[name] = $defs[name];
        take($defs[name]);
      }
    };
    take(root);
    const text = JSON.stringify({ ...root, $schema: DRAFT, $id: undefined, $defs: needed }).replaceAll("/api/_definitions.json#", "#");
    write(`${kind}.json`, JSON.parse(text), [kubernetes]);
  }
}

function write(file, schema, versions) {
  for (const version of versions) {
    mkdirSync(join(folder, `v${version}`), { recursive: true });
    writeFileSync(join(folder, `v${version}`, file), JSON.stringify(schema));
  }
}

/** What kubeconform says of these files: paths, or the text of one. */
function check(manifests, kubernetes) {
  const location = join(folder, "{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json");
  const flags = ["-strict", "-summary", "-kubernetes-version", kubernetes, "-schema-location", location, "-skip", WITHOUT];
  const input = typeof manifests === "string" ? manifests : undefined;
  const { status, stdout, stderr } = spawnSync("kubeconform", [...flags, ...(input ? ["-"] : manifests)], { input, encoding: "utf8" });
  return { status, said: stdout + stderr };
}

for (const kubernetes of KUBERNETES) {
  test(`Kubernetes ${kubernetes} would take what every file of ci/ renders`, () => {
    const manifests = readdirSync(join(CHART, "ci")).map((file) => {
      const manifest = join(folder, file.replace("-values.yaml", `-${kubernetes}.yaml`));
      writeFileSync(manifest, render(join(CHART, "ci", file), { kubernetes }).text);
      return manifest;
    });
    assert.ok(manifests.length > 20);
    const { status, said } = check(manifests, kubernetes);
    assert.equal(status, 0, said);
    // Enough of them were looked at, and only those of Google were not.
    assert.match(said, /Valid: [1-9]\d\d, Invalid: 0, Errors: 0, Skipped: 3\n/);
  });
}

test("what of k8s/ is not made of the chart is right, too", () => {
  const { status, said } = check([join(ROOT, "k8s/base/namespace.yaml"), join(ROOT, "k8s/overlays/redis/redis.yaml")], KUBERNETES[0]);
  assert.equal(status, 0, said);
});

test("the schemas notice a field that is not there, also in objects that others add to Kubernetes", () => {
  const { stdout } = template(join(CHART, "ci/autoscaling-keda-values.yaml"));
  assert.equal(check(stdout, KUBERNETES.at(-1)).status, 0);
  for (const [right, wrong] of [
    ["minReadySeconds:", "minReadySecond:"],
    ["publishNotReadyAddresses: true", "publishNotReadyAddresses: yes please"],
    ["minReplicaCount:", "minReplicas:"],
    ["stabilizationWindowSeconds:", "stabilisationWindowSeconds:"],
  ]) {
    assert.ok(stdout.includes(right), right);
    assert.notEqual(check(stdout.replace(right, wrong), KUBERNETES.at(-1)).status, 0, wrong);
  }
});
