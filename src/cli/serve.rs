//! `roomcast serve` and `roomcast demo`: telemetry (started by the caller), build, log each address,
//! serve, drain.

use std::path::PathBuf;

use axum::body::Bytes;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Additions, Failure};
use crate::{
    Server,
    config::Config,
    demo, edge,
    server::{Builder, Listening},
    telemetry::traces,
};

/// Options of `roomcast demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The stock client for browsers, as npm installs it; by default, the one that is built in.
    #[arg(long, value_name = "FILE")]
    client_bundle: Option<PathBuf>,
}

pub(super) fn serve(config: Config, additions: Additions) -> Result<(), Failure> {
    run(config, |config| additions(Server::builder(config)), |_| {})
}

pub(super) fn demo(
    mut config: Config,
    additions: Additions,
    args: &DemoArgs,
) -> Result<(), Failure> {
    demo::configure(&mut config);
    let client = match (&args.client_bundle, edge::stock_client()) {
        (None, Some(built_in)) => Bytes::from_static(built_in),
        (file, _) => {
            let file = file.as_deref().unwrap_or(demo::CLIENT_BUNDLE.as_ref());
            demo::read_client(file).map_err(Failure::runtime)?
        }
    };
    let pages = demo::pages(client);
    let build = |config| additions(Server::builder(config)).pages(pages);
    run(config, build, |pod| {
        eprintln!("{}", demo::welcome(&pod.public(), &pod.internal(), pod.config()));
    })
}

/// Runs a pod on threads of its own.
fn run(
    config: Config,
    build: impl FnOnce(Config) -> Builder,
    listening: impl FnOnce(&Listening),
) -> Result<(), Failure> {
    // Before anything listens. A pod that cannot have more serves with what it has.
    match edge::raise_limit() {
        Ok(limit) => tracing::info!(limit, "open files: connections of clients end below it"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.runtime.workers > 0 {
        runtime.worker_threads(config.runtime.workers);
    }
    let runtime = runtime.enable_all().build().map_err(Failure::runtime)?;
    let ended = runtime.block_on(run_pod(build(config), listening));
    // What hangs in the system, such as the lookup of a name, is not waited for.
    runtime.shutdown_background();
    ended
}

async fn run_pod(builder: Builder, listening: impl FnOnce(&Listening)) -> Result<(), Failure> {
    let pod = builder.build().map_err(Failure::runtime)?;
    traces::export_from(pod.id()).map_err(|error| Failure::Usage(format!("traces: {error}")))?;
    // Before the first client: a signal that comes early must not kill the pod.
    let mut stop = Signals::listen().map_err(Failure::runtime)?;
    let mut hurry = Signals::listen().map_err(Failure::runtime)?;

    let pod = pod.bind().map_err(Failure::runtime)?;
    for address in pod.public() {
        tracing::info!(%address, "public listener: clients");
    }
    for address in pod.internal() {
        tracing::info!(%address, "internal listener: probes, metrics, API");
    }
    for address in pod.external_metrics() {
        tracing::info!(%address, "external metrics listener: the API server, for autoscalers");
    }
    listening(&pod);

    // Waited for outside of the macros: those do not look at their arguments when their level is off.
    let stop = async {
        let signal = stop.next().await;
        tracing::info!(signal, "signal received");
    };
    let hurry = async move {
        hurry.next().await;
        let signal = hurry.next().await;
        tracing::warn!(signal, "second signal: ending now");
    };
    let outcome = pod.run(stop, hurry).await;
    tracing::info!(
        connections = outcome.connections,
        closed = outcome.connections - outcome.cut.min(outcome.connections),
        cut = outcome.cut,
        waited = outcome.waited.as_secs_f64(),
        seconds = outcome.took.as_secs_f64(),
        "stopped"
    );
    match outcome.panicked {
        Some(task) => {
            Err(Failure::runtime(format!("the pod had to end: its task {task:?} panicked")))
        }
        None => Ok(()),
    }
}

/// SIGTERM and SIGINT. Each listener sees every signal since it was made.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
