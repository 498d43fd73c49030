// The two pods of a stock client, and the switch in front of them.

import { createHmac } from "node:crypto";

import { API_KEY, JWT_SECRET, startPod } from "../pod.mjs";
import { startSwitch } from "./switch.mjs";
import { NAMES } from "./values.mjs";

// What TOML does not allow in a text is escaped as in JSON.
const relay = JSON.stringify([...NAMES, "chat", "values", "after"]);
const namespace = (name) => `
[namespaces."${name}"]
auth = "required"
[[namespaces."${name}".rooms]]
pattern = "public-*"
join = "anyone"
relay = ${relay}
`;

/** A token that pods take. */
export function token() {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: "ada", exp: Math.floor(Date.now() / 1000) + 600 })}`;
  return `${body}.${createHmac("sha256", JWT_SECRET).update(body).digest("base64url")}`;
}

/** Starts both; `msgpack` if the client has that parser, `settings` are more of the configuration. The namespace `/handlers` is of examples/handlers.rs. */
export async function startPods({ msgpack = false, settings = "", binary = "examples/handlers" } = {}) {
  const config = `
engine.allow_eio3 = true
${msgpack ? 'engine.parser = "msgpack"' : ""}
${settings}
[drain]
delay = "200ms"
window = "500ms"
timeout = "10s"
[api]
keys = ["${API_KEY}"]
[auth.jwt]
secret = "${JWT_SECRET}"
${namespace("/")}${namespace("/second")}`;
  const start = () => startPod(config, { binary });
  const [first, second] = await Promise.all([start(), start()]);
  const between = await startSwitch(first.port);
  return {
    first,
    second,
    switch: between,
    async stop() {
      between.stop();
      await Promise.all([first, second].map((pod) => pod.stop("SIGKILL")));
    },
  };
}
