//! How commands reach a running pod: its address, a key, a client.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use reqwest::{Certificate, Client, Url};

use super::Failure;
use crate::config::{ApiKey, Config};

/// Where a key of the API comes from.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// A key of the API; by default the first of `api.keys` of the configuration.
    #[arg(long, value_name = "KEY", env = "ROOMCAST_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// A file whose first line is a key of the API.
    #[arg(long, value_name = "FILE", conflicts_with = "api_key")]
    api_key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// The key, if there is one; of those that are configured, one that may.
    pub fn find(
        &self,
        config: &Config,
        may: impl Fn(&ApiKey) -> bool,
    ) -> Result<Option<String>, Failure> {
        if let Some(key) = &self.api_key {
            return Ok(Some(key.clone()));
        }
        if let Some(file) = &self.api_key_file {
            let text = fs::read_to_string(file).map_err(|error| {
                Failure::Usage(format!("--api-key-file {}: {error}", file.display()))
            })?;
            return Ok(Some(text.lines().next().unwrap_or_default().trim().to_owned()));
        }
        let keys = &config.api.keys;
        let configured = keys.iter().find(|key| may(key)).or(keys.first());
        Ok(configured.map(|key| key.key.expose().to_owned()))
    }
}

/// A client whose requests take so long at most.
pub(super) fn client(timeout: Duration) -> Result<Client, Failure> {
    // Those of the system, which may have none: http needs none.
    let authorities = rustls_native_certs::load_native_certs().certs;
    let authorities = authorities.iter().filter_map(|der| Certificate::from_der(der).ok());
    let client = Client::builder().timeout(timeout).tls_certs_only(authorities);
    client.build().map_err(Failure::runtime)
}

/// Where a pod is that has the API: `--url`.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let expected =
        "expected http://HOST:PORT, such as http://127.0.0.1:9000: the internal listener of a pod";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    let plain = url.has_host() && url.query().is_none() && url.fragment().is_none();
    (plain && matches!(url.scheme(), "http" | "https")).then_some(url).ok_or(expected.into())
}

/// The pod of this machine with the same configuration.
pub(super) fn here(config: &Config) -> String {
    let listen = config.internal.listen.first().copied();
    format!("http://{}", on_this_machine(listen.unwrap_or((Ipv4Addr::LOCALHOST, 9000).into())))
}

/// Where this machine reaches what listens on an address.
pub(super) fn on_this_machine(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
