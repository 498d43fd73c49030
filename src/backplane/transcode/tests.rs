//! Both ways: what `notepack.io` 3.0.1 writes, random values, and bytes that no library sends.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn to_msgpack(text: &str, attachments: &[&[u8]]) -> Result<Vec<u8>, TranscodeError> {
    let attachments: VecDeque<_> =
        attachments.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
    let mut out = b"before".to_vec();
    let result = json_to_msgpack(text, Some(&attachments), &mut out);
    assert!(out.starts_with(b"before"));
    let written = out.split_off(b"before".len());
    match result {
        Ok(()) => Ok(written),
        Err(error) => {
            assert!(written.is_empty(), "left by a failure: {written:?}");
            Err(error)
        }
    }
}

fn to_json(bytes: &[u8]) -> Result<(String, VecDeque<Bytes>), TranscodeError> {
    // In the middle of a message, as events are.
    let message = Bytes::from([b"\x93", bytes, b"\xc0\xc0"].concat());
    msgpack_value_to_json(&message, 1..message.len() - 2)
}

/// What JavaScript writes, with `encode` of `notepack.io`, and what a client of a Node server gets.
struct Fixture {
    javascript: &'static str,
    bytes: &'static [u8],
    json: &'static str,
    attachments: &'static [&'static [u8]],
}

const fn fixture(
    javascript: &'static str,
    bytes: &'static [u8],
    json: &'static str,
    attachments: &'static [&'static [u8]],
) -> Fixture {
    Fixture { javascript, bytes, json, attachments }
}

