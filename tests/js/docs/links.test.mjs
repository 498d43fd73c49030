// Links between the pages lead somewhere: the file is there, and the heading in it.

import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";

import { ROOT } from "../pod.mjs";
import { anchors, pages, prose } from "./page.mjs";

/** Relative links of a page, as `[file, heading]`. */
function links(page) {
  return [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file, heading] = target.split("#");
      return [file ? normalize(join(dirname(page), decodeURIComponent(file))) : page, heading];
    });
}

for (const page of pages()) {
  test(`links of ${page}`, () => {
    const broken = links(page).filter(([file, heading]) => {
      if (file.startsWith("..") || !existsSync(join(ROOT, file))) return true;
      if (heading === undefined || statSync(join(ROOT, file)).isDirectory() || !file.endsWith(".md")) return false;
      return !anchors(file).has(heading);
    });
    assert.deepEqual(broken.map(([file, heading]) => (heading ? `${file}#${heading}` : file)), []);
  });
}

test("every page of docs/kubernetes is in its index", () => {
  const index = "docs/kubernetes/README.md";
  const linked = new Set(links(index).map(([file]) => file));
  const missing = pages().filter((page) => page.startsWith("docs/kubernetes/") && page !== index && !linked.has(page));
  assert.deepEqual(missing, []);
});
