//! The highest rate that a cluster holds: nothing lost, nothing doubled, and p99 below a limit.

use std::{io, time::Duration};

use super::{
    Args,
    kind::{Kind, Mode},
    outcome::Outcome,
    trial::{Publisher, Trial},
};

/// The p99 of a rate that is held is below this.
pub const LIMIT: Duration = Duration::from_millis(200);
/// Each step is so much faster than the one before.
const STEEPNESS: f64 = 1.25;
/// So many steps are gone back to find one that is held for longer.
const LOWER: i32 = 10;
/// So often a level is tried while other programs are in the way.
const ATTEMPTS: u32 = 5;
/// Other programs are in the way when they use more than this share of a processor.
const DISTURBANCE: f64 = 0.3;
/// A fresh cluster runs so long at half the rate before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// What was measured of one cluster.
pub struct Climb {
    pub kind: Kind,
    pub mode: Mode,
    /// Every run, in order.
    pub steps: Vec<Step>,
    /// Which of them is the highest rate that was held, and held again for twice as long.
    pub held: Option<usize>,
    /// Why the last rate that was given up was not held: the one above.
    pub obstacle: String,
}

/// One run.
pub struct Step {
    /// Deliveries a second that were asked for.
    pub deliveries: f64,
    pub outcome: Outcome,
    /// Why it does not count as held.
    pub complaint: Option<String>,
}

/// A cluster on its way up.
struct Climber {
    climb: Climb,
    /// None when it has come to its end.
    trial: Option<Trial>,
}

/// Raises the rate of all kinds in turns, one mode after the other.
pub fn measure(args: &Args) -> io::Result<Vec<Climb>> {
    let mut climbs = Vec::new();
    for &mode in &args.modes {
        let start = |&kind: &Kind| Climber::start(kind, mode, args);
        let mut climbers: Vec<_> = args.kinds.iter().map(start).collect::<io::Result<_>>()?;
        for level in 0.. {
            for climber in climbers.iter_mut().filter(|climber| climber.trial.is_some()) {
                climber.ascend(level, args)?;
            }
            if climbers.iter().all(|climber| climber.trial.is_none()) {
                break;
            }
        }
        climbs.extend(climbers.into_iter().map(|climber| climber.climb));
    }
    Ok(climbs)
}

/// Messages a second at a level.
fn rate(args: &Args, level: i32) -> f64 {
    f64::from(args.climb_from) * STEEPNESS.powi(level)
}

impl Climber {
    fn start(kind: Kind, mode: Mode, args: &Args) -> io::Result<Self> {
        let climb = Climb { kind, mode, steps: Vec::new(), held: None, obstacle: String::new() };
        Ok(Self { climb, trial: Some(Trial::start(kind, mode, args, 0)?) })
    }

    /// One step up; if that fails, back to the highest that is held for longer.
    fn ascend(&mut self, level: i32, args: &Args) -> io::Result<()> {
        let time = Duration::from_secs(args.step_seconds.into());
        if self.holds(level, time, args)? {
            return Ok(());
        }
        for lower in (level - LOWER..level).rev() {
            self.restart(lower, args)?;
            if self.holds(lower, time * 2, args)? {
                self.climb.held = Some(self.climb.steps.len() - 1);
                break;
            }
        }
        self.trial = None;
        Ok(())
    }

    /// Whether a level is held. A failure is tried once more, and more often if something else on the
    /// machine may have been the reason.
    fn holds(&mut self, level: i32, time: Duration, args: &Args) -> io::Result<bool> {
        let mut failures = 0;
        for attempt in 1..=ATTEMPTS {
            if self.step(level, time, args)? {
                return Ok(true);
            }
            let outcome = self.climb.steps.last().map(|step| &step.outcome);
            failures += u32::from(outcome.is_some_and(|outcome| outcome.others() < DISTURBANCE));
            if failures == 2 || attempt == ATTEMPTS {
                break;
            }
            // What the failure left behind would be in the way.
            self.restart(level, args)?;
        }
        let complaint = self.climb.steps.last().and_then(|step| step.complaint.clone());
        self.climb.obstacle = complaint.unwrap_or_default();
        Ok(false)
    }

    fn restart(&mut self, level: i32, args: &Args) -> io::Result<()> {
        // The old one makes room before the new one starts.
        self.trial = None;
        let mut trial = Trial::start(self.climb.kind, self.climb.mode, args, 0)?;
        trial.run(Publisher::Replay, rate(args, level) / 2.0, WARM_UP)?;
        self.trial = Some(trial);
        Ok(())
    }

    /// Runs at a level, and says whether it is held.
    fn step(&mut self, level: i32, time: Duration, args: &Args) -> io::Result<bool> {
        let Some(trial) = &mut self.trial else { return Ok(false) };
        let outcome = trial.run(Publisher::Replay, rate(args, level), time)?;
        let deliveries = outcome.expected as f64 / time.as_secs_f64();
        let complaint = outcome.complaint(LIMIT);
        eprintln!(
            "{} ({}), {deliveries:.0} deliveries/s for {} s: {}; {}",
            trial.kind.name(),
            trial.mode,
            time.as_secs(),
            complaint.as_deref().unwrap_or("held"),
            outcome.summary(),
        );
        let held = complaint.is_none();
        self.climb.steps.push(Step { deliveries, outcome, complaint });
        Ok(held)
    }
}
