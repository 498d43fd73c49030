// The JavaScript clients in Node: `node node.mjs PACKAGE [PARSER]`.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import "./core.js";

const require = createRequire(import.meta.url);
const [name, parser] = process.argv.slice(2);
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const carryOut = createDriver(require(name), say, parser ? { parser: require(parser) } : {});
createInterface({ input: process.stdin })
  .on("line", (line) => carryOut(JSON.parse(line)))
  .on("close", () => process.exit());
