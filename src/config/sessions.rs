//! How requests find the pod that has their session.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Problem, Secret, values};

/// Shortest secret that cannot be guessed.
const SECRET_LENGTH: usize = 32;

/// How requests find the pod that has their session.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// Seals session ids; that of `secret_file` is put here when loaded. Empty for one that the pods agree on.
    pub secret: Secret,
    /// A file with the secret; empty for none.
    pub secret_file: String,
    /// Longest wait for another pod to take a request.
    #[serde(with = "values::AsDuration")]
    pub forward_timeout: Duration,
    /// Names the pod, for load balancers.
    pub affinity_cookie: AffinityCookie,
}

/// A cookie that names the pod.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AffinityCookie {
    /// Its name; empty for no cookie.
    pub name: String,
    /// To which sites browsers send it.
    pub same_site: SameSite,
    /// Whether only over HTTPS.
    pub secure: bool,
}

/// To which sites browsers send a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// Its own, and those that lead to it.
    Lax,
    /// Its own.
    Strict,
    /// All.
    None,
}

impl SameSite {
    /// Its name in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

impl Sessions {
    /// A secret with which session ids could be made.
    pub(super) fn find_insecure(&self, found: &mut Vec<Problem>) {
        let secret = self.secret.expose();
        if !secret.is_empty() && secret.len() < SECRET_LENGTH {
            let remedy = format!(
                "less than {SECRET_LENGTH} bytes can be guessed; `openssl rand -hex 32` makes enough, \
                 and without one the pods agree on one"
            );
            found.push(Problem::hidden("sessions.secret", remedy));
        }
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let cookie = &self.affinity_cookie;
        let token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !cookie.name.chars().all(token) {
            let remedy = "expected letters, digits, \"-\", \"_\" and \".\"";
            problems.push(Problem::new("sessions.affinity_cookie.name", &cookie.name, remedy));
        }
        if cookie.same_site == SameSite::None && !cookie.secure {
            let remedy = "browsers take \"none\" with secure = true only";
            problems.push(Problem::new("sessions.affinity_cookie.same_site", "none", remedy));
        }
    }
}
