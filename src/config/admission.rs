//! Whom a pod lets in, and where clients come from.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;

use super::{Problem, origins, values};

/// Which new sessions a pod takes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// Connections of the pod; 0 for no limit.
    pub max_connections: usize,
    /// Share of them at which the pod calls itself not ready; 0 for never.
    pub ready_share: f64,
    /// New sessions a second; 0 for no limit.
    pub rate: u32,
    /// How many at once, after a quiet second; 0 for `rate`.
    pub burst: u32,
    /// Requests for a new session a second that are refused for another reason; 0 for as many as `rate`.
    pub refused_rate: u32,
    /// Connections of one client address; 0 for no limit.
    pub max_per_address: u32,
    /// Longest time that a program may take to say whether a new session may begin.
    #[serde(with = "values::AsDuration")]
    pub allow_request_timeout: Duration,
    /// Origins that pages may come from; empty for any.
    #[serde(with = "values::AsList::<String>")]
    pub origins: Vec<String>,
}

/// Load balancers between clients and pods.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proxies {
    /// Those that are believed where clients are.
    #[serde(with = "values::AsList::<Network>")]
    pub trusted: Vec<Network>,
    /// The header in which they say so.
    pub header: ProxyHeader,
    /// Whether they begin each connection with the PROXY protocol, version 2.
    pub proxy_protocol: bool,
}

/// How load balancers say where a client is. Only one is believed: most add to one and pass on whatever a client
/// sends of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Addresses: one, or all of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

values::schema_of!(
    Network,
    json_schema!({ "type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9]+)?$" })
);

impl Network {
    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether it is larger than any network of one's own: 10.0.0.0/8, and fc00::/7.
    fn is_too_wide(&self) -> bool {
        match self.0 {
            IpNet::V4(network) => network.prefix_len() < 8,
            IpNet::V6(network) => network.prefix_len() < 7,
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse::<IpNet>().ok();
        network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(Self).ok_or_else(
            || format!("expected an address or a network such as \"10.0.0.0/8\", not {text:?}"),
        )
    }
}

impl Admission {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if !(0.0..=1.0).contains(&self.ready_share) {
            let remedy = "expected a share of max_connections from 0 to 1";
            problems.push(Problem::new("admission.ready_share", self.ready_share, remedy));
        }
        if self.burst > 0 && self.rate == 0 {
            let remedy = "needs admission.rate, of which it is the burst";
            problems.push(Problem::new("admission.burst", self.burst, remedy));
        }
        origins::check("admission.origins", &self.origins, "", problems);
    }
}

impl Proxies {
    /// Whether what an address says of its clients is taken for true.
    pub fn trusts(&self, address: std::net::IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Networks in which clients are too: they would say themselves who they are.
    pub(super) fn find_insecure(&self, found: &mut Vec<Problem>) {
        for Network(network) in self.trusted.iter().filter(|network| network.is_too_wide()) {
            let remedy = "clients are in it too, and would be believed whatever address they make up: name the network of the \
                          load balancers, such as \"10.0.0.0/8\"";
            found.push(Problem::new("public.proxies.trusted", network.to_string(), remedy));
        }
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if self.proxy_protocol && self.trusted.is_empty() {
            let remedy = "needs public.proxies.trusted: only those are believed";
            problems.push(Problem::new("public.proxies.proxy_protocol", true, remedy));
        }
    }
}
