//! A limit on waiting, for a stream that is polled.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Waits no longer than a limit. What does not wait has no timer, and an idle connection does not.
#[derive(Debug)]
pub(super) struct Patience {
    /// In milliseconds: each connection has two of these.
    limit: u32,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub fn new(limit: Duration) -> Self {
        Self { limit: u32::try_from(limit.as_millis()).unwrap_or(u32::MAX), timer: None }
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.limit.into())
    }

    /// Begins to wait, if it does not already.
    pub fn start(&mut self) {
        let limit = self.limit();
        self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
    }

    /// Begins to wait anew.
    pub fn restart(&mut self) {
        let limit = self.limit();
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(Instant::now() + limit),
            None => self.start(),
        }
    }

    /// Waits no more.
    pub fn stop(&mut self) {
        self.timer = None;
    }

    /// Ready when the limit is reached.
    pub fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(context))
    }
}
