//! `roomcast healthcheck`: asks a pod whether it lives. Images have it instead of `curl`.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use reqwest::{Client, Url};

use super::{Failure, pod};
use crate::config::{Config, ConfigError};

/// Bytes of an answer that are printed: probes say a few words.
const MOST: usize = 256;

/// Options of `roomcast healthcheck`.
#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    /// The internal listener of the pod; by default `internal.listen` of the configuration, on this machine.
    #[arg(long, value_name = "URL", env = "ROOMCAST_URL", value_parser = pod::url)]
    url: Option<Url>,
    /// Ask whether new clients should come (`/readyz`), not whether it lives (`/livez`).
    #[arg(long)]
    ready: bool,
    /// Longest wait for an answer.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[tokio::main(flavor = "current_thread")]
pub(super) async fn healthcheck(
    load: impl FnOnce() -> Result<Config, ConfigError>,
    args: &HealthcheckArgs,
) -> Result<(), Failure> {
    let pods = match &args.url {
        Some(url) => vec![url.to_string()],
        None => listeners(&load()?.internal.listen)?,
    };
    // A proxy of the environment is for elsewhere, and certificates take longer to read than the pod to answer.
    let client = Client::builder().no_proxy().tls_certs_only([]).timeout(args.timeout);
    let client = client.build().map_err(Failure::runtime)?;
    let probe = if args.ready { "readyz" } else { "livez" };
    let mut failed = Vec::new();
    for pod in pods {
        match ask(&client, &format!("{}/{probe}", pod.trim_end_matches('/'))).await {
            Ok(answer) => {
                println!("{answer}");
                return Ok(());
            }
            Err(failure) => failed.push(failure),
        }
    }
    Err(Failure::runtime(failed.join("; ")))
}

/// The addresses of the pod's internal listener, of which any will do: that of IPv6 may not be there.
fn listeners(addresses: &[SocketAddr]) -> Result<Vec<String>, Failure> {
    let known = addresses.iter().filter(|address| address.port() > 0);
    let known: Vec<_> =
        known.map(|address| format!("http://{}", pod::on_this_machine(*address))).collect();
    if known.is_empty() {
        let remedy = "internal.listen names no port, so where the pod listens is in its log only; say it with --url";
        return Err(Failure::Usage(remedy.into()));
    }
    Ok(known)
}

/// What the pod says, if it is well; else what is wrong.
async fn ask(client: &Client, url: &str) -> Result<String, String> {
    let unreachable = |error: reqwest::Error| {
        if error.is_timeout() {
            return format!("{url} does not answer in time");
        }
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        format!("{url} cannot be reached: {cause}")
    };
    let mut response = client.get(url).send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.chunk().await.map_err(unreachable)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(MOST)]).trim().to_owned();
    if status == 200 { Ok(text) } else { Err(format!("{url} answered {status}: {text}")) }
}
