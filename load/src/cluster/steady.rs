//! What a delivery costs, and how long it takes, at a rate that every server holds with ease.

use std::{io, time::Duration};

use super::{
    Args,
    kind::{Kind, Mode},
    outcome::Outcome,
    trial::{Publisher, Trial},
};

/// Turns that each kind gets.
const ROUNDS: u32 = 3;
/// Before the first: servers that compile their code while they run have done so.
const WARM_UP: Duration = Duration::from_secs(5);
/// So many times the rate, while it lasts.
const WARM_UP_PACE: f64 = 10.0;
/// The emitter too: by a bare subscriber, its first thousands of messages come with a p99 of 1.5 ms, after
/// these with one of 0.4.
const REHEARSAL: u64 = 100_000;

/// What was measured of one cluster.
pub struct Cost {
    pub kind: Kind,
    pub mode: Mode,
    pub outcome: Outcome,
    /// Memory of both pods at the end, in bytes.
    pub rss: u64,
}

/// Measures all kinds in turns, one mode after the other.
pub fn measure(args: &Args) -> io::Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for &mode in &args.modes {
        let mut trials = Vec::new();
        for &kind in &args.kinds {
            eprintln!("{} ({mode}): {} connections", kind.name(), args.connections);
            let (rehearsal, pace) = if args.cold { (0, 1.0) } else { (REHEARSAL, WARM_UP_PACE) };
            let mut trial = Trial::start(kind, mode, args, rehearsal)?;
            trial.run(Publisher::Emitter, f64::from(args.rate) * pace, WARM_UP)?;
            trials.push((trial, None));
        }
        for round in 1..=ROUNDS {
            for (trial, sum) in &mut trials {
                let time = Duration::from_secs(args.seconds.into()) / ROUNDS;
                let outcome = trial.run(Publisher::Emitter, args.rate.into(), time)?;
                eprintln!(
                    "{} ({mode}), round {round} of {ROUNDS}: {}",
                    trial.kind.name(),
                    outcome.summary()
                );
                match sum {
                    None => *sum = Some(outcome),
                    Some(sum) => *sum += outcome,
                }
            }
        }
        for (trial, sum) in trials {
            if let Some(outcome) = sum {
                costs.push(Cost { kind: trial.kind, mode, outcome, rss: trial.rss()? });
            }
        }
    }
    Ok(costs)
}