/// The same both ways.
const SAME: &[Fixture] = &[
    fixture(
        r#"["chat", null, true, false]"#,
        b"\x94\xa4chat\xc0\xc3\xc2",
        r#"["chat",null,true,false]"#,
        &[],
    ),
    fixture(
        "[0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]",
        b"\x9a\x00\x7f\xcc\x80\xcc\xff\xcd\x01\x00\xcd\xff\xff\xce\x00\x01\x00\x00\
          \xce\xff\xff\xff\xff\xcf\x00\x00\x00\x01\x00\x00\x00\x00\
          \xcf\x00\x1f\xff\xff\xff\xff\xff\xff",
        "[0,127,128,255,256,65535,65536,4294967295,4294967296,9007199254740991]",
        &[],
    ),
    fixture(
        "[-1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, \
         Number.MIN_SAFE_INTEGER]",
        b"\x9a\xff\xe0\xd0\xdf\xd0\x80\xd1\xff\x7f\xd1\x80\x00\xd2\xff\xff\x7f\xff\
          \xd2\x80\x00\x00\x00\xd3\xff\xff\xff\xff\x7f\xff\xff\xff\
          \xd3\xff\xe0\x00\x00\x00\x00\x00\x01",
        "[-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649,-9007199254740991]",
        &[],
    ),
    fixture(
        "[1.5, -0.1, 1e-7, 5e-324]",
        b"\x94\xcb?\xf8\x00\x00\x00\x00\x00\x00\xcb\xbf\xb9\x99\x99\x99\x99\x99\x9a\
          \xcb>z\xd7\xf2\x9a\xbc\xafH\xcb\x00\x00\x00\x00\x00\x00\x00\x01",
        "[1.5,-0.1,1e-7,5e-324]",
        &[],
    ),
    fixture(
        r#"["", "é€😀", "\"\\/\b\f\n\r\t\u0001\u007f\u2028"]"#,
        b"\x93\xa0\xa9\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\
          \xad\"\\/\x08\x0c\x0a\x0d\x09\x01\x7f\xe2\x80\xa8",
        "[\"\",\"é€😀\",\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\u{7f}\u{2028}\"]",
        &[],
    ),
    fixture(
        r#"["x".repeat(31), "x".repeat(32)]"#,
        b"\x92\xbfxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xd9 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        r#"["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]"#,
        &[],
    ),
    fixture(
        "[[], {}, [[]], { a: { b: [] } }]",
        b"\x94\x90\x80\x91\x90\x81\xa1a\x81\xa1b\x90",
        r#"[[],{},[[]],{"a":{"b":[]}}]"#,
        &[],
    ),
    fixture(
        "new Array(16).fill(0)",
        b"\xdc\x00\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]",
        &[],
    ),
    fixture(
        r#"Object.fromEntries([..."abcdefghijklmnop"].map((key, i) => [key, i]))"#,
        b"\xde\x00\x10\xa1a\x00\xa1b\x01\xa1c\x02\xa1d\x03\xa1e\x04\xa1f\x05\xa1g\x06\xa1h\x07\
          \xa1i\x08\xa1j\x09\xa1k\x0a\xa1l\x0b\xa1m\x0c\xa1n\x0d\xa1o\x0e\xa1p\x0f",
        concat!(
            r#"{"a":0,"b":1,"c":2,"d":3,"e":4,"f":5,"g":6,"h":7,"#,
            r#""i":8,"j":9,"k":10,"l":11,"m":12,"n":13,"o":14,"p":15}"#
        ),
        &[],
    ),
    fixture(
        "[Buffer.from([1, 2, 3]), { file: Buffer.alloc(0) }, new Uint8Array([255]).buffer]",
        b"\x93\xc4\x03\x01\x02\x03\x81\xa4file\xc4\x00\xc4\x01\xff",
        concat!(
            r#"[{"_placeholder":true,"num":0},{"file":{"_placeholder":true,"num":1}},"#,
            r#"{"_placeholder":true,"num":2}]"#
        ),
        &[b"\x01\x02\x03", b"", b"\xff"],
    ),
    fixture(
        r#"["emitter", { type: 2, data: ["news"], nsp: "/" }, { rooms: ["a"], flags: {} }]"#,
        b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x91\xa4news\xa3nsp\xa1/\
          \x82\xa5rooms\x91\xa1a\xa5flags\x80",
        r#"["emitter",{"type":2,"data":["news"],"nsp":"/"},{"rooms":["a"],"flags":{}}]"#,
        &[],
    ),
];

/// Of a kind that JSON does not have.
const ONLY_TO_JSON: &[Fixture] = &[
    fixture(
        "[undefined, { a: undefined, f() {}, b: 1 }]",
        b"\x92\xc0\x81\xa1b\x01",
        r#"[null,{"b":1}]"#,
        &[],
    ),
    fixture(
        "[NaN, Infinity, -Infinity]",
        b"\x93\xcb\x7f\xf8\0\0\0\0\0\0\xcb\x7f\xf0\0\0\0\0\0\0\xcb\xff\xf0\0\0\0\0\0\0",
        "[null,null,null]",
        &[],
    ),
    fixture(
        r#"[new Date("2020-01-02T03:04:05Z"), new Date("2020-01-02T03:04:05.678Z")]"#,
        b"\x92\xd6\xff^\x0d]\xa5\xd7\xff\xa1\xa5\xd6\x00^\x0d]\xa5",
        r#"["2020-01-02T03:04:05.000Z","2020-01-02T03:04:05.678Z"]"#,
        &[],
    ),
    fixture(
        r#"[new Date(-1), new Date("2106-02-07T06:28:16Z"), new Date("2514-05-30T01:53:04Z")]"#,
        b"\x93\xc7\x0c\xff;\x8b\x87\xc0\xff\xff\xff\xff\xff\xff\xff\xff\
          \xd7\xff\0\0\0\x01\0\0\0\0\xc7\x0c\xff\0\0\0\0\0\0\0\x04\0\0\0\0",
        r#"["1969-12-31T23:59:59.999Z","2106-02-07T06:28:16.000Z","2514-05-30T01:53:04.000Z"]"#,
        &[],
    ),
    fixture(
        "[new Date(8.64e15), new Date(-8.64e15)]",
        b"\x92\xc7\x0c\xff\0\0\0\0\0\0\x07\xdb\xa8!\x80\0\
          \xc7\x0c\xff\0\0\0\0\xff\xff\xf8$W\xde\x80\0",
        r#"["+275760-09-13T00:00:00.000Z","-271821-04-20T00:00:00.000Z"]"#,
        &[],
    ),
];

#[test]
fn what_notepack_writes_is_read_as_by_node() {
    for Fixture { javascript, bytes, json, attachments } in SAME.iter().chain(ONLY_TO_JSON) {
        let (text, found) = to_json(bytes).unwrap();
        assert_eq!(text, *json, "{javascript}");
        assert_eq!(found, *attachments, "{javascript}");
        assert_eq!(contains_binary(bytes), !attachments.is_empty(), "{javascript}");
    }
}

#[test]
fn what_is_written_are_the_bytes_of_notepack() {
    for Fixture { javascript, bytes, json, attachments } in SAME {
        assert_eq!(to_msgpack(json, attachments).unwrap(), *bytes, "{javascript}");
    }
}

#[test]
fn lengths_of_all_sizes_go_both_ways() {
    for length in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        let array = Value::from(vec![7; length]);
        let map: Value = (0..length).map(|key| (format!("{key:05}"), Value::Null)).collect();
        for value in [array, map, Value::from("x".repeat(length))] {
            let text = value.to_string();
            let bytes = to_msgpack(&text, &[]).unwrap();
            assert_eq!(bytes, rmp_serde::to_vec(&value).unwrap(), "{length}");
            assert_eq!(to_json(&bytes).unwrap().0, text, "{length}");
        }
        let binary = vec![7; length];
        let text = r#"[{"_placeholder":true,"num":0}]"#;
        let bytes = to_msgpack(text, &[&binary]).unwrap();
        assert_eq!(to_json(&bytes).unwrap(), (text.to_owned(), [Bytes::from(binary)].into()));
    }
}

