#!/usr/bin/env node
// Refuses circles of files, and types with more public functions than one can keep in mind: `node .ci/structure/check.mjs`.
// `exceptions.txt` beside it has those that stand today, and may only shrink; ARCHITECTURE.md has the types that are to be so.
//
// A circle is a set of files of a crate that need each other, directly or over others. A folder's `mod.rs` is not counted
// in: it declares the files of its folder, and has what they share. What it exports from a file counts for that file.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import { circles, needs } from "./circles.mjs";
import { crate } from "./modules.mjs";
import { functions } from "./types.mjs";

/** The most public functions of a type. */
const MOST = 12;
const HERE = fileURLToPath(new URL(".", import.meta.url));
const REPOSITORY = join(HERE, "../..");

/** What is wrong in the crates of a repository, a line each. */
export function problems(repository, { exceptions = "", architecture = "" } = {}) {
  const found = roots(repository).map((root) => crate(join(repository, root), repository));
  return [
    ...ofCircles(found, entries(exceptions, "circle")),
    ...ofTypes(found, entries(exceptions, "type"), withReason(architecture)),
  ];
}

function roots(repository) {
  const folders = ["src", "load/src"];
  const crates = join(repository, "crates");
  if (existsSync(crates)) folders.push(...readdirSync(crates).map((name) => `crates/${name}/src`));
  const files = folders.map((folder) => ["lib.rs", "main.rs"].map((file) => `${folder}/${file}`));
  return files.map((both) => both.find((file) => existsSync(join(repository, file)))).filter(Boolean);
}

const isFace = (file) => ["mod.rs", "lib.rs", "main.rs"].includes(basename(file));

function ofCircles(crates, allowed) {
  const wrong = [];
  const standing = new Set();
  for (const each of crates) {
    const graph = new Map([...needs(each)].filter(([file]) => !isFace(file)));
    for (const circle of circles(graph)) {
      const line = circle.join(" ");
      standing.add(line);
      if (allowed.has(line)) continue;
      const arrows = circle.flatMap((file) =>
        [...graph.get(file)]
          .filter(([needed]) => circle.includes(needed))
          .map(([needed, names]) => `    ${file} needs ${needed}: ${[...names].join(", ")}`),
      );
      wrong.push([`a circle of ${circle.length} files:`, ...arrows, `  (as an exception: circle ${line})`].join("\n"));
    }
  }
  for (const line of allowed) if (!standing.has(line)) wrong.push(`no longer a circle, take it out: circle ${line}`);
  return wrong;
}

function ofTypes(crates, allowed, reasons) {
  const wrong = [];
  const large = new Map(crates.flatMap((each) => [...functions(each)]).filter(([, names]) => names.length > MOST));
  for (const [type, names] of large) {
    if (allowed.has(type) || reasons.has(type)) continue;
    wrong.push(`${type} has ${names.length} public functions, and ${MOST} are the most: ${names.join(", ")}`);
  }
  for (const type of allowed) if (!large.has(type)) wrong.push(`no longer that large, take it out: type ${type}`);
  for (const type of reasons) if (!large.has(type)) wrong.push(`no longer that large, take it out of ARCHITECTURE.md: ${type}`);
  return wrong;
}

/** The lines of the exceptions that begin with a word, without it; what is behind `#` is the reason. */
function entries(exceptions, word) {
  const lines = exceptions.split("\n").map((line) => line.replace(/#.*/, "").trim());
  return new Set(lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1).trim()));
}

/** The types that a table of ARCHITECTURE.md names with a reason: under the heading "Types with many functions". */
function withReason(architecture) {
  const section = architecture.split("\n## Types with many functions\n")[1]?.split("\n## ")[0] ?? "";
  return new Set([...section.matchAll(/^\| `([\w:]+)` \| \S.* \|$/gm)].map(([, type]) => type));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const read = (file) => readFileSync(file, "utf8");
  const wrong = problems(REPOSITORY, {
    exceptions: read(join(HERE, "exceptions.txt")),
    architecture: read(join(REPOSITORY, "ARCHITECTURE.md")),
  });
  for (const line of wrong) console.error(line);
  if (wrong.length > 0) process.exitCode = 1;
  else console.log("no new circle of files, no new type that is too large");
}
