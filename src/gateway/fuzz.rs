//! What the gateway reads of bytes from outside, opened for `tests/fuzz` and for nothing else.

use std::sync::LazyLock;

use bytes::Bytes;
use socketioxide_core::Value;

use crate::{
    backplane::Bounds,
    config::{Config, Secret},
    gateway::{events::parser::parse_event, hooks, tokens::Tokens},
};

/// As by default.
const BOUNDS: Bounds = Bounds { depth: 64, attachments: 10 };

/// The arguments of an event, as JSON without and with attachments, and as msgpack.
pub fn event(input: &[u8]) {
    let _ = parse_event(&Value::Bytes(Bytes::copy_from_slice(input)), BOUNDS);
    if let Ok(text) = std::str::from_utf8(input) {
        for attachments in [None, Some([Bytes::from_static(b"a")].into())] {
            let _ = parse_event(&Value::Str(text.to_owned().into(), attachments), BOUNDS);
        }
    }
}

/// A token, of which not one bit was signed.
pub fn token(input: &[u8]) {
    static TOKENS: LazyLock<Option<Tokens>> = LazyLock::new(|| {
        let mut jwt = Config::defaults().auth.jwt;
        jwt.secret = vec![Secret::new("0123456789abcdef0123456789abcdef".to_owned())];
        Tokens::new(&jwt).ok().flatten()
    });
    let (Some(tokens), Ok(token)) = (&*TOKENS, std::str::from_utf8(input)) else { return };
    assert!(tokens.check_now(token).is_err());
}

/// The answer of a hook.
pub fn hook_answer(input: &[u8]) {
    hooks::fuzz(input);
}
