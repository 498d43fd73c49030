// Splits Rust source into tokens, without comments and the contents of literals: enough to see items and paths, no more.

const IDENT = /[A-Za-z_]\w*/y;
const RAW_STRING = /(?:b|c)?r(#*)"/y;
const CHAR = /b?'(?:\\(?:u\{[^}]*\}|x[0-9a-fA-F]{2}|.)|[^\\'])'/y;
const LIFETIME = /'[A-Za-z_]\w*/y;
const NUMBER = /\d[\w]*(?:\.\d[\w]*)?/y;

/** The tokens of a file: identifiers, `::`, `->`, and every other character alone. A literal is the token `""`. */
export function tokens(source) {
  const found = [];
  let at = 0;
  const take = (pattern) => {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (match) at = pattern.lastIndex;
    return match;
  };
  while (at < source.length) {
    const two = source.slice(at, at + 2);
    if (/\s/.test(source[at])) {
      at += 1;
    } else if (two === "//") {
      at = after(source, "\n", at);
    } else if (two === "/*") {
      at = afterBlockComment(source, at);
    } else if (two === "::" || two === "->" || two === "=>") {
      found.push(two);
      at += 2;
    } else {
      const raw = take(RAW_STRING);
      if (raw) {
        at = after(source, `"${raw[1]}`, at);
        found.push('""');
      } else if (source[at] === '"' || /^[bc]"/.test(two)) {
        at = afterString(source, source.indexOf('"', at) + 1);
        found.push('""');
      } else if (take(CHAR)) {
        found.push('""');
      } else if (!take(LIFETIME)) {
        const word = take(IDENT) ?? take(NUMBER);
        found.push(word ? word[0] : source[at++]);
      }
    }
  }
  return found;
}

/** The place behind the next `end`, or the end of the source. */
function after(source, end, from) {
  const at = source.indexOf(end, from);
  return at < 0 ? source.length : at + end.length;
}

function afterString(source, from) {
  let at = from;
  while (at < source.length && source[at] !== '"') at += source[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** Block comments of Rust nest. */
function afterBlockComment(source, from) {
  let [at, depth] = [from + 2, 1];
  while (at < source.length && depth > 0) {
    const two = source.slice(at, at + 2);
    if (two === "/*") depth += 1;
    if (two === "*/") depth -= 1;
    at += two === "/*" || two === "*/" ? 2 : 1;
  }
  return at;
}

const CLOSING = { "{": "}", "(": ")", "[": "]", "<": ">" };

/** The place of the token that closes the bracket at `open`. */
export function closing(list, open) {
  const [from, to] = [list[open], CLOSING[list[open]]];
  let depth = 0;
  for (let at = open; at < list.length; at += 1) {
    if (list[at] === from) depth += 1;
    if (list[at] === to && --depth === 0) return at;
  }
  return list.length;
}
