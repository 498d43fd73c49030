//! `roomcast doctor`: what is wrong around a pod, and what to do about it. It changes nothing, and says what it could not
//! look at.

mod cluster;
mod ingress;
mod machine;
mod names;
mod pods;
mod redis;
mod report;

use std::{fmt, time::Duration};

use clap::{Args, ValueEnum};
use reqwest::Url;

use self::report::Report;
use super::{Failure, Settings, pod};
use crate::{config::Config, kube::Environment};

/// Options of `roomcast doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The address that clients use, such as https://chat.example.com: a session is begun through whatever stands there.
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<Url>,
    /// Lines for people, or a list in JSON.
    #[arg(long, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    /// Longest wait for each answer.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Text { "text" } else { "json" })
    }
}

fn public_url(text: &str) -> Result<Url, String> {
    pod::url(text).map_err(|_| "expected https://HOST, as clients use it".into())
}

/// Looks at everything.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn doctor(settings: &Settings, args: &DoctorArgs) -> Result<(), Failure> {
    let mut report = Report::new(args.format == Format::Text);
    match settings.load() {
        Ok(config) => look(&config, args, &mut report).await?,
        Err(error) => {
            for problem in &error.problems {
                report.error(
                    "configuration",
                    problem.to_string(),
                    "the pod does not start with it",
                );
            }
        }
    }
    if args.format == Format::Json {
        println!("{}", report.json().map_err(Failure::runtime)?);
    }
    if report.is_well() { Ok(()) } else { Err(Failure::Unwell) }
}

async fn look(config: &Config, args: &DoctorArgs, report: &mut Report) -> Result<(), Failure> {
    let warnings = config.warnings();
    if warnings.is_empty() {
        report.ok("configuration", "nothing is wrong with it");
    }
    for warning in warnings {
        report.warning("configuration", warning.to_string(), "`roomcast print-config` explains it");
    }
    machine::look(config, report);
    names::look(config, args.timeout, report).await;
    let records = redis::look(config, report).await;
    let slices = cluster::look(config, report).await;
    let client = pod::client(args.timeout)?;
    let in_cluster = Environment::is_in_cluster();
    pods::look_here(config, &client, in_cluster, report).await;
    pods::look_around(records.as_deref(), slices.as_ref(), &client, report).await;
    ingress::look(config, args.public_url.as_ref(), in_cluster, &client, report).await;
    Ok(())
}
