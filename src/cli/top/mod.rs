//! `roomcast top`: the pods of a cluster, in the terminal.

mod cluster;
mod figures;
mod live;
mod page;

use std::{
    io::{IsTerminal, Write, stdin, stdout},
    time::Duration,
};

use clap::Args;
use reqwest::Url;

use self::cluster::{PATIENCE, Way};
use super::{
    Failure,
    pod::{self, KeyArgs},
};
use crate::config::{ApiScope, Config};

/// The shortest time from one look to the next.
const SHORTEST: Duration = Duration::from_millis(100);

/// Options of `roomcast top`.
#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// The internal listener of a pod; by default `internal.listen` of the configuration, on this machine. It names the
    /// others.
    #[arg(long, value_name = "URL", env = "ROOMCAST_URL", value_parser = pod::url)]
    url: Option<Url>,
    #[command(flatten)]
    key: KeyArgs,
    /// Print one table as plain text, and end; so it is without a terminal.
    #[arg(long)]
    once: bool,
    /// From one look at the pods to the next: what rates are taken over.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let expected = format!("expected {SHORTEST:?} or more, such as 2s");
    (interval >= SHORTEST).then_some(interval).ok_or(expected)
}

#[tokio::main(flavor = "current_thread")]
pub(super) async fn top(config: &Config, args: TopArgs) -> Result<(), Failure> {
    let pod = args.url.as_ref().map_or_else(|| pod::here(config), Url::to_string);
    let way = Way {
        client: pod::client(PATIENCE)?,
        pod: pod.trim_end_matches('/').to_owned(),
        key: args.key.find(config, |key| key.is_for(ApiScope::Read))?,
    };
    if args.once || !stdout().is_terminal() || !stdin().is_terminal() {
        return once(&way, args.interval).await;
    }
    live::watch(way, args.interval).await.map_err(Failure::runtime)
}

/// Looks twice, for the rates.
async fn once(way: &Way, interval: Duration) -> Result<(), Failure> {
    let before = way.sample().await;
    tokio::time::sleep(interval).await;
    let now = way.sample().await;
    if let Some(note) = &now.note {
        eprintln!("roomcast: {}", figures::printable(note));
    }
    if now.pods.iter().all(|pod| pod.page.is_err()) {
        let why = now.pods.iter().find_map(|pod| pod.page.as_ref().err());
        let why = why.map_or("there are no pods", String::as_str);
        let why = figures::printable(why);
        return Err(Failure::runtime(format!(
            "{}: {why}; is the pod running, and this its internal listener?",
            way.pod
        )));
    }
    let text = figures::text(&figures::rows(Some(&before), &now));
    // Who reads may have gone.
    let _ = stdout().write_all(text.as_bytes());
    Ok(())
}
