//! Who a client is: a JSON Web Token in the `auth` of its CONNECT packet.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value};

use crate::config::Secret;

/// What a token says of its bearer.
pub type Claims = Map<String, Value>;

/// A token cannot be made, or is not accepted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(#[from] jsonwebtoken::errors::Error);

/// The key that tokens are signed and checked with.
#[derive(Clone)]
pub struct JwtKey {
    signing: EncodingKey,
    checking: DecodingKey,
    rules: Validation,
}

impl JwtKey {
    /// The key of a secret; `None` if it is not set.
    pub fn new(secret: &Secret) -> Option<Self> {
        if secret.is_empty() {
            return None;
        }
        let secret = secret.expose().as_bytes();
        // A token says itself how it is signed: only the HMACs that this key is for are believed.
        let mut rules = Validation::new(Algorithm::HS256);
        rules.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        rules.validate_nbf = true;
        rules.validate_aud = false;
        Some(Self {
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
            rules,
        })
    }

    /// The claims of a token that is signed with this key and valid now.
    pub fn check(&self, token: &str) -> Result<Claims, TokenError> {
        Ok(jsonwebtoken::decode::<Claims>(token, &self.checking, &self.rules)?.claims)
    }

    /// A token for a subject, valid from now for `ttl`.
    pub fn mint(
        &self,
        subject: &str,
        mut claims: Claims,
        ttl: Duration,
    ) -> Result<String, TokenError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        claims.insert("sub".into(), subject.into());
        claims.insert("iat".into(), now.as_secs().into());
        claims.insert("exp".into(), (now + ttl).as_secs().into());
        Ok(jsonwebtoken::encode(&Header::default(), &claims, &self.signing)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key(secret: &str) -> JwtKey {
        JwtKey::new(&Secret::new(secret)).unwrap()
    }

    #[test]
    fn a_minted_token_is_accepted_with_its_claims() {
        let key = key("a secret of at least thirty-two bytes");
        let claims = Claims::from_iter([("role".to_owned(), Value::from("admin"))]);
        let token = key.mint("ada", claims, Duration::from_secs(60)).unwrap();
        let claims = key.check(&token).unwrap();
        assert_eq!((&claims["sub"], &claims["role"]), (&"ada".into(), &"admin".into()));
    }

    #[test]
    fn a_wrong_an_old_and_an_unsigned_token_are_refused() {
        let ours = key("a secret of at least thirty-two bytes");
        let theirs = key("another secret that is as long as it must be");
        let forged = theirs.mint("ada", Claims::new(), Duration::from_secs(60)).unwrap();
        assert!(ours.check(&forged).is_err());

        let claims = serde_json::json!({"sub": "ada", "exp": 1_000_000_000});
        let old = jsonwebtoken::encode(&Header::default(), &claims, &ours.signing).unwrap();
        assert!(ours.check(&old).is_err());

        // {"alg":"none"} . {"sub":"ada","exp":9999999999} . nothing
        let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.";
        assert!(ours.check(unsigned).is_err());
        assert!(ours.check("no token").is_err());
    }
}
