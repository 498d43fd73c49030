// A steady load on a cluster: on each pod a backend and a client that publish numbered messages into one
// room, and a client that writes down what arrives.

import { io } from "socket.io-client";

import { Clients, WAYS, ask } from "../clients.mjs";

const ROOM = "public-load";
/** Messages a second of each publisher; a pod has two of them. */
const RATE = 25;
/** How often the clock is looked at: what is due by then is sent at once. */
const TICK_MS = 10;

const now = () => performance.now();

export const relayOf = (index) => `client of pod ${index}`;
const backendOf = (index) => `backend of pod ${index}`;

export class Load {
  #clients = new Clients();
  #answers = new Set();
  #publishers = [];
  #timer;
  /** Reasons for which clients were disconnected: a fault of Redis must not reach them. */
  disconnects = [];

  constructor(ledger) {
    this.ledger = ledger;
  }

  async #member(pod) {
    const socket = await this.#clients.connect(io, pod.url, WAYS.websocket);
    const { joined } = await ask(socket, "join", { rooms: [ROOM] });
    if (joined?.[0] !== ROOM) throw new Error(`cannot join: ${JSON.stringify(joined)}`);
    socket.on("disconnect", (reason) => this.disconnects.push(reason));
    return socket;
  }

  /** Connects the clients, and begins to publish. */
  async start(pods) {
    for (const [index, pod] of pods.entries()) {
      const [reader, sender] = [await this.#member(pod), await this.#member(pod)];
      reader.on("chat", (_room, name, number) => this.ledger.arrived(index, name, number, now()));
      this.#publishers.push(
        { name: relayOf(index), home: index, send: (...args) => relayed(sender, args) },
        { name: backendOf(index), home: index, send: (...args) => posted(pod, args) },
      );
    }
    for (const { name } of this.#publishers) this.ledger.expect(name);
    this.#publish();
  }

  #publish() {
    const [begun, sent] = [now(), new Map(this.#publishers.map((publisher) => [publisher, 0]))];
    this.#timer = setInterval(() => {
      const due = Math.floor(((now() - begun) / 1000) * RATE);
      for (const publisher of this.#publishers) {
        for (; sent.get(publisher) < due; sent.set(publisher, sent.get(publisher) + 1)) this.#send(publisher);
      }
    }, TICK_MS);
  }

  #send({ name, home, send }) {
    const message = this.ledger.published(name, home, now());
    const answered = send(ROOM, name, message.number).then(
      (answer) => (message.answer = answer),
      (error) => (message.answer = String(error.cause ?? error)),
    );
    this.#answers.add(answered);
    answered.then(() => this.#answers.delete(answered));
  }

  /** Publishes no more, and waits for the answers. */
  async pause() {
    clearInterval(this.#timer);
    await Promise.all(this.#answers);
  }

  /** A client in another room of a pod. */
  async reader(pod, room) {
    const socket = await this.#clients.connect(io, pod.url, WAYS.websocket);
    await ask(socket, "join", { rooms: [room] });
    return socket;
  }

  stop() {
    clearInterval(this.#timer);
    this.#clients.close();
  }
}

/** Refusals that a publisher can act on. The second is not certain: those that arrive have a column of their own. */
const REFUSED = ["backplane_unavailable", "backplane_unconfirmed"];
const answerOf = (code) => (REFUSED.includes(code) ? "refused" : code);

async function posted(pod, args) {
  const { status, body } = await pod.publish({ rooms: [ROOM], event: "chat", args });
  if (status === 200) return "accepted";
  return status === 503 ? answerOf(body.error.code) : `${status} ${body.error?.code}`;
}

async function relayed(socket, args) {
  const answer = await ask(socket, "chat", ...args);
  return answer?.accepted ? "accepted" : answerOf(answer?.error?.code);
}
