// The pages for those who change Roomcast: the tasks that a pod runs are on their page, under the names that the code gives them.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { ROOT } from "../pod.mjs";
import { text } from "./page.mjs";

const SOURCES = readdirSync(join(ROOT, "src"), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".rs") && entry.name !== "tasks.rs")
  .map((entry) => readFileSync(join(entry.parentPath ?? entry.path, entry.name), "utf8").split("#[cfg(test)]\nmod tests")[0])
  .filter((source) => /\btasks(::|,)/.test(source));

/** What a task is called where it begins: the first argument of the functions of `tasks.rs`, perhaps a constant. */
const named = SOURCES.flatMap((source) =>
  [...source.matchAll(/\b(?:named|restarted|counted|needed|piece|attempt|caught|blocking|tasks::spawn(?:_or)?|spawn_named|spawn_restarted)\(\s*(?:"([^"]+)"|([A-Z]+)),/g)].map(
    ([, name, constant]) => name ?? source.match(new RegExp(`const ${constant}: &str = "([^"]+)"`))[1],
  ),
);
const table = readFileSync(join(ROOT, "src/telemetry/metrics/values.rs"), "utf8").match(/const TASKS: [^=]*= &\[([^\]]*)\]/)[1];
const known = [...table.matchAll(/"([^"]+)"/g)].map(([, name]) => name);

test("every name of a task has a series from the start, and none is left over", () => {
  assert.deepEqual([...new Set([...named, "other"])].sort(), known);
});

test("every name of a task is on the page about tasks", () => {
  const page = text("docs/dev/tasks-and-locks.md");
  assert.deepEqual(known.filter((name) => !page.includes(`\`${name}\``)), []);
});

test("a word is once in the glossary", () => {
  const words = [...text("docs/dev/glossary.md").matchAll(/^\| ([^|]+) \|/gm)].map(([, word]) => word).filter((word) => !/^(word|-+)$/.test(word));
  assert.deepEqual(words.filter((word, at) => words.indexOf(word) !== at), []);
});
