// The driver of the JavaScript clients, in Node and in a browser (driver.mjs says what it reads and writes).

const isBinary = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);

function fromLine(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(fromLine);
  if ("$binary" in value) {
    const bytes = Uint8Array.from(atob(value.$binary), (letter) => letter.charCodeAt(0));
    return typeof Buffer === "undefined" ? bytes.buffer : Buffer.from(bytes);
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fromLine(inner)]));
}

function toLine(value) {
  if (isBinary(value)) {
    const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return { $binary: btoa(String.fromCharCode(...bytes)) };
  }
  if (Array.isArray(value)) return value.map(toLine);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, toLine(inner)]));
}

/** `library` is what the client exports, `say` takes answers and reports; gives what takes commands. */
// eslint-disable-next-line no-unused-vars
function createDriver(library, say, options = {}) {
  const sockets = new Map();
  const find = ({ socket, namespace }) => sockets.get(socket).get(namespace);

  async function connect({ socket: name, url, namespaces, transports, token }) {
    // Clients of version 2 have no `auth`.
    const auth = library.protocol < 5 ? { extraHeaders: { authorization: `Bearer ${token}` } } : { auth: { token } };
    const manager = new library.Manager(url, {
      ...{ transports, reconnectionDelay: 50, reconnectionDelayMax: 200, autoConnect: false },
      ...(library.protocol < 5 ? auth : {}),
      ...options,
    });
    const open = namespaces.map((namespace) => {
      const socket = manager.socket(namespace, auth);
      const about = { socket: name, namespace };
      socket.on("connect", () => say({ report: "connect", ...about }));
      socket.on("disconnect", (reason) => say({ report: "disconnect", ...about, reason }));
      return [namespace, socket];
    });
    sockets.set(name, new Map(open));
    const connected = open.map(
      ([, socket]) =>
        new Promise((resolve, reject) => {
          socket.on("connect", resolve);
          const refused = (error) => reject(new Error(error.message ?? String(error)));
          socket.on("connect_error", refused);
          // As version 2 calls it.
          if (library.protocol < 5) socket.on("error", refused);
        }),
    );
    for (const [, socket] of open) socket.connect();
    try {
      await Promise.all(connected);
    } catch (error) {
      for (const [, socket] of open) socket.disconnect();
      throw error;
    }
  }

  const actions = {
    connect,
    listen(command) {
      const { socket, namespace, event } = command;
      find(command).on(event, (...args) => {
        const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
        say({ report: "event", socket, namespace, event, args: toLine(args) });
        ack?.(...(command.ack ? fromLine(command.ack) : args));
      });
    },
    emit: (command) => void find(command).emit(command.event, ...fromLine(command.args)),
    ask: (command) =>
      new Promise((resolve) => {
        find(command).emit(command.event, ...fromLine(command.args), (...values) => resolve(toLine(values)));
      }),
    disconnect({ socket }) {
      for (const open of sockets.get(socket).values()) open.disconnect();
    },
  };
  return async (command) => {
    try {
      say({ id: command.id, value: (await actions[command.do](command)) ?? null });
    } catch (error) {
      say({ id: command.id, error: String(error?.message ?? error) });
    }
  };
}

globalThis.createDriver = createDriver;
