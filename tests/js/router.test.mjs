// An application's own HTTP server, with Socket.IO on its port (examples/router.rs).

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { Clients, ask, everyClient } from "./clients.mjs";
import { BIN, next, until } from "./pod.mjs";

const clients = new Clients();
let application, exit, url;

before(async () => {
  const env = { ...process.env, ROOMCAST__INTERNAL__LISTEN: "127.0.0.1:0" };
  const stdio = ["ignore", "pipe", "inherit"];
  application = spawn(join(BIN, "examples", "router"), ["127.0.0.1:0"], { env, stdio });
  exit = once(application, "exit");
  let text = "";
  application.stdout.on("data", (data) => (text += data));
  url = await until("it listens", () => {
    assert.equal(application.exitCode, null, "it runs");
    return /^(http:\S+)\n/.exec(text)?.[1];
  });
});
afterEach(() => clients.close());
after(async () => {
  application.kill("SIGKILL");
  await exit;
});

everyClient(({ version, way, io, options }) => {
  test(`client ${version} over ${way} is served on the port of the application`, async () => {
    const socket = await clients.connect(io, `${url}/double`, options);
    assert.equal(await ask(socket, "double", 21), 42);
    assert.equal(await (await fetch(`${url}/hello`)).text(), "hello");
    assert.equal((await fetch(`${url}/other`)).status, 404);
    await until("it is the only one", async () => (await (await fetch(`${url}/clients`)).text()) === "1");
  });
});

test("when the application ends, its clients are told by the close", async () => {
  const { io } = await import("socket.io-client");
  const socket = await clients.connect(io, `${url}/double`, { reconnection: false });
  const gone = next(socket, "disconnect");
  application.kill("SIGINT");
  assert.match((await gone)[0], /^transport (close|error)$/);
  assert.deepEqual(await exit, [0, null]);
});
