//! Spans of `tracing` that a program makes in its handlers, as parts of the traces that are recorded: those of level `INFO` and
//! above, whatever the level of the log is.

use opentelemetry::{Context, trace::TraceContextExt};
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
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

/// The most talkative spans that are recorded. Libraries look whether anybody listens before each line that they do not
/// write: were it more, tungstenite would ask ten times for each message.
const LEVEL: Level = Level::INFO;

/// Spans within something that is recorded, and nothing else.
struct WithinTrace;

fn may_be(metadata: &Metadata<'_>) -> bool {
    let of = |library: &&str| metadata.target().split("::").next() == Some(*library);
    metadata.is_span()
        && *metadata.level() <= LEVEL
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
        Some(LevelFilter::from_level(LEVEL))
    }
}
