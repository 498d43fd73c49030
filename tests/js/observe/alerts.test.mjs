// The alert rules: Prometheus takes them, each fires when it should and only then, and each has its runbook.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { parse, stringify } from "yaml";

import { ROOT } from "../pod.mjs";
import { RULES, alerts, compare, reference } from "./reference.mjs";

const CASES = join(ROOT, "tests/js/observe/alerts.yaml");
const RUNBOOKS = readFileSync(join(ROOT, "docs/alerts.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "roomcast-alerts-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const cases = () => parse(readFileSync(CASES, "utf8"), { maxAliasCount: -1 });
const promtool = (...words) => {
  const { status, stdout, stderr } = spawnSync("promtool", words, { encoding: "utf8" });
  return { status, said: stdout + stderr };
};

/** Runs the cases, all or those of one alert, against rules. */
function runCases(rules, about = "") {
  const all = cases();
  writeFileSync(join(folder, "rules.yaml"), typeof rules === "string" ? rules : stringify(rules));
  const tests = all.tests.filter(({ name }) => name.startsWith(about));
  writeFileSync(join(folder, "cases.yaml"), stringify({ ...all, rule_files: ["rules.yaml"], tests }));
  return promtool("test", "rules", join(folder, "cases.yaml"));
}

test("Prometheus takes the rules", () => {
  const { status, said } = promtool("check", "rules", RULES);
  assert.equal(status, 0, said);
});

test("each alert fires when it should, clears, and is silent on a good day and in a rolling update", () => {
  const { status, said } = promtool("test", "rules", CASES);
  assert.equal(status, 0, said);
  const names = cases().tests.map(({ name }) => name);
  for (const { alert } of alerts()) {
    assert.ok(names.includes(`${alert} fires, and clears`), alert);
    assert.ok(names.some((name) => name.startsWith(`${alert} is silent: `)), alert);
  }
});

test("the cases see rules that are gone, too hasty, or too slow", () => {
  const changed = (name, change) => {
    const rules = parse(readFileSync(RULES, "utf8"));
    for (const group of rules.groups) group.rules = group.rules.flatMap((rule) => (rule.alert === name ? change(rule) : [rule]));
    return rules;
  };
  const unseen = [];
  const see = (alert, what, change) => {
    if (!runCases(changed(alert, change), alert).said.includes("FAILED")) unseen.push(`${alert}: ${what}`);
  };
  for (const { alert, for: time } of alerts()) {
    see(alert, "gone", () => []);
    see(alert, "too slow", (rule) => [{ ...rule, for: "3h" }]);
    // Dead letters stay until somebody has looked at them.
    if (time && alert !== "RoomcastDeadLetters") see(alert, "too hasty", (rule) => [{ ...rule, for: "0s" }]);
  }
  assert.deepEqual(unseen, []);
});

test("each alert says how bad it is, what is wrong, and where its runbook is", () => {
  const headings = [...RUNBOOKS.matchAll(/^## (\w+)$/gm)].map(([, heading]) => heading);
  const names = alerts().map(({ alert }) => alert);
  assert.deepEqual([...headings].sort(), [...names].sort());
  for (const { alert, labels, annotations } of alerts()) {
    assert.ok(["critical", "warning"].includes(labels.severity), alert);
    assert.ok(annotations.summary && annotations.description, alert);
    assert.equal(annotations.runbook_url, `alerts.md#${alert.toLowerCase()}`);
    const [, section] = RUNBOOKS.split(`## ${alert}\n`);
    const own = section.split("\n## ")[0];
    assert.ok(own.trim().startsWith(`*${labels.severity}.*`), `${alert}: its severity`);
    for (const part of ["**How to look.**", "**What to do.**"]) {
      // Where a label decides, a table says what to do.
      assert.ok(own.includes(part) || (part === "**What to do.**" && own.includes("what to do |")), `${alert}: ${part}`);
    }
  }
});

test("every metric of the alerts and their runbooks is served, with those labels", (t) => {
  const metrics = reference();
  const missing = new Set();
  for (const { alert, expr } of alerts()) {
    const found = compare(expr, metrics);
    assert.deepEqual(found.wrong, [], alert);
    for (const name of found.missing) missing.add(name);
  }
  const pages = RUNBOOKS + readFileSync(join(ROOT, "docs/observability.md"), "utf8");
  for (const [, quoted] of pages.matchAll(/`([^`\n]*roomcast_[^`\n]*)`/g)) for (const name of compare(quoted, metrics).missing) missing.add(name);
  assert.deepEqual([...missing], [], "not served");
});
