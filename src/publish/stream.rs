//! The durable way to publish: entries of a stream in Redis, each emitted by one of the pods.
//!
//! An entry is acknowledged once Redis has confirmed its message for the other pods. Until then it is tried again,
//! by this pod or by another that claims it: nothing is lost with a pod, and what it emitted without
//! acknowledging it is emitted twice. An entry that can never be emitted becomes a dead letter. While that cannot be
//! written, it stays pending: it is claimed after a while like those of a lost pod, and holds up nothing.

use std::{collections::VecDeque, time::Duration};

use metrics::{counter, gauge};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{ApiError, body::parse, request::EmitRequest};
use crate::{
    backplane::{
        Backplane, Entry, Pending, PublishStream, Publishing, RedisError, SetupError, Source,
    },
    config::{Config, Limits},
    drain::{Lifecycle, Phase},
    telemetry::{
        metrics::{
            STREAM_DEAD_LETTERS, STREAM_ENTRIES, STREAM_LAG, STREAM_PENDING, STREAM_RETRIES,
        },
        traces::{self, Span, TRACEPARENT, TRACESTATE, Trace},
    },
};

/// Pauses after failures: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often the backlog is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// What reads the stream on this pod.
pub struct Consumer {
    stream: PublishStream,
    backplane: Backplane,
    limits: Limits,
    max_deliveries: u64,
    claim_after: Duration,
    lifecycle: Lifecycle,
    /// It has stopped reading, and holds nothing.
    ended: watch::Sender<bool>,
}

/// Entries wait for better times.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Emit(#[from] ApiError),
}

/// Where a pod is with the stream.
struct Progress {
    /// Entries after this id may be pending for this pod that it does not hold.
    behind: Option<String>,
    /// When to look for entries that no pod ends with.
    claim: Instant,
    /// Those up to this id have been looked at.
    claimed: String,
}

impl Consumer {
    /// A consumer, if the stream is on. It must be made before the backplane starts.
    pub fn new(
        config: &Config,
        backplane: &Backplane,
        lifecycle: &Lifecycle,
    ) -> Result<Option<Self>, SetupError> {
        let settings = &config.publish.stream;
        let stream = if settings.enabled { backplane.cluster().stream(settings)? } else { None };
        Ok(stream.map(|stream| Self {
            stream,
            backplane: backplane.clone(),
            limits: config.limits.clone(),
            max_deliveries: settings.max_deliveries,
            claim_after: settings.claim_after,
            lifecycle: lifecycle.clone(),
            ended: watch::Sender::new(false),
        }))
    }

