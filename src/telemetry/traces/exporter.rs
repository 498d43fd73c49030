//! Exports spans, and watches how that goes: a collector that is away or answers nonsense is a counter and one line of
//! the log a minute.

use std::{
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::{Counter, counter};
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use parking_lot::Mutex;
use tokio::{runtime::Handle, time::timeout};

use super::console;
use crate::{tasks, telemetry::metrics::SPANS};

/// How often the log says that spans are lost.
const TOLD: Duration = Duration::from_secs(60);

/// Where spans go, known once the pod runs.
#[derive(Debug)]
pub enum Way {
    /// Works on any thread, and blocks it.
    Blocking(Box<opentelemetry_otlp::SpanExporter>),
    /// Works on this runtime, where an export takes so long at most.
    Async(Arc<opentelemetry_otlp::SpanExporter>, Handle, Duration),
    Console,
}

/// What is known of spans that have ended.
#[derive(Debug, Default)]
pub struct Outlook {
    pub way: OnceLock<Way>,
    /// Spans that wait.
    waiting: AtomicUsize,
    /// Those that were dropped and the log has not told of.
    dropped: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    when: Option<Instant>,
    /// Spans that were lost since.
    lost: u64,
}

/// Lets spans wait, so many at most.
#[derive(Debug)]
pub struct Queue {
    pub inner: BatchSpanProcessor,
    pub outlook: Arc<Outlook>,
    pub size: usize,
    /// Characters of a text in them.
    pub length: usize,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, mut span: SpanData) {
        static DROPPED: LazyLock<Counter> =
            LazyLock::new(|| counter!(SPANS.name, "result" => "dropped"));
        let waiting = &self.outlook.waiting;
        let place = waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
            (waiting < self.size).then_some(waiting + 1)
        });
        if place.is_err() {
            DROPPED.increment(1);
            self.outlook.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        shorten(&mut span, self.length);
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }
}

/// Cuts texts at so many characters.
fn shorten(span: &mut SpanData, length: usize) {
    if length >= u32::MAX as usize {
        return;
    }
    let cut = |text: &str| text.chars().take(length).collect::<String>();
    let shorten = |attributes: &mut Vec<KeyValue>| {
        for attribute in attributes {
            match &mut attribute.value {
                Value::String(text) if text.as_str().len() > length => {
                    attribute.value = cut(text.as_str()).into();
                }
                Value::Array(Array::String(texts)) => {
                    texts.iter_mut().for_each(|text| *text = cut(text.as_str()).into());
                }
                _ => {}
            }
        }
    };
    shorten(&mut span.attributes);
    span.events.events.iter_mut().for_each(|event| shorten(&mut event.attributes));
    span.links.links.iter_mut().for_each(|link| shorten(&mut link.attributes));
}

/// Exports, and counts.
#[derive(Debug)]
pub struct Watched(pub Arc<Outlook>);

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outlook = &*self.0;
        let count = batch.len();
        outlook.waiting.fetch_sub(count, Ordering::AcqRel);
        let exported = match outlook.way.get() {
            Some(Way::Blocking(exporter)) => exporter.export(batch).await,
            Some(Way::Async(exporter, runtime, most)) => {
                let (exporter, most) = (exporter.clone(), *most);
                // This thread has no runtime, and what waits for a connection has no time-out of its own.
                let export = async move { timeout(most, exporter.export(batch)).await };
                #[expect(clippy::disallowed_methods, reason = "of another thread's runtime")]
                let exporting = runtime.spawn(tasks::named("telemetry", export));
                match exporting.await {
                    Ok(Ok(exported)) => exported,
                    Ok(Err(_)) => Err(OTelSdkError::Timeout(most)),
                    Err(ended) => Err(OTelSdkError::InternalFailure(ended.to_string())),
                }
            }
            Some(Way::Console) => console::print(&batch),
            None => Err(OTelSdkError::InternalFailure("the pod does not run yet".into())),
        };
        let result = if exported.is_ok() { "exported" } else { "failed" };
        counter!(SPANS.name, "result" => result).increment(count as u64);
        outlook.tell(count as u64, exported.as_ref().err());
        exported
    }
}

impl Outlook {
    /// Says in the log that spans are lost, if it has not for a while.
    fn tell(&self, count: u64, error: Option<&OTelSdkError>) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let failed = if error.is_some() { count } else { 0 };
        if dropped + failed == 0 {
            return;
        }
        let lost = {
            let mut told = self.told.lock();
            told.lost += dropped + failed;
            if told.when.is_some_and(|when| when.elapsed() < TOLD) {
                return;
            }
            told.when = Some(Instant::now());
            std::mem::take(&mut told.lost)
        };
        let error = error.map_or_else(|| "the queue was full".to_owned(), ToString::to_string);
        tracing::warn!(
            spans = lost,
            error,
            "spans are lost: the collector does not take them (roomcast_spans_total); this is told once a minute"
        );
    }
}
