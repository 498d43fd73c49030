// Every way of use in ci/ renders objects that the API servers of several versions of Kubernetes would take, unknown fields refused.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { parse } from "yaml";

import { ROOT } from "../pod.mjs";
import { CHART, folder, KUBERNETES, template } from "./render.mjs";

/** `.ci/install kubernetes-schemas` puts them there. */
const SCHEMAS = join(ROOT, ".tools/kubernetes-schemas");
const BUILT_IN = join(SCHEMAS, "kubernetes_validate/kubernetes-json-schema/{{.NormalizedKubernetesVersion}}-local{{.StrictSuffix}}/{{.ResourceKind}}{{.KindSuffix}}.json");
const CUSTOM = join(folder, "crds");
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

mkdirSync(CUSTOM);
for (const file of readdirSync(join(SCHEMAS, "crds"))) {
  const { spec } = parse(readFileSync(join(SCHEMAS, "crds", file), "utf8"));
  for (const { name, schema } of spec.versions) {
    const root = strict(schema.openAPIV3Schema);
    // A CRD does not say what is in it.
    root.properties.metadata = { type: "object" };
    writeFileSync(join(CUSTOM, `${spec.names.kind.toLowerCase()}_${name}.json`), JSON.stringify(root));
  }
}

function check(manifest, kubernetes) {
  const flags = ["-strict", "-kubernetes-version", kubernetes, "-schema-location", BUILT_IN, "-skip", WITHOUT];
  const custom = ["-schema-location", join(CUSTOM, "{{.ResourceKind}}_{{.ResourceAPIVersion}}.json")];
  const { status, stdout, stderr } = spawnSync("kubeconform", [...flags, ...custom, "-summary", "-"], { input: manifest, encoding: "utf8" });
  return { status, said: stdout + stderr };
}

for (const kubernetes of KUBERNETES) {
  test(`Kubernetes ${kubernetes} would take what every file of ci/ renders`, () => {
    const files = readdirSync(join(CHART, "ci"));
    assert.ok(files.length > 20);
    for (const file of files) {
      const { status, stdout, stderr } = template(join(CHART, "ci", file), { kubernetes });
      assert.equal(status, 0, `${file}: ${stderr}`);
      const checked = check(stdout, kubernetes);
      assert.equal(checked.status, 0, `${file}: ${checked.said}`);
      assert.match(checked.said, /Valid: [1-9]\d*, Invalid: 0, Errors: 0/, file);
    }
  });
}

test("the schemas notice a field that is not there, also in objects that others add to Kubernetes", () => {
  const { stdout } = template(join(CHART, "ci/autoscaling-keda-values.yaml"));
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
