// Three pods with everything that has a metric, and light load of stock clients and backends: for the test with Prometheus, and for
// `make observe`.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startHookService, HOOK_SECRET } from "../hook-service.mjs";
import { Key, serveKeys } from "../issuer.mjs";
import { API_KEY, startPod, until } from "../pod.mjs";
import { startRedis } from "../redis.mjs";

/** An issuer of tokens with a key set over https. */
async function startIssuer(folder) {
  const at = (name) => join(folder, name);
  const subject = ["-subj", "/CN=issuer", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"];
  const files = ["-keyout", at("tls.key"), "-out", at("tls.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...subject, ...files], { stdio: "ignore" });
  const key = new Key("observe");
  const keys = await serveKeys([key], { key: readFileSync(at("tls.key")), cert: readFileSync(at("tls.pem")) });
  return { key, url: keys.url, authority: at("tls.pem"), stop: keys.stop };
}

const settings = ({ redis, issuer, hooks, apiKey }) => `
[api]
keys = ["${apiKey}"]
[auth.jwt]
jwks_url = "${issuer.url}"
jwks_ca_file = "${issuer.authority}"
[hooks]
secrets = ["${HOOK_SECRET}"]
[engine]
ping_interval = "5s"
[backplane]
kind = "pubsub"
url = "${redis.url}"
[publish.stream]
enabled = true
[drain]
delay = "1s"
window = "4s"
timeout = "8s"
[namespaces."/"]
auth = "optional"
[namespaces."/".hooks]
connect = "${hooks.url("connect")}"
disconnect = "${hooks.url("disconnect")}"
[[namespaces."/".rooms]]
pattern = "public-*"
join = "anyone"
relay = ["chat"]
presence = true
[[namespaces."/".rooms]]
pattern = "demo-*"
join = "anyone"
relay = ["chat", "presence"]
[[namespaces."/".events]]
name = "order"
hook = "${hooks.url("order")}"
[namespaces."/table-{id}"]
auth = "none"
`;

/** Starts Redis, an issuer, a service for hooks, and the pods; `args` and `env` say what each is started with. */
export async function startCluster({ count = 3, args = () => [], env = () => ({}), apiKey = API_KEY } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-observe-"));
  const parts = [];
  const stop = async () => {
    for (const part of parts.splice(0).reverse()) await part();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const redis = await startRedis();
    parts.push(() => redis.stop());
    const issuer = await startIssuer(folder);
    parts.push(() => issuer.stop());
    const hooks = await startHookService(() => ({ allow: true }));
    parts.push(() => hooks.stop());
    const config = settings({ redis, issuer, hooks, apiKey });
    const starting = Array.from({ length: count }, (_, index) => startPod(config, { args: args(index), env: env(index) }));
    parts.push(async () => {
      const started = await Promise.allSettled(starting);
      await Promise.all(started.map(({ value }) => value?.stop()));
    });
    const pods = await Promise.all(starting);
    for (const pod of pods) await until("the pod is ready", async () => (await fetch(`${pod.internal}/readyz`)).ok);
    return { redis, issuer, hooks, pods, config, apiKey, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
