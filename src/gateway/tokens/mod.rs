//! JSON Web Tokens: the keys they are signed with, and the claims they must have.
//! All folders of the gateway may call it; it calls none of them.
//!
//! `keys` are the keys of the settings and how those of a key set are read, `jwks` fetches the set,
//! `claims` says what a token must say, `error` why one is refused.

mod claims;
mod error;
mod jwks;
mod keys;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation};
use metrics::{Counter, counter};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use claims::ClaimRules;
pub use error::{MintError, TokenError, TokensError};
use jwks::RemoteKeySet;
use keys::Key;

use crate::{config::Jwt, telemetry::metrics::TOKEN_CHECKS};

/// A token that expires later than this does not expire: no connection lasts so long, and no timer overflows.
const NO_EXPIRY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The claims of a token.
pub type Claims = Map<String, Value>;

/// The tokens that a pod accepts: keys and rules. Clones are the same.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    /// The keys of the settings.
    static_keys: Vec<Key>,
    /// The keys of the issuer's set.
    remote: Option<RemoteKeySet>,
    /// How a signature is checked, by its algorithm; one that is not here is not accepted.
    signatures: Vec<(Algorithm, Validation)>,
    /// What a token must say.
    rules: ClaimRules,
    max_token: usize,
    /// Signs with the first secret.
    signing: Option<EncodingKey>,
    /// What `mint` adds.
    issuer: Option<String>,
    audience: Option<String>,
    /// Looked up once: tokens may be checked before each call of a handler.
    accepted: Counter,
}

/// Why a token is refused.
struct Rejection {
    error: TokenError,
    /// Whether the token may be valid by a newer key set.
    fixed_by_refresh: bool,
}

impl From<TokenError> for Rejection {
    fn from(error: TokenError) -> Self {
        Self { error, fixed_by_refresh: false }
    }
}

/// The header of a token (RFC 7515, section 4.1), as far as it is read before the signature is verified. Keys and addresses
/// of keys in it are ignored: anyone could have written them.
#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<IgnoredAny>,
}

impl JwtHeader {
    fn parse(token: &str) -> Result<Self, TokenError> {
        let mut parts = token.split('.');
        let (Some(head), Some(_), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed);
        };
        let json = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenError::Malformed)?;
        let head: Self = serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)?;
        if head.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        Ok(head)
    }
}

impl Tokens {
    /// The tokens of the settings; `None` if they name no key.
    ///
    /// # Errors
    /// If a file cannot be used. The key set is not fetched here: see [`Tokens::stay_fresh`].
    pub fn new(settings: &Jwt) -> Result<Option<Self>, TokensError> {
        let (static_keys, remote) = (keys::from_settings(settings)?, RemoteKeySet::new(settings)?);
        if static_keys.is_empty() && remote.is_none() {
            return Ok(None);
        }
        let named: Vec<Algorithm> = settings.algorithms.iter().copied().map(Into::into).collect();
        let accepted = |algorithm: &Algorithm| named.is_empty() || named.contains(algorithm);
        let algorithms = keys::all_algorithms().filter(accepted);
        let secret = settings.secret.iter().find(|secret| !secret.is_empty());
        Ok(Some(Self(Arc::new(Inner {
            static_keys,
            remote,
            signatures: algorithms.map(|algorithm| (algorithm, signature_of(algorithm))).collect(),
            rules: ClaimRules::new(settings),
            max_token: settings.max_token,
            signing: secret.map(|secret| EncodingKey::from_secret(secret.expose().as_bytes())),
            issuer: settings.issuer.first().cloned(),
            audience: settings.audience.first().cloned(),
            accepted: counter!(TOKEN_CHECKS.name, "result" => "ok"),
        }))))
    }

    /// Checks a token. If it names a key that is not known, or no key set is there yet, this waits until the set
    /// has been fetched, which is once for all who wait: for `jwks_timeout` and the longer of it and `jwks_min_interval`
    /// together at most. Needs [`Tokens::stay_fresh`] to run.
    pub async fn check(&self, token: &str) -> Result<Claims, TokenError> {
        let result = match (self.0.verify(token), &self.0.remote) {
            (Err(Rejection { fixed_by_refresh: true, .. }), Some(remote)) => {
                self.0.verify_after_refresh(token, remote).await
            }
            (result, _) => result.map_err(|rejection| rejection.error),
        };
        self.0.count(result)
    }

    /// Checks a token with the keys that are known now.
    pub fn check_now(&self, token: &str) -> Result<Claims, TokenError> {
        self.0.count(self.0.verify(token).map_err(|rejection| rejection.error))
    }

    /// Time until claims that were accepted are no longer, by their `exp` and the leeway; `None`: never.
    pub fn valid_for(&self, claims: &Claims) -> Option<Duration> {
        let exp = claims.get("exp")?.as_f64()?;
        let leeway = self.0.rules.leeway;
        let end = Duration::try_from_secs_f64(exp.max(0.0)).ok()?.checked_add(leeway)?;
        Some(end.saturating_sub(now())).filter(|left| *left < NO_EXPIRY)
    }

    /// Keeps the key set fresh: a chore of the pod, for as long as it lives.
    pub async fn stay_fresh(self) -> Infallible {
        match &self.0.remote {
            Some(remote) => remote.stay_fresh().await,
            None => std::future::pending().await,
        }
    }

    /// Whether all keys are there that the settings name: before the first key set, clients would be refused
    /// for good who can be served elsewhere.
    pub fn ready(&self) -> bool {
        self.0.remote.as_ref().is_none_or(|remote| remote.set().is_some())
    }

