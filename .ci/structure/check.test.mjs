// That circles and large types are seen, in crates that are made for it.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";

import { problems } from "./check.mjs";

/** What is wrong in a crate of these files of `src`; the first line of each. */
function check(files, options) {
  const folder = mkdtempSync(join(tmpdir(), "structure-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      const file = join(folder, "src", name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    return problems(folder, options);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const first = (problems) => problems.map((problem) => problem.split("\n")[0]);
const ROOT = { "lib.rs": "mod room;" };
const ROOM = { ...ROOT, "room/mod.rs": "mod a;\nmod b;\npub use a::A;\npub(crate) use b::B;" };

for (const [how, a, b] of [
  ["super", "use super::b::B; pub struct A(B);", "use super::a::A; pub struct B(Box<A>);"],
  ["crate", "use crate::room::b::B; pub struct A(B);", "use crate::room::a::A; pub struct B(Box<A>);"],
  ["what the folder exports again", "use super::B; pub struct A(B);", "use super::A; pub struct B(Box<A>);"],
  ["groups", "use crate::{room::{b::{self, B}, a as own}}; pub struct A(B);", "use super::{a::{A as Other}}; pub struct B(Box<Other>);"],
  ["a module", "use super::b; pub struct A(b::B);", "use super::a; pub struct B(Box<a::A>);"],
  ["paths without an import", "pub struct A(super::b::B);", "pub struct B(Box<crate::room::a::A>);"],
]) {
  test(`a circle is seen over ${how}`, () => {
    const [problem, ...others] = check({ ...ROOM, "room/a.rs": a, "room/b.rs": b });
    assert.deepEqual(others, []);
    assert.match(problem, /^a circle of 2 files:\n {4}src\/room\/a.rs needs src\/room\/b.rs: B\n/);
    assert.match(problem, /as an exception: circle src\/room\/a.rs src\/room\/b.rs\)$/);
  });
}

test("a circle over three files is one", () => {
  const files = { "a.rs": "use crate::b::B; pub struct A(B);", "b.rs": "use crate::c::C; pub struct B(C);" };
  const circle = check({ "lib.rs": "mod a; mod b; mod c;", ...files, "c.rs": "use crate::a::A; pub struct C(Box<A>);" });
  assert.deepEqual(first(circle), ["a circle of 3 files:"]);
});

for (const [what, a, b] of [
  ["one direction", "use super::b::B; pub struct A(B);", "pub struct B;"],
  ["comments and texts", "use super::b::B; pub struct A(B);", '// use super::a::A;\npub struct B;\nconst C: &str = "super::a::A"; const R: &str = r#"use super::a::A;"#;'],
  ["tests", "use super::b::B; pub struct A(B);", "pub struct B;\n#[cfg(test)]\nmod tests { use super::super::a::A; }\n#[cfg(test)]\nuse super::a::A;"],
  ["the folder's own file", "use super::Shared; pub struct A(Shared);", "use super::Shared; pub struct B(Shared);"],
]) {
  test(`no circle: ${what}`, () => {
    const mod = `${ROOM["room/mod.rs"]}\npub struct Shared;\nfn both() { a::A; b::B; }`;
    assert.deepEqual(check({ ...ROOM, "room/mod.rs": mod, "room/a.rs": a, "room/b.rs": b }), []);
  });
}

const CIRCLE = { ...ROOM, "room/a.rs": "use super::b::B; pub struct A(B);", "room/b.rs": "use super::a::A; pub struct B(Box<A>);" };

test("an exception lets a circle stand, and is refused once there is none", () => {
  const exceptions = "circle src/room/a.rs src/room/b.rs  # for a reason\n";
  assert.deepEqual(check(CIRCLE, { exceptions }), []);
  const mended = check({ ...CIRCLE, "room/b.rs": "pub struct B;" }, { exceptions });
  assert.deepEqual(mended, ["no longer a circle, take it out: circle src/room/a.rs src/room/b.rs"]);
});

/** A type with so many public functions, in `impl` blocks of two files. */
const large = (count) => {
  const kinds = ["pub fn", "pub async fn", "pub(crate) fn", "pub const fn", "pub(super) async fn"];
  const functions = Array.from({ length: count }, (_, n) => `${kinds[n % kinds.length]} f${n}<T>(&self) -> Vec<T> where T: X { {} }`);
  const impl = (some) => `impl<T: X<Y>> Large<T> { fn private(&self) { fn inner() {} } ${some.join("\n")} }`;
  return {
    "lib.rs": "mod large; mod more; mod user;",
    "large.rs": `pub struct Large<T>(T);\n${impl(functions.slice(0, 6))}\nimpl<T> Clone for Large<T> { pub fn no(&self) {} }`,
    "more.rs": `use super::large::Large;\n${impl(functions.slice(6))}\n#[cfg(test)]\nimpl Large<u8> { pub fn of_tests() {} }`,
    "user.rs": "",
  };
};
const REASON = "\n## Types with many functions\n\n| type | why |\n|---|---|\n| `large::Large` | a reason |\n\n## Other\n";

test("a type has a dozen public functions at most, wherever they stand", () => {
  assert.deepEqual(check(large(12)), []);
  const [problem] = check(large(13));
  assert.match(problem, /^large::Large has 13 public functions, and 12 are the most: f0, f1, f2/);
});

test("a type may have more with a reason in ARCHITECTURE.md, or as an exception", () => {
  assert.deepEqual(check(large(13), { architecture: REASON }), []);
  assert.deepEqual(check(large(13), { exceptions: "type large::Large # for a reason" }), []);
  assert.deepEqual(check(large(3), { architecture: REASON }), ["no longer that large, take it out of ARCHITECTURE.md: large::Large"]);
  assert.deepEqual(check(large(3), { exceptions: "type large::Large" }), ["no longer that large, take it out: type large::Large"]);
  assert.equal(check(large(13), { architecture: REASON.replace("a reason", "") }).length, 1, "a reason is needed");
});
