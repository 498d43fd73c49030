// What a stock client does, as a collector of OpenTelemetry is told.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { io } from "socket.io-client";

import { Clients } from "./clients.mjs";
import { startPod, until } from "./pod.mjs";

const clients = new Clients();
/** All spans, as OTLP has them in JSON. */
const spans = [];
const attribute = (span, name) => span.attributes.find(({ key }) => key === name)?.value;
let collector;
let pod;

before(async () => {
  collector = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { resourceSpans } = JSON.parse(Buffer.concat(chunks));
    spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
  await once(collector.listen(0, "127.0.0.1"), "listening");
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.address().port}`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_BSP_SCHEDULE_DELAY: "50",
  };
  pod = await startPod("", { binary: "examples/handlers", env });
});
after(async () => {
  clients.close();
  await pod?.stop();
  collector?.close();
});

test("a client's connect and its events are traced, with the spans of the handler", async () => {
  const socket = await clients.connect(io, `${pod.url}/handlers`);
  assert.equal(await socket.emitWithAck("add", 2, 3), 5);
  const named = (name) => until(`span ${name}`, () => spans.find((span) => span.name === name));
  const connect = await named("connect /handlers");
  assert.equal(connect.kind, 2);
  assert.deepEqual(attribute(connect, "messaging.destination.name"), { stringValue: "/handlers" });
  const adding = await named("adding");
  const event = await named("event /handlers");
  assert.equal(adding.traceId, event.traceId);
  assert.equal(adding.parentSpanId, event.spanId);
  assert.notEqual(event.traceId, connect.traceId);
});

test("an event that is refused is a failure, with its code", async () => {
  const socket = await clients.connect(io, `${pod.url}/handlers`);
  const answer = await socket.emitWithAck("add", 2, "3");
  const failed = await until("a failed span", () =>
    spans.find((span) => span.name === "event /handlers" && span.status?.code === 2),
  );
  assert.deepEqual(attribute(failed, "error.type"), { stringValue: answer.error.code });
});
