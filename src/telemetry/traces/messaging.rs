//! The spans of a pod, with the names and attributes of OpenTelemetry's conventions for messaging and HTTP.
//!
//! They say where something went, how much of it and with what result; never in which rooms, never what was in it, never
//! who it was from.

use std::{
    borrow::Cow,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode};
use opentelemetry::{KeyValue, trace::SpanKind};

use super::{
    Trace,
    span::{Description, Span, begin},
};

/// What carries events to clients.
const SYSTEM: &str = "socketio";

type Pattern = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

static PATTERN: OnceLock<Pattern> = OnceLock::new();

/// Says of which pattern a namespace is, so that names of spans stay few where clients make up those of namespaces.
pub fn patterns(pattern: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
    // Pods of one process have one tracing.
    let _ = PATTERN.set(Box::new(pattern));
}

/// The namespace as names of spans have it: its pattern, if it has one.
fn template(namespace: &str) -> Cow<'_, str> {
    let pattern = PATTERN.get().and_then(|pattern| pattern(namespace));
    pattern.map_or(Cow::Borrowed(namespace), Cow::Owned)
}

/// What is sent, or done with it.
fn message(
    kind: SpanKind,
    (name, sort): (&'static str, &'static str),
    namespace: &str,
) -> Description {
    let template = template(namespace);
    let mut attributes = vec![
        KeyValue::new("messaging.system", SYSTEM),
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.operation.type", sort),
        KeyValue::new("messaging.destination.name", namespace.to_owned()),
    ];
    if *template != *namespace {
        attributes.push(KeyValue::new("messaging.destination.template", template.to_string()));
    }
    Description::new(kind, format!("{name} {template}"), attributes)
}

/// An emit is sent to all pods. `carried` is what it was caused by, and from then on what it goes with.
pub fn publish(namespace: &str, source: &'static str, carried: &mut Option<Trace>) -> Span {
    let span = begin(carried.as_ref(), || {
        let mut span = message(SpanKind::Producer, ("send", "send"), namespace);
        span.attributes.push(KeyValue::new("roomcast.source", source));
        span
    });
    if let Some(trace) = span.carried() {
        *carried = Some(trace);
    }
    span
}

/// A pod gives an emit to its sockets: so many. Nothing if it came without a trace.
pub fn process(
    namespace: &str,
    caused_by: Option<&Trace>,
    recipients: impl FnOnce() -> usize,
) -> Span {
    let Some(trace) = caused_by else { return Span::default() };
    begin(Some(trace), || {
        let mut span = message(SpanKind::Consumer, ("process", "process"), namespace);
        let count = i64::try_from(recipients()).unwrap_or(i64::MAX);
        span.attributes.push(KeyValue::new("messaging.batch.message_count", count));
        // It is one of many that the emit has: one for each pod.
        span.link = Some(trace.clone());
        span
    })
}

/// An entry of the publish stream, by its id.
pub fn entry(stream: &str, group: &str, id: &str, caused_by: Option<&Trace>) -> Span {
    begin(caused_by, || {
        let attributes = vec![
            KeyValue::new("messaging.system", "redis"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.name", stream.to_owned()),
            KeyValue::new("messaging.consumer.group.name", group.to_owned()),
            KeyValue::new("messaging.message.id", id.to_owned()),
        ];
        let name = format!("process {stream}");
        let link = caused_by.cloned();
        Description { link, ..Description::new(SpanKind::Consumer, name, attributes) }
    })
}

/// A client is let into a namespace, or not. `began`: its first request, if that was for this.
pub fn connect(pattern: &str, began: Option<SystemTime>, caused_by: Option<&Trace>) -> Span {
    begin(caused_by, || Description { began, ..of_client("connect", SpanKind::Server, pattern) })
}

/// It is found out who a client is.
pub fn authenticate(pattern: &str) -> Span {
    begin(None, || of_client("authenticate", SpanKind::Internal, pattern))
}

/// An event of a client. Its name is the client's to choose, and not told.
pub fn event(pattern: &str) -> Span {
    begin(None, || of_client("event", SpanKind::Server, pattern))
}

fn of_client(name: &'static str, kind: SpanKind, pattern: &str) -> Description {
    let attributes = vec![
        KeyValue::new("messaging.system", SYSTEM),
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.destination.name", pattern.to_owned()),
    ];
    Description::new(kind, format!("{name} {pattern}"), attributes)
}

/// A hook is called, at this address.
pub fn hook(kind: &'static str, address: &url::Url) -> Span {
    begin(None, || {
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("server.address", address.host_str().unwrap_or_default().to_owned()),
            KeyValue::new("roomcast.hook.kind", kind),
        ];
        if let Some(port) = address.port_or_known_default() {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
        Description::new(SpanKind::Client, format!("hook {kind}"), attributes)
    })
}

/// A call of the HTTP API, by its route.
pub fn call(method: &Method, route: &str, caused_by: Option<&Trace>) -> Span {
    begin(caused_by, || {
        // Others are the caller's to make up.
        let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let known = known.iter().find(|known| *known == method);
        let name = known.map_or("HTTP", |known| known.as_str()).to_owned();
        let method = known.map_or("_OTHER", |known| known.as_str()).to_owned();
        let attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
        ];
        Description::new(SpanKind::Server, format!("{name} {route}"), attributes)
    })
}

/// How a call was answered, with the code of the error if it was one.
pub fn answered(span: &Span, status: StatusCode, error: Option<&'static str>) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if let Some(error) = error {
        // What the caller did wrong is no failure of ours.
        if status.is_server_error() { span.failed(error) } else { span.set("error.type", error) }
    }
}

/// A pod ends; it began so long ago.
pub fn drain(ago: Duration) -> Span {
    begin(None, || Description {
        began: SystemTime::now().checked_sub(ago),
        ..Description::new(SpanKind::Internal, "drain", Vec::new())
    })
}
