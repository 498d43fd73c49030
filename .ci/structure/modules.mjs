// The modules of a crate, and which file an item that one of them names stands in.

import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";

import { items } from "./items.mjs";

/** The crate whose root is this file: its modules, by file relative to `base`. */
export function crate(root, base) {
  const modules = new Map();
  const read = (path, parent) => {
    const file = relative(base, path);
    const module = { file, parent, children: new Map(), ...items(readFileSync(path, "utf8")) };
    modules.set(file, module);
    const name = basename(path, ".rs");
    const own = parent === undefined || name === "mod";
    const folder = own ? dirname(path) : join(dirname(path), name);
    for (const child of module.mods) {
      const place = [join(folder, `${child}.rs`), join(folder, child, "mod.rs")].find(existsSync);
      if (place) module.children.set(child, read(place, module));
    }
    return module;
  };
  const top = read(root, undefined);
  return { top, modules: [...modules.values()] };
}

/** Finds what a path names in `module`: `{ module, name }`, without a name if it is the module itself; else nothing. */
export function resolve(top, module, path, seen = new Set()) {
  const key = `${module.file} ${path.join("::")}`;
  if (seen.has(key)) return undefined;
  seen.add(key);
  let [at, rest] = [module, path];
  if (rest[0] === "crate") [at, rest] = [top, rest.slice(1)];
  else if (rest[0] === "self") rest = rest.slice(1);
  while (rest[0] === "super" && at) [at, rest] = [at.parent, rest.slice(1)];
  return at && walk(top, at, rest, seen);
}

function walk(top, module, [name, ...rest], seen) {
  if (name === undefined) return { module };
  const child = module.children.get(name);
  if (child) return walk(top, child, rest, seen);
  if (module.defined.has(name)) return { module, name };
  for (const each of module.imports) {
    if (each.name === name) return resolve(top, module, [...each.path, ...rest], seen);
  }
  for (const each of module.imports) {
    if (each.name !== "*") continue;
    const found = resolve(top, module, [...each.path, name, ...rest], seen);
    if (found) return found;
  }
  return undefined;
}
