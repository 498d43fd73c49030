//! The trace that a call belongs to, as in the header of [W3C Trace Context](https://www.w3.org/TR/trace-context/).

use http::HeaderValue;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::telemetry::traces::{self, TRACEPARENT, TRACESTATE};

/// Adds the trace context to a call: that of the span that is recorded, or else `otherwise`.
pub fn with_trace(builder: RequestBuilder, otherwise: Option<&HeaderValue>) -> RequestBuilder {
    if !traces::propagates() {
        return builder;
    }
    match (traces::current(), otherwise) {
        (Some(trace), _) => {
            let builder = builder.header(TRACEPARENT, trace.traceparent());
            match trace.tracestate() {
                Some(state) => builder.header(TRACESTATE, state),
                None => builder,
            }
        }
        (None, Some(traceparent)) => builder.header(TRACEPARENT, traceparent),
        (None, None) => builder,
    }
}

/// The next span of the trace that a client came with, if `public.kept_headers` keeps its `traceparent`; else of a trace
/// that begins here, and that nobody has asked to be recorded.
pub fn traceparent(handshake: &Value) -> String {
    let came_with = handshake.pointer("/headers/traceparent").and_then(Value::as_str);
    let (trace, flags) = match came_with.and_then(read) {
        Some((trace, flags)) => (trace.to_owned(), flags.to_owned()),
        // Neither may be zero.
        None => (format!("{:032x}", fastrand::u128(1..)), "00".to_owned()),
    };
    format!("00-{trace}-{:016x}-{flags}", fastrand::u64(1..))
}

/// The trace and the flags of version 00.
fn read(text: &str) -> Option<(&str, &str)> {
    let hex = |text: &str, length: usize| {
        text.len() == length
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let nothing = |id: &str| id.bytes().all(|byte| byte == b'0');
    let good = version == "00"
        && hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2)
        && !nothing(trace)
        && !nothing(span)
        && parts.next().is_none();
    good.then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trace_goes_on_and_else_begins() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let came = format!("00-{trace}-b7ad6b7169203331-01");
        let next = traceparent(&json!({"headers": {"traceparent": came}}));
        assert!(next.starts_with(&format!("00-{trace}-")) && next.ends_with("-01") && next != came);
        for bad in ["", "00-0-0-00", &came.to_uppercase(), &format!("{came}-x"), &came[..40]] {
            let new = traceparent(&json!({"headers": {"traceparent": bad}}));
            assert!(read(&new).is_some_and(|(of, flags)| of != trace && flags == "00"), "{new}");
        }
        assert!(read(&traceparent(&Value::Null)).is_some());
    }
}
