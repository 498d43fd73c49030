//! `roomcast emit`: publishes through the API of a running pod.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use reqwest::Certificate;
use serde_json::{Value, value::RawValue};

use super::Failure;
use crate::publish::EmitRequest;

/// Longest wait for the pod's answer: longer than clients may be asked to take for theirs.
const TIMEOUT: Duration = Duration::from_secs(310);

/// Options of `roomcast emit`.
#[derive(Debug, Args)]
pub(super) struct EmitArgs {
    /// The internal listener of a pod.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9000", env = "ROOMCAST_URL")]
    url: String,
    /// A key of the API.
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
pub(super) async fn emit(args: &EmitArgs) -> Result<(), Failure> {
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
    let url = format!("{}/api/v1/emit", args.url.trim_end_matches('/'));
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
    let mut post = client.post(&url).bearer_auth(api_key(args)?).json(&request);
    if let Some(key) = &args.idempotency_key {
        post = post.header("Idempotency-Key", key);
    }
    let response = post.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(Failure::runtime)?;
    if status.is_success() {
        println!("{body}");
        Ok(())
    } else {
        Err(Failure::runtime(format!("{url} answered {status}: {body}")))
    }
}

fn api_key(args: &EmitArgs) -> Result<String, Failure> {
    match (&args.api_key, &args.api_key_file) {
        (Some(key), _) => Ok(key.clone()),
        (None, Some(file)) => {
            let text = fs::read_to_string(file).map_err(|error| {
                Failure::Usage(format!("--api-key-file {}: {error}", file.display()))
            })?;
            Ok(text.lines().next().unwrap_or_default().trim().to_owned())
        }
        (None, None) => Err(Failure::Usage(
            "a key of the API is needed: --api-key-file, --api-key or ROOMCAST_API_KEY".into(),
        )),
    }
}

fn arguments(texts: &[String]) -> serde_json::Result<Box<RawValue>> {
    let values: Vec<_> = texts.iter().map(|text| json_or_text(text)).collect();
    serde_json::value::to_raw_value(&values)
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
