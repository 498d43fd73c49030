// The stock clients: who they are, how their drivers are started, and where they differ.

import { fileURLToPath } from "node:url";

import { startBrowser } from "./browser.mjs";
import { startProgram } from "./driver.mjs";
import { goClient, javaClient, pythonClient, rustClient } from "./install.mjs";

const NODE = fileURLToPath(new URL("node.mjs", import.meta.url));
const node = (...words) => () => startProgram(process.execPath, [NODE, ...words]);

const WEBSOCKET = { websocket: ["websocket"] };
const ALL = { polling: ["polling"], ...WEBSOCKET, upgrade: ["polling", "websocket"] };

/**
 * `start` gives a driver; `ways` are its transports; `settings` are more of the pods' configuration; `cannot` says which tests
 * are not for it, for it has no call for what they do.
 */
export const CLIENTS = [
  { name: "JavaScript 4.8.4", start: node("socket.io-client"), ways: ALL },
  { name: "JavaScript 4.5.4", start: node("socket.io-client-4.5"), ways: ALL },
  { name: "JavaScript 3.1.3", start: node("socket.io-client-3"), ways: ALL },
  { name: "JavaScript 2.5.0", start: node("socket.io-client-2"), ways: ALL },
  { name: "JavaScript 4.8.4 in Chromium", start: startBrowser, ways: ALL, settings: 'public.cors.origins = ["*"]' },
  {
    ...{ name: "JavaScript 4.8.4, msgpack", start: node("socket.io-client", "socket.io-msgpack-parser"), ways: ALL },
    msgpack: true,
  },
  { name: "python-socketio", start: pythonClient("threads"), ways: ALL },
  { name: "python-socketio, asyncio", start: pythonClient("asyncio"), ways: ALL },
  // okhttp reads nothing after a Close frame, and the client does not answer it: it finds out by its ping timeout, also on Node.
  { name: "Java", start: javaClient, ways: ALL, settings: 'engine.ping_interval = "2s"\nengine.ping_timeout = "2s"' },
  // Over polling alone it sends nothing after CONNECT, and one upgrade in a hundred hangs, with Node too.
  { name: "Go", start: goClient, ways: WEBSOCKET },
  {
    ...{ name: "Rust", start: rustClient, ways: ALL },
    cannot: { binary: "it has binary alone, without other arguments", ack: "it cannot ack an event" },
  },
];
