//! The origins whose pages may connect (`Origin` of RFC 6454).

use http::HeaderValue;

use crate::config::{OriginPattern, canonical_origin};

/// Origins that are allowed.
#[derive(Debug, Clone)]
pub(crate) struct AllowedOrigins(Vec<OriginPattern>);

impl AllowedOrigins {
    /// The origins of a setting, in any spelling.
    pub fn new(origins: &[String]) -> Self {
        // What is none has been refused with the configuration.
        Self(origins.iter().filter_map(|text| OriginPattern::parse(text)).collect())
    }

    /// Whether the setting is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an origin is among them. A client that is no browser may spell it in another way.
    pub fn contains(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().ok().and_then(canonical_origin);
        origin.is_some_and(|origin| self.0.iter().any(|allowed| allowed.matches(&origin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_same_in_every_spelling() {
        let spellings =
            ["https://app.example.com", "HTTPS://APP.Example.com", "https://app.example.com:443"];
        for allowed in spellings {
            let origins = AllowedOrigins::new(&[allowed.to_owned()]);
            for origin in spellings {
                assert!(origins.contains(&HeaderValue::from_static(origin)), "{allowed} {origin}");
            }
            for other in ["https://app.example.com:444", "http://app.example.com", "null", ""] {
                assert!(!origins.contains(&HeaderValue::from_static(other)), "{allowed} {other}");
            }
        }
    }
}
