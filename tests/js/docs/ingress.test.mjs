// The checks of docs/kubernetes/ingress.md find what they are for: an nginx whose time-out is too short, and one that passes no
// upgrade on.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startPod, until } from "../pod.mjs";
import { freePort } from "../redis.mjs";
import { commands } from "./commands.mjs";
import { block } from "./page.mjs";

const PAGE = "docs/kubernetes/ingress.md";
const folder = mkdtempSync(join(tmpdir(), "roomcast-ingress-"));
symlinkSync(fileURLToPath(new URL("../node_modules", import.meta.url)), join(folder, "node_modules"));
writeFileSync(join(folder, "idle.mjs"), block(PAGE, "idle.mjs"));

let pod, nginx;
const ways = {};
before(async () => {
  pod = await startPod();
  for (const way of ["short", "long", "deaf"]) ways[way] = await freePort();
  const server = (way, lines) => `server {
    listen 127.0.0.1:${ways[way]};
    location / { proxy_pass ${pod.url}; proxy_http_version 1.1; ${lines} }
  }`;
  const upgrade = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; pid ${folder}/pid; error_log stderr crit; events {} http { access_log off; ${paths}
  ${server("short", `${upgrade} proxy_read_timeout 1s;`)}
  ${server("long", `${upgrade} proxy_read_timeout 60s;`)}
  ${server("deaf", "")}
}`,
  );
  nginx = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf")], { stdio: ["ignore", "inherit", "inherit"] });
  await until("nginx", () => fetch(`http://127.0.0.1:${ways.long}/`).then(() => true, () => false));
});
after(async () => {
  const exit = once(nginx, "exit");
  nginx.kill();
  await exit;
  await pod?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const idle = (way) => spawnSync(process.execPath, ["idle.mjs", `http://127.0.0.1:${ways[way]}`, "4"], { cwd: folder, encoding: "utf8" });

test("a time-out below the ping interval shows, with its length", () => {
  const { status, stdout } = idle("short");
  assert.equal(status, 1, stdout);
  assert.match(stdout, /^cut after 1 s: transport close$/m);
});

test("one above it does not", () => {
  const { status, stdout } = idle("long");
  assert.equal(status, 0, stdout);
  assert.equal(stdout, "0 cuts in 4 s\n");
});

test("a proxy that passes no upgrade on shows", () => {
  assert.equal(idle("deaf").stdout.trim().split("\n").at(-1), "never connected");
});

test("the page's curl says 101 where upgrades get through, and something else where not", () => {
  const [words] = commands(PAGE, "curl");
  const ask = (way) => {
    const here = words.map((word) => word.replace("https://chat.example.com", `http://127.0.0.1:${ways[way]}`));
    assert.notDeepEqual(here, words);
    return spawnSync("curl", here, { encoding: "utf8" }).stdout.split("\r\n")[0];
  };
  assert.equal(ask("long"), "HTTP/1.1 101 Switching Protocols");
  assert.match(ask("deaf"), /^HTTP\/1\.1 400/);
});
