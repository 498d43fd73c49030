// Connections with the least that a WebSocket client can be, thousands of them.

import { once } from "node:events";
import { connect } from "node:net";

import { until } from "../pod.mjs";

/** Opens a WebSocket, and gives the TCP connection and the status; with 101, Engine.IO has opened and `/` was asked for. */
export async function openRaw(pod, { headers = {}, localAddress } = {}) {
  const socket = connect({ port: pod.port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {});
  await once(socket, "connect");
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more.join("")}\r\n`);
  let answer = "";
  await until("it is answered", () => {
    answer += socket.read()?.toString("latin1") ?? "";
    const status = Number(answer.split(" ")[1]);
    return status === 101 ? answer.includes("pingInterval") : status;
  });
  const status = Number(answer.split(" ")[1]);
  // Socket.IO's CONNECT: a masked text frame of "40".
  if (status === 101) socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]));
  else socket.destroy();
  return { socket, status, answer };
}
