// The public functions of each type of a crate, wherever its `impl` blocks stand.

import { basename, dirname } from "node:path";

import { resolve } from "./modules.mjs";

/** The names of the functions, by the path of the type: `gateway::socket::Socket`. What is private does not count. */
export function functions({ top, modules }) {
  const found = new Map();
  for (const module of modules) {
    for (const { type, name } of module.methods) {
      const at = resolve(top, module, type);
      // A type of another crate has no `impl` here.
      if (at?.name === undefined) continue;
      const key = [...path(at.module), at.name].join("::");
      found.set(key, [...(found.get(key) ?? []), name]);
    }
  }
  return found;
}

/** The path of a module in its crate. */
function path(module) {
  if (module.parent === undefined) return [];
  const name = basename(module.file, ".rs");
  return [...path(module.parent), name === "mod" ? basename(dirname(module.file)) : name];
}
