//! What metrics and traces cost: the same cluster without either, with metrics, and with traces beside them.

use std::io;

use super::{
    Args,
    kind::{Kind, Mode},
    receiver, report,
    steady::{self, Cost},
};

#[derive(clap::Args)]
pub struct TelemetryArgs {
    /// What is compared; the first is what the others are compared with.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "roomcast-no-metrics,roomcast,roomcast-traces-1,roomcast-traces-100"
    )]
    kinds: Vec<Kind>,
    /// How Redis carries messages.
    #[arg(long, default_value = "sharded")]
    mode: Mode,
    /// Connections to each cluster.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Rooms that they are spread over. A message goes to one room.
    #[arg(long, default_value_t = 20)]
    rooms: usize,
    /// Messages a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds for which costs are taken of each, in three turns.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Measures, and prints one table.
pub fn run(args: &TelemetryArgs) -> io::Result<()> {
    let all = Args {
        kinds: args.kinds.clone(),
        modes: vec![args.mode],
        connections: args.connections,
        rooms: args.rooms,
        rate: args.rate,
        seconds: args.seconds,
        cold: false,
        climb_from: 0,
        step_seconds: 0,
        breath: 0,
    };
    let costs = steady::measure(&all)?;
    println!("## Two pods: what metrics and traces cost\n");
    println!(
        "{} connections in {} rooms; {} messages/s through the Redis emitter ({}), for {} s of each, in turns.\n",
        args.connections, args.rooms, args.rate, args.mode, args.seconds
    );
    println!(
        "| servers | deliveries | lost | CPU s per million | of the first's | p50 | p99 | max | RSS of both |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let first = costs.first().map(|cost| cost.outcome.cpu_per_million());
    for Cost { kind, outcome, rss, .. } in &costs {
        let cpu = outcome.cpu_per_million();
        println!(
            "| {} | {} | {} | **{cpu:.2}** | {:.3} | {:.2} ms | {:.2} ms | {:.1} ms | {:.1} MiB |",
            kind.name(),
            outcome.got,
            outcome.lost(),
            first.map_or(1.0, |first| cpu / first),
            outcome.millis(0.5),
            outcome.millis(0.99),
            outcome.millis(1.0),
            *rss as f64 / f64::from(1 << 20),
        );
    }
    report::disturbance(costs.iter().map(|cost| &cost.outcome));
    println!(
        "The receiver of traces got {:.1} MiB.",
        receiver::received() as f64 / f64::from(1 << 20)
    );
    Ok(())
}
