//! A limit on waiting, for a stream that is polled. Each connection has two of these, so they keep no more than a timer.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Waits no longer than a limit. What does not wait has no timer, and an idle connection does not.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Begins to wait, if it does not already.
    pub fn start(&mut self, limit: Duration) {
        self.0.get_or_insert_with(|| Box::pin(sleep(limit)));
    }

    /// Begins to wait anew.
    pub fn restart(&mut self, limit: Duration) {
        match &mut self.0 {
            Some(timer) => timer.as_mut().reset(Instant::now() + limit),
            None => self.start(limit),
        }
    }

    /// Waits no more.
    pub fn stop(&mut self) {
        self.0 = None;
    }

    /// Ready when the limit is reached.
    pub fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(context))
    }
}
