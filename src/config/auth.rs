//! Who a client is: where its token is found, and which tokens are valid.

use std::{fs, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Problem, Secret, public_key::PublicKey, values};

/// Shortest secret for HS256: as long as its hash (RFC 7518, section 3.2). Who has a token can try shorter ones at home.
const SECRET_LENGTH: usize = 32;
/// Longest difference of clocks that is one.
const MOST_LEEWAY: Duration = Duration::from_secs(10 * 60);
/// Shortest `max_token`: less is no token.
const LEAST_TOKEN: usize = 256;

/// Who a client is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Name of the cookie with the token, for clients that send it nowhere else; empty for none.
    pub cookie: String,
    /// JSON Web Tokens.
    pub jwt: Jwt,
}

/// JSON Web Tokens: the keys that they are signed with, and what they must say.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// Secrets of the HS algorithms; those of `secret_file` are added when loaded. The first one signs.
    #[serde(with = "values::AsList::<Secret>")]
    pub secret: Vec<Secret>,
    /// Files with a secret each.
    #[serde(with = "values::AsList::<String>")]
    pub secret_file: Vec<String>,
    /// Files with public keys, in PEM.
    #[serde(with = "values::AsList::<String>")]
    pub public_key_file: Vec<String>,
    /// Where the key set of the issuer is; empty for none.
    pub jwks_url: String,
    /// Authorities of its certificate, in PEM; empty for those of the system.
    pub jwks_ca_file: String,
    /// How often the set is fetched.
    #[serde(with = "values::AsDuration")]
    pub jwks_refresh: Duration,
    /// Shortest time between two fetches, whatever clients send.
    #[serde(with = "values::AsDuration")]
    pub jwks_min_interval: Duration,
    /// Longest time that one fetch may take.
    #[serde(with = "values::AsDuration")]
    pub jwks_timeout: Duration,
    /// Accepted algorithms; empty for all that the keys are for.
    #[serde(with = "values::AsList::<JwtAlgorithm>")]
    pub algorithms: Vec<JwtAlgorithm>,
    /// Accepted issuers (`iss`); empty for any.
    #[serde(with = "values::AsList::<String>")]
    pub issuer: Vec<String>,
    /// What this service is called in tokens (`aud`); empty: the audience is not looked at.
    #[serde(with = "values::AsList::<String>")]
    pub audience: Vec<String>,
    /// How far clocks may differ.
    #[serde(with = "values::AsDuration")]
    pub leeway: Duration,
    /// Whether a token must say when it expires (`exp`).
    pub require_exp: bool,
    /// Bytes of a token.
    #[serde(with = "values::AsSize")]
    pub max_token: usize,
}

/// How tokens are signed: the names of RFC 7518, section 3.1, and RFC 8037.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum JwtAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Auth {
    pub(super) fn check(&mut self, problems: &mut Vec<Problem>) {
        let token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !self.cookie.chars().all(token) {
            let remedy = "expected letters, digits, \"-\", \"_\" and \".\"";
            problems.push(Problem::new("auth.cookie", &self.cookie, remedy));
        }
        self.jwt.read_secrets(problems);
        self.jwt.check(problems);
    }

    pub(super) fn warn(&self, origins: &[String], warnings: &mut Vec<Problem>) {
        let jwt = &self.jwt;
        if jwt.jwks_url.starts_with("http:") {
            let remedy = "over http, whoever is between can add a key of their own; use https";
            warnings.push(Problem::new("auth.jwt.jwks_url", &jwt.jwks_url, remedy));
        }
        if !jwt.jwks_url.is_empty() && jwt.audience.is_empty() {
            let remedy = "tokens that the issuer made for its other services are accepted too; \
                          name this one";
            warnings.push(Problem::new("auth.jwt.audience", &jwt.audience, remedy));
        }
        if !self.cookie.is_empty() && origins.is_empty() {
            let remedy = "browsers send cookies with a WebSocket of any page; name the pages that \
                          may connect in admission.origins";
            warnings.push(Problem::new("auth.cookie", &self.cookie, remedy));
        }
    }
}