    /// A token for a subject, valid from now for `ttl`, signed with the first secret. Issuer and audience are those
    /// of the settings unless the claims have others; `sub`, `iat` and `exp` of the claims are replaced. `exp` has whole
    /// seconds.
    ///
    /// # Errors
    /// If there is no secret, `ttl` is less than a second, or the token would not be accepted with these settings.
    pub fn mint(
        &self,
        subject: &str,
        mut claims: Claims,
        ttl: Duration,
    ) -> Result<String, MintError> {
        // Only the leeway would accept it.
        if ttl < Duration::from_secs(1) {
            return Err(MintError::Ttl(ttl));
        }
        let inner = &self.0;
        let signing = inner.signing.as_ref().ok_or(MintError::NoSecret)?;
        let mut algorithms = inner.signatures.iter().map(|(algorithm, _)| *algorithm);
        let algorithm = algorithms.find(|one| keys::HMAC.contains(one));
        let header = Header::new(algorithm.ok_or(MintError::NoAlgorithm)?);
        let now = now();
        claims.insert("sub".into(), subject.into());
        claims.insert("iat".into(), now.as_secs().into());
        claims.insert("exp".into(), now.saturating_add(ttl).as_secs().into());
        for (claim, value) in [("iss", &inner.issuer), ("aud", &inner.audience)] {
            if let Some(value) = value {
                claims.entry(claim).or_insert_with(|| value.as_str().into());
            }
        }
        let token = jsonwebtoken::encode(&header, &claims, signing)?;
        match inner.verify(&token).map_err(|rejection| rejection.error) {
            // It will be valid.
            Ok(_) | Err(TokenError::NotYetValid) => Ok(token),
            Err(error) => Err(MintError::Refused(error)),
        }
    }
}

impl Inner {
    /// Verifies a token with the keys that are known now.
    fn verify(&self, token: &str) -> Result<Claims, Rejection> {
        if token.len() > self.max_token {
            return Err(TokenError::TooLarge.into());
        }
        let head = JwtHeader::parse(token)?;
        // "none" is the name of no algorithm here.
        let algorithm: Algorithm = head.alg.parse().map_err(|_| TokenError::Algorithm)?;
        let signature = self.signatures.iter().find(|(of, _)| *of == algorithm);
        let (_, signature) = signature.ok_or(TokenError::Algorithm)?;

        let set = self.remote.as_ref().and_then(RemoteKeySet::set);
        let named = head.kid.as_deref();
        let known = named.is_some_and(|kid| set.as_ref().is_some_and(|set| set.has(kid)));
        let all = || self.static_keys.iter().chain(set.iter().flat_map(|set| &set.keys));
        // A key without a name may be the one that is named.
        let kid = named.filter(|_| known);
        let mut candidates =
            all().filter(|key| key.supports(algorithm) && key.kid.as_deref() == kid).peekable();

        // A set has public keys only: a newer one makes no token valid that is signed with a secret.
        let remote = self.remote.is_some() && !keys::HMAC.contains(&algorithm);
        let fixed_by_refresh = remote && (set.is_none() || (named.is_some() && !known));
        let absent = match set {
            None if remote => TokenError::KeysUnavailable,
            _ if !fixed_by_refresh && !all().any(|key| key.supports(algorithm)) => {
                TokenError::Algorithm
            }
            _ if known => TokenError::Algorithm,
            _ => TokenError::UnknownKey,
        };
        if candidates.peek().is_none() {
            return Err(Rejection { error: absent, fixed_by_refresh });
        }
        for key in candidates {
            match jsonwebtoken::decode::<Claims>(token, &key.checking, signature) {
                Ok(token) => {
                    self.rules.check(&token.claims, now())?;
                    return Ok(token.claims);
                }
                Err(error) => match TokenError::from(&error) {
                    TokenError::Signature => {}
                    // It is signed as it should be.
                    error => return Err(error.into()),
                },
            }
        }
        Err(Rejection {
            error: if fixed_by_refresh { absent } else { TokenError::Signature },
            fixed_by_refresh,
        })
    }

    /// Verifies a token after each fetch of the key set, until a fetch has ended that began after now.
    async fn verify_after_refresh(
        &self,
        token: &str,
        remote: &RemoteKeySet,
    ) -> Result<Claims, TokenError> {
        let asked = Instant::now();
        let mut rounds = remote.request_refresh();
        let deadline = asked + remote.max_wait();
        loop {
            let last = rounds.borrow_and_update().began >= Some(asked);
            let error = match self.verify(token) {
                Err(Rejection { fixed_by_refresh: true, error }) => error,
                result => return result.map_err(|rejection| rejection.error),
            };
            if last || !matches!(timeout_at(deadline, rounds.changed()).await, Ok(Ok(()))) {
                return Err(error);
            }
        }
    }

    fn count(&self, result: Result<Claims, TokenError>) -> Result<Claims, TokenError> {
        match &result {
            Ok(_) => self.accepted.increment(1),
            Err(error) => {
                counter!(TOKEN_CHECKS.name, "result" => error.reason()).increment(1);
                tracing::debug!(reason = error.reason(), "token refused");
            }
        }
        result
    }
}

/// How the library checks a signature of an algorithm; what a token says is for [`ClaimRules`].
fn signature_of(algorithm: Algorithm) -> Validation {
    let mut signature = Validation::new(algorithm);
    signature.validate_exp = false;
    signature.validate_nbf = false;
    signature.validate_aud = false;
    signature.set_required_spec_claims::<&str>(&[]);
    signature
}

/// Time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod signer;
#[cfg(test)]
mod tests;
