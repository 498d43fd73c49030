//! The internal listener, and where other pods reach it.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Backplane, BackplaneKind, Problem, values};

/// The listener for probes, metrics and the API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Internal {
    /// Addresses to listen on.
    #[serde(with = "values::AsAddresses")]
    pub listen: Vec<SocketAddr>,
    /// Where other pods reach it: host and port, or an IP address alone, with the port of the listener. Empty for what
    /// the pod finds out.
    pub advertise: String,
}

/// What [`Internal::advertise`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advertised {
    /// Host and port, as they stand in a URL.
    Whole(String),
    /// An address, to which the port of the listener belongs.
    Address(IpAddr),
}

impl Internal {
    /// Where other pods reach it, if the settings say so.
    pub(crate) fn advertised(&self) -> Option<Advertised> {
        let text = self.advertise.trim();
        if let Ok(address) = text.parse() {
            return Some(Advertised::Address(address));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return (address.port() > 0).then(|| Advertised::Whole(address.to_string()));
        }
        let (host, port) = text.split_once(':')?;
        let port: u16 = port.parse().ok()?;
        (port > 0 && is_host(host)).then(|| Advertised::Whole(format!("{host}:{port}")))
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if self.listen.is_empty() {
            let remedy = "needs at least one address";
            problems.push(Problem::new("internal.listen", Vec::<String>::new(), remedy));
        }
        if self.advertise.is_empty() {
            return;
        }
        // In an IPv6 address, a port looks like one more group of it.
        let port = self.advertise.rsplit(':').next().and_then(|group| group.parse::<u16>().ok());
        let port = port.filter(|port| *port > 0);
        let remedy = match self.advertised() {
            Some(Advertised::Address(IpAddr::V6(_)))
                if self.listen.iter().any(|address| Some(address.port()) == port) =>
            {
                "an IPv6 address needs brackets before a port, \"[fd00::1]:9000\"; or leave out the port"
            }
            Some(advertised) if advertised.ip().is_some_and(|ip| ip.is_unspecified()) => {
                "nobody reaches that address; name one of this machine, or leave it empty"
            }
            Some(_) => return,
            None => {
                "expected \"host:port\", \"[IPv6]:port\" or an IP address; empty: the pod finds out"
            }
        };
        problems.push(Problem::new("internal.advertise", &self.advertise, remedy));
    }

    /// Pods on other machines could not reach it.
    pub(super) fn warn(&self, backplane: &Backplane, warnings: &mut Vec<Problem>) {
        if backplane.kind() == BackplaneKind::None || backplane.is_here() {
            return;
        }
        let remedy = "nobody on another machine reaches it, and Redis is on one: requests of this pod's sessions that \
                      come to other pods are lost";
        match self.advertised() {
            Some(advertised) if advertised.ip().is_some_and(|ip| ip.is_loopback()) => {
                let remedy =
                    format!("{remedy}; name an address of this machine, or leave it empty");
                warnings.push(Problem::new("internal.advertise", &self.advertise, remedy));
            }
            None if self.listen.iter().all(|address| address.ip().is_loopback()) => {
                let remedy = format!(
                    "{remedy}; listen on \"0.0.0.0:9000\" and \"[::]:9000\", or set internal.advertise"
                );
                warnings.push(Problem::new("internal.listen", &self.listen, remedy));
            }
            _ => {}
        }
    }
}

impl Advertised {
    fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Whole(text) => text.parse::<SocketAddr>().ok().map(|address| address.ip()),
            Self::Address(address) => Some(*address),
        }
    }
}

/// A name of DNS; what ends with a number is an address, or none (RFC 1123, section 2.1).
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    text.chars().all(plain) && last.chars().any(|c| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Config, Secret};

    fn internal(advertise: &str) -> Internal {
        Internal {
            listen: vec!["0.0.0.0:9000".parse().unwrap(), "[::]:9000".parse().unwrap()],
            advertise: advertise.into(),
        }
    }

    fn problem(advertise: &str) -> Option<String> {
        let mut problems = Vec::new();
        internal(advertise).check(&mut problems);
        problems.pop().map(|problem| problem.to_string())
    }

    #[test]
    fn an_address_has_its_port_or_gets_it_from_the_listener() {
        let whole = |text: &str| Some(Advertised::Whole(text.into()));
        for (text, advertised) in [
            ("10.0.0.1:9000", whole("10.0.0.1:9000")),
            ("[fd00::1]:9001", whole("[fd00::1]:9001")),
            ("chat-0.chat:9000", whole("chat-0.chat:9000")),
            ("10.0.0.1", Some(Advertised::Address([10, 0, 0, 1].into()))),
            ("fd00::1", Some(Advertised::Address("fd00::1".parse().unwrap()))),
            ("", None),
        ] {
            assert_eq!(internal(text).advertised(), advertised, "{text}");
            assert_eq!(problem(text), None, "{text}");
        }
    }

    #[test]
    fn what_nobody_reaches_is_a_problem_with_its_remedy() {
        for text in [
            "nonsense",
            "::1:19391",
            "http://pod:9000",
            "pod:0",
            "pod:99999",
            "10.0.1:9000",
            ":9000",
            "a b:1",
        ] {
            let problem = problem(text).unwrap_or_else(|| panic!("{text}"));
            assert!(
                problem.starts_with(&format!("internal.advertise = {text:?}: expected")),
                "{problem}"
            );
        }
        assert!(problem("fd00::1:9000").unwrap().contains("needs brackets"));
        for text in ["0.0.0.0:9000", "::", "[::]:9000"] {
            assert!(problem(text).unwrap().contains("nobody reaches"), "{text}");
        }
    }

    #[test]
    fn a_loopback_address_is_warned_of_where_redis_is_elsewhere() {
        let warned = |listen: &str, advertise: &str, url: &str| {
            let mut config = Config::defaults();
            config.internal.listen = vec![listen.parse().unwrap()];
            config.internal.advertise = advertise.into();
            config.backplane.url = Secret::new(url);
            let warnings = config.warnings().into_iter();
            let mut ours = warnings.filter(|warning| warning.key.starts_with("internal."));
            ours.next().map(|warning| warning.to_string())
        };
        let far = "redis://:pw@redis:6379";
        let warning = warned("127.0.0.1:9000", "", far).unwrap();
        assert!(warning.starts_with("internal.listen = [127.0.0.1:9000]: "), "{warning}");
        assert!(warning.contains("\"0.0.0.0:9000\"") && !warning.contains("pw"), "{warning}");
        assert!(warned("0.0.0.0:9000", "127.0.0.1", far).unwrap().contains("internal.advertise"));
        assert!(warned("[::1]:9000", "", "redis-cluster://[::1]?node=redis:1").is_some());
        for (listen, advertise, url) in [
            ("127.0.0.1:9000", "", ""),
            ("127.0.0.1:9000", "", "redis://localhost"),
            ("127.0.0.1:9000", "", "rediss://[::1]:1"),
            ("127.0.0.1:9000", "10.0.0.1", far),
            ("0.0.0.0:9000", "", far),
        ] {
            assert_eq!(warned(listen, advertise, url), None, "{listen} {advertise} {url}");
        }
    }
}
