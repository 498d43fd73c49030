//! Benchmarks of Roomcast, with its peers in the same run.
//!
//! `make bench` builds everything and runs all of it. All traffic stays on 127.0.0.1.

// A rule for tasks of pods, which this is none of.
#![allow(clippy::disallowed_methods)]

mod client;
mod cluster;
mod idle;
mod peer;
mod processors;

use std::io;

use clap::{Parser, Subcommand};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Measures Roomcast beside its peers. Without a command: everything, as `make bench` does.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Idle memory and connect time, beside plain socketioxide.
    Idle(idle::Args),
    /// Two pods and a Redis: what a delivery costs, and how many there can be, beside Node and Bun.
    Cluster(cluster::Args),
    /// What metrics and traces cost: the same cluster without them, with metrics, and with traces.
    Telemetry(cluster::TelemetryArgs),
}

fn main() -> io::Result<()> {
    allow_more_files()?;
    match Cli::parse().command {
        Some(Command::Idle(args)) => idle::run(args),
        Some(Command::Cluster(args)) => cluster::run(&args),
        Some(Command::Telemetry(args)) => cluster::telemetry(&args),
        None => {
            idle::run(defaults())?;
            println!();
            cluster::run(&defaults())
        }
    }
}

/// The arguments of a command that is given none.
fn defaults<A: clap::Args>() -> A {
    let command = A::augment_args(clap::Command::new("defaults"));
    let matches = command.get_matches_from(["defaults"]);
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// A connection is a file here and one in the server, which inherits the limit.
fn allow_more_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_has_defaults() {
        Cli::command().debug_assert();
        let _: (idle::Args, cluster::Args, cluster::TelemetryArgs) =
            (defaults(), defaults(), defaults());
    }
}
