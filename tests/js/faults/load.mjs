// A steady load on a cluster: on each pod a backend and a client that publish numbered messages into one
// room, and a client that writes down what arrives.
//
// The load is bounded, whatever the machine can do. Without bounds a process that gets no processor sends all that it
// is late with at once, over a connection for each request, and is later still: on a busy machine it had ten thousand
// connections and never caught up.

import { Agent, request } from "node:http";

import { io } from "socket.io-client";

import { Clients, WAYS, ask } from "../clients.mjs";
import { API_KEY } from "../pod.mjs";

const ROOM = "public-load";
/** Messages a second of each publisher; a pod has two of them. */
const RATE = 25;
/** How often the clock is looked at: what is due by then is sent at once, but no more than this. */
const TICK_MS = 10;
const AT_ONCE = RATE;
/** Messages of a publisher that wait for their answer; while there are so many, it sends none. */
const UNANSWERED = 20 * RATE;
/** Connections to the API of a pod. */
const CONNECTIONS = 32;

const now = () => performance.now();

export const relayOf = (index) => `client of pod ${index}`;
const backendOf = (index) => `backend of pod ${index}`;

export class Load {
  #clients = new Clients();
  // In turns, so that none is idle until the pod closes it.
  #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, scheduling: "fifo" });
  #answers = new Set();
  #publishers = [];
  #timer;
  #stopped = false;
  /** Messages that were due and not sent: the machine is too busy, or too many wait for an answer. */
  skipped = 0;
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
        { name: relayOf(index), home: index, unanswered: 0, send: (...args) => relayed(sender, args) },
        { name: backendOf(index), home: index, unanswered: 0, send: (...args) => posted(this.#agent, pod, args) },
      );
    }
    for (const { name } of this.#publishers) this.ledger.expect(name);
    // Its scenario may have ended while the clients connected.
    if (!this.#stopped) this.#publish();
  }

  #publish() {
    const begun = now();
    let before = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor(((now() - begun) / 1000) * RATE);
      for (const publisher of this.#publishers) {
        const room = UNANSWERED - publisher.unanswered;
        const count = Math.min(due - before, AT_ONCE, room);
        for (let sent = 0; sent < count; sent += 1) this.#send(publisher);
        this.skipped += due - before - count;
      }
      before = due;
    }, TICK_MS);
  }

  #send(publisher) {
    const { name, home, send } = publisher;
    const message = this.ledger.published(name, home, now());
    publisher.unanswered += 1;
    const answered = send(ROOM, name, message.number).then(
      (answer) => (message.answer = answer),
      (error) => (message.answer = String(error.cause ?? error)),
    );
    this.#answers.add(answered);
    answered.then(() => {
      this.#answers.delete(answered);
      publisher.unanswered -= 1;
    });
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
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#clients.close();
    this.#agent.destroy();
  }
}

/** Refusals that a publisher can act on. The second is not certain: those that arrive have a column of their own. */
const REFUSED = ["backplane_unavailable", "backplane_unconfirmed"];
const answerOf = (code) => (REFUSED.includes(code) ? "refused" : code);

/** A request to the API of a pod, over one of a few connections. */
function publish(agent, pod, body) {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${API_KEY}` };
    const asked = request(`${pod.internal}/api/v1/emit`, { agent, method: "POST", headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      answer.on("error", reject).on("end", () => resolve({ status: answer.statusCode, body: JSON.parse(text) }));
    });
    asked.on("error", reject).end(JSON.stringify(body));
  });
}

async function posted(agent, pod, args) {
  const { status, body } = await publish(agent, pod, { rooms: [ROOM], event: "chat", args });
  if (status === 200) return "accepted";
  return status === 503 ? answerOf(body.error.code) : `${status} ${body.error?.code}`;
}

async function relayed(socket, args) {
  const answer = await ask(socket, "chat", ...args);
  return answer?.accepted ? "accepted" : answerOf(answer?.error?.code);
}