impl Jwt {
    /// Whether there is a key, or a place to get some from.
    pub(crate) fn is_set(&self) -> bool {
        !(self.secret.is_empty()
            && self.secret_file.is_empty()
            && self.public_key_file.is_empty()
            && self.jwks_url.is_empty())
    }

    /// Secrets that whoever has a token can guess.
    pub(super) fn find_insecure(&self, found: &mut Vec<Problem>) {
        // Those of files stand in the list too, when they have been read.
        let short = |secret: &Secret| !secret.is_empty() && secret.expose().len() < SECRET_LENGTH;
        if self.secret.iter().any(short) {
            let remedy = format!(
                "less than {SECRET_LENGTH} bytes are too few for HS256 (RFC 7518, section 3.2); \
                 `openssl rand -hex 32` makes enough"
            );
            found.push(Problem::hidden("auth.jwt.secret", remedy));
        }
    }

    fn read_secrets(&mut self, problems: &mut Vec<Problem>) {
        self.secret.retain(|secret| !secret.is_empty());
        for list in [&mut self.secret_file, &mut self.public_key_file] {
            list.retain(|file| !file.is_empty());
        }
        for file in &self.secret_file {
            let key = "auth.jwt.secret_file";
            match fs::read_to_string(file) {
                Ok(text) => match text.trim_end_matches(['\n', '\r']) {
                    "" => problems.push(Problem::new(key, file, "is empty")),
                    secret => self.secret.push(Secret::new(secret)),
                },
                Err(error) => {
                    problems.push(Problem::new(key, file, format!("cannot be read: {error}")));
                }
            }
        }
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        for file in &self.public_key_file {
            if let Err(error) = PublicKey::read(file) {
                problems.push(Problem::new("auth.jwt.public_key_file", file, error));
            }
        }
        if !self.jwks_url.is_empty()
            && let Err(remedy) = self.key_set_url()
        {
            problems.push(Problem::hidden("auth.jwt.jwks_url", remedy));
        }
        if !self.jwks_ca_file.is_empty()
            && let Err(error) = fs::File::open(&self.jwks_ca_file)
        {
            let remedy = format!("cannot be read: {error}");
            problems.push(Problem::new("auth.jwt.jwks_ca_file", &self.jwks_ca_file, remedy));
        }
        for (key, duration) in [
            ("auth.jwt.jwks_refresh", self.jwks_refresh),
            ("auth.jwt.jwks_min_interval", self.jwks_min_interval),
            ("auth.jwt.jwks_timeout", self.jwks_timeout),
        ] {
            if duration.is_zero() {
                problems.push(Problem::new(key, duration, "must be longer than zero"));
            }
        }
        if self.jwks_refresh < self.jwks_min_interval {
            let remedy = "must not be shorter than auth.jwt.jwks_min_interval";
            problems.push(Problem::new("auth.jwt.jwks_refresh", self.jwks_refresh, remedy));
        }
        if self.leeway > MOST_LEEWAY {
            let remedy = format!("must be at most {MOST_LEEWAY:?}; synchronise the clocks");
            problems.push(Problem::new("auth.jwt.leeway", self.leeway, remedy));
        }
        if self.max_token < LEAST_TOKEN {
            let remedy = format!("must be at least {LEAST_TOKEN}");
            problems.push(Problem::new("auth.jwt.max_token", self.max_token, remedy));
        }
        for (key, names) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if names.iter().any(String::is_empty) {
                let remedy = "an empty name is none; leave it out to accept any";
                problems.push(Problem::new(format!("auth.jwt.{key}"), names, remedy));
            }
        }
    }

    /// The address of the key set, or what is wrong with it.
    pub(crate) fn key_set_url(&self) -> Result<Url, &'static str> {
        let url = Url::parse(&self.jwks_url)
            .map_err(|_| "expected an address such as \"https://id.example.com/jwks.json\"")?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("expected an address that begins with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a key set is public: expected an address without user and password");
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests;
