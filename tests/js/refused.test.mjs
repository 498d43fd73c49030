// A client that may not connect is told why as Node tells it: a message for people, and data for programs.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { io } from "socket.io-client";
import io2 from "socket.io-client-2";
import msgpack from "socket.io-msgpack-parser";

import { Clients, WAYS, ask, everyClient } from "./clients.mjs";
import { JWT_SECRET, next, startPod } from "./pod.mjs";

const clients = new Clients();
const ends = [];
afterEach(async () => {
  clients.close();
  for (const end of ends.splice(0)) await end();
});

async function pod(top = "") {
  const started = await startPod(`
${top}
[auth.jwt]
secret = ["${JWT_SECRET}"]
[namespaces."/"]
auth = "none"
[[namespaces."/".events]]
name = "*"
action = "relay"
[namespaces."/closed"]
auth = "required"
`);
  ends.push(() => started.stop());
  return started;
}

/** The refusals of a namespace, as the first and as another one of a connection, again and again. */
async function check(client, url, options) {
  const alone = clients.open(client, `${url}/closed`, { ...options, auth: { token: "x" } });
  const first = next(alone, "connect_error");
  const open = await clients.connect(client, url, options);
  const beside = open.io.socket("/closed", { auth: { token: "x" } });
  const errors = [(await first)[0]];
  for (let n = 0; n < 3; n += 1) {
    const heard = next(beside, "connect_error");
    beside.connect();
    errors.push((await heard)[0]);
    await ask(open, "still", "here");
  }
  for (const { message, data } of errors) {
    assert.deepEqual([message, data], ["the token is invalid or has expired", { code: "token_invalid" }]);
  }
}

everyClient(({ version, way, io: client, options }) => {
  const name = `${version} over ${way}`;
  test(`${name}: message and data`, async () => {
    await check(client, (await pod()).url, options);
  });
});

for (const way of ["websocket", "polling"]) {
  test(`msgpack over ${way}: message and data`, async () => {
    const { url } = await pod('[engine]\nparser = "msgpack"');
    await check(io, url, { ...WAYS[way], parser: msgpack });
  });

  test(`version 2 over ${way}: the data alone, with the message in it`, async () => {
    const { url } = await pod("[engine]\nallow_eio3 = true");
    const socket = io2(`${url}/closed`, { forceNew: true, ...WAYS[way] });
    ends.push(() => socket.close());
    const [{ code, message }] = await next(socket, "error");
    assert.equal(code, "authentication_required");
    assert.match(message, /authentication required/);
  });
}
