//! Benchmarks of Roomcast, with plain socketioxide in the same run.
//!
//! `make bench` builds everything and runs it. All traffic stays on 127.0.0.1.

mod client;
mod peer;

use std::{io, time::Duration};

use clap::Parser;
use client::Client;
use peer::Peer;
use tokio::task::JoinSet;

/// Connections that are being opened at the same time.
const OPENING: usize = 50;
/// How long memory may go on changing before it is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures idle memory and connect time.
#[derive(Parser)]
struct Args {
    /// Idle connections at the end. Two files each, at most 8 to 9 thousand with 20 000 files.
    #[arg(long, default_value_t = 8000)]
    connections: usize,
    /// Connections whose time to the first event is taken, for each server.
    #[arg(long, default_value_t = 2000)]
    connects: usize,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let args = Args::parse();
    println!("## Idle WebSocket connections\n");
    println!(
        "RSS per connection is the slope between a quarter and all of {} connections.\n",
        args.connections
    );
    println!("| server | at start | at the end | per connection | after all have left |");
    println!("|---|---|---|---|---|");
    for start in [Peer::roomcast, Peer::plain] {
        idle_memory(&start()?, args.connections).await?;
    }

    println!("\n## From TCP connect to the first event\n");
    println!(
        "{} connections to each server, one after another, the servers in turn.\n",
        args.connects
    );
    let servers = [Peer::roomcast()?, Peer::plain()?];
    connect_time(&servers, args.connects).await
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

async fn connect_time(servers: &[Peer], count: usize) -> io::Result<()> {
    let mut times = vec![Vec::with_capacity(count); servers.len()];
    for _ in 0..count {
        for (server, times) in servers.iter().zip(&mut times) {
            times.push(Client::time_to_first_event(server.address).await?);
        }
    }
    println!("| server | p50 | p90 | p99 |");
    println!("|---|---|---|---|");
    let mut medians = Vec::new();
    for (server, times) in servers.iter().zip(&mut times) {
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let micros = |share: f64| format!("{} µs", at(share).as_micros());
        println!("| {} | {} | {} | {} |", server.name, micros(0.5), micros(0.9), micros(0.99));
        medians.push(at(0.5).as_secs_f64());
    }
    println!(
        "\nMedian of {} ÷ {}: **{:.2}**",
        servers[0].name,
        servers[1].name,
        medians[0] / medians[1]
    );
    Ok(())
}
