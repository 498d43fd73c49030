// The files of k8s/: a kustomize base of what the chart renders by default, and for each overlay what its values.yaml changes of it.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { CHART, ROOT, parseAllDocuments, stringify } from "./values.mjs";

export const FOLDER = join(ROOT, "k8s");
export const OVERLAYS = readdirSync(join(FOLDER, "overlays")).sort();
const MADE = "# Made of the chart by `make chart`; not to be edited.\n";
/** Labels of Helm's own, and what the name of the ConfigMap says here. */
const OF_HELM = ["helm.sh/chart", "app.kubernetes.io/managed-by"];

function clean(metadata) {
  for (const label of OF_HELM) delete metadata.labels?.[label];
  if (metadata.annotations) delete metadata.annotations["checksum/config"];
}

/** What Helm renders with the values of an overlay, without what is Helm's. */
export function rendered(overlay) {
  const values = join(FOLDER, "overlays", overlay, "values.yaml");
  const flags = ["--namespace", "roomcast", "--kube-version", "1.33.0", "--values", values, "--skip-tests"];
  const text = execFileSync("helm", ["template", "roomcast", CHART, ...flags], { encoding: "utf8", maxBuffer: 64 << 20 });
  const objects = parseAllDocuments(text).map((document) => document.toJS()).filter(Boolean);
  for (const { metadata, spec } of objects) {
    clean(metadata);
    if (spec?.template) clean(spec.template.metadata);
  }
  return objects.sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
}

/** The name of its file. */
export const nameOf = ({ kind, metadata }) =>
  `${kind}-${metadata.name.replace(/^(roomcast-?)+/, "")}`.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/-$/, "");

/** By what kustomize tells the items of a list apart; other lists are replaced as a whole. */
const KEYS = { containers: "name", initContainers: "name", env: "name", volumes: "name", volumeMounts: "mountPath", ports: "containerPort", topologySpreadConstraints: "topologyKey" };
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** A strategic merge patch from `was` to `is`; undefined if nothing differs. */
function patch(was, is, field) {
  if (same(was, is)) return undefined;
  if (isMap(was) && isMap(is)) {
    const changes = {};
    for (const key of Object.keys(was)) if (!(key in is)) changes[key] = null;
    for (const key of Object.keys(is)) {
      const change = key in was ? patch(was[key], is[key], key) : is[key];
      if (change !== undefined) changes[key] = change;
    }
    return changes;
  }
  const key = KEYS[field];
  if (Array.isArray(was) && Array.isArray(is) && key && [...was, ...is].every((item) => key in item)) {
    const changed = is.flatMap((item) => {
      const before = was.find((one) => one[key] === item[key]);
      const change = before ? patch(before, item) : item;
      return change === undefined ? [] : [{ [key]: item[key], ...change }];
    });
    const gone = was.filter((item) => !is.some((one) => one[key] === item[key]));
    return [...changed, ...gone.map((item) => ({ $patch: "delete", [key]: item[key] }))];
  }
  return is;
}

const yaml = (value) => MADE + stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
const isSettings = ({ kind, metadata }) => kind === "ConfigMap" && metadata.name === "roomcast";
const settingsOf = (objects) => `${MADE}${objects.find(isSettings).data["roomcast.yaml"]}`;
const kustomization = (fields) => yaml({ apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", ...fields });

/** Path in k8s/ → text, of all that is made. */
export function manifests() {
  const files = {};
  const base = rendered("single");
  const plain = base.filter((object) => !isSettings(object));
  for (const object of plain) files[`base/${nameOf(object)}.yaml`] = yaml(object);
  files["base/roomcast.yaml"] = settingsOf(base);
  const { labels } = base.find(isSettings).metadata;
  const generator = { name: "roomcast", files: ["roomcast.yaml"], options: { labels } };
  files["base/kustomization.yaml"] = kustomization({
    resources: ["namespace.yaml", ...plain.map((object) => `${nameOf(object)}.yaml`)],
    configMapGenerator: [{ ...generator, namespace: "roomcast" }],
  });
  for (const overlay of OVERLAYS) {
    const at = `overlays/${overlay}`;
    const objects = rendered(overlay);
    const resources = ["../../base"];
    const patches = [];
    for (const extra of ["redis.yaml"]) if (existsSync(join(FOLDER, at, extra))) resources.push(extra);
    for (const object of objects.filter((one) => !isSettings(one))) {
      const file = `${nameOf(object)}.yaml`;
      const before = plain.find((one) => nameOf(one) === nameOf(object));
      const change = before && patch(before, object);
      if (!before) {
        files[`${at}/${file}`] = yaml(object);
        resources.push(file);
      } else if (change) {
        const { apiVersion, kind, metadata } = object;
        files[`${at}/patch-${file}`] = yaml({ apiVersion, kind, metadata: { name: metadata.name, namespace: metadata.namespace }, ...change });
        patches.push({ path: `patch-${file}` });
      }
    }
    const fields = { resources };
    if (!same(settingsOf(objects), settingsOf(base))) {
      files[`${at}/roomcast.yaml`] = settingsOf(objects);
      fields.configMapGenerator = [{ ...generator, namespace: "roomcast", behavior: "replace" }];
    }
    if (patches.length) fields.patches = patches;
    files[`${at}/kustomization.yaml`] = kustomization(fields);
  }
  return files;
}
