//! Messages for other pods, on their way to Redis, in order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    interfaces::{ClientLike, FredResult, PubsubInterface},
    types::{Value, config::Options},
};
use metrics::{Histogram, counter};
use tokio::sync::oneshot;

use super::{
    health::{Health, Link},
    queue::{self, Sizable},
    timed::commands,
};
use crate::{
    backplane::{
        stages::{Accepted, Stages},
        wire::Outgoing,
    },
    config::WhenAway,
    telemetry::metrics::{BACKPLANE_DROPPED, BACKPLANE_PUBLISHED},
};

/// Messages that are sent to Redis in one go.
const BATCH: usize = 256;

/// A message will not reach other pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The pod is cut off, and `when_away` says to refuse.
    #[error("this pod is cut off from the backplane")]
    Away,
    /// Too much waits already.
    #[error("too much waits for the backplane: backplane.publish_queue is full")]
    QueueFull,
    /// Redis did not confirm it. It may have reached other pods, or not.
    #[error("the backplane did not confirm the message")]
    Unconfirmed,
}

impl PublishError {
    fn reason(self) -> &'static str {
        match self {
            Self::Away => "disconnected",
            Self::QueueFull => "publish queue full",
            Self::Unconfirmed => "publish failed",
        }
    }

    fn count(self) {
        counter!(BACKPLANE_DROPPED.name, "reason" => self.reason()).increment(1);
    }
}

/// The way out.
pub struct Outbox {
    queued: queue::Sender<QueuedMessage>,
    when_away: WhenAway,
    health: Arc<Health>,
}

struct QueuedMessage {
    message: Outgoing,
    /// If it is an emit.
    accepted: Option<Accepted>,
    receipt: Option<oneshot::Sender<Result<(), PublishError>>>,
}

impl Sizable for QueuedMessage {
    fn size(&self) -> usize {
        self.message.channel.len() + self.message.payload.len()
    }
}

/// Tells what became of a message.
pub struct Receipt(oneshot::Receiver<Result<(), PublishError>>);

impl Receipt {
    /// Waits until Redis has confirmed the message.
    pub async fn confirmed(self) -> Result<(), PublishError> {
        self.0.await.unwrap_or(Err(PublishError::Unconfirmed))
    }
}

/// The other end of the outbox.
pub struct Sender {
    queued: queue::Receiver<QueuedMessage>,
    when_away: WhenAway,
    health: Arc<Health>,
    sharded: bool,
    timeout: Duration,
    stages: Arc<Stages>,
    /// How long Redis takes for a batch.
    time: Histogram,
}

/// An outbox, and what empties it.
pub fn outbox(
    settings: &crate::config::Backplane,
    health: Arc<Health>,
    stages: Arc<Stages>,
    sharded: bool,
) -> (Outbox, Sender) {
    let (sender, queued) = queue::queue(settings.publish_queue);
    let (when_away, timeout) = (settings.when_away, settings.timeout);
    let outbox = Outbox { queued: sender, when_away, health: health.clone() };
    let time = commands(if sharded { "spublish" } else { "publish" });
    (outbox, Sender { queued, when_away, health, sharded, timeout, stages, time })
}

impl Outbox {
    /// Sends a message of which nobody can be told: it is counted if it cannot be sent.
    pub fn send(&self, message: Outgoing, accepted: Option<Accepted>) -> Result<(), PublishError> {
        self.put(message, accepted, None).inspect_err(|error| error.count())
    }

    /// Sends a message, or tells why not.
    pub fn offer(&self, message: Outgoing, accepted: Option<Accepted>) -> Result<(), PublishError> {
        self.put(message, accepted, None)
    }

    /// The same, with a receipt.
    pub fn send_registered(
        &self,
        message: Outgoing,
        accepted: Option<Accepted>,
    ) -> Result<Receipt, PublishError> {
        let (sender, receiver) = oneshot::channel();
        self.put(message, accepted, Some(sender))?;
        Ok(Receipt(receiver))
    }

