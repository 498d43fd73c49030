//! Who may use the API: bearers of a configured key.

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::ApiError;
use crate::config::Secret;

/// The accepted keys, as hashes: of one length, so that comparing takes the same time for all.
pub(super) struct Keys(Vec<[u8; 32]>);

impl Keys {
    pub fn new(keys: &[Secret]) -> Self {
        Self(keys.iter().map(|key| hash(key.expose())).collect())
    }

    /// Lets a request with `Authorization: Bearer <key>` pass.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Err(ApiError::Disabled);
        }
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, key) =
            header.and_then(|value| value.split_once(' ')).ok_or(ApiError::Unauthorized)?;
        let key = hash(key.trim());
        // All are compared, whichever matches.
        let known = self.0.iter().fold(Choice::from(0), |known, other| known | key.ct_eq(other));
        if scheme.eq_ignore_ascii_case("bearer") && known.into() {
            Ok(())
        } else {
            Err(ApiError::Unauthorized)
        }
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(keys: &[&str], authorization: Option<&str>) -> Result<(), ApiError> {
        let keys: Vec<_> = keys.iter().map(|key| Secret::new(*key)).collect();
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        Keys::new(&keys).check(&headers)
    }

    #[test]
    fn one_of_the_keys_opens() {
        let keys = ["first-key-of-the-api", "second-key-of-the-api"];
        assert!(check(&keys, Some("Bearer second-key-of-the-api")).is_ok());
        assert!(check(&keys, Some("bearer first-key-of-the-api")).is_ok());
        for wrong in
            [None, Some("Bearer"), Some("Bearer first"), Some("Basic first-key-of-the-api")]
        {
            assert!(matches!(check(&keys, wrong), Err(ApiError::Unauthorized)), "{wrong:?}");
        }
    }

    #[test]
    fn without_keys_the_api_is_off() {
        assert!(matches!(check(&[], Some("Bearer ")), Err(ApiError::Disabled)));
    }
}
