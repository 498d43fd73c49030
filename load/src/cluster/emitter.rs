//! The backend that publishes as backends do: `peers/emitter.mjs` in a Node of its own.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use super::{
    kind::{Mode, peers},
    redis::Redis,
};
use crate::peer::command;

/// A running emitter.
pub struct Emitter {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What is to be published in one run: `total` messages, `rate` a second, to one room after the other.
#[derive(Clone, Copy)]
pub struct Order {
    pub run: u16,
    pub rate: f64,
    pub total: u64,
}

/// Who can publish a run, and says how long it took until Redis had all of it.
pub trait Publish {
    fn publish(&mut self, order: Order) -> io::Result<Duration>;
}

impl Order {
    /// How many of the messages go to each room.
    pub fn shares(&self, rooms: usize) -> impl Iterator<Item = u64> {
        let (total, rooms) = (self.total, rooms as u64);
        (0..rooms).map(move |room| total / rooms + u64::from(room < total % rooms))
    }
}

impl Emitter {
    pub fn start(mode: Mode, redis: &Redis, rooms: usize) -> io::Result<Self> {
        let mut command = command("node");
        command.arg(peers("emitter.mjs")?).arg(mode.to_string()).arg(redis.url());
        command.arg(rooms.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let orders = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut emitter = Self { process, orders, answers: BufReader::new(answers) };
        emitter.answer()?;
        Ok(emitter)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::Error::other("the emitter has ended")),
            _ => Ok(line),
        }
    }
}

impl Publish for Emitter {
    fn publish(&mut self, Order { run, rate, total }: Order) -> io::Result<Duration> {
        let order = serde_json::json!({ "run": run, "rate": rate, "total": total });
        writeln!(self.orders, "{order}")?;
        let answer: serde_json::Value = serde_json::from_str(&self.answer()?)?;
        let micros = answer["micros"].as_u64().ok_or(io::ErrorKind::InvalidData)?;
        Ok(Duration::from_micros(micros))
    }
}

impl Drop for Emitter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
