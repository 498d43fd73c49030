// Metrics, values and settings that the pages name are there under that name.

import assert from "node:assert/strict";
import { test } from "node:test";

import { METRICS, SECTIONS, isSetting, isValue } from "./names.mjs";
import { pages, text } from "./page.mjs";

/** What is served to autoscalers has names of its own, and is no metric of Prometheus. */
const EXTERNAL = new Set(["roomcast_utilization"]);
/** Names in a text that look like settings: `drain.windowSeconds`, `config.admission.origins`. */
const dotted = (page) =>
  [...text(page).matchAll(/`((?:config\.)?[a-z]\w*(?:\.[A-Za-z_]\w*)+)(?=[`:= ])/g)].map(([, name]) => name)
    .filter((name) => !name.endsWith(".rs"));

const PAGES = pages().filter((name) => name.startsWith("docs/kubernetes/") || name.startsWith("docs/dev/") || ["sizing", "from-node", "testing", "publishing"].some((page) => name === `docs/${page}.md`));

for (const page of PAGES) {
  test(`${page}: metrics`, () => {
    const named = [...text(page).matchAll(/\broomcast_[a-z]\w*\b/g)].map(([name]) => name);
    assert.deepEqual(named.filter((name) => !METRICS.has(name) && !EXTERNAL.has(name)), []);
  });

  test(`${page}: values and settings`, () => {
    const named = dotted(page).filter((name) => name.startsWith("config.") || SECTIONS.has(name.split(".")[0]));
    const unknown = named.filter((name) => {
      const setting = name.replace(/^config\./, "");
      return !(isSetting(setting) || (!name.startsWith("config.") && isValue(name)));
    });
    assert.deepEqual([...new Set(unknown)], []);
  });
}

test("a name that is not there is noticed", () => {
  assert.ok(METRICS.has("roomcast_connections"));
  assert.ok(!METRICS.has("roomcast_connection"));
  assert.ok(SECTIONS.has("drain") && SECTIONS.has("backplane") && SECTIONS.has("publicService"));
  assert.ok(!isValue("drain.window") || isSetting("drain.window"));
  assert.ok(!isValue("drain.windowSecond") && !isSetting("drain.windowSecond"));
});
