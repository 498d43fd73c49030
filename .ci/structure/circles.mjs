// Which file needs which, and the circles of files that need each other.

import { resolve } from "./modules.mjs";

/**
 * The files that each file of a crate needs, with the names that it takes from them. An item counts for the file that
 * defines it, also where a parent exports it again; to export it again is not to need it.
 */
export function needs({ top, modules }) {
  return new Map(modules.map((module) => [module.file, needsOf(top, module)]));
}

function needsOf(top, module) {
  const needed = new Map();
  const need = (path) => {
    const found = resolve(top, module, path);
    if (!found || found.module === module || found.name === undefined) return;
    const names = needed.get(found.module.file) ?? new Set();
    needed.set(found.module.file, names.add(found.name));
  };
  for (const { path, name, reexport } of module.imports) {
    if (name === "*" && !reexport) need([...path, "*"]);
    else if (!reexport || module.words.has(name)) need(path);
  }
  module.paths.forEach(need);
  return needed;
}

/** The circles of a graph: sets of more than one node of which each reaches each (Tarjan's components). */
export function circles(graph) {
  const [order, low, stack, found] = [new Map(), new Map(), [], []];
  const visit = (node) => {
    order.set(node, order.size);
    low.set(node, order.get(node));
    stack.push(node);
    for (const next of graph.get(node)?.keys() ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node), low.get(next)));
    }
    if (low.get(node) !== order.get(node)) return;
    const component = stack.splice(stack.indexOf(node));
    if (component.length > 1) found.push(component.sort());
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return found.sort();
}