#[test]
fn depth_is_limited_in_both() {
    for depth in [MAX_DEPTH, MAX_DEPTH + 1, 1_000_000] {
        let text = ["[".repeat(depth), "]".repeat(depth)].concat();
        let bytes = [vec![0x91; depth - 1], vec![0x90]].concat();
        let maps = [b"\x81\xa1a".repeat(depth), b"\xc0".to_vec()].concat();
        let allowed = depth <= MAX_DEPTH;
        assert_eq!(to_msgpack(&text, &[]).ok(), allowed.then(|| bytes.clone()), "{depth}");
        assert_eq!(to_json(&bytes).ok(), allowed.then(|| (text, VecDeque::new())), "{depth}");
        assert_eq!(to_json(&maps).is_ok(), allowed, "{depth}");
        // To pass over it takes no stack.
        assert_eq!(Reader::new(&bytes).skip_value().unwrap(), 0..depth);
        assert!(!contains_binary(&bytes));
    }
}

/// Any JSON, but for floats that are whole: `1.0` becomes `1` on the way.
fn json() -> impl Strategy<Value = Value> {
    let is_whole = |float: &f64| float.fract() == 0.0 && float.abs() <= MAX_SAFE_INTEGER;
    let float = any::<f64>().prop_map(move |float| if is_whole(&float) { 0.5 } else { float });
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-300..300).prop_map(Value::from),
        float.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\n]{0,40}".prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 100, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..20)
                .prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

/// Bytes with binary, dates and keys of all kinds in them, most of which is well formed.
fn msgpack() -> impl Strategy<Value = Vec<u8>> {
    let scalar = prop_oneof![
        4 => json().prop_map(|value| rmp_serde::to_vec(&value).unwrap()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => Just(b"\xa4text".to_vec()),
        1 => Just(b"\xc4\x02\x01\x02".to_vec()),
        1 => Just(b"\xd4\0\0".to_vec()),
        1 => any::<[u8; 8]>().prop_map(|time| [b"\xd7\xff".as_slice(), &time].concat()),
        1 => any::<[u8; 12]>().prop_map(|time| [b"\xc7\x0c\xff".as_slice(), &time].concat()),
    ];
    scalar.prop_recursive(5, 60, 12, |inner| {
        prop::collection::vec(inner, 0..12).prop_flat_map(|values| {
            let (length, content) = (values.len() as u8, values.concat());
            let headers = prop_oneof![Just(0x90 | length), Just(0x80 | (length / 2))];
            headers.prop_map(move |header| [&[header], &*content].concat())
        })
    })
}

/// A regular expression for pieces of JSON in any order.
const ALMOST_JSON: &str = concat!(
    r#"([\[\]{}:,"\\é 0-9eE.+-]|\\ud83d|\\ude00|"#,
    r#""_placeholder":true|"num":0|true|null){0,30}"#
);

proptest! {
    #[test]
    fn any_json_goes_both_ways(value in json()) {
        let text = value.to_string();
        let bytes = to_msgpack(&text, &[]).unwrap();
        // rmp-serde writes the same from a tree.
        prop_assert_eq!(&bytes, &rmp_serde::to_vec(&value).unwrap());
        let (back, attachments) = to_json(&bytes).unwrap();
        prop_assert_eq!(back, text);
        prop_assert!(attachments.is_empty());
        prop_assert_eq!(Reader::new(&bytes).skip_value().unwrap(), 0..bytes.len());
    }

    #[test]
    fn whatever_comes_is_refused_or_becomes_json(bytes in msgpack()) {
        let skipped = Reader::new(&bytes).skip_value();
        let has_binary = contains_binary(&bytes);
        if let Ok((text, attachments)) = to_json(&bytes) {
            prop_assert_eq!(skipped.unwrap(), 0..bytes.len());
            prop_assert_eq!(has_binary, !attachments.is_empty());
            serde_json::from_str::<Value>(&text).unwrap();
            // What was read can be written: the same text comes of it.
            let attachments: Vec<_> = attachments.iter().map(|bytes| &**bytes).collect();
            let again = to_msgpack(&text, &attachments).unwrap();
            prop_assert_eq!(to_json(&again).unwrap().0, text);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ALMOST_JSON) {
        let parsed = serde_json::from_str::<Value>(&text).is_ok();
        if let Ok(bytes) = to_msgpack(&text, &[]) {
            to_json(&bytes).unwrap();
        } else {
            prop_assert!(!parsed, "{} is JSON", text);
        }
    }
}
