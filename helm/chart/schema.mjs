// values.schema.json of the chart: the types of types.mjs, what values.yaml says of them, and below `config` the settings of Roomcast
// as `roomcast config-schema` prints them.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { values } from "./types.mjs";
import { CHART, documented, parse } from "./values.mjs";

const RENAMED = parse(readFileSync(join(CHART, "files/renamed.yaml"), "utf8"));
/** Settings that belong into other values: templates/_checks.tpl says into which, whatever they are set to. */
const ELSEWHERE = Object.keys(RENAMED).filter((path) => path.startsWith("config.")).map((path) => path.split(".").slice(1));

/** The settings, with the definitions that they refer to moved to where `#/definitions/…` finds them. */
function settings(schema) {
  const { $schema, $id, title, definitions = {}, ...config } = structuredClone(schema);
  for (const path of ELSEWHERE) {
    let at = config;
    for (const key of path) at = (at.properties ??= {})[key] ??= {};
    for (const word of Object.keys(at)) delete at[word];
  }
  return { config, definitions };
}

export function schemaOf(configSchema = { type: "object" }) {
  const { config, definitions } = settings(configSchema);
  const schema = values(config);
  for (const { path, means, value } of documented()) {
    let at = schema;
    for (const key of path) at = at?.properties?.[key];
    // What is shared by several values gets a description of its own in each.
    if (at) describe(schema, path, { description: means || undefined, default: value });
  }
  for (const [path, advice] of Object.entries(RENAMED)) {
    describe(schema, path.split("."), { description: `Not a value of this chart: ${advice}.`, deprecated: true });
  }
  return { $schema: "http://json-schema.org/draft-07/schema#", title: "Values of the chart roomcast", ...schema, definitions };
}

function describe(schema, path, words) {
  const [key, ...rest] = path;
  schema.properties = { ...schema.properties };
  schema.properties[key] = rest.length ? { ...schema.properties[key] } : { ...schema.properties[key], ...words };
  const inner = schema.properties[key];
  if (rest.length) describe(inner, rest, words);
  // The default of a map is those of its keys.
  else if (inner.properties && Object.keys(inner.properties).length) delete inner.default;
}
