// The JavaScript client in Chromium, from the file that its package has for browsers.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { launch } from "../chromium.mjs";
import { Driver } from "./driver.mjs";

const FILES = {
  "/client.js": fileURLToPath(import.meta.resolve("socket.io-client/dist/socket.io.js")),
  "/core.js": fileURLToPath(new URL("core.js", import.meta.url)),
};
const PAGE = `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><script src=/client.js></script><script src=/core.js></script>`;

/** Starts Chromium with a page of another origin than the pod's. */
export async function startBrowser() {
  const server = createServer((request, response) => {
    const file = FILES[request.url];
    response.setHeader("content-type", file ? "text/javascript" : "text/html");
    response.end(file ? readFileSync(file) : PAGE);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await launch();
  const page = await browser.newPage();
  const driver = new Driver(
    (message) => page.evaluate((command) => void window.carryOut(command), message).catch((error) => driver.fail(error)),
    async () => {
      await browser.close();
      server.close();
      server.closeAllConnections();
    },
  );
  await page.exposeFunction("say", (message) => driver.receive(message));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.evaluate(() => {
    window.carryOut = window.createDriver(window.io, (message) => window.say(message));
  });
  return driver;
}
