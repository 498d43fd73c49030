//! How long Redis takes to answer.

use std::{future::Future, time::Instant};

use metrics::{Histogram, histogram};

use crate::telemetry::metrics::REDIS_COMMANDS;

/// The time of commands of a name. Looking it up takes a lock: what is sent often keeps it.
pub fn commands(name: &'static str) -> Histogram {
    histogram!(REDIS_COMMANDS.name, "command" => name)
}

/// A command, whose time is measured until it is answered, or has failed.
pub trait Timed: Future + Send + Sized {
    /// Waits for the answer. `name` is that of the command, as the table of metrics has it.
    fn timed(self, name: &'static str) -> impl Future<Output = Self::Output> + Send {
        async move {
            let begun = Instant::now();
            let answer = self.await;
            commands(name).record(begun.elapsed());
            answer
        }
    }
}

impl<F: Future + Send> Timed for F {}
