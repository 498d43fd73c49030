//! Origins of pages, as settings name them: each with scheme and host, or all below a domain.

use super::{Problem, values::canonical_origin};

/// Names of their own networks and machines, below which anybody may have a domain of one label.
const OWN: [&str; 5] = ["localhost", "local", "internal", "lan", "test"];

/// One of `public.cors.origins` or `admission.origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OriginPattern {
    /// One origin, as browsers spell it.
    One(String),
    /// `https://*.example.com:8443`: every host below a domain, whatever the number of labels, over that scheme and on that
    /// port; not the domain itself.
    Below {
        /// `https://`
        scheme: String,
        /// `.example.com:8443`
        domain: String,
    },
}

impl OriginPattern {
    /// None for what no page of a browser can have as its origin, and for domains that are anybody's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Some((scheme, domain)) = text.split_once("://*.") else {
            return canonical_origin(text).map(Self::One);
        };
        // What browsers make of the domain, they make of it with a label before it: `0.0.1` is none, it would be an address.
        let origin = canonical_origin(&format!("{scheme}://a.{domain}"))?;
        let (scheme, host) = origin.split_once("://a")?;
        let (name, _) = host.rsplit_once(':').unwrap_or((host, ""));
        let name = name.trim_matches('.');
        let is_own = |name: &str| OWN.contains(&name);
        (name.contains('.') || is_own(name))
            .then(|| Self::Below { scheme: format!("{scheme}://"), domain: host.to_owned() })
    }

    /// Whether it is that of a page, in the spelling of browsers.
    pub(crate) fn matches(&self, origin: &str) -> bool {
        match self {
            Self::One(one) => one == origin,
            Self::Below { scheme, domain } => {
                let host = origin.strip_prefix(&**scheme);
                let below = host.and_then(|host| host.strip_suffix(&**domain));
                let is_label = |label: &str| !label.is_empty() && !label.contains([':', '[', ']']);
                below.is_some_and(|below| below.split('.').all(is_label))
            }
        }
    }
}

/// Names the origins that no page can have.
pub(super) fn check(key: &str, origins: &[String], also: &str, problems: &mut Vec<Problem>) {
    for origin in origins.iter().filter(|origin| OriginPattern::parse(origin).is_none()) {
        let remedy = format!(
            "expected scheme and host, and the port if it has one, such as \"https://app.example.com\", or \"https://*.example.com\" \
             for all hosts below a domain of yours{also}; a path, or a \"*\" in another place, would never match"
        );
        problems.push(Problem::new(key, origin, remedy));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pattern_is_all_hosts_below_a_domain_and_nothing_else() {
        let pattern = OriginPattern::parse("HTTPS://*.Example.com:443").unwrap();
        for origin in ["https://app.example.com", "https://a.b.example.com"] {
            assert!(pattern.matches(origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "https://evilexample.com",
            "https://app.example.com.evil.net",
            "https://app.example.com:8443",
            "http://app.example.com",
            "https://evil.net:1.example.com",
            "wss://app.example.com",
            "null",
            "",
        ] {
            assert!(!pattern.matches(origin), "{origin}");
        }
        let ported = OriginPattern::parse("http://*.localhost:8080").unwrap();
        assert!(ported.matches("http://a.localhost:8080"));
        assert!(!ported.matches("http://a.localhost"));
    }

    #[test]
    fn what_would_be_anybody_is_no_pattern() {
        for text in [
            "https://*",
            "https://*.com",
            "https://*.com:8443",
            "https://*.com.",
            "https://*.",
            "https://*.*.example.com",
            "https://*.example.com/chat",
            "https://*.example.com:*",
            "https://app.*.com",
            "https://*app.example.com",
            "*://*.example.com",
            "*.example.com",
            "https://*.0.0.1",
            "https://*.[::1]",
            "*",
        ] {
            assert_eq!(OriginPattern::parse(text), None, "{text}");
        }
    }
}
