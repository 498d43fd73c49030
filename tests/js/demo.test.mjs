// The demo page in a real browser: two tabs chat, and a backend joins in.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch } from "./chromium.mjs";
import { startPod, until } from "./pod.mjs";

const ARTIFACTS = fileURLToPath(new URL("../../artifacts", import.meta.url));

let pod;
let browser;
before(async () => {
  pod = await startPod("", { args: ["demo"] });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await pod?.stop();
});

async function tab(name, room = "lobby") {
  const page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (line) => line.type() === "error" && problems.push(line.text()));
  await page.goto(`${pod.url}/?name=${name}&room=${room}`);
  await page.getByText(`You are in demo-${room}`).waitFor();
  const said = () => page.locator("#messages li:not(.note)").allInnerTexts();
  const people = async () => (await page.locator("#people li").allInnerTexts()).map((text) => text.split("\n").pop());
  const say = async (text) => {
    await page.getByLabel("Message").fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  };
  return { page, problems, said, people, say };
}

test("two tabs chat, see each other, and hear a backend", async () => {
  const [ada, grace] = [await tab("Ada"), await tab("Grace")];
  const elsewhere = await tab("Linus", "other");
  await until("they see each other", async () => (await ada.people()).includes("Grace") && (await grace.people()).includes("Ada"));
  assert.deepEqual(await elsewhere.people(), ["Linus (you)"]);

  await ada.say("Hello from the first tab");
  await until("it arrives", async () => (await grace.said()).some((text) => text.includes("Hello from the first tab")));
  await grace.say("And back again");
  await until("the answer", async () => (await ada.said()).some((text) => text.includes("And back again")));

  const { status } = await pod.publish(
    { rooms: ["demo-lobby"], event: "chat", args: ["demo-lobby", { name: "backend", text: "Order 42 has shipped" }] },
    "demo-key-not-for-production",
  );
  assert.equal(status, 200);
  await until("the publish", async () => (await ada.said()).some((text) => text.includes("Order 42 has shipped")));
  assert.deepEqual(await elsewhere.said(), []);

  // The stock client begins with polling and upgrades.
  await until("the upgrade", async () => (await ada.page.locator("#transport").innerText()) === "websocket");
  assert.equal(await ada.page.locator("#state").innerText(), "connected");
  mkdirSync(ARTIFACTS, { recursive: true });
  await ada.page.screenshot({ path: `${ARTIFACTS}/demo.png` });

  await grace.page.close({ runBeforeUnload: false });
  await until("she is gone", async () => !(await ada.people()).includes("Grace"), 30_000);
  assert.deepEqual([...ada.problems, ...grace.problems, ...elsewhere.problems], []);
});

test("the page says so when the pod goes, and recovers when it is back", async () => {
  const { page } = await tab("Ada");
  await page.locator("#transport", { hasText: /^websocket$/ }).waitFor();
  await pod.stop();
  await page.getByText("Connection lost: transport close").waitFor();
  assert.equal(await page.locator("#state").innerText(), "reconnecting");
  pod = await startPod("", { args: ["demo"], port: pod.port });
  await page.locator("#state", { hasText: /^connected$/ }).waitFor();
});
