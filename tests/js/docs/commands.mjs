// The commands in the code of a page, as words: what `helm` and `roomcast` are told there.

import { text } from "./page.mjs";

/** Lines of fenced and indented code, with those that end in a backslash joined to the next. */
function lines(page) {
  const code = [];
  let fence = false;
  for (const line of text(page).replaceAll(/\\\n\s*/g, " ").split("\n")) {
    if (/^ *```/.test(line)) fence = !fence;
    else if (fence || /^ {4,}\S/.test(line)) code.push(line.trim());
  }
  return code;
}

/** The words of a command, without comments; what a shell would put in has `x` in its place. */
function words(line) {
  const plain = line.replaceAll(/\$\([^)]*\)/g, "x").replaceAll(/\$\{?\w+\}?/g, "x");
  const found = plain.match(/"(?:[^"\\]|\\.)*"|'[^']*'|#.*$|(?:"[^"]*"|'[^']*'|[^\s#"'])+/g) ?? [];
  return found.filter((word) => !word.startsWith("#")).map((word) => word.replaceAll(/["']/g, ""));
}

/** Commands of a page that run `program`, each as the words that follow it. */
export function commands(page, program) {
  return lines(page)
    .flatMap((line) => line.split(/\s(?:\||&&|;)\s/))
    .map(words)
    .filter(([first]) => first === program)
    .map(([, ...rest]) => rest);
}

/** The values of an option, written as `--set a=b` or `--set=a=b`. */
export function options(command, ...names) {
  return command.flatMap((word, index) => {
    if (names.includes(word)) return [command[index + 1]];
    const [name, ...value] = word.split("=");
    return names.includes(name) && value.length ? [value.join("=")] : [];
  });
}
