//! `[kubernetes.external_metrics]`: the pods answer the API that autoscalers read numbers from.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Problem, values};

/// The only name that Kubernetes lets the APIService of this group and version have.
const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";

/// The listener for the API server, and its certificate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalMetrics {
    /// Addresses to listen on; empty: off.
    #[serde(with = "values::AsAddresses")]
    pub listen: Vec<SocketAddr>,
    /// The name by which the API server reaches its Service: `NAME.NAMESPACE.svc`.
    pub service: String,
    /// The APIService whose `caBundle` the pods write, when they make the certificate themselves; empty: none.
    pub api_service: String,
    /// File with the certificate, in PEM.
    pub cert_file: String,
    /// File with its key, in PEM.
    pub key_file: String,
    /// The Secret in which the pods keep a certificate that they make.
    pub secret: String,
}

impl ExternalMetrics {
    /// Whether the pod answers it at all.
    pub fn is_on(&self) -> bool {
        !self.listen.is_empty()
    }

    /// Name and namespace of the Service.
    pub(crate) fn service_reference(&self) -> Option<(&str, &str)> {
        let (name, namespace) = self.service.strip_suffix(".svc")?.split_once('.')?;
        (is_label(name) && is_label(namespace)).then_some((name, namespace))
    }

    /// `enabled`: whether the pod speaks to the API server.
    pub(super) fn check(&self, enabled: bool, problems: &mut Vec<Problem>) {
        if !self.is_on() {
            return;
        }
        let mut wrong = |key: &str, value: &str, remedy: &str| {
            problems.push(Problem::new(
                format!("kubernetes.external_metrics.{key}"),
                value,
                remedy,
            ));
        };
        if !enabled {
            let listen: Vec<_> = self.listen.iter().map(SocketAddr::to_string).collect();
            let remedy = "needs kubernetes.enabled = true: the API server is asked who may read";
            wrong("listen", &listen.join(", "), remedy);
        }
        match (&*self.cert_file, &*self.key_file, &*self.secret) {
            ("", "", "") => wrong(
                "secret",
                "",
                "TLS needs a certificate: name a Secret in which the pods keep one of their own, or set cert_file and key_file",
            ),
            ("", "", _) => {}
            (_, "", _) => {
                wrong("key_file", "", "cert_file is set; name the file with its key, too")
            }
            ("", _, _) => {
                wrong("cert_file", "", "key_file is set; name the file with its certificate, too")
            }
            (_, _, "") => {}
            (_, _, secret) => wrong("secret", secret, "cert_file is set; keep one of them"),
        }
        if !self.secret.is_empty() && self.service_reference().is_none() {
            let remedy = "expected NAME.NAMESPACE.svc, the name of its Service: the certificate is made for it";
            wrong("service", &self.service, remedy);
        }
        if !["", API_SERVICE].contains(&&*self.api_service) {
            let remedy = format!("expected \"{API_SERVICE}\", or \"\" if nobody may write it");
            wrong("api_service", &self.api_service, &remedy);
        }
    }
}

/// A name that Services and namespaces may have (RFC 1123).
fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn settings() -> ExternalMetrics {
        ExternalMetrics {
            listen: vec!["[::]:6443".parse().unwrap()],
            service: "chat-metrics.prod.svc".into(),
            api_service: API_SERVICE.into(),
            cert_file: String::new(),
            key_file: String::new(),
            secret: "chat-metrics".into(),
        }
    }

    fn problems(change: impl FnOnce(&mut ExternalMetrics)) -> Vec<String> {
        let (mut settings, mut problems) = (settings(), Vec::new());
        change(&mut settings);
        settings.check(true, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_makes_sense_is_no_problem() {
        assert_eq!(problems(|_| {}), [""; 0]);
        assert_eq!(settings().service_reference(), Some(("chat-metrics", "prod")));
        let files = |settings: &mut ExternalMetrics| {
            settings.secret.clear();
            settings.service.clear();
            (settings.cert_file, settings.key_file) = ("tls.crt".into(), "tls.key".into());
        };
        assert_eq!(problems(files), [""; 0]);
        assert_eq!(problems(|settings| settings.api_service.clear()), [""; 0]);
        // Off, nothing of it is looked at.
        let off = |settings: &mut ExternalMetrics| {
            settings.listen.clear();
            settings.service = "?".into();
        };
        assert_eq!(problems(off), [""; 0]);
    }

    #[test]
    fn each_mistake_names_its_key_and_the_remedy() {
        type Change = fn(&mut ExternalMetrics);
        let table: [(Change, &str, &str); 7] = [
            (|s| s.secret.clear(), "secret", "needs a certificate"),
            (|s| s.cert_file = "a".into(), "key_file", "cert_file is set"),
            (|s| s.key_file = "a".into(), "cert_file", "key_file is set"),
            (
                |s| (s.cert_file, s.key_file) = ("a".into(), "b".into()),
                "secret",
                "keep one of them",
            ),
            (|s| s.service = "chat".into(), "service", "NAME.NAMESPACE.svc"),
            (|s| s.service = "chat.prod.svc.cluster.local".into(), "service", "NAME.NAMESPACE.svc"),
            (|s| s.api_service = "v1".into(), "api_service", API_SERVICE),
        ];
        for (change, key, remedy) in table {
            let problems = problems(change);
            let named = format!("kubernetes.external_metrics.{key}");
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].starts_with(&named) && problems[0].contains(remedy),
                "{problems:?}"
            );
        }
        let mut problems = Vec::new();
        settings().check(false, &mut problems);
        assert!(problems[0].to_string().contains("kubernetes.enabled"), "{problems:?}");
    }
}
