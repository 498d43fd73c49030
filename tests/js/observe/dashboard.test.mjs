// The dashboard: what it is made of, before a Prometheus is asked (that is in `prometheus.test.mjs`).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { dashboard, text } from "../../../helm/dashboard/make.mjs";
import { DASHBOARD, alerts, compare, reference } from "./reference.mjs";

const panels = dashboard().panels.filter(({ type }) => type !== "row");

test("the file is what the rows of panels say", () => {
  assert.equal(readFileSync(DASHBOARD, "utf8"), text(), "run `make dashboard`");
});

test("each panel says what it means and in which unit, and no two stand in one place", () => {
  const ids = dashboard().panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  const taken = new Set();
  for (const { title, description, fieldConfig, gridPos, targets, datasource } of panels) {
    assert.ok(description?.endsWith("."), title);
    assert.ok(fieldConfig.defaults.unit, title);
    assert.equal(datasource.uid, "${datasource}");
    assert.ok(targets.length > 0, title);
    for (const { expr } of targets) assert.ok(!expr.includes("$pods") && !expr.includes("undefined"), expr);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.ok(x < 24 && !taken.has(`${x},${y}`), `${title}: ${x},${y}`);
        taken.add(`${x},${y}`);
      }
    }
  }
});

test("every metric is served with those labels, and every metric that is served is on the dashboard", (t) => {
  const metrics = reference();
  const [missing, shown] = [new Set(), new Set()];
  for (const { title, targets } of panels) {
    for (const { expr } of targets) {
      const found = compare(expr, metrics);
      assert.deepEqual(found.wrong, [], title);
      for (const name of found.missing) missing.add(name);
      for (const name of metrics.keys()) if (new RegExp(`\\b${name}(_bucket|_count|_sum)?\\b`).test(expr)) shown.add(name);
    }
  }
  for (const { expr } of alerts()) for (const name of compare(expr, metrics).missing) missing.add(name);
  assert.deepEqual([...missing], [], "not served");
  const hidden = [...metrics.keys()].filter((name) => !shown.has(name));
  assert.deepEqual(hidden, []);
});
