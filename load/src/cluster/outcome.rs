//! What came of a run: who got what, how late, and what it cost.

use std::{ops::AddAssign, time::Duration};

use hdrhistogram::Histogram;

/// What came of a run, or of several.
pub struct Outcome {
    /// Receipts that they should have led to, and those they led to.
    pub expected: u64,
    pub got: u64,
    pub doubled: u64,
    pub astray: u64,
    /// Connections that ended.
    pub ended: usize,
    pub cpu: Cpu,
    /// How long it should have taken to publish, how long it took, and how long until all had come.
    pub planned: Duration,
    pub took: Duration,
    pub lasted: Duration,
    /// Microseconds from publish to receipt.
    pub latency: Histogram<u64>,
}

/// What was used of the processors.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub pods: Duration,
    pub redis: Duration,
    pub emitter: Duration,
    /// By this process: the listeners, and what is replayed.
    pub here: Duration,
    /// By everything on the machine.
    pub machine: Duration,
}

impl Outcome {
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.got)
    }

    /// Seconds of a processor that the pods used for a million receipts.
    pub fn cpu_per_million(&self) -> f64 {
        self.per_million(self.cpu.pods)
    }

    /// Seconds of such a time for a million receipts.
    pub fn per_million(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.got as f64
    }

    /// The time from publish to receipt that a share of all does not exceed, in milliseconds.
    pub fn millis(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1e3
    }

    /// How many processors were used by programs that have nothing to do with the benchmark.
    pub fn others(&self) -> f64 {
        let Cpu { pods, redis, emitter, here, machine } = self.cpu;
        let others = machine.saturating_sub(pods + redis + emitter + here);
        others.as_secs_f64() / self.lasted.as_secs_f64()
    }

    /// In a line. What other processes used tells how far the figures can be trusted.
    pub fn summary(&self) -> String {
        format!(
            "p99 {:.2} ms; CPU s per million: {:.2} pods, {:.2} Redis, {:.2} here; others used {:.0} % of a \
             processor",
            self.millis(0.99),
            self.cpu_per_million(),
            self.per_million(self.cpu.redis),
            self.per_million(self.cpu.here),
            self.others() * 100.0,
        )
    }

    /// Why this run is none that a cluster can be said to hold, if so.
    pub fn complaint(&self, limit: Duration) -> Option<String> {
        let p99 = self.millis(0.99);
        if self.ended > 0 {
            Some(format!("{} connections ended", self.ended))
        } else if self.lost() > 0 {
            Some(format!("{} of {} lost", self.lost(), self.expected))
        } else if self.doubled + self.astray > 0 {
            Some(format!("{} doubled, {} astray", self.doubled, self.astray))
        } else if p99 > limit.as_secs_f64() * 1e3 {
            Some(format!("p99 of {p99:.0} ms"))
        } else if self.took > self.planned.mul_f64(1.05) {
            // Then Redis, or the publisher, is what was measured.
            Some(format!("publishing took {:.1} s", self.took.as_secs_f64()))
        } else {
            None
        }
    }
}

impl Cpu {
    /// What was used since then.
    pub fn since(self, before: Self) -> Self {
        let pairs = |figure: fn(Self) -> Duration| figure(self).saturating_sub(figure(before));
        Self {
            pods: pairs(|cpu| cpu.pods),
            redis: pairs(|cpu| cpu.redis),
            emitter: pairs(|cpu| cpu.emitter),
            here: pairs(|cpu| cpu.here),
            machine: pairs(|cpu| cpu.machine),
        }
    }
}

impl AddAssign for Cpu {
    fn add_assign(&mut self, other: Self) {
        self.pods += other.pods;
        self.redis += other.redis;
        self.emitter += other.emitter;
        self.here += other.here;
        self.machine += other.machine;
    }
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.expected += other.expected;
        self.got += other.got;
        self.doubled += other.doubled;
        self.astray += other.astray;
        self.ended += other.ended;
        self.cpu += other.cpu;
        self.planned += other.planned;
        self.took += other.took;
        self.lasted += other.lasted;
        self.latency += other.latency;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let mut latency = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        latency.record_n(5_000, 98).unwrap();
        latency.record_n(150_000, 2).unwrap();
        let second = Duration::from_secs(1);
        Outcome {
            expected: 100,
            got: 100,
            doubled: 0,
            astray: 0,
            ended: 0,
            cpu: Cpu { pods: Duration::from_millis(10), ..Cpu::default() },
            planned: second,
            took: second,
            lasted: second,
            latency,
        }
    }

    #[test]
    fn a_run_is_held_only_if_nothing_is_wrong_with_it() {
        let limit = Duration::from_millis(200);
        let complaint = |change: fn(&mut Outcome)| {
            let mut outcome = outcome();
            change(&mut outcome);
            outcome.complaint(limit).unwrap_or_default()
        };
        assert_eq!(complaint(|_| {}), "");
        assert_eq!(complaint(|outcome| outcome.got = 99), "1 of 100 lost");
        assert_eq!(complaint(|outcome| outcome.doubled = 1), "1 doubled, 0 astray");
        assert_eq!(complaint(|outcome| outcome.ended = 3), "3 connections ended");
        assert_eq!(complaint(|outcome| outcome.took *= 2), "publishing took 2.0 s");
        assert_eq!(
            complaint(|outcome| outcome.latency.record_n(300_000, 5).unwrap()),
            "p99 of 300 ms"
        );
    }

    #[test]
    fn runs_add_up() {
        let mut both = outcome();
        both += outcome();
        assert_eq!((both.expected, both.got, both.latency.len()), (200, 200, 200));
        assert!((both.cpu_per_million() - 100.0).abs() < 1e-9);
    }
}
