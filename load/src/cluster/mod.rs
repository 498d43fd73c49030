//! Two pods and a Redis: what a delivery costs, and how many there can be.
//!
//! Each kind of server has a cluster and a Redis of its own, with the same listeners and publishers; the
//! kinds take turns, since a shared machine changes its pace.

mod audience;
mod climb;
mod emitter;
mod frames;
mod kind;
mod mark;
mod outcome;
mod plot;
mod receiver;
mod redis;
mod replay;
mod report;
mod steady;
mod tally;
mod telemetry;
mod trial;

use std::{io, time::Duration};

pub use kind::{Kind, Mode};
pub use redis::Redis;
pub use telemetry::{TelemetryArgs, run as telemetry};

#[derive(clap::Args)]
pub struct Args {
    /// The kinds of servers.
    #[arg(long, value_delimiter = ',', default_value = "node,bun,roomcast")]
    kinds: Vec<Kind>,
    /// The ways Redis carries messages.
    #[arg(long, value_delimiter = ',', default_value = "pubsub,sharded")]
    modes: Vec<Mode>,
    /// Connections to each cluster.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Rooms that they are spread over. A message goes to one room.
    #[arg(long, default_value_t = 20)]
    rooms: usize,
    /// Messages a second that the emitter publishes while costs are taken.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Seconds for which costs are taken of each cluster; 0 leaves it out.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Takes them from servers and an emitter that have just started: what runs from source has not been
    /// compiled by then.
    #[arg(long)]
    cold: bool,
    /// Messages a second where the search for the highest rate begins.
    #[arg(long, default_value_t = 500)]
    climb_from: u32,
    /// Seconds of each step of that search, each a quarter faster than the one before; 0 leaves it out.
    #[arg(long, default_value_t = 5)]
    step_seconds: u32,
    /// Milliseconds from one reading of all clients to the next in that search; 0 reads each message
    /// as it comes, which costs servers on the same machine the waking of the reader.
    #[arg(long, default_value_t = 20)]
    breath: u32,
}

/// Measures, and prints a table for each question.
pub fn run(args: &Args) -> io::Result<()> {
    if args.seconds > 0 {
        let results = steady::measure(args)?;
        report::costs(args, &results);
    }
    if args.step_seconds > 0 {
        let climbs = climb::measure(args)?;
        report::rates(args, &climbs);
        let picture = plot::write(&climbs)?;
        eprintln!("p99 at each rate: {}", picture.display());
    }
    Ok(())
}

/// Waits. No task of a runtime does.
#[expect(clippy::disallowed_methods, reason = "the thread serves nobody else")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
