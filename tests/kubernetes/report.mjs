// What the live tests saw, as a page: docs/kubernetes/tried.md, with its plots beside it.

import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

import { ROOT } from "../js/pod.mjs";

const FOLDER = join(ROOT, "artifacts/kubernetes");
const FILE = join(FOLDER, "report.json");

/** Forgets what earlier runs saw. */
export const begin = () => rmSync(FILE, { force: true });

/** Keeps what a test saw: a row for each of `{what: seen}`, and the file of a plot. */
export function saw(chapter, rows, plot) {
  mkdirSync(FOLDER, { recursive: true });
  let all = {};
  try {
    all = JSON.parse(readFileSync(FILE, "utf8"));
  } catch {
    // The first one.
  }
  all[chapter] = { at: new Date().toISOString().slice(0, 16).replace("T", " "), rows, plot };
  writeFileSync(FILE, JSON.stringify(all, undefined, 2));
}

/** Writes the page of all that is kept. */
export function write(versions) {
  const all = JSON.parse(readFileSync(FILE, "utf8"));
  const lines = [
    "# Tried on a real cluster",
    "",
    "Written by `make test-kubernetes`, which runs the chart in a cluster on one machine with stock clients under load, every",
    "message numbered. Figures are of that machine, which clients, nodes and Redis share.",
    "",
    "| what | version |",
    "|---|---|",
    ...Object.entries(versions).map(([what, version]) => `| ${what} | ${version} |`),
  ];
  const pictures = join(ROOT, "docs/kubernetes/tried");
  rmSync(pictures, { recursive: true, force: true });
  mkdirSync(pictures);
  for (const [chapter, { at, rows, plot }] of Object.entries(all)) {
    lines.push("", `## ${chapter}`, "", `${at} UTC.`, "", "| what | seen |", "|---|---|");
    for (const [what, seen] of Object.entries(rows)) lines.push(`| ${what} | ${seen} |`);
    if (plot) {
      copyFileSync(plot, join(pictures, basename(plot)));
      lines.push("", `![connections of each pod](tried/${basename(plot)})`);
    }
  }
  writeFileSync(join(ROOT, "docs/kubernetes/tried.md"), `${lines.join("\n")}\n`);
}
