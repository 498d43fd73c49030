//! What a hook answers: a decision, an ack, or a refusal.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Down, HookError};
use crate::gateway::{replies::refusal::codes, sockets::handshake::Grant, tokens::Claims};

/// Bytes of the code of a refusal, and of its message.
const CODE_LENGTH: usize = 64;
const MESSAGE_LENGTH: usize = 512;

/// Reads a decision: `{"allow": true, "claims"?, "rooms"?}` or `{"allow": false, "code"?, "message"?}`.
pub fn decision(body: &[u8]) -> Result<Grant, HookError> {
    #[derive(Deserialize)]
    struct Decision {
        allow: bool,
        claims: Option<Claims>,
        rooms: Option<Vec<String>>,
        code: Option<String>,
        message: Option<String>,
    }

    let decision: Decision =
        serde_json::from_slice(body).map_err(|_| HookError::Down(Down::Unreadable))?;
    if decision.allow {
        Ok(Grant { claims: decision.claims, rooms: decision.rooms })
    } else {
        Err(refused(decision.code, decision.message))
    }
}

/// Reads an ack: any JSON, or nothing.
pub fn ack(body: &[u8]) -> Result<Box<RawValue>, HookError> {
    let body = if body.trim_ascii().is_empty() { br#"{"accepted":true}"# } else { body };
    serde_json::from_slice(body).map_err(|_| HookError::Down(Down::Unreadable))
}

/// Reads the refusal of a status 4xx: `{"error": {"code", "message"}}` or `{"code", "message"}`, if it is one.
pub fn refusal(body: &[u8]) -> HookError {
    #[derive(Default, Deserialize)]
    struct Words {
        code: Option<String>,
        message: Option<String>,
    }

    #[derive(Deserialize)]
    struct Wrapped {
        error: Words,
    }

    let words = serde_json::from_slice::<Wrapped>(body)
        .map(|wrapped| wrapped.error)
        .or_else(|_| serde_json::from_slice(body))
        .unwrap_or_else(|_| Words::default());
    refused(words.code, words.message)
}

/// A refusal, in the hook's words as far as they can be passed on.
fn refused(code: Option<String>, message: Option<String>) -> HookError {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let code = code
        .filter(|code| !code.is_empty() && code.len() <= CODE_LENGTH && code.chars().all(plain));
    let message = message.filter(|message| !message.is_empty()).map(|mut message| {
        message.truncate(message.floor_char_boundary(MESSAGE_LENGTH));
        message
    });
    HookError::Refused {
        code: code.map_or(Cow::Borrowed(codes::HOOK_DENIED), Cow::Owned),
        message: message.map_or(Cow::Borrowed("refused"), Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(code: &'static str, message: &'static str) -> HookError {
        HookError::Refused { code: code.into(), message: message.into() }
    }

    #[test]
    fn a_decision_is_read_and_anything_else_is_none() {
        assert_eq!(decision(br#"{"allow":true}"#), Ok(Grant::default()));
        let answer = br#"{"allow": true, "claims": {"sub": "ada"}, "rooms": ["a"], "more": 1}"#;
        let grant = decision(answer).unwrap();
        assert_eq!(grant.claims.unwrap()["sub"], json!("ada"));
        assert_eq!(grant.rooms.unwrap(), ["a"]);
        let no = decision(br#"{"allow": false, "code": "banned", "message": "Not you."}"#);
        assert_eq!(no, Err(refused("banned", "Not you.")));
        assert_eq!(decision(br#"{"allow":false}"#), Err(refused("hook_denied", "refused")));
        for garbage in [
            "",
            "ok",
            "true",
            "[]",
            "{}",
            r#"{"allow":"true"}"#,
            r#"{"allow":1}"#,
            r#"{"allow":true}{"allow":false}"#,
            r#"{"allow":true,"allow":true}"#,
            r#"{"allow":true,"rooms":"a"}"#,
            r#"{"allow":true,"claims":[]}"#,
            "\u{feff}{\"allow\":true}",
        ] {
            let answer = decision(garbage.as_bytes());
            assert_eq!(answer, Err(HookError::Down(Down::Unreadable)), "{garbage}");
        }
        let deep = "[".repeat(100_000);
        assert!(decision(format!(r#"{{"allow":true,"claims":{{"a":{deep}"#).as_bytes()).is_err());
    }

    #[test]
    fn an_ack_is_passed_on_as_it_is() {
        for (answer, expected) in [
            ("", r#"{"accepted":true}"#),
            (" \n", r#"{"accepted":true}"#),
            ("null", "null"),
            (r#" {"price": 1.50}"#, r#"{"price": 1.50}"#),
        ] {
            assert_eq!(ack(answer.as_bytes()).unwrap().get(), expected);
        }
        for garbage in ["<html>", "{", "1 2"] {
            assert!(ack(garbage.as_bytes()).is_err(), "{garbage}");
        }
        assert!(ack(b"\"\xff\"").is_err());
    }

    #[test]
    fn a_refusal_is_quoted_as_far_as_it_can_be() {
        for (answer, code, message) in [
            (r#"{"error":{"code":"sold_out","message":"Gone."}}"#, "sold_out", "Gone."),
            (r#"{"code":"sold_out","message":"Gone."}"#, "sold_out", "Gone."),
            (r#"{"message":"Gone."}"#, "hook_denied", "Gone."),
            (r#"{"code":"two words"}"#, "hook_denied", "refused"),
            (r#"{"code":7}"#, "hook_denied", "refused"),
            ("<html>", "hook_denied", "refused"),
            ("", "hook_denied", "refused"),
        ] {
            assert_eq!(refusal(answer.as_bytes()), refused(code, message), "{answer}");
        }
        let long = format!(r#"{{"code":"{}","message":"{}"}}"#, "c".repeat(65), "é".repeat(400));
        let error = refusal(long.as_bytes());
        assert_eq!(error.code(), "hook_denied");
        assert_eq!(error.message(), "é".repeat(256));
    }
}
