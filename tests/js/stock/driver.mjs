// A driver lets one stock client do what a test says: a program in the client's language (tests/clients), which reads
// commands from standard input and writes reports to standard output, each a line of JSON. Binary is {"$binary": base64}.
//
//   {"id": 1, "do": "connect", "socket": "a", "url": …, "namespaces": ["/"], "transports": ["polling"], "token": …}
//                                                 answered when all namespaces are connected, or with an error
//   {"id": 2, "do": "listen", "socket": "a", "namespace": "/", "event": …, "ack": […]}   report it from now on; if an
//                                                 ack is wanted, it has the values of "ack", or without that the event's own
//   {"id": 3, "do": "emit", "socket": "a", "namespace": "/", "event": …, "args": […]}
//   {"id": 4, "do": "ask", …as emit}                                         answered with the values of the ack
//   {"id": 5, "do": "disconnect", "socket": "a"}
//
// It answers {"id": 1, "value": …} or {"id": 1, "error": "why"}, and reports {"report": "event", "socket", "namespace", "event",
// "args"}, {"report": "connect" | "disconnect", "socket", "namespace", "reason"}. It ends at the end of its input.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { until } from "../pod.mjs";

const PATIENCE = 20_000;

/** Values as they are in a line: buffers are marked. */
export function toLine(value) {
  if (ArrayBuffer.isView(value)) return { $binary: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  if (value instanceof ArrayBuffer) return toLine(new Uint8Array(value));
  if (Array.isArray(value)) return value.map(toLine);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, toLine(inner)]));
}

/** What a test does with any client. `send` takes commands; `receive` is to be called with what the client says. */
export class Driver {
  reports = [];
  #send;
  #end;
  #asked = new Map();
  #last = 0;

  constructor(send, end) {
    this.#send = send;
    this.#end = end;
  }

  receive(message) {
    if (message.report) return this.reports.push(message);
    const { resolve, reject } = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    return "error" in message ? reject(new Error(message.error)) : resolve(message.value);
  }

  /** What was asked for will not be answered any more. */
  fail(error) {
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }

  #do(command) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer in ${PATIENCE} ms to ${JSON.stringify(command)}`)), PATIENCE);
      const ended = (settle) => (value) => (clearTimeout(late), settle(value));
      this.#asked.set(id, { resolve: ended(resolve), reject: ended(reject) });
      this.#send({ id, ...command });
    });
  }

  /** Connects to namespaces over one connection, and gives what acts in its name. */
  async connect(url, { name = "a", namespaces = ["/"], ...options }) {
    await this.#do({ do: "connect", socket: name, url, namespaces, ...options });
    const at = (namespace) => ({ socket: name, namespace });
    return {
      emit: (event, args, namespace = "/") => this.#do({ do: "emit", ...at(namespace), event, args: toLine(args) }),
      ask: (event, args, namespace = "/") => this.#do({ do: "ask", ...at(namespace), event, args: toLine(args) }),
      listen: (event, namespace = "/", ack) => this.#do({ do: "listen", ...at(namespace), event, ...(ack && { ack: toLine(ack) }) }),
      /** Is not waited for: some clients take long, and the next command does not depend on it. */
      disconnect: () => void this.#do({ do: "disconnect", socket: name }).catch(() => {}),
      /** The arguments of an event that has come, or comes. */
      heard: async (event, namespace = "/", patience = PATIENCE) => {
        const is = (report) => report.report === "event" && report.socket === name && report.namespace === namespace && report.event === event;
        return (await until(`${event} in ${namespace}`, () => this.reports.find(is), patience)).args;
      },
      /** How often something was reported of the namespace. */
      count: (report, namespace = "/") =>
        this.reports.filter((said) => said.report === report && said.socket === name && said.namespace === namespace).length,
    };
  }

  stop() {
    return this.#end();
  }
}

/** Starts a program that is a driver. */
export function startProgram(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
  const exit = once(child, "exit").catch((error) => [error.message]);
  const complaints = [];
  const driver = new Driver(
    (message) => child.stdin.write(`${JSON.stringify(message)}\n`),
    async () => {
      child.stdin.end();
      const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await exit;
      clearTimeout(late);
    },
  );
  createInterface({ input: child.stdout }).on("line", (line) => driver.receive(JSON.parse(line)));
  createInterface({ input: child.stderr }).on("line", (line) => complaints.push(line));
  child.stdin.on("error", () => {});
  exit.then(([code]) => driver.fail(new Error(`the client's program ended (${code}): ${complaints.slice(-20).join("\n")}`)));
  return driver;
}
