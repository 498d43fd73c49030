//! Spans, made only once it is decided that they are wanted.

use std::{
    borrow::Cow,
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, ContextGuard, KeyValue, Value,
    trace::{Link, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer as _},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::{Trace, Tracing, running};

/// Something that is recorded, until it is dropped; or nothing.
#[derive(Debug, Default)]
#[must_use]
pub struct Span(State);

#[derive(Debug, Default)]
enum State {
    /// Tracing is off.
    #[default]
    Off,
    /// It was decided that this is not recorded, nor what it causes.
    Unwanted,
    Recorded(Context),
}

/// Where it was decided that nothing is recorded.
struct Unwanted;

static UNWANTED: LazyLock<Context> = LazyLock::new(|| Context::new().with_value(Unwanted));

/// What a span is like.
pub struct Description {
    pub name: Cow<'static, str>,
    pub kind: SpanKind,
    pub attributes: Vec<KeyValue>,
    /// When it began, if that was before now.
    pub began: Option<SystemTime>,
    /// A span that it belongs to and that may have others.
    pub link: Option<Trace>,
}

impl Description {
    pub fn new(
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        attributes: Vec<KeyValue>,
    ) -> Self {
        Self { name: name.into(), kind, attributes, began: None, link: None }
    }
}

/// Begins a span, if it is wanted: as a child of `parent`, or of what this is a part of, or as the first of its trace.
pub fn begin(parent: Option<&Trace>, describe: impl FnOnce() -> Description) -> Span {
    let Some(tracing) = running() else { return Span::default() };
    let parent = match parent {
        Some(trace) if tracing.settings.sampler.takes_child(trace) => {
            Context::new().with_remote_span_context(trace.span_context())
        }
        Some(_) => return Span(State::Unwanted),
        None => match tracing.here() {
            Some(context) => context,
            None => return Span(State::Unwanted),
        },
    };
    let Description { name, kind, attributes, began, link } = describe();
    let mut builder = tracing.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
    builder.start_time = began;
    if let Some(link) = link {
        builder = builder.with_links(vec![Link::with_context(link.span_context())]);
    }
    let span = tracing.tracer.build_with_context(builder, &parent);
    Span(State::Recorded(parent.with_span(span)))
}

impl Tracing {
    /// The context of a span that begins here; nothing if it is not wanted.
    fn here(&self) -> Option<Context> {
        let sampler = &self.settings.sampler;
        Context::map_current(|current| {
            if current.get::<Unwanted>().is_some() {
                return None;
            }
            if current.has_active_span() {
                let span = current.span();
                let span = span.span_context();
                let wanted = sampler.takes_child_of(span.is_sampled(), span.trace_id());
                return wanted.then(|| current.clone());
            }
            let id = sampler.root()?;
            NEXT.set(Some(id));
            Some(Context::new())
        })
    }
}

/// The span that what runs now is a part of, if it is recorded.
pub fn current() -> Option<Trace> {
    running()?;
    Context::map_current(|current| {
        if !current.has_active_span() {
            return None;
        }
        let span = current.span();
        let context = span.span_context();
        context.is_valid().then(|| context.into())
    })
}

/// The ids of the trace and the span that what runs now is a part of, for lines of the log.
pub fn ids() -> Option<(TraceId, SpanId)> {
    running()?;
    Context::map_current(|current| {
        let span = current.has_active_span().then(|| current.span())?;
        let context = span.span_context();
        context.is_valid().then(|| (context.trace_id(), context.span_id()))
    })
}

impl Span {
    /// What goes along with what this causes elsewhere.
    pub fn carried(&self) -> Option<Trace> {
        match &self.0 {
            State::Recorded(context) => Some(context.span().span_context().into()),
            _ => None,
        }
    }

    /// Notes something of it.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let State::Recorded(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// Notes a moment of it.
    pub fn event(&self, name: &'static str) {
        if let State::Recorded(context) = &self.0 {
            context.span().add_event(name, Vec::new());
        }
    }

    /// Notes a moment of it that was so long ago.
    pub fn event_ago(&self, name: &'static str, ago: Duration) {
        if let State::Recorded(context) = &self.0
            && let Some(at) = SystemTime::now().checked_sub(ago)
        {
            context.span().add_event_with_timestamp(name, at, Vec::new());
        }
    }

    /// It failed, for a reason of which there are few.
    pub fn failed(&self, reason: &'static str) {
        if let State::Recorded(context) = &self.0 {
            let span = context.span();
            span.set_attribute(KeyValue::new("error.type", reason));
            span.set_status(Status::error(reason));
        }
    }

    /// What happens on this thread while the answer lives is a part of it.
    pub fn enter(&self) -> Option<ContextGuard> {
        self.scope().0.map(Context::attach)
    }

    /// The same for a future.
    pub fn scope(&self) -> Scope {
        Scope(match &self.0 {
            State::Off => None,
            State::Unwanted => Some(UNWANTED.clone()),
            State::Recorded(context) => Some(context.clone()),
        })
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let State::Recorded(context) = &self.0 {
            context.span().end();
        }
    }
}

/// What runs now, to go on elsewhere.
pub fn here() -> Scope {
    Scope(running().map(|_| Context::current()))
}

/// What a future is a part of.
#[derive(Debug, Clone)]
pub struct Scope(Option<Context>);

impl Scope {
    /// Runs a future as a part of it.
    pub async fn within<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|task| {
            let _here = self.0.clone().map(Context::attach);
            future.as_mut().poll(task)
        })
        .await
    }
}

thread_local! {
    /// The id that was decided about, for the trace that begins now.
    static NEXT: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Gives a trace the id by which it was chosen.
#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}
