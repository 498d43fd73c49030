// A TCP path that can be cut: between one pod and its Redis, while the others keep theirs.

import { once } from "node:events";
import { connect, createServer } from "node:net";

import { freePort } from "../redis.mjs";

/** Starts a path to a port of 127.0.0.1. */
export async function startPath(target) {
  const port = await freePort();
  const pairs = new Set();
  let stalled = false;

  const server = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    const pair = [near, far];
    pairs.add(pair);
    for (const [socket, other] of [pair, [far, near]]) {
      socket.setNoDelay(true);
      socket.pipe(other);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        other.destroySoon();
        pairs.delete(pair);
      });
    }
    if (stalled) hold(pair);
  });
  const listen = async () => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  // Nothing is read any more, so what both ends send waits in the kernel as it would on a path that
  // loses every packet; when the path is whole again, TCP delivers it.
  const hold = (pair) => {
    for (const [socket, other] of [pair, pair.toReversed()]) socket.unpipe(other).pause();
  };
  const release = ([near, far]) => {
    near.pipe(far);
    far.pipe(near);
  };
  const close = () => {
    server.close();
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
  };
  await listen();
  return {
    port,
    /** Connections are accepted and stay open, and nothing passes. */
    stall() {
      stalled = true;
      pairs.forEach(hold);
    },
    /** Connections are reset, and new ones refused. */
    refuse: close,
    /** Lets everything pass again. */
    async mend() {
      if (stalled) pairs.forEach(release);
      stalled = false;
      if (!server.listening) await listen();
    },
    stop: close,
  };
}
