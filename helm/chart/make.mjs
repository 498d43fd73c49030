// Writes what is made of values.yaml: `make chart`. With a file, it is what `roomcast config-schema` printed.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { schemaOf } from "./schema.mjs";
import { CHART } from "./values.mjs";

const [file] = process.argv.slice(2);
const config = file && JSON.parse(readFileSync(file, "utf8"));
writeFileSync(join(CHART, "values.schema.json"), `${JSON.stringify(schemaOf(config), null, 2)}\n`);
