//! `roomcast emit`: publishes through the API of a running pod.

use std::time::Duration;

use clap::Args;
use reqwest::Url;
use serde_json::{Value, value::RawValue};

use super::{
    Failure,
    pod::{self, KeyArgs},
};
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
    #[arg(long, value_name = "URL", env = "ROOMCAST_URL", value_parser = pod::url)]
    url: Option<Url>,
    #[command(flatten)]
    key: KeyArgs,
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
    let pod = args.url.as_ref().map_or_else(|| pod::here(config), Url::to_string);
    let url = format!("{}/api/v1/emit", pod.trim_end_matches('/'));
    let client = pod::client(TIMEOUT)?;
    // One that may, where keys are for different things.
    let may = |key: &ApiKey| key.is_for(ApiScope::Emit) && key.is_in(&args.namespace);
    let key = args.key.find(config, may)?.ok_or_else(|| {
        Failure::Usage(
            "a key of the API is needed: --api-key-file, --api-key, ROOMCAST_API_KEY, or api.keys of --config".into(),
        )
    })?;
    let unreachable = |error: reqwest::Error| {
        Failure::runtime(format!(
            "{url} cannot be reached: {error}; is the pod running, and this its internal listener?"
        ))
    };
    let mut post = client.post(&url).bearer_auth(key).json(&request);
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

fn arguments(texts: &[String]) -> serde_json::Result<Box<RawValue>> {
    let values: Vec<_> = texts.iter().map(|text| json_or_text(text)).collect();
    serde_json::value::to_raw_value(&values)
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
