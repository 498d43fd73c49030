//! Who may use the API: bearers of a configured key, each for what it is for.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::ApiError;
use crate::config::{API_ROUTES, ApiKey, ApiScope};

/// The accepted keys, by their hashes: of one length, so that comparing takes the same time for all.
pub(super) struct Keys(Vec<([u8; 32], Caller)>);

/// Who a request comes from, as far as its key says. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Caller(Arc<Known>);

#[derive(Debug)]
struct Known {
    key: ApiKey,
    id: String,
}

impl Caller {
    /// What tells callers apart: their idempotency keys are their own. Not the key.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Lets what happens in a namespace pass, if the key is for it.
    pub fn enters(&self, namespace: &str) -> Result<(), ApiError> {
        if self.0.key.is_in(namespace) {
            Ok(())
        } else {
            Err(ApiError::Forbidden(format!("this key is not for the namespace {namespace:?}")))
        }
    }

    /// Lets what happens in all namespaces at once pass.
    pub fn enters_all(&self) -> Result<(), ApiError> {
        if self.0.key.namespaces.is_empty() {
            return Ok(());
        }
        let message =
            "this key is for some namespaces only, and close ends what sockets are in of others";
        Err(ApiError::Forbidden(message.into()))
    }

    /// Lets a request for a path pass, as the router knows it.
    pub fn may(&self, method: &Method, path: Option<&str>) -> Result<(), ApiError> {
        // It is answered with 404.
        let Some(path) = path else { return Ok(()) };
        let asks = method == Method::GET || method == Method::HEAD;
        let scope = match API_ROUTES.iter().find(|(known, _)| *known == path) {
            Some((_, None)) => return Ok(()),
            Some((_, Some(scope))) if asks || *scope != ApiScope::Read => *scope,
            None if asks => ApiScope::Read,
            // What is not known here is for keys that are for everything.
            _ => {
                let all = self.0.key.scopes.is_empty() && self.0.key.namespaces.is_empty();
                let error = ApiError::Forbidden("this key is not for everything".into());
                return if all { Ok(()) } else { Err(error) };
            }
        };
        if self.0.key.is_for(scope) {
            Ok(())
        } else {
            let message = format!("this key is not for the scope \"{}\"", scope.name());
            Err(ApiError::Forbidden(message))
        }
    }
}

impl Keys {
    pub fn new(keys: &[ApiKey]) -> Self {
        let known = |key: &ApiKey| {
            let hashed = hash(key.key.expose());
            // A name is longer or shorter than a hash as it is written here, or begins in another way.
            let id = match &key.name[..] {
                "" => format!("key:{}", BASE64_URL_SAFE_NO_PAD.encode(hash_of(&hashed))),
                name => format!("name:{name}"),
            };
            (hashed, Caller(Arc::new(Known { key: key.clone(), id })))
        };
        Self(keys.iter().map(known).collect())
    }

    /// Lets a request with `Authorization: Bearer <key>` pass, and says whose it is.
    pub fn check(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if self.0.is_empty() {
            return Err(ApiError::Disabled);
        }
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, key) =
            header.and_then(|value| value.split_once(' ')).ok_or(ApiError::Unauthorized)?;
        let key = hash(key.trim());
        // All are compared, whichever matches.
        let mut caller = None;
        for (other, of) in &self.0 {
            let same: Choice = key.ct_eq(other);
            if same.into() {
                caller = Some(of);
            }
        }
        let caller = caller.filter(|_| scheme.eq_ignore_ascii_case("bearer"));
        caller.cloned().ok_or(ApiError::Unauthorized)
    }
}

fn hash(key: &str) -> [u8; 32] {
    hash_of(key.as_bytes())
}

fn hash_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(keys: &[&str], authorization: Option<&str>) -> Result<Caller, ApiError> {
        let keys: Vec<_> = keys.iter().map(|key| ApiKey::new(*key)).collect();
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
    fn a_key_does_what_it_is_for() {
        let caller = |scopes: &[ApiScope], namespaces: &[&str]| {
            let key = ApiKey {
                scopes: scopes.to_vec(),
                namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
                ..ApiKey::new("first-key-of-the-api")
            };
            let mut headers = HeaderMap::new();
            let value = "Bearer first-key-of-the-api".parse().unwrap();
            headers.insert(header::AUTHORIZATION, value);
            Keys::new(&[key]).check(&headers).unwrap()
        };
        // Every path of the API, with the scope that it needs.
        let paths = [
            (Method::POST, "/emit", ApiScope::Emit),
            (Method::POST, "/batch", ApiScope::Emit),
            (Method::GET, "/sockets", ApiScope::Read),
            (Method::GET, "/sockets/{id}", ApiScope::Read),
            (Method::GET, "/rooms", ApiScope::Read),
            (Method::GET, "/presence", ApiScope::Read),
            (Method::GET, "/cluster", ApiScope::Read),
            (Method::POST, "/rooms/join", ApiScope::Rooms),
            (Method::POST, "/rooms/leave", ApiScope::Rooms),
            (Method::POST, "/sockets/disconnect", ApiScope::Disconnect),
            (Method::POST, "/drain", ApiScope::Pod),
            (Method::DELETE, "/drain", ApiScope::Pod),
            (Method::POST, "/rebalance", ApiScope::Pod),
            (Method::DELETE, "/rebalance", ApiScope::Pod),
        ];
        let all =
            [ApiScope::Emit, ApiScope::Read, ApiScope::Rooms, ApiScope::Disconnect, ApiScope::Pod];
        for (method, path, scope) in &paths {
            let path = format!("/api/v1{path}");
            for other in all {
                let answer = caller(&[other], &[]).may(method, Some(&path));
                assert_eq!(answer.is_ok(), other == *scope, "{path} {other:?}");
            }
            assert!(caller(&[], &[]).may(method, Some(&path)).is_ok(), "{path}");
            let inside = caller(&[], &["/chat"]).may(method, Some(&path));
            assert_eq!(inside.is_ok(), *scope != ApiScope::Pod, "{path}");
        }
        let new = Some("/api/v1/new");
        assert!(caller(&all, &[]).may(&Method::POST, new).is_err());
        assert!(caller(&[], &[]).may(&Method::POST, new).is_ok());
        assert!(
            caller(&[ApiScope::Emit], &[]).may(&Method::GET, Some("/api/v1/openapi.json")).is_ok()
        );
        let inside = caller(&[], &["/chat"]);
        assert!(inside.enters("/chat").is_ok() && inside.enters("/").is_err());
        assert!(inside.enters_all().is_err() && caller(&[], &[]).enters_all().is_ok());
    }

    #[test]
    fn callers_are_told_apart_by_name_or_key() {
        let id = |name: &str, key: &str| {
            let keys = Keys::new(&[ApiKey { name: name.into(), ..ApiKey::new(key) }]);
            keys.0[0].1.id().to_owned()
        };
        assert_eq!(id("", "first-key-of-the-api"), id("", "first-key-of-the-api"));
        assert_ne!(id("", "first-key-of-the-api"), id("", "second-key-of-the-api"));
        assert_eq!(id("shop", "first-key-of-the-api"), id("shop", "second-key-of-the-api"));
        assert!(!id("", "first-key-of-the-api").contains("first"));
    }

    #[test]
    fn without_keys_the_api_is_off() {
        assert!(matches!(check(&[], Some("Bearer ")), Err(ApiError::Disabled)));
    }
}
