// The receiver of `make observe`, with what an exporter sends: protobuf, gzipped or not, and JSON.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import protobuf from "protobufjs";

import { startReceiver } from "./otlp.mjs";

const id = (byte, length) => Buffer.alloc(length, byte);
const span = (own, parent, name, more = {}) => ({
  traceId: id(1, 16),
  spanId: id(own, 8),
  ...(parent && { parentSpanId: id(parent, 8) }),
  name,
  kind: 2,
  startTimeUnixNano: "1700000000000000000",
  endTimeUnixNano: "1700000000002500000",
  ...more,
});
const data = {
  resourceSpans: [
    {
      resource: { attributes: [{ key: "service.instance.id", value: { stringValue: "pod-0" } }] },
      scopeSpans: [
        {
          spans: [
            span(2, undefined, "POST /api/v1/emit"),
            span(3, 2, "send /", { kind: 4, attributes: [{ key: "messaging.batch.message_count", value: { intValue: "3" } }] }),
            span(4, undefined, "process /", { traceId: id(9, 16), kind: 5, links: [{ traceId: id(1, 16), spanId: id(3, 8) }] }),
          ],
        },
      ],
    },
  ],
};
const asJson = (all) =>
  JSON.stringify(all, (key, value) => (/Id$/.test(key) && value?.type === "Buffer" ? Buffer.from(value.data).toString("hex") : value));

test("spans are decoded, and shown below their parents and what they link to", async () => {
  const root = protobuf.loadSync(new URL("otlp.proto", import.meta.url).pathname);
  const type = root.lookupType("TracesData");
  const bytes = Buffer.from(type.encode(type.fromObject(data)).finish());
  const bodies = [
    ["application/x-protobuf", bytes, {}],
    ["application/x-protobuf", gzipSync(bytes), { "content-encoding": "gzip" }],
    ["application/json", asJson(data), {}],
  ];
  for (const [contentType, body, more] of bodies) {
    const receiver = await startReceiver();
    try {
      const answer = await fetch(`${receiver.url}/v1/traces`, { method: "POST", headers: { "content-type": contentType, ...more }, body });
      assert.equal(answer.status, 200, await answer.text());
      const [first, second, third] = receiver.spans();
      assert.deepEqual([first.trace, first.id, first.parent], ["01".repeat(16), "02".repeat(8), ""]);
      assert.deepEqual([second.parent, second.kind, second.attributes], [first.id, "producer", { "messaging.batch.message_count": 3 }]);
      assert.deepEqual(third.links, [{ trace: first.trace, id: second.id }]);
      assert.equal(second.end - second.start, 2.5);
      const lines = (await (await fetch(receiver.url)).text()).split("\n");
      assert.equal(lines[0], first.trace);
      assert.match(lines[1], /^  POST \/api\/v1\/emit \[server\] \+0.0 ms, 2.50 ms pod-0$/);
      assert.match(lines[2], /^    send \/ \[producer\] .*pod-0 messaging.batch.message_count=3$/);
      assert.match(lines[3], /^      process \/ \[consumer\] .*linked$/);
      assert.equal((await fetch(receiver.url, { method: "POST", headers: { "content-type": "application/json" }, body: "{" })).status, 400);
    } finally {
      await receiver.stop();
    }
  }
});
