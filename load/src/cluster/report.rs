//! The tables, in Markdown. What Roomcast aims for stands beside what it reached.

use super::{
    Args,
    climb::{Climb, LIMIT},
    kind::{Kind, Mode},
    mark::PAYLOAD,
    outcome::Outcome,
    steady::Cost,
};

/// Roomcast's aims, as shares of Node's figures: processor time and p99, and the highest rate.
const AIM_COST: f64 = 0.5;
const AIM_RATE: f64 = 5.0;

/// What a delivery costs.
pub fn costs(args: &Args, costs: &[Cost]) {
    let members = args.connections / args.rooms;
    println!("## Two pods: what a delivery costs\n");
    println!(
        "{} connections in {} rooms; {} messages/s of {PAYLOAD} B through the Redis emitter, each to \
         {members} clients, for {} s.\n",
        args.connections, args.rooms, args.rate, args.seconds
    );
    println!(
        "| backplane | servers | deliveries | lost | doubled | CPU s per million | of Node's | p50 \
         | p99 | of Node's | max | RSS of both |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for Cost { kind, mode, outcome, rss } in costs {
        let node = costs.iter().find(|cost| (cost.kind, cost.mode) == (Kind::Node, *mode));
        let share = |figure: fn(&Cost) -> f64, own| {
            compare(*kind, own, node.map(figure), |aim| format!("{aim} or less"), AIM_COST)
        };
        let (cpu, p99) = (outcome.cpu_per_million(), outcome.millis(0.99));
        println!(
            "| {mode} | {} | {} | {} | {} | **{cpu:.2}** | {} | {:.2} ms | **{p99:.2} ms** | {} \
             | {:.1} ms | {:.1} MiB |",
            kind.name(),
            outcome.got,
            outcome.lost(),
            outcome.doubled,
            share(|cost| cost.outcome.cpu_per_million(), cpu),
            outcome.millis(0.5),
            share(|cost| cost.outcome.millis(0.99), p99),
            outcome.millis(1.0),
            *rss as f64 / f64::from(1 << 20),
        );
    }
    disturbance(costs.iter().map(|cost| &cost.outcome));
}

/// How many deliveries there can be.
pub fn rates(args: &Args, climbs: &[Climb]) {
    println!("\n## Two pods: the highest rate\n");
    println!(
        "Deliveries a second with nothing lost and p99 below {} ms: steps of {} s, each a quarter \
         faster; the last that was held, held again for {} s by a fresh cluster. The emitter's \
         commands are replayed. Clients are read every {} ms, which the times include.\n",
        LIMIT.as_millis(),
        args.step_seconds,
        args.step_seconds * 2,
        args.breath
    );
    println!(
        "| backplane | servers | highest rate | of Node's | CPU s per million | p50 | p99 | at a \
         quarter more |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for climb in climbs {
        let (kind, mode) = (climb.kind, climb.mode);
        let Some(held) = climb.held.map(|held| &climb.steps[held]) else {
            println!("| {mode} | {} | none | – | – | – | – | {} |", kind.name(), climb.obstacle);
            continue;
        };
        let node = highest(climbs, Kind::Node, mode);
        println!(
            "| {mode} | {} | **{:.0}** | {} | {:.2} | {:.2} ms | {:.2} ms | {} |",
            kind.name(),
            held.deliveries,
            compare(kind, held.deliveries, node, |aim| format!("{aim} or more"), AIM_RATE),
            held.outcome.cpu_per_million(),
            held.outcome.millis(0.5),
            held.outcome.millis(0.99),
            climb.obstacle,
        );
    }
    disturbance(climbs.iter().filter_map(|climb| Some(&climb.steps[climb.held?].outcome)));
}

/// How far the figures can be trusted.
pub fn disturbance<'a>(outcomes: impl Iterator<Item = &'a Outcome>) {
    let most = outcomes.map(Outcome::others).fold(0.0, f64::max);
    println!("\nMeanwhile other programs used {:.0} % of a processor at most.", most * 100.0);
}

fn highest(climbs: &[Climb], kind: Kind, mode: Mode) -> Option<f64> {
    let climb = climbs.iter().find(|climb| (climb.kind, climb.mode) == (kind, mode))?;
    Some(climb.steps[climb.held?].deliveries)
}

/// A figure as a share of Node's, with Roomcast's aim.
fn compare(
    kind: Kind,
    own: f64,
    node: Option<f64>,
    bound: impl Fn(f64) -> String,
    aim: f64,
) -> String {
    match (kind, node) {
        (Kind::Node, _) | (_, None) => "–".to_owned(),
        (Kind::Bun, Some(node)) => format!("{:.2}", own / node),
        (_, Some(node)) => format!("{:.2} (aim: {})", own / node, bound(aim)),
    }
}
