// What became of numbered messages: refused, lost, doubled, late.
//
// A message is due once on every pod. What was refused is not due anywhere: its publisher was told.

/** An arrival this much after it was published is late. */
export const LATE_MS = 1000;
const UNANSWERED = "no answer";

export class Ledger {
  #pods;
  /** Of each publisher, in the order of time. */
  #messages = new Map();
  /** Arrivals that nobody published: must stay empty. */
  strangers = [];

  /** `pods` is how many there are; each has one receiver. */
  constructor(pods) {
    this.#pods = pods;
  }

  /** From now on messages are expected of this publisher. */
  expect(publisher) {
    this.#messages.set(publisher, []);
  }

  /** Writes down that `publisher`, a client or backend of the pod `home`, sends its next message. */
  published(publisher, home, at) {
    const list = this.#messages.get(publisher);
    const message = {
      ...{ publisher, home, at, number: list.length },
      answer: undefined,
      copies: Array(this.#pods).fill(0),
      first: Array(this.#pods).fill(undefined),
    };
    list.push(message);
    return message;
  }

  arrived(pod, publisher, number, at) {
    const message = this.#messages.get(publisher)?.[number];
    if (!message) {
      this.strangers.push({ pod, publisher, number });
      return;
    }
    message.copies[pod] += 1;
    message.first[pod] ??= at;
  }

  /** The fewest messages that any publisher has sent. */
  shortest() {
    return Math.min(...[...this.#messages.values()].map((list) => list.length));
  }

  #since(at, until = Infinity, lists = [...this.#messages.values()]) {
    // Each list is in the order of time, and this is asked often: only its tail is looked at.
    return lists.flatMap((list) =>
      list.slice(list.findLastIndex((message) => message.at < at) + 1).filter((message) => message.at < until),
    );
  }

  /** The directions, as `publisher > pod`, in which nothing published since then has arrived. */
  silentSince(at) {
    const heard = new Set();
    for (const { publisher, first } of this.#since(at)) {
      first.forEach((when, pod) => when !== undefined && heard.add(`${publisher} > pod ${pod}`));
    }
    return [...this.#messages.keys()]
      .flatMap((publisher) => Array.from({ length: this.#pods }, (_, pod) => `${publisher} > pod ${pod}`))
      .filter((direction) => !heard.has(direction));
  }

  /** Whether a message that `publisher` sent since then has reached its own pod. */
  heardAtHome(publisher, since) {
    const own = this.#since(since, Infinity, [this.#messages.get(publisher)]);
    return own.some(({ first, home }) => first[home] !== undefined);
  }

  /** What of this time has no answer yet, or was accepted and has not arrived everywhere. */
  missing(from, until) {
    return this.#since(from, until).flatMap(({ publisher, number, answer, copies }) => {
      const what = `${publisher}, message ${number}`;
      if (answer === undefined) return [`${what}: ${UNANSWERED}`];
      if (answer !== "accepted") return [];
      return copies.flatMap((copy, pod) => (copy === 0 ? [`${what} > pod ${pod}`] : []));
    });
  }

  /** What has arrived more than once, and where. */
  doubled() {
    return this.#since(0).flatMap(({ publisher, number, copies }) => {
      const what = `${publisher}, message ${number}`;
      return copies.flatMap((copy, pod) => (copy > 1 ? [`${what} > pod ${pod}, ${copy} times`] : []));
    });
  }

  /** What became of all that was published from `from` on and before `until`, in figures. */
  tally(from = 0, until = Infinity) {
    const counts = { published: 0, refused: 0, due: 0, lost: 0, lostAtHome: 0, doubled: 0, late: 0 };
    counts.refusedYetArrived = 0;
    counts.failures = {};
    for (const { at, home, answer, copies, first } of this.#since(from, until)) {
      counts.published += 1;
      counts.doubled += copies.filter((copy) => copy > 1).length;
      if (answer === "accepted") {
        counts.due += copies.length;
        counts.lost += copies.filter((copy) => copy === 0).length;
        counts.lostAtHome += copies[home] === 0 ? 1 : 0;
        counts.late += first.filter((when) => when - at > LATE_MS).length;
      } else if (answer === "refused") {
        counts.refused += 1;
        counts.refusedYetArrived += copies.some((copy, pod) => copy > 0 && pod !== home) ? 1 : 0;
      } else {
        const reason = answer ?? UNANSWERED;
        counts.failures[reason] = (counts.failures[reason] ?? 0) + 1;
      }
    }
    return counts;
  }
}
