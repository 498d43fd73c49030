//! One cluster under test, and a run of it.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    Args,
    audience::Audience,
    emitter::{Emitter, Order, Publish},
    kind::{Kind, Mode},
    outcome::{Cpu, Outcome},
    pause,
    redis::Redis,
    replay::Replay,
};
use crate::{peer::Peer, processors};

/// Pods in a cluster.
const PODS: usize = 2;
/// Messages a second of a rehearsal.
const REHEARSAL_RATE: f64 = 20_000.0;
/// Longest wait until every listener has been reached for the first time.
const PATIENCE: Duration = Duration::from_secs(20);
/// What has not come when nothing has come for so long is lost.
const SILENCE: Duration = Duration::from_secs(3);

/// Two pods, their Redis, publishers and listeners, all of its own.
pub struct Trial {
    pub kind: Kind,
    pub mode: Mode,
    // Before the servers: listeners that see them go would count it.
    audience: Audience,
    pub emitter: Emitter,
    pub replay: Replay,
    pods: Vec<Peer>,
    redis: Redis,
    /// How late a message may be counted where that is small beside what is looked for.
    breath: Duration,
    run: u16,
}

/// Who publishes.
#[derive(Clone, Copy, PartialEq)]
pub enum Publisher {
    /// The emitter, in Node.
    Emitter,
    /// What the emitter says, replayed.
    Replay,
}

impl Trial {
    /// Starts everything, and waits until each listener has got a message. Before that, the emitter
    /// publishes so many messages that nobody gets.
    pub fn start(kind: Kind, mode: Mode, args: &Args, rehearsal: u64) -> io::Result<Self> {
        let redis = Redis::start()?;
        let mut emitter = Emitter::start(mode, &redis, args.rooms)?;
        emitter.publish(Order { run: 0, rate: REHEARSAL_RATE, total: rehearsal })?;
        let pods: Vec<_> =
            (0..PODS).map(|_| kind.start(mode, &redis)).collect::<io::Result<_>>()?;
        let addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
        let audience = Audience::gather(&addresses, args.connections, args.rooms)?;
        let replay = Replay::record(&mut emitter, mode, &redis, args.rooms)?;
        let breath = Duration::from_millis(args.breath.into());
        let mut trial = Self { kind, mode, audience, emitter, replay, pods, redis, breath, run: 0 };
        trial.reach_all(args)?;
        Ok(trial)
    }

    /// A pod answers a join before it has subscribed: messages to each room, until all get them.
    fn reach_all(&mut self, args: &Args) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            let order = Order { run: 0, rate: f64::from(u16::MAX), total: args.rooms as u64 };
            self.emitter.publish(order)?;
            pause(Duration::from_millis(50));
            let reached = self.audience.tally().reached();
            if reached == args.connections {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "{} ({}): messages reach {reached} of {} listeners",
                    self.kind.name(),
                    self.mode,
                    args.connections
                )));
            }
        }
    }

    /// Publishes at this rate for this long, and waits for what comes of it.
    pub fn run(&mut self, by: Publisher, rate: f64, time: Duration) -> io::Result<Outcome> {
        self.run += 1;
        let total = (rate * time.as_secs_f64()).ceil() as u64;
        let order = Order { run: self.run, rate, total };
        let shares = order.shares(self.audience.members.len());
        let expected = shares.zip(&self.audience.members).map(|(sent, members)| sent * members);
        let expected = expected.sum();

        let breath = if by == Publisher::Replay { self.breath } else { Duration::ZERO };
        self.audience.begin(self.run, breath)?;
        let (cpu, begun) = (self.cpu()?, Instant::now());
        let ended = self.audience.tally().ended;
        let took = match by {
            Publisher::Emitter => self.emitter.publish(order)?,
            Publisher::Replay => self.replay.publish(order)?,
        };
        let tally = self.audience.finish(expected, SILENCE)?;
        Ok(Outcome {
            expected,
            got: tally.got,
            doubled: tally.doubled,
            astray: tally.astray,
            ended: tally.ended - ended,
            cpu: self.cpu()?.since(cpu),
            planned: time,
            took,
            lasted: begun.elapsed(),
            latency: tally.latency,
        })
    }

    /// Memory of the pods that is in RAM, in bytes.
    pub fn rss(&self) -> io::Result<u64> {
        self.pods.iter().map(Peer::rss).sum()
    }

    fn cpu(&self) -> io::Result<Cpu> {
        let pods = self.pods.iter().map(|pod| processors::used_by(pod.id()));
        Ok(Cpu {
            pods: pods.sum::<io::Result<_>>()?,
            redis: processors::used_by(self.redis.id())?,
            emitter: processors::used_by(self.emitter.id())?,
            here: processors::used_here(),
            machine: processors::used_by_all()?,
        })
    }
}
