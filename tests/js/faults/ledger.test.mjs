// The count itself: a fault suite that cannot see a loss would always pass.

import assert from "node:assert/strict";
import { test } from "node:test";

import { LATE_MS, Ledger } from "./ledger.mjs";

const BACKEND = "backend of pod 0";
/** A ledger with one publisher. */
const ledgerOf = (pods) => {
  const ledger = new Ledger(pods);
  ledger.expect(BACKEND);
  return ledger;
};
const accepted = (ledger, at) => {
  const message = ledger.published(BACKEND, 0, at);
  message.answer = "accepted";
  return message;
};
const counts = (ledger, ...window) => {
  const { published, refused, due, lost, doubled, late } = ledger.tally(...window);
  return { published, refused, due, lost, doubled, late };
};
const NOTHING = { published: 0, refused: 0, due: 0, lost: 0, doubled: 0, late: 0 };

test("a message that arrives once on each pod, and in time, is fine", () => {
  const ledger = ledgerOf(2);
  const { publisher, number } = accepted(ledger, 100);
  for (const pod of [0, 1]) ledger.arrived(pod, publisher, number, 100 + LATE_MS);
  assert.deepEqual(counts(ledger), { ...NOTHING, published: 1, due: 2 });
  assert.deepEqual(ledger.strangers, []);
});

test("what is missing on a pod is lost, at home or elsewhere", () => {
  const ledger = ledgerOf(2);
  for (const pod of [0, 1]) {
    const { publisher, number } = accepted(ledger, 100);
    ledger.arrived(pod, publisher, number, 110);
  }
  assert.deepEqual(counts(ledger), { ...NOTHING, published: 2, due: 4, lost: 2 });
  assert.equal(ledger.tally().lostAtHome, 1);
  assert.deepEqual(ledger.missing(0), [`${BACKEND}, message 0 > pod 1`, `${BACKEND}, message 1 > pod 0`]);
});

test("what arrives twice on one pod is doubled, even if it was refused", () => {
  const ledger = ledgerOf(2);
  const { publisher, number } = ledger.published(BACKEND, 0, 100);
  for (const pod of [0, 0, 1]) ledger.arrived(pod, publisher, number, 110);
  assert.equal(ledger.tally().doubled, 1);
  assert.deepEqual(ledger.doubled(), [`${BACKEND}, message 0 > pod 0, 2 times`]);
});

test("what arrives after the limit is late, and not lost", () => {
  const ledger = ledgerOf(2);
  const { publisher, number } = accepted(ledger, 100);
  ledger.arrived(0, publisher, number, 101);
  ledger.arrived(1, publisher, number, 101 + LATE_MS);
  assert.deepEqual(counts(ledger), { ...NOTHING, published: 1, due: 2, late: 1 });
});

test("what was refused is not lost; it is told apart from what failed and from what had no answer", () => {
  const ledger = ledgerOf(2);
  for (const answer of ["refused", "500 internal", undefined]) {
    ledger.published(BACKEND, 0, 100).answer = answer;
  }
  ledger.arrived(0, BACKEND, 0, 110);
  assert.equal(ledger.tally().refusedYetArrived, 0, "its own clients may get it");
  ledger.arrived(1, BACKEND, 0, 110);
  assert.equal(ledger.tally().refusedYetArrived, 1);
  assert.deepEqual(counts(ledger), { ...NOTHING, published: 3, refused: 1 });
  assert.deepEqual(ledger.tally().failures, { "500 internal": 1, "no answer": 1 });
  assert.deepEqual(ledger.missing(0), [`${BACKEND}, message 2: no answer`]);
});

test("a window counts by when a message was published", () => {
  const ledger = ledgerOf(1);
  for (const at of [100, 200, 300]) accepted(ledger, at);
  assert.equal(counts(ledger, 100, 300).lost, 2);
  assert.equal(counts(ledger, 300).lost, 1);
});

test("a publisher that has sent nothing yet is silent in every direction", () => {
  assert.deepEqual(ledgerOf(2).silentSince(0), [`${BACKEND} > pod 0`, `${BACKEND} > pod 1`]);
  assert.equal(ledgerOf(2).shortest(), 0);
});

test("a direction is silent until something new arrives in it", () => {
  const ledger = ledgerOf(2);
  const { publisher, number } = accepted(ledger, 100);
  for (const pod of [0, 1]) ledger.arrived(pod, publisher, number, 110);
  assert.deepEqual(ledger.silentSince(100), []);
  assert.equal(ledger.silentSince(101).length, 2);
  ledger.arrived(1, publisher, accepted(ledger, 150).number, 160);
  assert.deepEqual(ledger.silentSince(101), [`${BACKEND} > pod 0`]);
  assert.ok(!ledger.heardAtHome(publisher, 101));
  assert.ok(ledger.heardAtHome(publisher, 100));
});

test("an arrival that nobody published is seen", () => {
  const ledger = ledgerOf(1);
  ledger.arrived(0, "nobody", 7, 100);
  assert.equal(ledger.strangers.length, 1);
});
