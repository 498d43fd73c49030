// What is sent through a cluster, and what arrives.

export const bytes = (...values) => Buffer.from(values);
const deep = (value, depth) => (depth === 0 ? value : { inner: [deep(value, depth - 1)] });
const LARGE = "é".repeat(100_000);

/** What a server emits and every client gets: what JSON can say. */
export const VALUES = [
  ["no arguments", []],
  ["several arguments", ["text", 1, null, true, [], {}]],
  ["Unicode", ["héllo wörld, 你好, 🦀👩‍👩‍👧, \u2028\u2029\u0000\u0001", { "clé \"quoted\"": "\\ / \n" }]],
  // No 1e300: Node's msgpack library writes whole numbers as integers of 64 bits, and that one as 0.
  ["numbers", [0, -1, 1.5, -0.25, 127, 128, 255, 256, 65_536, 2 ** 31, 2 ** 32, -(2 ** 31) - 1, 1.5e-300, 5e-324]],
  ["large numbers", [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]],
  ["a deep value", [deep("bottom", 30)]],
  ["many keys", [Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`key ${index}`, index]))]],
  ["a large text", [LARGE, { again: LARGE.slice(0, 1000) }]],
  ["a value that looks like an attachment", [{ _placeholder: true, num: 0 }]],
];

/** Names of events that a server may emit. */
export const NAMES = ["with \"quotes\" and \\", "événement 🦀", "a:b/c#d*", "message", "2[\"", "0"];

/** What only a server of Node can emit: how it is sent, and what clients get. */
export const NODE_VALUES = [
  ["a date", [new Date(0), [new Date(1_700_000_000_123)]], ["1970-01-01T00:00:00.000Z", ["2023-11-14T22:13:20.123Z"]]],
  ["dates far off", [new Date(-1), new Date(9e12)], ["1969-12-31T23:59:59.999Z", "2255-03-14T16:00:00.000Z"]],
  ["what JSON leaves out", [undefined, { kept: 1, gone: undefined }, NaN, Infinity], [null, { kept: 1 }, null, null]],
  ["binary", [bytes(0, 1, 255), { deep: [{ data: bytes(2) }, bytes()] }]],
  ["binary and the rest", [bytes(7), new Date(0), undefined, NaN], [bytes(7), "1970-01-01T00:00:00.000Z", null, null]],
  // The parser of Node and of the stock client takes no more than ten attachments.
  ["much binary", [Buffer.alloc(200_000, 7), ...Array.from({ length: 9 }, (_, index) => bytes(index))]],
  ["a typed array", [new Uint8Array([1, 2]), new Uint8Array([3]).buffer], [bytes(1, 2), bytes(3)]],
];

/** What a client emits to a room, through the rule that relays it. */
export const RELAYED = [
  ["text", ["héllo \u2028 \"quoted\"", { list: [1, 2.5, null, true] }]],
  ["binary", [{ file: bytes(0, 1, 254, 255), more: [bytes(9), "text"] }, bytes()]],
  ["a date", [new Date(0)], ["1970-01-01T00:00:00.000Z"]],
  ["much", [LARGE, Buffer.alloc(200_000, 5)]],
];
