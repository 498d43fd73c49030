// Writes what is made of the chart, `make chart`: its schema and README, and k8s/. With a file, it is what `roomcast config-schema` printed.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { FOLDER, manifests } from "./manifests.mjs";
import { readme } from "./readme.mjs";
import { schemaOf } from "./schema.mjs";
import { CHART } from "./values.mjs";

const [file] = process.argv.slice(2);
const config = file && JSON.parse(readFileSync(file, "utf8"));
writeFileSync(join(CHART, "values.schema.json"), `${JSON.stringify(schemaOf(config), null, 2)}\n`);
writeFileSync(join(CHART, "README.md"), readme());
for (const [path, text] of Object.entries(manifests())) writeFileSync(join(FOLDER, path), text);
