// What the pages tell `helm` and `roomcast` to set is there: values of the chart, settings of the pod. Every block of values
// is rendered, and the pod accepts the settings in it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { parse, parseAllDocuments } from "yaml";

import { BIN } from "../pod.mjs";
import { commands, options } from "./commands.mjs";
import { CHART, isSetting, isValue } from "./names.mjs";
import { fenced, pages } from "./page.mjs";

const folder = mkdtempSync(join(tmpdir(), "roomcast-values-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const SET = ["--set", "--set-string", "--set-json", "--set-file"];
const paths = (command) => options(command, ...SET).flatMap((word) => word.split(/,(?=[\w.[\]]+=)/)).map((pair) => pair.split("=")[0]);

function render(flags) {
  const words = ["template", "chat", CHART, "--namespace", "default", "--kube-version", "1.34.0", ...flags];
  const { status, stdout, stderr } = spawnSync("helm", words, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return parseAllDocuments(stdout).map((document) => document.toJS());
}

/** What the pages call a file of values: `yaml values.yaml`, `yaml values-redis.yaml`. */
const valueFiles = (page) => fenced(page).filter(({ info }) => /^yaml values[\w-]*\.yaml$/.test(info));

for (const page of pages().filter((name) => name !== "CHANGELOG.md")) {
  const ofHelm = commands(page, "helm");
  const ofPods = commands(page, "roomcast");

  if (ofHelm.some((command) => paths(command).length > 0)) {
    test(`${page}: what helm is told to set is in values.yaml`, () => {
      const unknown = ofHelm.flatMap(paths).filter((path) => !isValue(path));
      assert.deepEqual(unknown, []);
      const settings = ofHelm.flatMap(paths).filter((path) => path.startsWith("config."));
      assert.deepEqual(settings.filter((path) => !isSetting(path.slice("config.".length))), []);
    });
  }

  const shown = ofHelm.flatMap((command) => options(command, "--show-only"));
  if (shown.length > 0) {
    test(`${page}: the templates that it shows are there`, () => {
      assert.deepEqual(shown.filter((path) => !existsSync(join(CHART, path))), []);
    });
  }

  if (ofPods.some((command) => paths(command).length > 0)) {
    test(`${page}: what roomcast is told to set is a setting`, () => {
      assert.deepEqual(ofPods.flatMap(paths).filter((path) => !isSetting(path)), []);
    });
  }

  const files = valueFiles(page);
  for (const { info, code } of files) {
    test(`${page}: ${info.split(" ")[1]} is rendered, and the pod accepts its settings`, () => {
      const file = join(folder, "values.yaml");
      writeFileSync(file, code);
      const config = parse(render(["--values", file]).find((document) => document?.kind === "ConfigMap").data["roomcast.yaml"]);
      // What the chart sets by itself, and what files and other places hold, is for the tests of the chart.
      for (const own of ["kubernetes", "drain"]) delete config[own];
      const settings = join(folder, "roomcast.json.yaml");
      writeFileSync(settings, JSON.stringify(config));
      const check = spawnSync(join(BIN, "roomcast"), ["check-config", "--config", settings], { encoding: "utf8" });
      assert.equal(check.status, 0, check.stderr);
    });
  }

  // The commands themselves, with the files that the page has. An upgrade without a file is of a release that has values.
  const installs = ofHelm.filter((command) => ["install", "template"].includes(command[0]) || (command[0] === "upgrade" && command.includes("-f")));
  const named = new Map(files.map(({ info, code }) => [info.split(" ")[1], code]));
  for (const command of installs) {
    const wanted = options(command, "-f", "--values");
    if (!wanted.every((name) => named.has(name))) continue;
    test(`${page}: helm ${command.join(" ")}`, () => {
      const flags = wanted.flatMap((name) => {
        writeFileSync(join(folder, name), named.get(name));
        return ["--values", join(folder, name)];
      });
      for (const name of SET) for (const value of options(command, name)) flags.push(name, value);
      assert.ok(render(flags).some((document) => document?.kind === "Deployment"));
    });
  }
}

test("a value that is not there is noticed", () => {
  assert.equal(isValue("replicas"), true);
  assert.equal(isValue("drain.delaySeconds"), true);
  assert.equal(isValue("config.backplane.url"), true);
  assert.equal(isValue("replicaCount"), false);
  assert.equal(isValue("drain.delay"), false);
  assert.equal(isSetting("backplane.url"), true);
  assert.equal(isSetting("backplane.uri"), false);
  assert.equal(isSetting("redis.url"), false);
});
