//! The token that a connection was opened with, in `Authorization: Bearer` (RFC 6750) or in a cookie. The request itself
//! is not kept.

use http::{HeaderMap, header};

use crate::config::{Auth, Secret};

/// Where requests may have a token.
pub(super) struct Credential {
    cookie: String,
    max_token: usize,
    /// Whether anyone will look at it.
    wanted: bool,
}

impl Credential {
    /// As configured.
    pub fn new(settings: &Auth) -> Self {
        let (cookie, jwt) = (settings.cookie.clone(), &settings.jwt);
        Self { cookie, max_token: jwt.max_token, wanted: jwt.is_set() }
    }

    /// The token of a request.
    pub fn find(&self, headers: &HeaderMap) -> Option<Secret> {
        if !self.wanted {
            return None;
        }
        let token = bearer(headers).or_else(|| self.cookie(headers))?;
        // What is too long is refused for that, and one byte too much is enough to see it.
        let end = token.floor_char_boundary(self.max_token + 1);
        Some(Secret::new(&token[..end]))
    }

    fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        if self.cookie.is_empty() {
            return None;
        }
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
        // A browser sends the one of the narrowest path first.
        let mut ours = pairs.filter(|(name, _)| name.trim() == self.cookie);
        let (_, value) = ours.find(|(_, value)| !value.trim().is_empty())?;
        let value = value.trim();
        Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::HeaderName;

    use super::*;
    use crate::config::Config;

    fn found(cookie: &str, headers: &[(HeaderName, &str)]) -> Option<String> {
        let mut auth = Config::defaults().auth;
        auth.cookie = cookie.into();
        auth.jwt.secret = vec![Secret::new("a secret of at least thirty-two bytes")];
        auth.jwt.max_token = 16;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        Credential::new(&auth).find(&map).map(|token| token.expose().to_owned())
    }

    #[test]
    fn the_header_counts_before_the_cookie() {
        let (bearer, cookie) =
            ((header::AUTHORIZATION, "bearer  a.b.c"), (header::COOKIE, "x=1; token=d.e.f"));
        assert_eq!(found("token", &[cookie.clone(), bearer.clone()]).unwrap(), "a.b.c");
        assert_eq!(found("token", std::slice::from_ref(&cookie)).unwrap(), "d.e.f");
        assert_eq!(found("", std::slice::from_ref(&cookie)), None);
        assert_eq!(found("tok", &[cookie]), None);
    }

    #[test]
    fn other_schemes_and_empty_cookies_are_no_tokens() {
        let basic = (header::AUTHORIZATION, "Basic YTpi");
        assert_eq!(found("token", std::slice::from_ref(&basic)), None);
        let cookies =
            [basic, (header::COOKIE, "token=; token=\"a.b.c\""), (header::COOKIE, "token=z")];
        assert_eq!(found("token", &cookies).unwrap(), "a.b.c");
    }

    #[test]
    fn one_that_is_too_long_is_cut_and_stays_too_long() {
        let long = format!("Bearer {}", "x".repeat(4000));
        assert_eq!(found("", &[(header::AUTHORIZATION, &long)]).unwrap().len(), 17);
    }

    #[test]
    fn nothing_is_kept_when_nobody_looks_at_it() {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer a".parse().unwrap())]);
        assert_eq!(Credential::new(&Config::defaults().auth).find(&headers), None);
    }
}
