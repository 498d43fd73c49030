// What docs/sizing.md says was measured stands in docs/benchmarks.md: who measures anew is told to calculate anew.

import assert from "node:assert/strict";
import { test } from "node:test";

import { text } from "./page.mjs";

/** As sizing.md writes it, and as benchmarks.md does. */
const FIGURES = {
  "11.4 MiB": "11.4 MiB",
  "16 072 B": "16072 B",
  "12 258 B": "12258 B",
  "29 270 B": "29270 B",
  "16.2 MiB": "16.2 MiB",
  "9.73 CPU seconds": "**9.73**",
  "10.53 with": "**10.53**",
  "Node 17.00": "**17.00**",
  "11.47 in the first": "**11.47**",
  "0.75 CPU seconds": "| 0.75 |",
  "2 273 738": "**2273738**",
  "219 µs": "219 µs",
  "p99 444 µs": "444 µs",
};

for (const [here, there] of Object.entries(FIGURES)) {
  test(`${here} is measured`, () => {
    assert.ok(text("docs/sizing.md").includes(here), `docs/sizing.md does not say ${here}`);
    assert.ok(text("docs/benchmarks.md").includes(there), `docs/benchmarks.md does not say ${there}: calculate docs/sizing.md anew`);
  });
}

test("the table of memory is what the formula gives", () => {
  const rows = [...text("docs/sizing.md").matchAll(/^\| ([\d ]+) \| (\d+) MiB \| \d/gm)];
  assert.equal(rows.length, 5);
  for (const [, connections, mebibytes] of rows) {
    const idle = 11.4 + (Number(connections.replaceAll(" ", "")) * 16_072) / 2 ** 20;
    assert.equal(Number(mebibytes), Math.round(idle), connections);
  }
});
