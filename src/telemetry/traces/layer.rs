//! Spans of `tracing` that a program makes in its handlers, as parts of the traces that are recorded.

use opentelemetry::{Context, trace::TraceContextExt};
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    Layer,
    layer::{Context as Of, Filter},
    registry::LookupSpan,
};

use super::running;

/// Libraries that speak of each byte on the wire, or that export what is recorded here.
const LIBRARIES: [&str; 9] =
    ["fred", "h2", "hyper", "opentelemetry", "reqwest", "rustls", "tonic", "tower", "tungstenite"];

/// The layer, while tracing is on.
pub fn layer<S>() -> Option<impl Layer<S>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let tracing = running()?;
    let layer = tracing_opentelemetry::layer().with_tracer(tracing.tracer.clone());
    Some(layer.with_location(false).with_threads(false).with_filter(WithinTrace))
}

/// Spans within something that is recorded, and nothing else.
struct WithinTrace;

fn may_be(metadata: &Metadata<'_>) -> bool {
    let of = |library: &&str| metadata.target().split("::").next() == Some(*library);
    metadata.is_span()
        && !LIBRARIES
            .iter()
            .any(|library| of(library) || metadata.target().starts_with(&format!("{library}_")))
}

impl<S> Filter<S> for WithinTrace {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Of<'_, S>) -> bool {
        may_be(metadata)
            && Context::map_current(|current| {
                current.has_active_span() && current.span().span_context().is_sampled()
            })
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if may_be(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}
