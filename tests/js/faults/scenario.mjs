// One fault under load: whole before, the fault, whole again afterwards, and what it cost.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";

import { OPEN, startPod, until } from "../pod.mjs";
import { states } from "./cluster-state.mjs";
import { Ledger } from "./ledger.mjs";
import { Load, relayOf } from "./load.mjs";
import { startNodePod } from "./node-pod.mjs";

/** Messages of each publisher before the fault, and after it is over. */
const BEFORE = 50;
const AFTER = 75;
/** How soon a pod must have seen that it is cut off, and the cluster be whole again. */
const NOTICE_MS = 20_000;
const HEAL_MS = 30_000;
/** How soon after the last message all of them must have arrived. */
const SETTLE_MS = 10_000;
/** How often a metric is read, beside the load. */
const POLL_MS = 50;
/** How soon a client must have heard another one of its pod while that is cut off. */
const LOCAL_MS = 5_000;

const now = () => performance.now();
const says = (state, expected) => Object.keys(expected).every((key) => state[key] === expected[key]);
const seconds = (ms) => Math.round(ms / 100) / 10;

/** With CONTROL=node, Node servers stand where pods do: what faults cost there, and that the suite sees it. */
const ONLY_NODE = process.env.CONTROL === "node";

function startOne(backplane) {
  if (ONLY_NODE) return startNodePod(backplane);
  const lines = Object.entries(backplane).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  return startPod(`[backplane]\n${lines.join("\n")}\n${OPEN}`);
}

export class Scenario {
  /** Stops what was started, last first, whatever happens. */
  #cleanups = [];
  #begin;
  #faultAt;
  #brokenAt;
  #noticed;
  #complaints = [];
  pods = [];

  constructor({ mode, settings = {} }) {
    this.mode = mode;
    this.settings = { ready_when_away: false, ...settings };
  }

  /** Keeps a server, so that it is stopped at the end. */
  keep(server, stop = () => server.stop()) {
    this.#cleanups.unshift(stop);
    return server;
  }

  /** Starts a pod for each address of Redis. */
  async startPods(urls) {
    for (const url of urls) {
      const pod = await startOne({ kind: this.mode, url, ...this.settings });
      this.pods.push(this.keep(pod, () => pod.stop("SIGKILL")));
    }
    return this.pods;
  }

  /** Starts the load on all pods, without a wait for the backplane. */
  async startLoad() {
    this.ledger = new Ledger(this.pods.length);
    this.load = this.keep(new Load(this.ledger));
    await this.load.start(this.pods);
  }

  /** Starts the load, and lets it run while nothing is wrong. What comes next is the fault. */
  async settle() {
    await this.startLoad();
    this.#begin = await this.whole();
    const sent = this.ledger.shortest();
    await until(`${BEFORE} messages`, () => this.ledger.shortest() >= sent + BEFORE);
    this.fault();
    // What is still on its way is not what the fault may have.
    await this.#arrived("before the fault", this.#begin, this.#faultAt);
    this.#brokenAt = now();
  }

  /** What is published from now on meets the fault. */
  fault() {
    this.#faultAt = now();
    this.#brokenAt = this.#faultAt;
  }

  /** Waits until what was published in this time has arrived; if it does not, the outcome tells of it. */
  async #arrived(when, from, to) {
    const missing = () => this.ledger.missing(from, to);
    const arrived = () => missing().length === 0;
    const some = () => missing().slice(0, 10);
    await explain(`all arrived ${when}`, arrived, SETTLE_MS, some).catch(this.#complain);
  }

