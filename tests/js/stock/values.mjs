// What the stock clients are made to send and to receive.

/** Event names that clients write in ways of their own: escaped, as UTF-8, `/` and `<` escaped, or not. */
export const NAMES = [
  ...["é", "größe-日本", "🦀", "\u2028"],
  ...['say "hi"', "back\\slash", "tab\there", "line\nbreak", "bell\u0007"],
  ...["</tag>", "a<b>&c", "a/b", "[1,{}]", "42", "with space", "-5"],
];

/** Arguments. Numbers are those that all languages have. */
export const VALUES = [
  ...["", "héllo \"quoted\" \\ \n 🦀", 0, -7, 2.5, 1_700_000_000_000, true, false, null],
  ...[[], {}, [[1, [2]], "x"], { "é \"key\"": { deep: [null, { "": 1 }] }, _placeholder: false }],
];

/** Each byte, so each letter of base64, and enough of them that encoders that break lines (every 76 letters) do. */
export const BYTES = Buffer.from(Array.from({ length: 500 }, (_, index) => (index * 7) % 256));

/** Whether a value is these bytes, as a line of a driver has them. */
export const isBytes = (value, bytes) => typeof value?.$binary === "string" && Buffer.from(value.$binary, "base64").equals(bytes);
