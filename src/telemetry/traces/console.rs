//! Spans on standard output, for people who try things out: a line of JSON each.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::SpanData,
};
use serde_json::{Map, Value as Json, json};

/// Prints spans.
pub fn print(batch: &[SpanData]) -> OTelSdkResult {
    let mut lines = String::new();
    for span in batch {
        lines.push_str(&line(span).to_string());
        lines.push('\n');
    }
    std::io::stdout()
        .write_all(lines.as_bytes())
        .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
}

fn line(span: &SpanData) -> Json {
    let nanos = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
    };
    let links = span.links.iter().map(|link| {
        let context = &link.span_context;
        json!({"traceId": context.trace_id().to_string(), "spanId": context.span_id().to_string()})
    });
    json!({
        "traceId": span.span_context.trace_id().to_string(),
        "spanId": span.span_context.span_id().to_string(),
        "parentSpanId": span.parent_span_id.to_string(),
        "name": span.name,
        "kind": format!("{:?}", span.span_kind).to_uppercase(),
        "startTimeUnixNano": nanos(span.start_time),
        "endTimeUnixNano": nanos(span.end_time),
        "attributes": attributes(&span.attributes),
        "links": links.collect::<Vec<_>>(),
        "status": format!("{:?}", span.status),
    })
}

fn attributes(attributes: &[KeyValue]) -> Map<String, Json> {
    let value = |value: &Value| match value {
        Value::Bool(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::F64(value) => json!(value),
        other => json!(other.as_str()),
    };
    attributes.iter().map(|one| (one.key.to_string(), value(&one.value))).collect()
}
