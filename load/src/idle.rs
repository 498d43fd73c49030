//! Idle memory beside plain socketioxide, Node and Bun; connect time beside plain socketioxide.

use std::{io, time::Duration};

use tokio::task::JoinSet;

use crate::{
    client::Client,
    cluster::{Kind, Mode, Redis},
    peer::Peer,
};

/// Connections that are being opened at the same time.
const OPENING: usize = 50;
/// Rounds of the measurement of connect time.
const ROUNDS: usize = 20;
/// How long memory may go on changing before it is read.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Args {
    /// Idle connections at the end. Two files each, at most 8 to 9 thousand with 20 000 files.
    #[arg(long, default_value_t = 8000)]
    connections: usize,
    /// Connections whose time to the first event is taken, for each server.
    #[arg(long, default_value_t = 4000)]
    connects: usize,
}

/// Measures both, and prints a table for each.
#[tokio::main]
pub async fn run(args: Args) -> io::Result<()> {
    println!("## Idle WebSocket connections\n");
    println!(
        "RSS per connection is the slope between a quarter and all of {} connections.\n",
        args.connections
    );
    println!("| server | at start | at the end | per connection | after all have left |");
    println!("|---|---|---|---|---|");
    // Servers of Node and Bun have their adapter, as in the other benchmarks.
    let redis = Redis::start()?;
    let starts: [&dyn Fn() -> io::Result<Peer>; 4] = [
        &|| Peer::roomcast(&[], &[]),
        &Peer::plain,
        &|| Kind::Node.start(Mode::Pubsub, &redis),
        &|| Kind::Bun.start(Mode::Pubsub, &redis),
    ];
    for start in starts {
        idle_memory(&start()?, args.connections).await?;
    }

    println!("\n## From TCP connect to the first event\n");
    println!(
        "{} connections to each server, one after another, in {ROUNDS} rounds.\n",
        args.connects
    );
    let servers = [Peer::roomcast(&[], &[])?, Peer::plain()?];
    tokio::task::spawn_blocking(move || connect_time(&servers, args.connects)).await?
}

async fn idle_memory(server: &Peer, connections: usize) -> io::Result<()> {
    let at_start = server.rss()?;
    let mut clients = JoinSet::new();
    let quarter = connections / 4;
    open(server, quarter, &mut clients).await?;
    let at_quarter = server.rss()?;
    open(server, connections - quarter, &mut clients).await?;
    let at_end = server.rss()?;
    clients.shutdown().await;
    tokio::time::sleep(SETTLE * 2).await;
    let after = server.rss()?;

    let slope = at_end.saturating_sub(at_quarter) / (connections - quarter) as u64;
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    println!(
        "| {} | {} | {} | **{slope} B** | {} |",
        server.name,
        mib(at_start),
        mib(at_end),
        mib(after)
    );
    Ok(())
}

/// Opens connections and leaves them idle.
async fn open(server: &Peer, count: usize, clients: &mut JoinSet<()>) -> io::Result<()> {
    let address = server.address;
    let mut opening = JoinSet::new();
    for index in 0..count + OPENING {
        if index < count {
            opening.spawn(Client::connect(address));
        }
        if index >= OPENING
            && let Some(client) = opening.join_next().await
        {
            clients.spawn(client??.stay());
        }
        if (index + 1) % 1000 == 0 {
            eprintln!("{}: {} of {count} connections opened", server.name, (index + 1).min(count));
        }
    }
    while let Some(client) = opening.join_next().await {
        clients.spawn(client??.stay());
    }
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

/// Times connections one after another, to each server in turn, in rounds: the machine changes its
/// pace now and then, and a round is short enough to be of one pace.
fn connect_time(servers: &[Peer; 2], count: usize) -> io::Result<()> {
    // One thread: what is measured is the server, not how the client's tasks find a core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut times = [Vec::with_capacity(count), Vec::with_capacity(count)];
    let mut ratios = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let mut of_round = [Vec::new(), Vec::new()];
        for turn in 0..count / ROUNDS {
            // Each goes first as often as the other.
            for server in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
                let time =
                    runtime.block_on(Client::time_to_first_event(servers[server].address))?;
                of_round[server].push(time);
            }
        }
        let medians = of_round.each_mut().map(|times| percentile(times, 0.5).as_secs_f64());
        ratios.push(medians[0] / medians[1]);
        for (all, of_round) in times.iter_mut().zip(of_round) {
            all.extend(of_round);
        }
        eprintln!("round {} of {ROUNDS}: {:.2}", round + 1, ratios[round]);
    }

    println!("| server | p50 | p90 | p99 |");
    println!("|---|---|---|---|");
    for (server, times) in servers.iter().zip(&mut times) {
        let mut micros = |share| format!("{} µs", percentile(times, share).as_micros());
        println!("| {} | {} | {} | {} |", server.name, micros(0.5), micros(0.9), micros(0.99));
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
    println!(
        "\nMedian of {} ÷ {}, by round: **{:.2}** ({least:.2} to {most:.2})",
        servers[0].name,
        servers[1].name,
        ratios[ROUNDS / 2],
    );
    Ok(())
}

/// The time that a share of all does not exceed.
fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}
