//! The claims that a token must have: the registered ones of RFC 7519, section 4.1.
//!
//! They are checked here and not by the library that checks signatures. That takes `null` for a claim that is missing, takes a
//! list for an issuer, and refuses a list of audiences if one of them is no text.

use std::time::Duration;

use serde_json::Value;

use super::{Claims, TokenError};
use crate::config::Jwt;

/// The claims that the settings require.
pub(super) struct ClaimRules {
    issuer: Vec<String>,
    audience: Vec<String>,
    require_exp: bool,
    pub leeway: Duration,
}

impl ClaimRules {
    pub fn new(settings: &Jwt) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            require_exp: settings.require_exp,
            leeway: settings.leeway,
        }
    }

    /// Checks claims at a time since 1970.
    pub fn check(&self, claims: &Claims, now: Duration) -> Result<(), TokenError> {
        // An `exp` that is no number is as good as none.
        let exp = match time(claims, "exp") {
            Err(_) if self.require_exp => None,
            read => read?,
        };
        match exp {
            // "On or after" it, a token is not accepted.
            Some(exp) if exp.saturating_add(self.leeway) <= now => return Err(TokenError::Expired),
            None if self.require_exp => return Err(TokenError::NoExpiry),
            _ => {}
        }
        if time(claims, "nbf")?.is_some_and(|nbf| nbf > now.saturating_add(self.leeway)) {
            return Err(TokenError::NotYetValid);
        }
        // Nothing depends on `iat`. A token with a malformed one is refused, because its other claims may be wrong, too.
        time(claims, "iat")?;
        if !self.issuer.is_empty() {
            let issuer = claims.get("iss").and_then(Value::as_str);
            if !issuer.is_some_and(|issuer| self.issuer.iter().any(|known| known == issuer)) {
                return Err(TokenError::Issuer);
            }
        }
        // Without `auth.jwt.audience`, this service cannot tell which tokens are for it.
        if !self.audience.is_empty() && !self.is_for_us(claims.get("aud")) {
            return Err(TokenError::Audience);
        }
        Ok(())
    }

    /// Whether this service is the audience, or one of a list of audiences.
    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        let ours = |value: &Value| {
            value.as_str().is_some_and(|name| self.audience.iter().any(|known| known == name))
        };
        match audience {
            Some(Value::Array(several)) => several.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        }
    }
}

/// A `NumericDate`: if the claim is there, it is a number of seconds since 1970. `null` is none.
fn time(claims: &Claims, name: &str) -> Result<Option<Duration>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    // As a float, the largest of them would be one too large.
    if let Some(seconds) = value.as_u64() {
        return Ok(Some(Duration::from_secs(seconds)));
    }
    let seconds = value.as_f64().ok_or(TokenError::Malformed)?;
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| TokenError::Malformed)
}
