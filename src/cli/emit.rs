//! `roomcast emit`: publishes through the API of a running pod.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use reqwest::{Certificate, Url};
use serde_json::{Value, value::RawValue};

use super::Failure;
use crate::{
    config::{ApiKey, ApiScope, Config},
    publish::EmitRequest,
};

/// Longest wait for the pod's answer: longer than clients may be asked to take for theirs.
const TIMEOUT: Duration = Duration::from_secs(310);

/// Options of `roomcast emit`.
#[derive(Debug, Args)]
pub(super) struct EmitArgs {
    /// The internal listener of a pod; by default `internal.listen` of the configuration, on this machine.
    #[arg(long, value_name = "URL", env = "ROOMCAST_URL", value_parser = url)]
    url: Option<Url>,
    /// A key of the API; by default the first of `api.keys` of the configuration.
    #[arg(long, value_name = "KEY", env = "ROOMCAST_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// A file whose first line is a key of the API.
    #[arg(long, value_name = "FILE", conflicts_with = "api_key")]
    api_key_file: Option<PathBuf>,
    /// The namespace.
    #[arg(long, short, default_value = "/")]
    namespace: String,
    /// A room or socket id; without any, the whole namespace. May be repeated.
    #[arg(long, short)]
    room: Vec<String>,
    /// A room or socket id that does not get it. May be repeated.
    #[arg(long)]
    except: Vec<String>,
    /// May be dropped for clients that are not ready.
    #[arg(long)]
    volatile: bool,
    /// Ask the clients for an answer, and wait so long for it, as `2s`.
    #[arg(long, value_name = "DURATION")]
    ack_timeout: Option<String>,
    /// Send it once, however often this is run with the same key and the same event.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The event.
    event: String,
    /// Its arguments: JSON, or else taken as text.
    args: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
pub(super) async fn emit(config: &Config, args: &EmitArgs) -> Result<(), Failure> {
    let some = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
    let request = EmitRequest {
        namespace: Some(args.namespace.clone()),
        rooms: some(&args.room),
        except: some(&args.except),
        event: args.event.clone(),
        args: Some(arguments(&args.args).map_err(Failure::runtime)?),
        volatile: args.volatile,
        ack_timeout: args.ack_timeout.clone(),
    };
    let pod =
        args.url.as_ref().map_or_else(|| here(config.internal.listen.first()), Url::to_string);
    let url = format!("{}/api/v1/emit", pod.trim_end_matches('/'));
    // Those of the system, which may have none: http needs none.
    let authorities = rustls_native_certs::load_native_certs().certs;
    let authorities = authorities.iter().filter_map(|der| Certificate::from_der(der).ok());
    let client = reqwest::Client::builder().timeout(TIMEOUT).tls_certs_only(authorities);
    let client = client.build().map_err(Failure::runtime)?;
    let unreachable = |error: reqwest::Error| {
        Failure::runtime(format!(
            "{url} cannot be reached: {error}; is the pod running, and this its internal listener?"
        ))
    };
    let mut post = client.post(&url).bearer_auth(api_key(config, args)?).json(&request);
    if let Some(key) = &args.idempotency_key {
        post = post.header("Idempotency-Key", key);
    }
    // The address was read before: what is left is the headers.
    let post = post.build().map_err(|_| {
        Failure::Usage(
            "the key of the API, or --idempotency-key, cannot be sent: expected visible characters of ASCII".into(),
        )
    })?;
    let response = client.execute(post).await.map_err(unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(Failure::runtime)?;
    if status.is_success() {
        println!("{body}");
        Ok(())
    } else {
        Err(Failure::runtime(format!("{url} answered {status}: {body}")))
    }
}

/// Where a pod is that has the API: `--url`.
fn url(text: &str) -> Result<Url, String> {
    let expected =
        "expected http://HOST:PORT, such as http://127.0.0.1:9000: the internal listener of a pod";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    let plain = url.has_host() && url.query().is_none() && url.fragment().is_none();
    (plain && matches!(url.scheme(), "http" | "https")).then_some(url).ok_or(expected.into())
}

/// The pod of this machine with the same configuration.
fn here(listen: Option<&SocketAddr>) -> String {
    let mut address = listen.copied().unwrap_or((Ipv4Addr::LOCALHOST, 9000).into());
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

fn api_key(config: &Config, args: &EmitArgs) -> Result<String, Failure> {
    if let Some(key) = &args.api_key {
        return Ok(key.clone());
    }
    if let Some(file) = &args.api_key_file {
        let text = fs::read_to_string(file).map_err(|error| {
            Failure::Usage(format!("--api-key-file {}: {error}", file.display()))
        })?;
        return Ok(text.lines().next().unwrap_or_default().trim().to_owned());
    }
    // One that may, where keys are for different things.
    let may = |key: &&ApiKey| key.is_for(ApiScope::Emit) && key.is_in(&args.namespace);
    let keys = &config.api.keys;
    let configured = keys.iter().find(may).or(keys.first());
    configured.map(|key| key.key.expose().to_owned()).ok_or_else(|| {
        Failure::Usage(
            "a key of the API is needed: --api-key-file, --api-key, ROOMCAST_API_KEY, or api.keys of --config".into(),
        )
    })
}

fn arguments(texts: &[String]) -> serde_json::Result<Box<RawValue>> {
    let values: Vec<_> = texts.iter().map(|text| json_or_text(text)).collect();
    serde_json::value::to_raw_value(&values)
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
