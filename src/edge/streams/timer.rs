//! A timer for a stream that is polled. Each connection has two of these, so one that does not run takes a pointer alone.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// A timer that runs or does not. One that does not run allocates nothing; those of an idle connection do not run.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Starts it, if it does not run already.
    pub fn start(&mut self, limit: Duration) {
        self.0.get_or_insert_with(|| Box::pin(sleep(limit)));
    }

    /// Starts it anew.
    pub fn restart(&mut self, limit: Duration) {
        match &mut self.0 {
            Some(timer) => timer.as_mut().reset(Instant::now() + limit),
            None => self.start(limit),
        }
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.0 = None;
    }

    /// Ready once the time has elapsed.
    pub fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(context))
    }
}
