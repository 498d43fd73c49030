//! `[kubernetes]`: what the pod asks of the API server.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BackplaneKind, Config, ExternalMetrics, Problem};

/// What the pod asks of the API server. Off: it asks nothing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// Whether it asks anything at all.
    pub enabled: bool,
    /// The folder of the service account: `token`, `ca.crt`, `namespace`.
    pub service_account: String,
    /// Whether the pod keeps its deletion cost at its connections.
    pub deletion_cost: bool,
    /// Whether it writes Events.
    pub events: bool,
    /// The headless Service whose EndpointSlices say where the other pods are; empty for none.
    pub peers_service: String,
    /// Whether, and how, it answers the API that autoscalers read numbers from.
    pub external_metrics: ExternalMetrics,
}

/// Characters of the name of a Service (RFC 1035, as Kubernetes takes it).
const LONGEST_NAME: usize = 63;

impl Kubernetes {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        self.external_metrics.check(self.enabled, problems);
        let service = &self.peers_service;
        if !service.is_empty() && !is_service(service) {
            let remedy = "expected the name of a Service in the pod's own namespace, such as \"roomcast-headless\": small \
                          letters, digits and \"-\", without a namespace or a port; empty: off";
            problems.push(Problem::new("kubernetes.peers_service", service, remedy));
        }
        if self.enabled && self.service_account.is_empty() {
            let remedy = "expected the folder in which the service account's token, ca.crt and namespace are mounted";
            problems.push(Problem::new(
                "kubernetes.service_account",
                &self.service_account,
                remedy,
            ));
        }
    }

    /// Names what does nothing, or less than it looks.
    pub(super) fn warn(&self, config: &Config, warnings: &mut Vec<Problem>) {
        if self.peers_service.is_empty() {
            return;
        }
        let remedy = if !self.enabled {
            "not used while kubernetes.enabled is false"
        } else if !config.sessions.secret.is_empty() {
            return;
        } else if config.backplane.kind() == BackplaneKind::None {
            "the pods share no secret, so that none knows whose session a request is of: set sessions.secret_file"
        } else {
            "a pod that starts while Redis is away does not learn the secret of the others, and finds none of their \
             sessions until Redis is back: set sessions.secret_file"
        };
        warnings.push(Problem::new("kubernetes.peers_service", &self.peers_service, remedy));
    }
}

/// Whether it can be the name of a Service.
fn is_service(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn it_is_off_and_asks_nothing_unless_told() {
        let config = Config::defaults();
        assert!(!config.kubernetes.enabled);
        assert!(config.kubernetes.deletion_cost && config.kubernetes.events);
        assert!(config.warnings().iter().all(|warning| !warning.key.starts_with("kubernetes")));
    }

    #[test]
    fn what_is_no_service_is_named_with_its_remedy() {
        for (name, fine) in [
            ("", true),
            ("chat-headless", true),
            ("c1", true),
            ("chat.default", false),
            ("chat:9000", false),
            ("Chat", false),
            ("1chat", false),
            ("chat-", false),
        ] {
            let mut kubernetes = Config::defaults().kubernetes;
            kubernetes.peers_service = name.into();
            let mut problems = Vec::new();
            kubernetes.check(&mut problems);
            let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(texts.is_empty(), fine, "{name}: {texts:?}");
            let key =
                format!("kubernetes.peers_service = {name:?}: expected the name of a Service");
            assert!(fine || texts[0].starts_with(&key), "{texts:?}");
        }
    }

    #[test]
    fn peers_that_cannot_open_each_others_sessions_are_warned_of() {
        let warning = |enabled: bool, secret: &str, redis: &str| {
            let mut config = Config::defaults();
            config.kubernetes.enabled = enabled;
            config.kubernetes.peers_service = "chat".into();
            config.sessions.secret = Secret::new(secret);
            config.backplane.url = Secret::new(redis);
            let warnings = config.warnings();
            let ours = warnings.iter().find(|warning| warning.key == "kubernetes.peers_service");
            ours.map(|warning| warning.remedy.clone()).unwrap_or_default()
        };
        let secret = "a secret for the tests only, long enough";
        assert!(warning(false, secret, "").contains("kubernetes.enabled is false"));
        assert!(warning(true, "", "").contains("share no secret"));
        assert!(warning(true, "", "redis://127.0.0.1").contains("starts while Redis is away"));
        assert_eq!(warning(true, secret, "redis://127.0.0.1"), "");
    }
}
