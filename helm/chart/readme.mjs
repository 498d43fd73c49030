// README.md of the chart: an introduction, and a table of the values by what values.yaml says of them.

import { readFileSync } from "node:fs";

import { documented } from "./values.mjs";

/** What is one value here although it has keys. */
const WHOLE = /^(secrets\.\w+|strategy|podSecurityContext|securityContext|(startup|liveness|readiness)Probe|metrics\.dashboard\.labels)$/;

const cell = (text) => text.replaceAll("|", "\\|");

function defaultOf(value) {
  const text = JSON.stringify(value);
  // What is longer is read in values.yaml.
  return text.length > 70 ? "see `values.yaml`" : `\`${text.replace(/^"(.+)"$/, "$1")}\``;
}

export function readme() {
  const lines = [readFileSync(new URL("introduction.md", import.meta.url), "utf8")];
  let section;
  let whole;
  for (const { path, means, heading, value, inner } of documented()) {
    const name = path.join(".");
    if (whole && name.startsWith(`${whole}.`)) continue;
    whole = WHOLE.test(name) ? name : undefined;
    if (heading !== section) {
      section = heading;
      lines.push(`## ${section}\n`, "| value | default | what it is |", "|---|---|---|");
    }
    if (inner && !whole) {
      if (means) lines.push(`| **\`${name}\`** | | ${cell(means)} |`);
    } else {
      lines.push(`| \`${name}\` | ${cell(defaultOf(value))} | ${cell(means)} |`);
    }
  }
  return `${lines.join("\n").replace(/\n(## )/g, "\n\n$1").replace(/\n{3,}/g, "\n\n")}\n`;
}
