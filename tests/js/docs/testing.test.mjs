// What docs/testing.md has people put in their CI does what it says, where it can be run without Docker.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { parse } from "yaml";

import { BIN } from "../pod.mjs";
import { freePort } from "../redis.mjs";
import { block, fenced } from "./page.mjs";

const PAGE = "docs/testing.md";
const folder = mkdtempSync(join(tmpdir(), "roomcast-testing-"));
after(() => rmSync(folder, { recursive: true, force: true }));
symlinkSync(fileURLToPath(new URL("../node_modules", import.meta.url)), join(folder, "node_modules"));
for (const name of ["roomcast.test.toml", "with-roomcast.sh", "roomcast.mjs", "notifications.test.mjs"]) {
  writeFileSync(join(folder, name), block(PAGE, name));
}
chmodSync(join(folder, "with-roomcast.sh"), 0o755);

// A test that runs tests: what the outer one has set would make the inner one report to it.
const { NODE_TEST_CONTEXT: _, ...outer } = process.env;
const env = { ...outer, PATH: `${BIN}${delimiter}${process.env.PATH}` };
const run = (command, words, more = {}) =>
  spawnSync(command, words, { cwd: folder, env: { ...env, ...more }, encoding: "utf8", timeout: 60_000 });

test("the configuration is fine, and makes tokens", () => {
  const check = run("roomcast", ["check-config", "--config", "roomcast.test.toml"]);
  assert.equal(check.stdout, "the configuration is fine\n", check.stderr);
  const token = run("roomcast", ["token", "--config", "roomcast.test.toml", "--sub", "ada", "--claim", "role=admin"]);
  const claims = JSON.parse(Buffer.from(token.stdout.split(".")[1], "base64url"));
  assert.equal(claims.sub, "ada");
  assert.equal(claims.role, "admin");
});

test("the example's tests pass with a pod of their own", () => {
  const { status, stdout, stderr } = run(process.execPath, ["--test", "--test-reporter=tap", "notifications.test.mjs"]);
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^# pass 2$/m);
});

const ports = async () => ({ PUBLIC: `127.0.0.1:${await freePort()}`, INTERNAL: `127.0.0.1:${await freePort()}` });

test("the script runs a command beside a pod that is ready, and stops it", async () => {
  const where = await ports();
  const asks = `
    set -e
    curl --fail --silent "$ROOMCAST_URL/readyz" > /dev/null
    curl --fail --silent "$SOCKET_URL/socket.io/?EIO=4&transport=polling" > /dev/null
    roomcast emit --api-key a-key-for-the-tests-only -r public-a news 1 > /dev/null
    test -n "$TOKEN"
    echo fine`;
  const { status, stdout, stderr } = run("./with-roomcast.sh", ["bash", "-c", asks], where);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "fine\n");
  assert.equal(run("curl", ["--silent", `http://${where.INTERNAL}/livez`]).status, 7, "the pod is still there");
});

test("the script fails when the command fails, and when the pod does not start", async () => {
  assert.equal(run("./with-roomcast.sh", ["bash", "-c", "exit 3"], await ports()).status, 3);
  const { status, stderr } = run("./with-roomcast.sh", ["true"], { ...(await ports()), PUBLIC: "not-an-address" });
  assert.notEqual(status, 0);
  assert.match(stderr, /public\.listen/);
});

test("the pod of the compose file has a configuration that it accepts", () => {
  const { services } = parse(block(PAGE, "compose.yaml"));
  const [, ...flags] = services.roomcast.command;
  const [from, to] = services.roomcast.volumes[0].split(":");
  const words = flags.map((word) => (word === to ? from : word));
  const check = run("roomcast", ["check-config", ...words]);
  assert.equal(check.status, 0, check.stderr);
  assert.deepEqual(Object.keys(services.roomcast.depends_on), ["redis"]);
});

test("what is YAML parses, and nothing that has a name is left out here", () => {
  for (const { info, code } of fenced(PAGE)) if (info.startsWith("yaml")) assert.ok(parse(code), info);
  const known = ["roomcast.test.toml", "with-roomcast.sh", "roomcast.mjs", "notifications.test.mjs", "compose.yaml", "github.yaml", "gitlab.yaml"];
  assert.deepEqual(fenced(PAGE).map(({ info }) => info.split(" ")[1]).filter(Boolean), known);
});