    /// What has not been confirmed.
    pub fn waiting(&self) -> queue::Waiting {
        self.queued.waiting()
    }

    /// Whether a message would be kept for later now, rather than sent.
    pub fn keeps(&self) -> bool {
        self.when_away == WhenAway::Queue && !self.health.is_up()
    }

    fn put(
        &self,
        message: Outgoing,
        accepted: Option<Accepted>,
        receipt: Option<oneshot::Sender<Result<(), PublishError>>>,
    ) -> Result<(), PublishError> {
        if self.when_away == WhenAway::Refuse && !self.health.is_up() {
            return Err(PublishError::Away);
        }
        self.queued
            .send(QueuedMessage { message, accepted, receipt })
            .map_err(|queue::Full| PublishError::QueueFull)
    }
}

impl Sender {
    /// Empties the outbox, for as long as it exists.
    pub async fn run(mut self, client: Client) {
        // Sent again, a message could arrive twice: what is not confirmed is counted as lost.
        let once = Options { fail_fast: true, timeout: Some(self.timeout), ..Options::default() };
        let mut link = self.health.follow();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if self.when_away == WhenAway::Queue {
                // The health lives as long as this task.
                let _ = link.wait_for(|link| *link == Link::Up).await;
            }
            if !self.queued.take(&mut batch, BATCH).await {
                return;
            }
            let now = *link.borrow_and_update();
            let results = match now {
                Link::Up => self.publish(&client, &once, &batch).await,
                _ if self.when_away == WhenAway::Queue => {
                    // It went away meanwhile: they have waited in vain only if it stays so.
                    let _ = link.wait_for(|link| *link == Link::Up).await;
                    self.publish(&client, &once, &batch).await
                }
                _ => Err(PublishError::Away),
            };
            self.queued.settled(&batch);
            settle(batch.drain(..), results, &self.stages);
        }
    }

    /// Publishes a batch, in order. Says for each whether Redis took it.
    async fn publish(
        &self,
        client: &Client,
        once: &Options,
        batch: &[QueuedMessage],
    ) -> Result<Vec<bool>, PublishError> {
        let pipeline = client.pipeline().with_options(once);
        for QueuedMessage { message, .. } in batch {
            let channel = message.channel.as_str();
            let payload = Value::Bytes(message.payload.clone());
            let queued: FredResult<()> = if self.sharded {
                pipeline.spublish(channel, payload).await
            } else {
                pipeline.publish(channel, payload).await
            };
            if queued.is_err() {
                return Err(PublishError::Unconfirmed);
            }
        }
        let begun = Instant::now();
        let results: Vec<FredResult<i64>> = pipeline.try_all().await;
        self.time.record(begun.elapsed());
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            tracing::debug!(%error, "publishing failed");
            self.health.hint();
        }
        Ok(results.iter().map(Result::is_ok).collect())
    }
}

/// Tells those who wait, and counts.
fn settle(
    batch: impl Iterator<Item = QueuedMessage>,
    results: Result<Vec<bool>, PublishError>,
    stages: &Stages,
) {
    let (mut published, now) = (0, Instant::now());
    for (index, message) in batch.enumerate() {
        let result = match &results {
            Err(error) => Err(*error),
            // One error in place of many: nothing was confirmed.
            Ok(results) if results.get(index) == Some(&true) => Ok(()),
            Ok(_) => Err(PublishError::Unconfirmed),
        };
        match result {
            Ok(()) => {
                published += 1;
                if let Some(accepted) = &message.accepted {
                    stages.published(accepted, now);
                }
            }
            Err(error) => error.count(),
        }
        if let Some(receipt) = message.receipt {
            let _ = receipt.send(result);
        }
    }
    counter!(BACKPLANE_PUBLISHED.name).increment(published);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_series_from_the_start() {
        let known = BACKPLANE_DROPPED.values_of("reason");
        for error in [PublishError::Away, PublishError::QueueFull, PublishError::Unconfirmed] {
            assert!(known.contains(&error.reason()), "{error}");
        }
    }
}
