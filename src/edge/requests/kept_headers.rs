//! What is kept of the headers of the request that opened a connection: its token, and the headers that
//! `public.kept_headers` names. All else of the request is dropped, as it would cost memory for each connection.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::{Config, Secret};

/// Which headers are kept.
pub(crate) struct KeptHeaderPolicy {
    /// The cookie that may be a token; empty for none.
    cookie: String,
    max_token: usize,
    headers: Vec<HeaderName>,
    /// Whether all are kept.
    all: bool,
}

/// The headers that were kept of a request.
#[derive(Debug, Default)]
pub(crate) struct KeptHeaders {
    /// In `Authorization: Bearer` (RFC 6750), or in the cookie.
    pub token: Option<Secret>,
    /// Those that are named.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl KeptHeaderPolicy {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        let names = config.public.kept_headers.iter();
        Self {
            cookie: config.auth.cookie.clone(),
            max_token: config.auth.jwt.max_token,
            // What is no name has been refused with the configuration.
            headers: names.filter_map(|name| name.parse().ok()).collect(),
            all: config.public.kept_headers.iter().any(|name| name == "*"),
        }
    }

    /// What there is of it in a request; nothing if that is nothing.
    pub fn keep(&self, headers: &HeaderMap) -> Option<Box<KeptHeaders>> {
        let all = |name: &HeaderName| {
            let values = headers.get_all(name).iter();
            // Each in memory of its own, not in a slice of the request.
            let own = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
            values.filter_map(own).map(|value| (name.clone(), value)).collect::<Vec<_>>()
        };
        let kept = KeptHeaders {
            token: self.token(headers),
            headers: match self.all {
                true => headers.keys().flat_map(all).collect(),
                false => self.headers.iter().flat_map(all).collect(),
            },
        };
        (kept.token.is_some() || !kept.headers.is_empty()).then(|| Box::new(kept))
    }

    fn token(&self, headers: &HeaderMap) -> Option<Secret> {
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

    fn keeper(cookie: &str, kept: &[&str]) -> KeptHeaderPolicy {
        let mut config = Config::defaults();
        config.auth.cookie = cookie.into();
        config.auth.jwt.max_token = 16;
        config.public.kept_headers = kept.iter().map(ToString::to_string).collect();
        KeptHeaderPolicy::new(&config)
    }

    fn map(headers: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        map
    }

    fn found(cookie: &str, headers: &[(HeaderName, &str)]) -> Option<String> {
        let token = keeper(cookie, &[]).keep(&map(headers))?.token;
        token.map(|token| token.expose().to_owned())
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
    fn headers_are_kept_that_are_named() {
        let headers = map(&[
            (header::USER_AGENT, "a"),
            (header::ACCEPT_LANGUAGE, "de"),
            (header::ACCEPT_LANGUAGE, "en"),
        ]);
        let kept = keeper("", &["Accept-Language", "x-none"]).keep(&headers).unwrap();
        let values: Vec<_> = kept.headers.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(values, ["de", "en"]);
        assert!(keeper("", &[]).keep(&headers).is_none());
        assert_eq!(keeper("", &["*"]).keep(&headers).unwrap().headers.len(), 3);
    }
}
