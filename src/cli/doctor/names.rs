//! Names of other services, as this process resolves them.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use tokio::{net::lookup_host, time::timeout};
use url::Url;

use super::report::Report;
use crate::config::{BackplaneKind, Config};

/// Resolvers in a cluster try a name under several domains; more than this is felt by who waits for it.
const SLOW: Duration = Duration::from_secs(1);

/// Resolves each name that the configuration has.
pub(super) async fn look(config: &Config, limit: Duration, report: &mut Report) {
    let names = names(config);
    if names.is_empty() {
        report.skipped("dns", "the configuration has no names");
    }
    for ((host, port), keys) in names {
        let keys = keys.join(", ");
        let begun = tokio::time::Instant::now();
        let found = timeout(limit, lookup_host((host.as_str(), port))).await;
        let took = begun.elapsed();
        let remedy = format!(
            "look at {keys}; in a cluster: the name of the Service with its namespace (NAME.NAMESPACE.svc), and a \
             NetworkPolicy that lets port 53 out, UDP and TCP"
        );
        match found {
            Ok(Ok(addresses)) => {
                let addresses: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
                let found = format!("{host} is {} ({keys})", addresses.join(", "));
                if took > SLOW {
                    let found = format!("{found}, after {took:.1?}");
                    report.warning("dns", found, "a name server does not answer");
                } else {
                    report.ok("dns", found);
                }
            }
            Ok(Err(error)) => report.error("dns", format!("{host}: {error}"), remedy),
            Err(_) => report.error("dns", format!("{host}: no answer within {limit:?}"), remedy),
        }
    }
}

/// The names, and the settings that have each.
fn names(config: &Config) -> BTreeMap<(String, u16), Vec<String>> {
    let mut names: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut add = |key: &str, url: &str| {
        let Ok(url) = Url::parse(url) else { return };
        let other = url.query_pairs().filter(|(key, _)| key == "node");
        let mut hosts: Vec<_> = other
            .filter_map(|(_, node)| {
                let (host, port) = node.rsplit_once(':')?;
                Some((host.to_owned(), port.parse().ok()?))
            })
            .collect();
        // The port is for the lookup only.
        let port = url.port_or_known_default().unwrap_or(6379);
        hosts.extend(url.host_str().map(|host| (host.to_owned(), port)));
        for (host, port) in hosts {
            if host.trim_matches(['[', ']']).parse::<IpAddr>().is_err() {
                let keys = names.entry((host, port)).or_default();
                if !keys.iter().any(|known| known == key) {
                    keys.push(key.to_owned());
                }
            }
        }
    };
    if config.backplane.kind() != BackplaneKind::None {
        add("backplane.url", config.backplane.url.expose());
    }
    add("auth.jwt.jwks_url", &config.auth.jwt.jwks_url);
    for (name, namespace) in &config.namespaces {
        for (key, url) in namespace.hook_urls() {
            add(&format!("namespaces.{name}.{key}"), url.expose().as_str());
        }
    }
    names
}
