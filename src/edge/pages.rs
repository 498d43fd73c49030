//! The pages that may connect, by their origins as browsers spell them.

use http::HeaderValue;

use crate::config::canonical_origin;

/// Origins that are allowed.
#[derive(Debug, Clone)]
pub(super) struct Pages(Vec<String>);

impl Pages {
    /// Those of the settings, however they are spelt there.
    pub fn new(origins: &[String]) -> Self {
        let origins = origins.iter();
        Self(origins.map(|text| canonical_origin(text).unwrap_or_else(|| text.clone())).collect())
    }

    /// Whether nothing is said of any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one is among them. Who is no browser may spell it in another way.
    pub fn have(&self, origin: &HeaderValue) -> bool {
        let among = |origin: &str| self.0.iter().any(|allowed| allowed == origin);
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        among(origin) || canonical_origin(origin).is_some_and(|origin| among(&origin))
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
            let pages = Pages::new(&[allowed.to_owned()]);
            for origin in spellings {
                assert!(pages.have(&HeaderValue::from_static(origin)), "{allowed} {origin}");
            }
            for other in ["https://app.example.com:444", "http://app.example.com", "null", ""] {
                assert!(!pages.have(&HeaderValue::from_static(other)), "{allowed} {other}");
            }
        }
    }
}
