// Reads the pages for users: their code blocks, their links, their headings.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";

import { ROOT } from "../pod.mjs";

/** Every page that users read, by its path in the repository. */
export function pages() {
  const docs = readdirSync(join(ROOT, "docs"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".md"))
    .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)));
  const others = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "helm/roomcast/README.md", "k8s/README.md"];
  return [...others.filter((page) => existsSync(join(ROOT, page))), ...docs.sort()];
}

export const text = (page) => readFileSync(join(ROOT, page), "utf8");

/** The fenced blocks of a page: `info` is what stands behind the fence, as "python publish.py". */
export function fenced(page) {
  return [...text(page).matchAll(/^( *)```([^\n`]*)\n([\s\S]*?)^ *```\s*$/gm)].map(([, indent, info, code]) => ({
    info: info.trim(),
    code: code.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  }));
}

/** The code of the block that a page gives this name. */
export function block(page, name) {
  const found = fenced(page).filter(({ info }) => info.split(" ")[1] === name);
  if (found.length !== 1) throw new Error(`${page} has ${found.length} blocks that are called ${name}`);
  return found[0].code;
}

/** A page without its code: what is left is prose, where links are links. */
export function prose(page) {
  return text(page)
    .replaceAll(/^( *)```[\s\S]*?^ *```\s*$/gm, "")
    .replaceAll(/^ {4,}.*$/gm, "")
    .replaceAll(/`[^`\n]*`/g, "code");
}

/** Where a heading is reached, as GitHub makes it. */
const anchor = (heading) =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");

export function anchors(page) {
  const code = /^( *)```[\s\S]*?^ *```\s*$/gm;
  const headings = [...text(page).replaceAll(code, "").matchAll(/^#{1,6} (.*)$/gm)].map(([, heading]) => anchor(heading));
  const seen = new Map();
  return new Set(
    headings.map((name) => {
      const before = seen.get(name) ?? 0;
      seen.set(name, before + 1);
      return before ? `${name}-${before}` : name;
    }),
  );
}
