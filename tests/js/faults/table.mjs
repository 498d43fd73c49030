// The outcome of all faults as one Markdown table.

import { LATE_MS } from "./ledger.mjs";

const COLUMNS = {
  fault: ({ fault }) => fault,
  mode: ({ mode }) => mode,
  "seen (s)": ({ noticed }) => noticed ?? "–",
  "whole (s)": ({ healed }) => healed ?? "never",
  published: ({ during }) => during.published,
  refused: ({ during }) => during.refused,
  due: ({ during }) => during.due,
  lost: ({ during }) => during.lost,
  late: ({ during }) => during.late,
  "refused, arrived": ({ during }) => during.refusedYetArrived,
  dropped: ({ dropped }) => dropped,
  reconnects: ({ reconnects }) => reconnects,
  skipped: ({ skipped }) => skipped,
  "due after": ({ after }) => after.due,
  "lost after": ({ after }) => after.lost,
  "late after": ({ after }) => after.late,
  doubled: ({ all }) => all.doubled,
};

const LEGEND = `
seen: from the fault until the gauge of its pods says that they are cut off; whole: from its end until messages arrive in
every direction and all pods say so. published and refused are messages, from the fault until the cluster is
whole; each accepted one is due once on every pod, and lost, late (by more than ${LATE_MS} ms) and doubled are
counted there. "refused, arrived": their publisher was told that they were refused, and another pod has them
all the same. dropped and reconnects: what the pods counted themselves, a message once for each pod that
dropped it. skipped: what the suite did not publish, because the machine was too busy. The last four columns: what was published once the cluster was whole, and doubled over all.`;

export function table(outcomes) {
  const rows = outcomes.map((outcome) => Object.values(COLUMNS).map((cell) => String(cell(outcome))));
  const heads = Object.keys(COLUMNS);
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`;
  const rule = line(widths.map((width) => "-".repeat(width)));
  return [line(heads), rule, ...rows.map(line), LEGEND].join("\n");
}
