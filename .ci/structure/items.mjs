// What one file of Rust declares, imports, and names by a path. Code that only tests are built from is left out.

import { closing, tokens } from "./tokens.mjs";

const NAMED = new Set(["struct", "enum", "union", "trait", "type", "fn", "const", "static"]);

/**
 * Reads a file: `mods` are the modules that have files of their own, `defined` the names of its items, `imports` the
 * leaves of its `use` (`{ path, name, reexport }`; the name of a glob is `*`), `paths` what its code names by `a::b`,
 * `words` all identifiers outside of `use`, `methods` the public functions of each `impl Type` (`{ type, name }`).
 */
export function items(source) {
  const list = withoutTests(tokens(source));
  const file = { mods: [], defined: new Set(), imports: [], paths: [], words: new Set(), methods: [] };
  // The depth at which items of the module stand: an inline `mod` is read as part of its file.
  const brackets = [];
  for (let at = 0; at < list.length; at += 1) {
    const token = list[at];
    if (token === "{") brackets.push(list[at - 2] === "mod" ? "mod" : "body");
    else if (token === "}") brackets.pop();
    else if (token === "use" && isStart(list, at)) at = readUse(list, at, file);
    else if (token === "mod" && list[at + 2] === ";") file.mods.push(list[at + 1]);
    else if (token === "impl" && isStart(list, at)) readImpl(list, at, file);
    else if (token === "macro_rules") file.defined.add(list[at + 2]);
    else if (isWord(token)) {
      file.words.add(token);
      if (!brackets.includes("body") && NAMED.has(token) && isWord(list[at + 1])) define(list, at, file);
      if (list[at + 1] === "::" && list[at - 1] !== "::") file.paths.push(pathAt(list, at));
    }
  }
  return file;
}

const isWord = (token) => token !== undefined && /^[A-Za-z_]/.test(token);

/** Whether an item may begin here: not `x.use`, nor the `impl Trait` of a type. */
function isStart(list, at) {
  const before = list[at - 1];
  return before === undefined || [";", "{", "}", "]", "pub", ")", "unsafe"].includes(before);
}

function define(list, at, file) {
  // `const fn`, `unsafe fn`: the name comes later.
  const name = list[at + 1];
  if (!NAMED.has(name) && !["async", "unsafe", "extern", "_"].includes(name)) file.defined.add(name);
}

function pathAt(list, at) {
  const path = [list[at]];
  for (let next = at + 1; list[next] === "::" && isWord(list[next + 1]); next += 2) path.push(list[next + 1]);
  return path;
}

/** Reads `use a::{b, c::d as e};` from the token `use` on; gives the place of its `;`. */
function readUse(list, at, file) {
  const reexport = list[at - 1] === "pub" || (list[at - 1] === ")" && list.slice(at - 6, at).includes("pub"));
  const end = list.indexOf(";", at);
  const leaf = (path, name) => {
    if (path.at(-1) === "self") path = path.slice(0, -1);
    file.imports.push({ path, name: name ?? path.at(-1), reexport });
  };
  const tree = (place, prefix) => {
    let path = prefix;
    for (let next = place; ; next += 1) {
      const token = list[next];
      if (token === "{") {
        const close = closing(list, next);
        for (let inner = next + 1; inner < close; inner += 1) inner = tree(inner, path);
        return close + 1;
      }
      if (token === "*") {
        file.imports.push({ path, name: "*", reexport });
        return next + 1;
      }
      if (token === "as") {
        leaf(path, list[next + 1]);
        return next + 2;
      }
      if (token === "," || token === "}" || token === ";" || token === undefined) {
        if (path !== prefix) leaf(path);
        return next;
      }
      if (isWord(token)) path = [...path, token];
    }
  };
  tree(at + 1, []);
  return end;
}

/** Reads the public functions of `impl<…> Type<…> {`; an `impl Trait for Type` has none of its own. */
function readImpl(list, at, file) {
  let next = at + 1;
  if (list[next] === "<") next = closing(list, next) + 1;
  const open = list.indexOf("{", next);
  const head = list.slice(next, open);
  const bound = head.indexOf("where");
  if ((bound < 0 ? head : head.slice(0, bound)).includes("for")) return;
  const type = pathAt(list, next);
  const close = closing(list, open);
  for (let place = open + 1; place < close; place += 1) {
    if (list[place] === "{") place = closing(list, place);
    else if (list[place] === "fn" && isPublic(list, place)) file.methods.push({ type, name: list[place + 1] });
  }
}

/** Whether `pub` stands before this `fn`, with `const`, `async` and the like in between. */
function isPublic(list, at) {
  let before = at - 1;
  while (["const", "async", "unsafe", "extern", '""'].includes(list[before])) before -= 1;
  if (list[before] === ")") while (list[before] !== "(") before -= 1;
  if (list[before] === "(") before -= 1;
  return list[before] === "pub";
}

/** Takes out what stands behind `#[cfg(test)]`, or `#[cfg(all(test, …))]`: an item, a statement, a field. */
function withoutTests(list) {
  const kept = [];
  for (let at = 0; at < list.length; at += 1) {
    if (isTestOnly(list, at)) at = lastOf(list, at) ?? list.length;
    else kept.push(list[at]);
  }
  return kept;
}

const ITEMS = new Set([...NAMED, "async", "extern", "impl", "macro_rules", "mod", "unsafe", "use"]);

/** The last token of what the attribute at `at` is of. */
function lastOf(list, at) {
  while (list[at] === "#") at = closing(list, at + 1) + 1;
  let first = at;
  if (list[first] === "pub") first += 1;
  if (list[first] === "(") first = closing(list, first) + 1;
  const isItem = ITEMS.has(list[first]);
  for (; at < list.length; at += 1) {
    const token = list[at];
    if (token === ";" || (token === "," && !isItem)) return at;
    if (token === "}") return at - 1;
    if (token === "(" || token === "[") at = closing(list, at);
    if (token !== "{") continue;
    at = closing(list, at);
    // Not the `{…}` of a `use` or of a literal: those end with what comes behind it.
    if (![";", ",", "}", ")", "."].includes(list[at + 1])) return at;
  }
  return undefined;
}

function isTestOnly(list, at) {
  if (list[at] !== "#" || list[at + 1] !== "[" || list[at + 2] !== "cfg") return false;
  const inside = list.slice(at + 4, closing(list, at + 1));
  return inside[0] === "test" || (inside[0] === "all" && inside.includes("test") && !inside.includes("not"));
}
