// What is made of the chart is current: its README, its schema, and k8s/, which builds to what Helm renders.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { parseAllDocuments } from "yaml";

import { FOLDER, manifests, nameOf, OVERLAYS, rendered } from "../../../helm/chart/manifests.mjs";
import { readme } from "../../../helm/chart/readme.mjs";
import { schemaOf } from "../../../helm/chart/schema.mjs";
import { documented } from "../../../helm/chart/values.mjs";
import { CHART } from "./render.mjs";
import { BIN } from "../pod.mjs";

const chart = (file) => readFileSync(join(CHART, file), "utf8");
const AGAIN = "`make chart` writes it";

test("the README says what values.yaml does", () => {
  assert.equal(chart("README.md"), readme(), AGAIN);
});

test("the schema is of the types, the words of values.yaml, and the settings of the program", () => {
  const settings = spawnSync(join(BIN, "roomcast"), ["config-schema"], { encoding: "utf8" });
  assert.equal(settings.status, 0, settings.stderr);
  assert.deepEqual(JSON.parse(chart("values.schema.json")), JSON.parse(JSON.stringify(schemaOf(JSON.parse(settings.stdout)))), AGAIN);
});

test("every value has a type, and every type is a value", () => {
  const { properties } = JSON.parse(chart("values.schema.json"));
  const values = new Set(documented().map(({ path }) => path[0]));
  for (const value of values) assert.ok(properties[value], `${value} has no type`);
  for (const [name, schema] of Object.entries(properties)) assert.ok(values.has(name) || schema.deprecated, `${name} is not in values.yaml`);
});

test("k8s/ is what the chart renders today, and nothing else", () => {
  const made = manifests();
  for (const [path, text] of Object.entries(made)) assert.equal(readFileSync(join(FOLDER, path), "utf8"), text, `${path}: ${AGAIN}`);
  const own = new Set(["values.yaml", "redis.yaml", "namespace.yaml"]);
  for (const folder of ["base", ...OVERLAYS.map((overlay) => `overlays/${overlay}`)]) {
    for (const file of readdirSync(join(FOLDER, folder))) assert.ok(own.has(file) || made[`${folder}/${file}`], `${folder}/${file} is of no use`);
  }
});

/** The name that kustomize gives the settings says what is in them: `roomcast-7f2k…`. */
const plain = (objects) =>
  JSON.parse(JSON.stringify(objects, (key, value) => (key === "name" && /^roomcast-[a-z0-9]{10}$/.test(value) ? "roomcast" : value)));
const sorted = (objects) => objects.sort((a, b) => nameOf(a).localeCompare(nameOf(b)));

for (const overlay of OVERLAYS) {
  test(`kustomize builds of ${overlay} what Helm renders with its values`, () => {
    const folder = join(FOLDER, "overlays", overlay);
    const text = execFileSync("kustomize", ["build", folder], { encoding: "utf8" });
    const others = existsSync(join(folder, "redis.yaml")) ? parseAllDocuments(readFileSync(join(folder, "redis.yaml"), "utf8")).map((one) => nameOf(one.toJS())) : [];
    const built = parseAllDocuments(text)
      .map((document) => document.toJS())
      .filter((object) => object.kind !== "Namespace" && !others.includes(nameOf(object)));
    const [settings] = plain(built).filter(({ kind }) => kind === "ConfigMap");
    const wanted = rendered(overlay);
    const { data } = wanted.find(({ kind }) => kind === "ConfigMap");
    // A comment says where it is from.
    settings.data["roomcast.yaml"] = settings.data["roomcast.yaml"].replace(/^#.*\n/, "");
    assert.deepEqual(settings.data, data);
    const rest = (objects) => sorted(plain(objects).filter(({ kind }) => kind !== "ConfigMap"));
    // Lists that a patch is merged into come in another order.
    const unordered = (value) =>
      Array.isArray(value)
        ? value.map(unordered).sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
        : typeof value === "object" && value !== null
          ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a.localeCompare(b)).map(([key, inner]) => [key, unordered(inner)]))
          : value;
    assert.deepEqual(rest(built).map(unordered), rest(wanted).map(unordered));
  });
}