    /// Reads the stream until the pod closes its connections, then leaves the group.
    pub async fn run(&self) {
        let start = || PublishStream::START.to_owned();
        let mut progress =
            Progress { behind: Some(start()), claim: Instant::now(), claimed: start() };
        let mut pause = PAUSE.0;
        let closing = self.lifecycle.reached(Phase::Closing);
        tokio::pin!(closing);
        while self.lifecycle.phase() < Phase::Closing {
            if !self.stream.is_up() {
                progress.behind = Some(start());
                tokio::select! {
                    () = self.stream.up() => {}
                    () = &mut closing => {}
                }
                continue;
            }
            // It is not interrupted: what Redis has given is handled.
            let Err(trouble) = self.turn(&mut progress).await else {
                pause = PAUSE.0;
                continue;
            };
            if pause == PAUSE.0 {
                tracing::warn!(error = %trouble, "the publish stream waits: its entries are tried again");
            } else {
                tracing::debug!(error = %trouble, "the publish stream waits");
            }
            progress.behind = Some(start());
            tokio::select! {
                () = sleep(pause) => {}
                () = &mut closing => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        }
        if let Err(error) = self.stream.leave().await {
            tracing::debug!(%error, "the consumer of this pod is left to the others");
        }
        self.ended.send_replace(true);
    }

    /// Waits until this pod reads no longer and what it had in hand is emitted.
    pub async fn ended(&self) {
        // The sender lives in `self`.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// One look at the stream, whose group is made if there is none.
    async fn turn(&self, progress: &mut Progress) -> Result<(), Trouble> {
        match self.look(progress).await {
            // Nobody has published yet, or Redis came back empty.
            Err(Trouble::Redis(error)) if PublishStream::lacks_group(&error) => {
                Ok(self.stream.create_group().await?)
            }
            looked => looked,
        }
    }

    /// Handles what is left from before, what others have left, else what is new.
    async fn look(&self, progress: &mut Progress) -> Result<(), Trouble> {
        if let Some(after) = progress.behind.take() {
            let Some(Pending { entries, last }) = self.stream.own_entries(&after).await? else {
                return Ok(());
            };
            progress.behind = Some(last);
            counter!(STREAM_RETRIES.name, "reason" => "retried").increment(entries.len() as u64);
            return self.handle(entries).await;
        }
        if progress.claim <= Instant::now() {
            let Some(Pending { entries, last }) = self.stream.claim(&progress.claimed).await?
            else {
                progress.claim = Instant::now() + self.claim_after / 4;
                progress.claimed = PublishStream::START.to_owned();
                return Ok(());
            };
            progress.claimed = last;
            let count = entries.len();
            tracing::info!(count, "entries of the publish stream are taken over");
            counter!(STREAM_RETRIES.name, "reason" => "claimed").increment(count as u64);
            return self.handle(entries).await;
        }
        self.handle(self.stream.new_entries().await?).await
    }

    /// Emits entries in their order. As many are on their way at once as the backplane takes.
    async fn handle(&self, entries: Vec<Entry>) -> Result<(), Trouble> {
        let mut waiting = VecDeque::from(entries);
        while !waiting.is_empty() {
            let mut begun = Vec::with_capacity(waiting.len());
            let mut full = None;
            while let Some(entry) = waiting.pop_front() {
                let (caused_by, span) = self.traced(&entry);
                let here = span.enter();
                let begins = self.begin(&entry, caused_by);
                drop(here);
                match begins {
                    Err(error) if may_pass(&error) => {
                        full = Some(error);
                        waiting.push_front(entry);
                        break;
                    }
                    result => begun.push((entry, result, span)),
                }
            }
            match full {
                // Not even one goes.
                Some(error) if begun.is_empty() => return Err(error.into()),
                _ => self.settle(begun).await?,
            }
        }
        Ok(())
    }

    /// The span of an entry, as a part of what its fields say.
    fn traced(&self, entry: &Entry) -> (Option<Trace>, Span) {
        let field = |name| entry.only(name).and_then(|value| std::str::from_utf8(value).ok());
        let caused_by = field(TRACEPARENT)
            .filter(|_| traces::propagates())
            .and_then(|traceparent| Trace::read(traceparent, field(TRACESTATE)));
        let (stream, group) = self.stream.names();
        let span = traces::entry(stream, group, &entry.id, caused_by.as_ref());
        (span.carried().or(caused_by), span)
    }

    fn begin(&self, entry: &Entry, caused_by: Option<Trace>) -> Result<Publishing, ApiError> {
        if entry.deliveries > self.max_deliveries {
            return Err(ApiError::TooManyDeliveries(entry.deliveries));
        }
        let size: usize = entry.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > self.limits.max_payload {
            return Err(ApiError::PayloadTooLarge);
        }
        let emit = entry.emit().ok_or_else(|| {
            ApiError::InvalidRequest("expected a field `emit` with the JSON of an emit".into())
        })?;
        let request: EmitRequest = parse(emit, "no emit")?;
        request
            .prepare(&self.backplane, &self.limits, Source::Stream, caused_by)?
            .begin(&self.backplane)
    }

    /// Waits for entries that are on their way, and acknowledges those that arrived.
    async fn settle(
        &self,
        begun: Vec<(Entry, Result<Publishing, ApiError>, Span)>,
    ) -> Result<(), Trouble> {
        let mut done = Vec::with_capacity(begun.len());
        let (mut gone, mut lost, mut trouble) = (Vec::new(), Vec::new(), None);
        for (entry, publishing, span) in begun {
            let result = match publishing {
                Ok(publishing) => publishing.done().await.map_err(ApiError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = &result {
                span.failed(error.code());
            }
            match result {
                Ok(()) => done.push(entry.id),
                Err(_) if entry.fields.is_empty() => gone.push(entry.id),
                Err(error) if may_pass(&error) => trouble = Some(error),
                Err(error) => lost.push((entry, error)),
            }
        }
        let count = done.len() as u64;
        self.stream.done(done).await?;
        counter!(STREAM_ENTRIES.name, "result" => "ok").increment(count);
        for id in gone {
            tracing::warn!(id, "an entry of the publish stream was deleted before it was emitted");
            self.stream.done(vec![id]).await?;
            counter!(STREAM_ENTRIES.name, "result" => "trimmed").increment(1);
        }
        self.give_up(lost).await?;
        trouble.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Makes dead letters of entries that cannot be emitted.
    async fn give_up(&self, lost: Vec<(Entry, ApiError)>) -> Result<(), Trouble> {
        let mut lost = lost.into_iter();
        while let Some((mut entry, error)) = lost.next() {
            let id = entry.id.clone();
            if matches!(error, ApiError::PayloadTooLarge) {
                entry.fields.clear();
            }
            let (code, reason) = (error.code(), error.to_string());
            if let Err(error) = self.stream.bury(entry, code, &reason).await {
                // What Redis has against this one, it has against the next.
                let count = 1 + lost.len();
                tracing::warn!(%error, count, id, code, reason, "dead letters cannot be written: entries of the publish stream stay pending, and are tried again after claim_after");
                return Ok(());
            }
            self.stream.done(vec![id.clone()]).await?;
            tracing::warn!(id, code, reason, "an entry of the publish stream is dead");
            counter!(STREAM_ENTRIES.name, "result" => code).increment(1);
        }
        Ok(())
    }

    /// Keeps the metrics of the stream, and forgets consumers of pods that are gone.
    pub async fn watch(&self) {
        loop {
            sleep(MEASURED).await;
            if self.stream.is_up()
                && let Err(error) = self.measure().await
            {
                tracing::debug!(%error, "the publish stream cannot be measured");
            }
        }
    }

    async fn measure(&self) -> Result<(), RedisError> {
        let Some(backlog) = self.stream.backlog().await? else {
            return Ok(());
        };
        gauge!(STREAM_LAG.name).set(backlog.lag as f64);
        gauge!(STREAM_PENDING.name).set(backlog.pending as f64);
        if let Some(dead) = backlog.dead {
            gauge!(STREAM_DEAD_LETTERS.name).set(dead as f64);
        }
        for consumer in self.stream.idle_consumers().await? {
            // A pod that has only been cut off is asked for by its record, and makes its consumer anew.
            if self.backplane.cluster().pod(&consumer).await.is_none() {
                self.stream.forget(&consumer).await?;
            }
        }
        Ok(())
    }
}

/// Whether the same emit may succeed later.
fn may_pass(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::BackplaneUnavailable(_)
            | ApiError::BackplaneUnconfirmed(_)
            | ApiError::PublishQueueFull(_)
    )
}
