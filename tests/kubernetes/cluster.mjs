// A real cluster for the live tests: the lab's, with the chart of this checkout in it.
//
// ROOMCAST_LAB is the folder that has `lab` (`../shared/lab` beside the checkout); its README says how to build it. Only
// that cluster is spoken to: its kubeconfig is named on each command.

import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { ROOT, metric, until } from "../js/pod.mjs";

const run = promisify(execFile);
const BUFFER = { maxBuffer: 64 << 20 };
export const LAB = process.env.ROOMCAST_LAB ?? join(ROOT, "../shared/lab");
const CACHE = process.env.LAB_CACHE ?? join(process.env.HOME, ".cache/roomcast-lab");
const ENV = { ...process.env, KUBECONFIG: join(CACHE, "run/admin.kubeconfig"), PATH: `${join(CACHE, "bin")}:${process.env.PATH}` };
export const CHART = join(ROOT, "helm/roomcast");
/** The release, which names all objects. */
export const RELEASE = "chat";
export const API_KEY = "a-key-for-the-live-tests-only";
/** `lab` is made of the release binary; an image of the Dockerfile may be built by `lab image rclab.test/roomcast:TAG FOLDER`, and named here. */
const TAG = process.env.IMAGE_TAG ?? "lab";
const IMAGE = { repository: "rclab.test/roomcast", pullPolicy: "Never" };

/** Runs a program with the lab's tools and kubeconfig, and gives its output. */
export async function tool(program, ...args) {
  const { stdout } = await run(program, args, { env: ENV, ...BUFFER }).catch((error) => {
    throw new Error(`${program} ${args.join(" ")}: ${error.stderr || error.message}`);
  });
  return stdout.trim();
}
export const kubectl = (...args) => tool("kubectl", ...args);
export const helm = (...args) => tool("helm", ...args);
export const lab = (...args) => tool(join(LAB, "lab"), ...args);
export const json = async (...args) => JSON.parse(await kubectl(...args, "-o", "json"));

/** Creates or changes objects. */
export async function apply(...objects) {
  const list = { apiVersion: "v1", kind: "List", items: objects };
  const child = spawn("kubectl", ["apply", "-f", "-"], { env: ENV, stdio: ["pipe", "ignore", "pipe"] });
  const said = [];
  child.stderr.on("data", (chunk) => said.push(chunk));
  child.stdin.end(JSON.stringify(list));
  const code = await new Promise((resolve) => child.on("exit", resolve));
  if (code !== 0) throw new Error(`kubectl apply: ${Buffer.concat(said)}`);
}

/** Whether the lab is there; says loudly what is missing. */
export function missing() {
  if (!existsSync(join(LAB, "lab"))) return `no lab at ${LAB}: set ROOMCAST_LAB`;
  if (!existsSync(join(CACHE, "bin/kubelet"))) return `the lab is not built: ${join(LAB, "lab")} build`;
  return undefined;
}

/** Prometheus of the lab, which runs beside the cluster. */
export const PROMETHEUS = "http://10.203.0.1:20090";
/** Whether the lab lacks what a test adds to it; says so. */
export const lacks = (part) => (part === "keda" && !existsSync(join(CACHE, "bin/keda")) ? `no KEDA in the lab: ${join(LAB, "lab")} build keda` : false);

let names;
/**
 * KEDA, beside the cluster. There it has no cluster DNS: it is given a proxy that knows the addresses of Services. Prometheus is
 * there for it to ask, too.
 */
export async function addKeda() {
  if (names) return;
  names = createServer(async (request, response) => {
    const { hostname, port, pathname, search } = new URL(request.url);
    const [service, namespace] = hostname.split(".");
    const address = hostname.endsWith(".svc") ? (await json("get", "service", service, "-n", namespace)).spec.clusterIP : hostname;
    const answer = await fetch(`http://${address}:${port}${pathname}${search}`).catch(() => undefined);
    response.writeHead(answer?.status ?? 502, { "content-type": answer?.headers.get("content-type") ?? "text/plain" });
    response.end(answer ? await answer.text() : "");
  });
  await new Promise((resolve) => names.listen(0, "127.0.0.1", resolve));
  await lab("add", "metrics");
  await run(join(LAB, "lab"), ["add", "keda"], { env: { ...ENV, HTTP_PROXY: `http://127.0.0.1:${names.address().port}` }, ...BUFFER });
}
/** Takes it away: others may have the API of external metrics. */
export async function removeKeda() {
  if (!names) return;
  await kubectl("delete", "apiservice", "v1beta1.external.metrics.k8s.io", "--ignore-not-found");
  for (const name of ["keda", "keda-adapter"]) process.kill(pidOf(name));
  names.close();
}

