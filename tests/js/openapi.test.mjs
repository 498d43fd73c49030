// The API does what its OpenAPI document says: schemathesis makes requests from the document, right ones and wrong
// ones, and compares what a real pod answers with it.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { API_KEY, ROOT, startPod } from "./pod.mjs";

const FOLDER = fileURLToPath(new URL("openapi", import.meta.url));
const PACKAGES = join(ROOT, ".tools", "schemathesis");
const PATIENCE = 240_000;
/** It would end the pod. */
const LEFT_OUT = "/drain";

/** Installs schemathesis where `make clean` finds it, unless it is there. */
function install() {
  const file = join(FOLDER, "requirements.txt");
  const requirements = readFileSync(file, "utf8");
  const stamp = join(PACKAGES, "installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === requirements) return;
  rmSync(PACKAGES, { recursive: true, force: true });
  const words = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", PACKAGES, "-r", file];
  const { status, stderr, error } = spawnSync("python3", words, { encoding: "utf8" });
  if (status !== 0) {
    throw new Error(`Python 3.10 or newer with pip is needed (Debian: apt-get install python3-pip): ${error ?? stderr}`);
  }
  writeFileSync(stamp, requirements);
}

test("a pod answers as its OpenAPI document says", { timeout: PATIENCE + 60_000 }, async () => {
  install();
  const pod = await startPod();
  try {
    const words = [
      ...[join(PACKAGES, "bin", "schemathesis"), "--config-file", join(FOLDER, "schemathesis.toml")],
      ...["run", `${pod.internal}/api/v1/openapi.json`, "--url", `${pod.internal}/api/v1`],
      ...["--header", `Authorization: Bearer ${API_KEY}`, "--exclude-path", LEFT_OUT],
      ...["--max-examples", "25", "--seed", "1", "--no-color"],
    ];
    const child = spawn("python3", words, {
      cwd: PACKAGES,
      env: { ...process.env, PYTHONPATH: PACKAGES, PYTHONDONTWRITEBYTECODE: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    let report = "";
    child.stdout.on("data", (text) => (report += text));
    const [code] = await once(child, "exit");
    clearTimeout(late);
    // What was sent may be long: the first failures say enough.
    assert.equal(code, 0, report.slice(0, 20_000));
    // All that the document has, but what was left out; the tool itself leaves out where it has the document from.
    const headers = { authorization: `Bearer ${API_KEY}` };
    const { paths } = await (await fetch(`${pod.internal}/api/v1/openapi.json`, { headers })).json();
    const operations = Object.entries(paths).flatMap(([path, methods]) => ([LEFT_OUT, "/openapi.json"].includes(path) ? [] : Object.keys(methods)));
    assert.equal(Number(report.match(/Tested: +(\d+)\b/)?.[1]), operations.length, report);
    console.log(report.match(/^Test cases:\n.*$/m)?.[0].replace("\n", " "));
    assert.equal(await pod.metric("roomcast_phase", `"serving"`), 1, "it still serves");
    assert.ok((await pod.metric("roomcast_api_requests_total", `result="ok"`)) > 50);
  } finally {
    await pod.stop();
  }
});