  /** Waits until these pods have seen that they are cut off, by their gauge: the API may be slow then. */
  async seen(pods = this.pods) {
    const gauges = () => Promise.all(pods.map((pod) => pod.metric("roomcast_backplane_connected")));
    const allZero = async () => {
      const zero = (await gauges()).every((gauge) => gauge === 0);
      if (!zero) await setTimeout(POLL_MS);
      return zero;
    };
    await until("the gauge of every pod cut off is 0", allZero, NOTICE_MS).then(() => {
      this.#noticed = now() - this.#brokenAt;
    }, this.#complain);
  }

  /** The same, in all the places where they say it; and proves that their clients still reach each other. */
  async cutOff(pods = this.pods) {
    await this.seen(pods);
    const expected = { gauge: 0, connected: false, ready: this.settings.ready_when_away };
    const cut = async () => {
      const seen = await states(pods);
      return seen.every((state) => says(state, expected));
    };
    try {
      await explain(`cut off: ${JSON.stringify(expected)}`, cut, NOTICE_MS, () => states(pods));
    } catch (error) {
      this.#complain(error);
      return;
    }
    const since = now();
    for (const pod of pods) {
      const relay = relayOf(this.pods.indexOf(pod));
      const heard = () => this.ledger.heardAtHome(relay, since);
      await until(`${relay} reaches another client of it`, heard, LOCAL_MS).catch(this.#complain);
    }
    // Had it healed meanwhile, the above would prove nothing.
    if (!(await cut())) this.#complain(new Error("not cut off for long enough"));
  }

  /** Waits until the log of every pod warns of the backplane. */
  async warned() {
    const warning = ({ level, message }) => level === "WARN" && /backplane|redis/i.test(message);
    const all = () => this.pods.every(({ logs }) => logs.some(warning));
    await until("a warning in the log of every pod", all, NOTICE_MS).catch(this.#complain);
  }

  /** Keeps what is wrong for the end, so that the table tells of the whole fault. */
  #complain = ({ message }) => {
    this.#complaints.push(message);
  };

  /** Waits until messages arrive in every direction and every pod says so; gives when that was. */
  async whole() {
    const begun = now();
    const complaint = async () => {
      const silent = this.ledger.silentSince(begun);
      if (silent.length > 0) return silent;
      const well = { ready: true, gauge: 1, connected: true, ...(!ONLY_NODE && { pods: this.pods.length }) };
      const unwell = (await states(this.pods)).filter((state) => !says(state, well));
      return unwell.length > 0 && unwell;
    };
    await explain("whole", async () => !(await complaint()), HEAL_MS, complaint);
    return now();
  }

  /** The same after a fault, or a part of one; gives nothing if it takes too long, and the outcome tells. */
  mended() {
    return this.whole().catch(this.#complain);
  }

  /** The fault is over: waits until the cluster is whole, lets the load run on, ends it, and tells the tale. */
  async outcome() {
    const over = now();
    const healed = await this.mended();
    // Where it never is, what comes after the wait is counted all the same.
    const afterwards = healed ?? now();
    const sent = this.ledger.shortest();
    await until(`${AFTER} messages`, () => this.ledger.shortest() >= sent + AFTER);
    await this.load.pause();
    await this.#arrived("afterwards", afterwards);
    const doubled = this.ledger.doubled().slice(0, 10);
    if (doubled.length > 0) this.#complain(new Error(`doubled: ${JSON.stringify(doubled)}`));
    return {
      noticed: this.#noticed && seconds(this.#noticed),
      healed: healed && seconds(healed - over),
      before: this.#begin && this.ledger.tally(this.#begin, this.#faultAt),
      during: this.ledger.tally(this.#faultAt, afterwards),
      after: this.ledger.tally(afterwards),
      all: this.ledger.tally(),
      strangers: this.ledger.strangers,
      disconnects: this.load.disconnects,
      skipped: this.load.skipped,
      complaints: this.#complaints,
      ...(await this.#counted()),
    };
  }

  /** What the pods counted themselves. */
  async #counted() {
    const sum = async (name) => {
      const values = await Promise.all(this.pods.map((pod) => pod.metric(name)));
      return values.reduce((total, value) => total + value, 0);
    };
    return {
      dropped: await sum("roomcast_backplane_messages_dropped_total"),
      reconnects: await sum("roomcast_backplane_reconnects_total"),
    };
  }

  async end() {
    for (const stop of this.#cleanups) await stop();
  }
}

/** Waits, and says what is wrong when it takes too long. */
async function explain(what, condition, timeout, complaint) {
  try {
    await until(what, condition, timeout);
  } catch (error) {
    throw new Error(`${error.message}: ${JSON.stringify(await complaint())}`);
  }
}

/** What every fault must leave: nothing doubled, nothing lost before or after, no client disconnected. */
export function check(outcome) {
  const { noticed, before, after, all, strangers, disconnects, complaints, reconnects } = outcome;
  assert.deepEqual(complaints, []);
  for (const [when, counts] of Object.entries({ ...(before && { before }), after })) {
    const { published, lost, refused } = counts;
    assert.ok(published > 0, `${when}: something was published`);
    assert.deepEqual({ lost, refused }, { lost: 0, refused: 0 }, when);
  }
  // One that was connected, and then was not, has found back.
  if (before && noticed) assert.ok(reconnects > 0, "reconnects are counted");
  assert.equal(all.doubled, 0, "doubled");
  assert.equal(all.lostAtHome, 0, "lost among the clients of one pod");
  assert.deepEqual(all.failures, {}, "answers that are neither accepted nor refused");
  assert.deepEqual(strangers, []);
  assert.deepEqual(disconnects, []);
}