/** The values that all tests begin with; what a test needs is put over them. */
export const VALUES = {
  image: { ...IMAGE, tag: TAG },
  publicService: { type: "NodePort" },
  secrets: { apiKeys: { name: "chat-keys", key: "keys" } },
  config: {
    namespaces: { "/": { auth: "none", rooms: [{ pattern: "public-*", join: "anyone", relay: ["chat"] }] } },
    backplane: { url: "redis://redis:6379" },
  },
};

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
/** Values over values, as Helm merges them. */
export function merge(base, over) {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) merged[key] = isObject(value) && isObject(base[key]) ? merge(base[key], value) : value;
  return merged;
}

/** Installs the chart, or changes what is installed, and waits until all of it is ready. */
export async function install(values, ...flags) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-values-"));
  const file = join(folder, "values.json");
  writeFileSync(file, JSON.stringify(merge(VALUES, values)));
  await helm("upgrade", "--install", RELEASE, CHART, "-f", file, "--timeout", "5m", "--wait", ...flags);
}

/** Takes the release away, and all of its pods. */
export const uninstall = () => helm("uninstall", RELEASE, "--wait", "--ignore-not-found", "--timeout", "5m");

/** Redis for trying out, and the keys of the API. */
export async function prepare() {
  await kubectl("apply", "-f", join(LAB, "manifests/redis.yaml"));
  await apply({ apiVersion: "v1", kind: "Secret", metadata: { name: "chat-keys" }, stringData: { keys: API_KEY } });
  await kubectl("rollout", "status", "deployment/redis", "--timeout=60s");
}

/** The pods of the release, as they are now. */
export async function pods() {
  const { items } = await json("get", "pods", "-l", `app.kubernetes.io/instance=${RELEASE},app.kubernetes.io/name=roomcast`);
  return items
    .filter(({ status }) => status.podIP)
    .map(({ metadata, spec, status }) => ({
      name: metadata.name,
      hash: metadata.labels["pod-template-hash"],
      cost: Number(metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? NaN),
      node: spec.nodeName,
      ip: status.podIP,
      ends: metadata.deletionTimestamp !== undefined,
      ready: status.conditions?.some(({ type, status }) => type === "Ready" && status === "True"),
      restarts: status.containerStatuses?.[0]?.restartCount ?? 0,
      metric: (name, labels) => metric(`http://${status.podIP}:9000`, name, labels, { signal: AbortSignal.timeout(2000) }),
    }));
}
/** Waits until so many pods are there, all of them ready, and none that is ending. */
export const settled = (count) =>
  until(`${count} pods, all ready`, async () => {
    const all = await pods().catch(() => []);
    return all.length === count && all.every(({ ready, ends }) => ready && !ends);
  }, 300_000);
export const ready = async () => (await pods()).filter((pod) => pod.ready && !pod.ends);

/** The address of a node. */
export async function node() {
  const { items } = await json("get", "nodes");
  return items[0].status.addresses.find(({ type }) => type === "InternalIP").address;
}
/** Where clients of this machine find the Service: at a node's port. */
export async function address() {
  const service = await json("get", "service", RELEASE);
  return `http://${await node()}:${service.spec.ports[0].nodePort}`;
}

/** A backend: it publishes through the internal Service, and asks again with the same key where it gets no answer. */
export async function backend() {
  const { spec } = await json("get", "service", `${RELEASE}-internal`);
  const url = `http://${spec.clusterIP}:${spec.ports[0].port}/api/v1/emit`;
  let again = 0;
  return {
    again: () => again,
    async publish(body) {
      const headers = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json", "idempotency-key": crypto.randomUUID() };
      return until(
        "the message is published",
        async () => {
          const signal = AbortSignal.timeout(5000);
          const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal, keepalive: false }).catch(() => undefined);
          if (response && response.status < 500 && response.status !== 409) return { status: response.status, body: await response.json() };
          again += 1;
          return undefined;
        },
        60_000,
      );
    },
  };
}

/** The process id of a program of the lab that runs on this machine. */
export const pidOf = (name) => Number(readFileSync(join(CACHE, `run/${name}.pid`), "utf8").split(" ")[0]);
