//! Signs requests as Standard Webhooks says: HMAC-SHA256 over `id.timestamp.body`.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
//!
//! aws-lc-rs hashes the three parts where they lie. The crate `standardwebhooks` would copy each body into a text
//! first, and bring a second HMAC, a second Base64 and a calendar; tests verify with it.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::HookSetupError;
use crate::config::{Secret, signing_key};

/// The keys that requests are signed with: all of them, so that one can take the place of another.
pub struct Keys(Vec<hmac::Key>);

impl Keys {
    /// The keys of secrets; at least one.
    pub fn new(secrets: &[Secret]) -> Result<Self, HookSetupError> {
        let key = |secret| Some(hmac::Key::new(hmac::HMAC_SHA256, &signing_key(secret)?));
        let keys: Option<Vec<_>> = secrets.iter().map(key).collect();
        keys.filter(|keys| !keys.is_empty()).map(Self).ok_or(HookSetupError::NoKey)
    }

    /// The header `webhook-signature`, for seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp}.");
        let mut header = String::new();
        for key in &self.0 {
            let mut signing = hmac::Context::with_key(key);
            signing.update(head.as_bytes());
            signing.update(body);
            header.push_str(if header.is_empty() { "v1," } else { " v1," });
            STANDARD.encode_string(signing.sign(), &mut header);
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn it_is_what_the_official_libraries_make_of_their_example() {
        // From the tests of the npm package.
        let keys = Keys::new(&[Secret::new(SECRET)]).unwrap();
        assert_eq!(
            keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        // From those of the crate.
        let keys = Keys::new(&[Secret::new("C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]).unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(
            keys.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn each_key_signs() {
        let both = [SECRET, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"].map(Secret::new);
        let header = Keys::new(&both).unwrap().sign("msg_1", 1, b"{}");
        let each = both.map(|key| Keys::new(&[key]).unwrap().sign("msg_1", 1, b"{}"));
        assert_eq!(header, each.join(" "));
    }

    #[test]
    fn no_key_and_a_bad_one_are_errors() {
        assert!(Keys::new(&[]).is_err());
        assert!(Keys::new(&[Secret::new(SECRET), Secret::new("whsec_short")]).is_err());
    }
}
