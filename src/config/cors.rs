//! What pages of other origins may do over HTTP, by the names of Node's `cors` options.

use std::time::Duration;

use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Problem, origins, values};

/// Cross-origin requests.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Allowed origins, one each or all below a domain; `*` for any. None: CORS is not answered at all.
    #[serde(with = "values::AsList::<String>")]
    pub origins: Vec<String>,
    /// Whether cookies and `Authorization` are allowed.
    pub credentials: bool,
    /// Allowed methods.
    #[serde(with = "values::AsList::<String>")]
    pub methods: Vec<String>,
    /// Headers that pages may set; none: those that they ask for.
    #[serde(with = "values::AsList::<String>")]
    pub headers: Vec<String>,
    /// Headers of answers that pages may read.
    #[serde(with = "values::AsList::<String>")]
    pub exposed_headers: Vec<String>,
    /// How long browsers may keep the answer to a preflight, in whole seconds; zero: they are not told.
    #[serde(with = "values::AsDuration")]
    pub max_age: Duration,
}

impl Cors {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let (any, named): (Vec<_>, Vec<_>) =
            self.origins.iter().cloned().partition(|origin| origin == "*");
        if let Some(any) = any.first().filter(|_| self.credentials) {
            let remedy = "browsers refuse credentials for any origin; name the origins";
            problems.push(Problem::new("public.cors.origins", any, remedy));
        }
        origins::check("public.cors.origins", &named, ", or \"*\" alone for any", problems);
        for method in &self.methods {
            if Method::from_bytes(method.as_bytes()).is_err() {
                let remedy = "expected the name of a method, such as \"POST\"";
                problems.push(Problem::new("public.cors.methods", method, remedy));
            }
        }
        for (key, names) in [
            ("public.cors.headers", &self.headers),
            ("public.cors.exposed_headers", &self.exposed_headers),
        ] {
            for name in names {
                if HeaderName::from_bytes(name.as_bytes()).is_err() {
                    let remedy = "expected the name of a header, such as \"x-tenant\"";
                    problems.push(Problem::new(key, name, remedy));
                }
            }
        }
    }

    /// What has no effect.
    pub(super) fn warn(&self, warnings: &mut Vec<Problem>) {
        if !self.origins.is_empty() {
            return;
        }
        let remedy = "has no effect without public.cors.origins";
        for (key, names) in [("headers", &self.headers), ("exposed_headers", &self.exposed_headers)]
        {
            if !names.is_empty() {
                warnings.push(Problem::new(format!("public.cors.{key}"), names, remedy));
            }
        }
        if self.credentials {
            warnings.push(Problem::new("public.cors.credentials", true, remedy));
        }
        if !self.max_age.is_zero() {
            warnings.push(Problem::new("public.cors.max_age", self.max_age, remedy));
        }
    }
}

/// Compressed answers to polls.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCompression {
    /// Whether there are any.
    pub enabled: bool,
    /// Bytes from which on an answer is compressed.
    #[serde(with = "values::AsSize")]
    pub threshold: usize,
}
