// A small receiver of traces: OTLP over HTTP, protobuf or JSON. It keeps the latest ones, and shows each as a tree.

import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

import protobuf from "protobufjs";

const root = protobuf.loadSync(fileURLToPath(new URL("otlp.proto", import.meta.url)));
const TracesData = root.lookupType("TracesData");

/** Traces that are kept, and spans of each. */
const [TRACES, SPANS] = [200, 500];

const hex = (bytes) => (typeof bytes === "string" ? bytes.toLowerCase() : Buffer.from(bytes ?? []).toString("hex"));
const value = (any = {}) => {
  const [kind] = ["stringValue", "boolValue", "intValue", "doubleValue", "arrayValue"].filter((kind) => any[kind] !== undefined && any[kind] !== null);
  if (kind === "arrayValue") return (any.arrayValue.values ?? []).map(value);
  return kind === "intValue" ? Number(any.intValue) : any[kind];
};
const attributes = (list = []) => Object.fromEntries(list.map((one) => [one.key, value(one.value)]));
const KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/** Spans of a request, as plain values: ids in hex, times in milliseconds. */
export function decode(body, type) {
  const data = type.includes("json") ? JSON.parse(body) : TracesData.toObject(TracesData.decode(body), { longs: String, oneofs: false });
  return (data.resourceSpans ?? []).flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans = [] }) =>
      spans.map((span) => ({
        trace: hex(span.traceId),
        id: hex(span.spanId),
        parent: hex(span.parentSpanId),
        name: span.name,
        kind: KINDS[span.kind ?? 0],
        start: Number(BigInt(span.startTimeUnixNano ?? 0) / 1000n) / 1000,
        end: Number(BigInt(span.endTimeUnixNano ?? 0) / 1000n) / 1000,
        attributes: attributes(span.attributes),
        resource: attributes(resource?.attributes),
        links: (span.links ?? []).map((link) => ({ trace: hex(link.traceId), id: hex(link.spanId) })),
        error: span.status?.code === 2 ? span.status.message || "error" : undefined,
      })),
    ),
  );
}

/** A trace as text: a line for each span, below its parent, or else below the span that it links to. */
export function tree(spans) {
  const ids = new Set(spans.map(({ id }) => id));
  const above = (span) => [span.parent, ...span.links.map(({ id }) => id)].find((id) => ids.has(id) && id !== span.id);
  const begun = Math.min(...spans.map(({ start }) => start));
  const seen = new Set();
  const lines = (under, depth) =>
    spans
      .filter((span) => above(span) === under && !seen.has(span))
      .sort((a, b) => a.start - b.start)
      .flatMap((span) => {
        seen.add(span);
        const where = span.resource["service.instance.id"] ?? span.resource["k8s.pod.name"] ?? "";
        const linked = under && span.parent !== under ? " ⇠ linked" : "";
        const words = Object.entries(span.attributes).map(([key, said]) => `${key}=${said}`);
        const time = `+${(span.start - begun).toFixed(1)} ms, ${(span.end - span.start).toFixed(2)} ms`;
        const line = `${"  ".repeat(depth)}${span.name} [${span.kind}] ${time} ${where}${linked}${span.error ? ` ERROR ${span.error}` : ""} ${words.join(" ")}`;
        return [line.trimEnd(), ...lines(span.id, depth + 1)];
      });
  return lines(undefined, 1).join("\n");
}

/** Starts it. `GET /` shows the latest traces; `spans` gives all that are kept, `stories` by trace, each with those that link to it. */
export async function startReceiver({ port = 0, onSpans = () => {} } = {}) {
  const traces = new Map();
  const take = (spans) => {
    for (const span of spans) {
      if (!traces.has(span.trace)) traces.set(span.trace, []);
      if (traces.get(span.trace).length < SPANS) traces.get(span.trace).push(span);
    }
    for (const oldest of traces.keys()) {
      if (traces.size <= TRACES) break;
      traces.delete(oldest);
    }
    onSpans(spans);
  };
  // A trace that links to another one is shown with that.
  const stories = () => {
    const all = new Map();
    for (const [id, spans] of traces) {
      const linked = spans.flatMap(({ links }) => links).find(({ trace }) => trace !== id && traces.has(trace));
      const key = linked?.trace ?? id;
      all.set(key, [...(all.get(key) ?? []), ...spans]);
    }
    return all;
  };
  const show = () => [...stories()].reverse().map(([id, spans]) => `${id}\n${tree(spans)}\n`).join("\n") || "no trace yet\n";

  const server = createServer(async (request, response) => {
    if (request.method !== "POST") return response.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end(show());
    const type = request.headers["content-type"] ?? "";
    try {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      take(decode(request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body, type));
      response.writeHead(200, { "content-type": type }).end(type.includes("json") ? "{}" : "");
    } catch (error) {
      response.writeHead(400).end(String(error));
    }
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  const address = server.address().port;
  return {
    url: `http://127.0.0.1:${address}`,
    port: address,
    spans: () => [...traces.values()].flat(),
    stories,
    async stop() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}
