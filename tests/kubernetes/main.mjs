// Runs the live tests one after the other in the lab's cluster, and writes what they saw to docs/kubernetes/tried.md.
//
//   node tests/kubernetes/main.mjs [install] [security] [scaling] [failures] [ingress]

import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { ROOT } from "../js/pod.mjs";
import * as cluster from "./cluster.mjs";
import { begin, write } from "./report.mjs";

const chosen = process.argv.slice(2);
const suites = chosen.length > 0 ? chosen : ["install", "security", "scaling", "failures", "ingress"];
const absent = cluster.missing();
if (absent) {
  console.error(`make test-kubernetes: ${absent}`);
  process.exit(1);
}
await cluster.lab("up");
const binary = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "release/roomcast");
// An image of a new build has another name; what is in it does not matter to the cluster.
for (const tag of ["lab", "next"]) {
  await cluster.lab("image", `rclab.test/roomcast:${tag}`, `${binary}:/roomcast`, "--env", 'ROOMCAST__INTERNAL__LISTEN=["0.0.0.0:9000", "[::]:9000"]');
}
await cluster.lab("image", "rclab.test/redis:7", await cluster.tool("which", "redis-server"));
if (chosen.length === 0) begin();
const files = suites.map((name) => join(ROOT, `tests/kubernetes/${name}.test.mjs`));
const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files], { stdio: "inherit" });
const { serverVersion } = JSON.parse(await cluster.kubectl("version", "-o", "json"));
write({
  Roomcast: `${await cluster.tool(binary, "--version")}`,
  Kubernetes: serverVersion.gitVersion,
  Helm: await cluster.helm("version", "--short"),
  "socket.io-client": JSON.parse(await cluster.tool("cat", join(ROOT, "tests/js/node_modules/socket.io-client/package.json"))).version,
});
process.exitCode = status ?? 1;
