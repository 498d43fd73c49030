//! Traces: what became of this publish, on which pods, and how long each part took.
//!
//! They are off unless the variables of OpenTelemetry say where they go (`settings`). It is decided before there is a
//! span (`sampler`, `span`); spans wait in a bounded queue, and a thread of its own exports them (`exporter`, `otlp`).
//! `docs/traces.md` has the spans.

mod certificates;
mod console;
mod context;
mod exporter;
mod layer;
mod messaging;
mod otlp;
mod sampler;
mod settings;
mod span;
mod variables;

use std::{
    env,
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderMap;
pub use opentelemetry::trace::TraceId;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler as SdkSampler, SdkTracer,
        SdkTracerProvider, SpanLimits,
    },
};

pub(crate) use self::context::fuzz;
pub use self::{
    context::{TRACEPARENT, TRACESTATE, Trace},
    layer::layer,
    messaging::*,
    span::{Span, current, here, ids},
};
use self::{
    exporter::{Outlook, Queue, Watched, Way},
    settings::{Exporter, Settings},
    span::Ids,
};
use crate::{config::ConfigError, tasks};

/// Tracing of this process, while it is on.
struct Tracing {
    settings: Settings,
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    outlook: Arc<Outlook>,
}

static TRACING: OnceLock<Tracing> = OnceLock::new();

fn running() -> Option<&'static Tracing> {
    TRACING.get()
}

/// Whether anything may be recorded.
pub fn is_on() -> bool {
    running().is_some()
}

/// Whether traces go on from and to other services.
pub fn propagates() -> bool {
    running().is_none_or(|tracing| tracing.settings.propagate)
}

/// What a request is caused by, as its headers say.
pub fn of_request(headers: &HeaderMap) -> Option<Trace> {
    if propagates() { Trace::of_headers(headers) } else { None }
}

/// Looks at the variables of OpenTelemetry.
///
/// # Errors
/// All that is wrong with them.
pub fn check() -> Result<(), ConfigError> {
    read().map(drop)
}

fn read() -> Result<Option<Settings>, ConfigError> {
    // What is no UTF-8 is none of ours.
    settings::read(env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    }))
}

/// Starts tracing for the process, if the variables of OpenTelemetry ask for it. Spans wait until [`export_from`] says
/// where they go.
///
/// # Errors
/// All that is wrong with the variables.
pub fn install() -> Result<(), ConfigError> {
    if let Some(settings) = read()? {
        // Once a process.
        TRACING.get_or_init(|| Tracing::new(settings));
    }
    Ok(())
}

impl Tracing {
    fn new(settings: Settings) -> Self {
        let outlook = Arc::<Outlook>::default();
        let queue = &settings.queue;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(queue.size)
            .with_max_export_batch_size(queue.batch)
            .with_scheduled_delay(queue.delay)
            .build();
        let inner = BatchSpanProcessor::builder(Watched(outlook.clone()))
            .with_batch_config(batches)
            .build();
        let (size, length) = (queue.size, settings.limits.length);
        let limits = &settings.limits;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue { inner, outlook: outlook.clone(), size, length })
            // It is decided before.
            .with_sampler(SdkSampler::AlwaysOn)
            .with_id_generator(Ids::default())
            .with_span_limits(SpanLimits {
                max_attributes_per_span: limits.attributes,
                max_events_per_span: limits.events,
                max_links_per_span: limits.links,
                max_attributes_per_event: limits.of_event,
                max_attributes_per_link: limits.of_link,
            })
            .build();
        let tracer = provider.tracer("roomcast");
        Self { settings, provider, tracer, outlook }
    }
}

/// Says where spans go, and of which pod they are. Must be called in a runtime of tokio.
///
/// # Errors
/// If they cannot go there, whatever the collector does.
pub fn export_from(pod: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(tracing) = running() else { return Ok(()) };
    let settings = &tracing.settings;
    let given = settings.resource.iter().cloned();
    let resource = Resource::builder()
        .with_attributes([
            KeyValue::new("service.name", "roomcast"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", pod.to_owned()),
        ])
        .with_attributes(given.map(|(key, value)| KeyValue::new(key, value)))
        .build();
    let way = match &settings.exporter {
        Exporter::Otlp(otlp) => otlp::way(otlp, &resource)?,
        Exporter::Console => Way::Console,
    };
    // A second pod of a process goes where the first one does.
    let _ = tracing.outlook.way.set(way);
    Ok(())
}

/// Exports what waits, for so long at most. No span is recorded after.
pub async fn shutdown(limit: Duration) {
    let Some(tracing) = running() else { return };
    // It blocks: on a thread of its own, for which nobody waits longer.
    let end = move || tracing.provider.shutdown_with_timeout(limit);
    match tokio::time::timeout(limit, tasks::blocking("telemetry", end)).await {
        Ok(Some(Ok(()))) => {}
        _ => tracing::warn!("the last spans were not exported in time"),
    }
}
