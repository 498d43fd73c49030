//! Lines of the log that say which trace they belong to: `trace_id` and `span_id`, the last of their fields.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Json, Writer},
    },
    registry::LookupSpan,
};

use super::traces;

/// A format, and the ids behind it where there are some.
pub(super) enum InTrace {
    Json(Format<Json>),
    Text(Format<Full>),
}

impl<S, N> FormatEvent<S, N> for InTrace
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some((trace, span)) = traces::ids() else {
            return match self {
                Self::Json(format) => format.format_event(context, writer, event),
                Self::Text(format) => format.format_event(context, writer, event),
            };
        };
        let mut line = String::with_capacity(256);
        match self {
            Self::Json(format) => {
                format.format_event(context, Writer::new(&mut line), event)?;
                let fields = line.trim_end().strip_suffix('}').unwrap_or(&line);
                writeln!(writer, "{fields},\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"}}")
            }
            Self::Text(format) => {
                // The colours of the terminal stay.
                let format = format.clone().with_ansi(writer.has_ansi_escapes());
                format.format_event(context, Writer::new(&mut line), event)?;
                writeln!(writer, "{} trace_id={trace} span_id={span}", line.trim_end())
            }
        }
    }
}
