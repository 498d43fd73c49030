//! Who a client is: JSON Web Tokens, the keys they are signed with, and what they must say.
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

use claims::Rules;
pub use error::{MintError, TokenError, TokensError};
use jwks::Remote;
use keys::Key;

use crate::{config::Jwt, telemetry::metrics::TOKEN_CHECKS};

/// What expires later does not expire: no connection lasts so long, and no timer overflows.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What a token says of its bearer.
pub type Claims = Map<String, Value>;

/// The tokens that a pod accepts: keys and rules. Clones are the same.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    /// Keys of the settings.
    own: Vec<Key>,
    /// Keys of the issuer's set.
    remote: Option<Remote>,
    /// How a signature is checked, by its algorithm; one that is not here is not accepted.
    signatures: Vec<(Algorithm, Validation)>,
    /// What a token must say.
    rules: Rules,
    max_token: usize,
    /// Signs with the first secret.
    signing: Option<EncodingKey>,
    /// What `mint` adds.
    issuer: Option<String>,
    audience: Option<String>,
    /// Looked up once: tokens may be checked before each call of a handler.
    accepted: Counter,
}

/// A token that is refused.
struct Refused {
    error: TokenError,
    /// Whether a newer key set could change that.
    curable: bool,
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        Self { error, curable: false }
    }
}

/// What is read of the first part of a token (RFC 7515, section 4.1) before its key is known. Keys and addresses
/// of keys in it are not looked at: they are the bearer's.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<IgnoredAny>,
}

impl Head {
    fn read(token: &str) -> Result<Self, TokenError> {
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
        let (own, remote) = (keys::configured(settings)?, Remote::new(settings)?);
        if own.is_empty() && remote.is_none() {
            return Ok(None);
        }
        let named: Vec<Algorithm> = settings.algorithms.iter().copied().map(Into::into).collect();
        let accepted = |algorithm: &Algorithm| named.is_empty() || named.contains(algorithm);
        let algorithms = keys::all_algorithms().filter(accepted);
        let secret = settings.secret.iter().find(|secret| !secret.is_empty());
        Ok(Some(Self(Arc::new(Inner {
            own,
            remote,
            signatures: algorithms.map(|algorithm| (algorithm, signature_of(algorithm))).collect(),
            rules: Rules::new(settings),
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
        let result = match (self.0.decide(token), &self.0.remote) {
            (Err(Refused { curable: true, .. }), Some(remote)) => {
                self.0.decide_later(token, remote).await
            }
            (result, _) => result.map_err(|refused| refused.error),
        };
        self.0.counted(result)
    }

    /// Checks a token with the keys that are known now.
    pub fn check_now(&self, token: &str) -> Result<Claims, TokenError> {
        self.0.counted(self.0.decide(token).map_err(|refused| refused.error))
    }

    /// Time until claims that were accepted are no longer, by their `exp` and the leeway; `None`: never.
    pub fn valid_for(&self, claims: &Claims) -> Option<Duration> {
        let exp = claims.get("exp")?.as_f64()?;
        let leeway = self.0.rules.leeway;
        let end = Duration::try_from_secs_f64(exp.max(0.0)).ok()?.checked_add(leeway)?;
        Some(end.saturating_sub(now())).filter(|left| *left < FOR_EVER)
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
        match inner.decide(&token).map_err(|refused| refused.error) {
            // It will be valid.
            Ok(_) | Err(TokenError::NotYetValid) => Ok(token),
            Err(error) => Err(MintError::Refused(error)),
        }
    }
}

impl Inner {
    /// Checks a token with the keys that are here.
    fn decide(&self, token: &str) -> Result<Claims, Refused> {
        if token.len() > self.max_token {
            return Err(TokenError::TooLarge.into());
        }
        let head = Head::read(token)?;
        // "none" is the name of no algorithm here.
        let algorithm: Algorithm = head.alg.parse().map_err(|_| TokenError::Algorithm)?;
        let signature = self.signatures.iter().find(|(of, _)| *of == algorithm);
        let (_, signature) = signature.ok_or(TokenError::Algorithm)?;

        let set = self.remote.as_ref().and_then(Remote::set);
        let named = head.kid.as_deref();
        let known = named.is_some_and(|kid| set.as_ref().is_some_and(|set| set.has(kid)));
        let all = || self.own.iter().chain(set.iter().flat_map(|set| &set.keys));
        // A key without a name may be the one that is named.
        let kid = named.filter(|_| known);
        let mut candidates =
            all().filter(|key| key.is_for(algorithm) && key.kid.as_deref() == kid).peekable();

        // A set has public keys only: it cures no token that is signed with a secret.
        let remote = self.remote.is_some() && !keys::HMAC.contains(&algorithm);
        let curable = remote && (set.is_none() || (named.is_some() && !known));
        let absent = match set {
            None if remote => TokenError::KeysUnavailable,
            _ if !curable && !all().any(|key| key.is_for(algorithm)) => TokenError::Algorithm,
            _ if known => TokenError::Algorithm,
            _ => TokenError::UnknownKey,
        };
        if candidates.peek().is_none() {
            return Err(Refused { error: absent, curable });
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
        Err(Refused { error: if curable { absent } else { TokenError::Signature }, curable })
    }

    /// Checks a token after each round of fetching, until one has ended that began after now.
    async fn decide_later(&self, token: &str, remote: &Remote) -> Result<Claims, TokenError> {
        let asked = Instant::now();
        let mut rounds = remote.ask();
        let deadline = asked + remote.patience();
        loop {
            let last = rounds.borrow_and_update().began >= Some(asked);
            let error = match self.decide(token) {
                Err(Refused { curable: true, error }) => error,
                result => return result.map_err(|refused| refused.error),
            };
            if last || !matches!(timeout_at(deadline, rounds.changed()).await, Ok(Ok(()))) {
                return Err(error);
            }
        }
    }

    fn counted(&self, result: Result<Claims, TokenError>) -> Result<Claims, TokenError> {
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

/// How the library checks a signature of an algorithm; what a token says is for [`Rules`].
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
