// The page of docs/kubernetes/quickstart.md in a real browser, with a pod of the settings that stand there: two windows talk, and
// a backend joins in with the page's own request.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { parse } from "yaml";

import { launch } from "../chromium.mjs";
import { API_KEY, startPod, until } from "../pod.mjs";
import { block, text } from "./page.mjs";

const PAGE = "docs/kubernetes/quickstart.md";
const folder = mkdtempSync(join(tmpdir(), "roomcast-quickstart-"));

let pod, browser;
before(async () => {
  const { namespaces } = parse(block(PAGE, "values.yaml")).config;
  const [rule] = namespaces["/"].rooms;
  const rooms = `[[namespaces."/".rooms]]\npattern = "${rule.pattern}"\njoin = "${rule.join}"\nrelay = ${JSON.stringify(rule.relay)}\n`;
  pod = await startPod(`[api]\nkeys = ["${API_KEY}"]\n[namespaces."/"]\nauth = "${namespaces["/"].auth}"\n${rooms}`);
  const html = block(PAGE, "page.html");
  assert.ok(html.includes("http://127.0.0.1:3000"));
  writeFileSync(join(folder, "page.html"), html.replaceAll("http://127.0.0.1:3000", pod.url));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await pod?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function open() {
  const page = await browser.newPage();
  await page.goto(pathToFileURL(join(folder, "page.html")).href);
  const shown = () => page.locator("#messages li").allInnerTexts();
  await until("it is in the room", async () => (await shown()).includes("in public-hall"));
  return { page, shown };
}

test("two windows talk, and a backend joins in", async () => {
  const [one, two] = [await open(), await open()];
  await one.page.locator("#text").fill("Hello");
  await one.page.locator("#text").press("Enter");
  await until("it is there", async () => (await two.shown()).includes("Hello"));

  const body = /-d '(\{"rooms":\["public-hall"\].*\})'/.exec(text(PAGE))[1];
  const words = ["--silent", "--fail-with-body", `${pod.internal}/api/v1/emit`, "-H", `Authorization: Bearer ${API_KEY}`, "-d", body];
  assert.equal(execFileSync("curl", words, { encoding: "utf8" }), '{"accepted":true}');
  for (const { shown } of [one, two]) await until("both have it", async () => (await shown()).includes("Hello from a backend"));
});

test("a window that lost its pod is back in its room by itself", async () => {
  const { shown } = await open();
  await pod.stop("SIGKILL");
  pod = await startPod(`[api]\nkeys = ["${API_KEY}"]\n[namespaces."/"]\nauth = "none"\n[[namespaces."/".rooms]]\npattern = "public-*"\njoin = "anyone"\nrelay = ["chat"]\n`, { port: pod.port });
  await until("it joined again", async () => (await shown()).filter((line) => line === "in public-hall").length === 2);
});
