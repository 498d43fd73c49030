// A port of 127.0.0.1 that stays the same while pods come and go: new connections go to where it points.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** Starts a switch that points at a port. */
export async function startSwitch(port) {
  let target = port;
  const pairs = new Set();
  const clients = new Map();
  const server = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    pairs.add(near).add(far);
    clients.set(near, far);
    near.on("close", () => clients.delete(near));
    for (const [socket, other] of [[near, far], [far, near]]) {
      socket.setNoDelay(true);
      socket.pipe(other);
      socket.on("error", () => other.destroy());
      socket.on("close", () => (other.destroySoon(), pairs.delete(socket)));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** New connections go to another port. */
    to: (other) => (target = other),
    /** What clients send over connections that are open goes nowhere any more; what they are sent still arrives. */
    mute() {
      for (const [near, far] of clients) near.unpipe(far);
    },
    stop() {
      server.close();
      for (const socket of pairs) socket.destroy();
    },
  };
}
