// A service for hooks, which verifies each call with the official package of Standard Webhooks.

import { once } from "node:events";
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

export const HOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/** An answer that never comes. */
export const HANG = Symbol("hang");

/**
 * Starts a service. `answer(call, path)` says what it answers: HANG, `{ status, body }` with text, or else a value that is
 * sent as JSON. `received` has `{ id, path, traceparent, call }` of each call whose signature is right, `refused` counts
 * the others.
 */
export async function startHookService(answer) {
  const webhook = new Webhook(HOOK_SECRET);
  const service = { received: [], refused: 0 };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    let call;
    try {
      call = webhook.verify(Buffer.concat(chunks), request.headers);
    } catch {
      service.refused += 1;
      return response.writeHead(401).end();
    }
    const { "webhook-id": id, traceparent } = request.headers;
    service.received.push({ id, path: request.url, traceparent, call });
    const said = await answer(call, request.url);
    if (said === HANG) return;
    const plain = typeof said === "object" && said !== null && "status" in said;
    const { status, body } = plain ? said : { status: 200, body: JSON.stringify(said) };
    response.writeHead(status).end(body);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  service.url = (path) => `http://127.0.0.1:${server.address().port}/${path}`;
  /** The calls of a kind, such as "socket.event". */
  service.calls = (type) => service.received.filter(({ call }) => call.type === type);
  service.stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return service;
}
