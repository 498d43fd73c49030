//! The answers of clients to one packet, counted as they come.

use std::{
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use metrics::{Counter, counter};
use socketioxide::{AckError, adapter::Emitter};
use socketioxide_core::{Sid, Value, adapter::SocketEmitter};

use crate::telemetry::metrics::ACKS;

/// As socketioxide gives them.
type Inner = <Emitter as SocketEmitter>::AckStream;

/// The answers of clients to one packet, as they come.
pub(super) struct Acks {
    inner: Pin<Box<Inner>>,
    /// Of how many clients nothing is known yet.
    open: u64,
}

/// Looked up once.
struct Counters {
    asked: Counter,
    answered: Counter,
    timeout: Counter,
    gone: Counter,
}

static COUNTERS: LazyLock<Counters> = LazyLock::new(|| {
    let of = |result: &'static str| counter!(ACKS.name, "result" => result);
    Counters {
        asked: of("asked"),
        answered: of("answered"),
        timeout: of("timeout"),
        gone: of("gone"),
    }
});

impl Acks {
    /// Of so many clients that were asked.
    pub fn new(inner: Inner, asked: u32) -> Self {
        COUNTERS.asked.increment(u64::from(asked));
        Self { inner: Box::pin(inner), open: u64::from(asked) }
    }
}

impl Stream for Acks {
    type Item = (Sid, Result<Value, AckError>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.inner.as_mut().poll_next(context));
        if let Some((_, answer)) = &next {
            self.open = self.open.saturating_sub(1);
            let counted = match answer {
                Ok(_) => &COUNTERS.answered,
                Err(AckError::Timeout) => &COUNTERS.timeout,
                Err(_) => &COUNTERS.gone,
            };
            counted.increment(1);
        }
        Poll::Ready(next)
    }
}

impl Drop for Acks {
    fn drop(&mut self) {
        // Nobody waits for these any more.
        COUNTERS.gone.increment(self.open);
    }
}
