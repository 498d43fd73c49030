//! The context that goes along with a request, an entry or a message: the trace and the span that caused it, as in the headers of
//! [W3C Trace Context](https://www.w3.org/TR/trace-context/).

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Header, and field of an entry of the publish stream.
pub const TRACEPARENT: &str = "traceparent";
/// The same for what systems on the way have added.
pub const TRACESTATE: &str = "tracestate";

/// Characters of a `tracestate`: longer ones are left out, as the standard allows.
const LONGEST_STATE: usize = 512;
/// Characters of a `traceparent` of version 00, and with which those of later versions begin.
const LENGTH: usize = 55;

/// A span somewhere, of which something here is to be a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    id: TraceId,
    span: SpanId,
    flags: TraceFlags,
    state: Option<Box<str>>,
}

impl Trace {
    /// Reads both texts. What is no valid `traceparent` is nothing; a `tracestate` that is none is left out.
    pub fn read(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let head = traceparent.get(..LENGTH)?;
        let rest = &traceparent[LENGTH..];
        let mut parts = head.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let shaped = [(version, 2), (trace, 32), (span, 16), (flags, 2)]
            .into_iter()
            .all(|(part, length)| part.len() == length && lower(part));
        let ends = match version {
            "00" => rest.is_empty(),
            // Later versions may add to it.
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        if !shaped || parts.next().is_some() || version == "ff" || !ends {
            return None;
        }
        let (id, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        if id == TraceId::INVALID || span == SpanId::INVALID {
            return None;
        }
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
        let state = tracestate.filter(|state| {
            (1..=LONGEST_STATE).contains(&state.len())
                && state.bytes().all(|byte| (b' '..=b'~').contains(&byte))
                && state.parse::<TraceState>().is_ok()
        });
        Some(Self { id, span, flags, state: state.map(Into::into) })
    }

    /// That of a request, by its headers.
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // Two of them are none: nobody could say which.
        let one = headers.get_all(TRACEPARENT).iter().count() == 1;
        Self::read(text(TRACEPARENT).filter(|_| one)?, text(TRACESTATE))
    }

    /// Whether somebody has asked for spans of this trace.
    pub fn is_sampled(&self) -> bool {
        self.flags.is_sampled()
    }

    /// Its id.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// The `traceparent` of it.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.id, self.span, self.flags.to_u8())
    }

    /// Its `tracestate`, if it has one.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    pub(super) fn span_context(&self) -> SpanContext {
        let state = self.state.as_deref().and_then(|state| state.parse().ok());
        SpanContext::new(self.id, self.span, self.flags, true, state.unwrap_or_default())
    }
}

impl From<&SpanContext> for Trace {
    fn from(context: &SpanContext) -> Self {
        let state = context.trace_state().header();
        Self {
            id: context.trace_id(),
            span: context.span_id(),
            flags: context.trace_flags() & TraceFlags::SAMPLED,
            state: (!state.is_empty()).then(|| state.into()),
        }
    }
}

/// Reads any bytes as a `traceparent` and, behind a line, a `tracestate`, for `tests/fuzz`.
pub(crate) fn fuzz(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (traceparent, tracestate) = text.split_once('\n').unwrap_or((&text, ""));
    let Some(trace) = Trace::read(traceparent, Some(tracestate)) else { return };
    let again = Trace::read(&trace.traceparent(), trace.tracestate());
    assert!(again.as_ref() == Some(&trace), "{trace:?} is read as {again:?}");
    assert!(http::HeaderValue::try_from(trace.tracestate().unwrap_or_default()).is_ok());
    let _ = trace.span_context();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_again() {
        let trace = Trace::read(GOOD, Some("a=1,b=2")).unwrap();
        assert!(trace.is_sampled());
        assert_eq!((trace.traceparent().as_str(), trace.tracestate()), (GOOD, Some("a=1,b=2")));
        assert_eq!(Trace::from(&trace.span_context()), trace);
        let later = format!("01{}-more", &GOOD[2..]);
        assert_eq!(Trace::read(&later, None).unwrap().traceparent(), GOOD);
        let unasked = Trace::read(&GOOD.replace("-01", "-00"), None).unwrap();
        assert!(!unasked.is_sampled());
    }

    #[test]
    fn what_is_none_is_not_read() {
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let no_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        let moved = "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01";
        for bad in [
            "",
            zero,
            no_span,
            moved,
            &GOOD.to_uppercase(),
            &format!("{GOOD}-more"),
            &format!("{GOOD}0"),
            &format!("ff{}", &GOOD[2..]),
            &GOOD[..54],
            &"é".repeat(55),
        ] {
            assert_eq!(Trace::read(bad, None), None, "{bad:?}");
        }
        for bad in ["", "novalue", "a=\u{e9}", &format!("a={}", "x".repeat(600))] {
            assert_eq!(Trace::read(GOOD, Some(bad)).unwrap().tracestate(), None, "{bad:?}");
        }
    }
}
