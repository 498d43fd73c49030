//! What `/metrics` says, as far as it is looked at.

use std::collections::BTreeMap;

/// Metrics whose series are kept; the others are passed over.
const LOOKED_AT: [&str; 9] = [
    "roomcast_connections",
    "roomcast_emits_total",
    "roomcast_deliveries_total",
    "roomcast_emit_latency_seconds_bucket",
    "roomcast_emit_duration_seconds_bucket",
    "roomcast_packets_dropped_total",
    "roomcast_backplane_messages_dropped_total",
    "roomcast_phase",
    "process_resident_memory_bytes",
];
/// So many series a page may have of them. A pod has some hundred.
const MOST: usize = 10_000;

/// A page of `/metrics`.
#[derive(Debug, Default)]
pub(super) struct Page(Vec<Series>);

#[derive(Debug)]
struct Series {
    name: &'static str,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Page {
    /// Reads Prometheus' text format. Lines that are something else are passed over.
    pub fn read(text: &str) -> Self {
        Self(text.lines().filter_map(series).take(MOST).collect())
    }

    /// The sum of the series with these labels; `None` if there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut values = self.of(name, labels).map(|series| series.value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// The value of a label of the first series of this name that is above 0.
    pub fn which(&self, name: &str, label: &str) -> Option<&str> {
        self.of(name, &[]).find(|series| series.value > 0.0)?.label(label)
    }

    /// The buckets of a histogram, of all series with these labels together.
    pub fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Option<Buckets> {
        let mut buckets = Buckets::default();
        for series in self.of(name, labels) {
            let bound: f64 = series.label("le")?.parse().ok()?;
            // Bounds are 0 or more, or infinite: their bits are in their order.
            *buckets.0.entry(bound.to_bits()).or_default() += series.value;
        }
        (!buckets.0.is_empty()).then_some(buckets)
    }

    fn of(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Series> {
        self.0.iter().filter(move |series| {
            let has = |(label, value): &(&str, &str)| series.label(label) == Some(*value);
            series.name == name && labels.iter().all(has)
        })
    }
}

impl Series {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

fn series(line: &str) -> Option<Series> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let name = LOOKED_AT.into_iter().find(|one| *one == name)?;
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after;
        }
    }
    // A time may follow.
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    // All that is looked at counts something.
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    Some(Series { name, labels, value })
}

/// The value of a label, from behind its first quote, and what follows its last.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    loop {
        match chars.next()? {
            (end, '"') => return Some((value, &text[end + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            (_, other) => value.push(other),
        }
    }
}

/// How many were at most so much, by the bits of the bound.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Buckets(BTreeMap<u64, f64>);

impl Buckets {
    /// What has come since then; all of it if the pod began anew meanwhile.
    pub fn since(&self, before: &Self) -> Self {
        let old = |bound| before.0.get(bound).copied().unwrap_or_default();
        if self.0.iter().any(|(bound, count)| *count < old(bound)) {
            return self.clone();
        }
        Self(self.0.iter().map(|(bound, count)| (*bound, count - old(bound))).collect())
    }

    /// Both together; `None` if their bounds are not the same.
    pub fn and(mut self, other: &Self) -> Option<Self> {
        if !self.0.keys().eq(other.0.keys()) {
            return None;
        }
        self.0.values_mut().zip(other.0.values()).for_each(|(own, other)| *own += other);
        Some(self)
    }

    /// What this share of all is at most, as `histogram_quantile` of Prometheus has it; `None` where there is nothing.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all = *self.0.values().last()?;
        if all <= 0.0 {
            return None;
        }
        let rank = share * all;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bits, count) in &self.0 {
            let upper = f64::from_bits(*bits);
            if *count >= rank {
                // Nothing is known beyond the last bound.
                let known = upper.is_finite() && *count > below;
                return Some(if known {
                    lower + (upper - lower) * (rank - below) / (count - below)
                } else {
                    lower
                });
            }
            (lower, below) = (upper, *count);
        }
        Some(lower)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PAGE: &str = r#"# HELP roomcast_connections Connections open now.
# TYPE roomcast_connections gauge
roomcast_connections{transport="polling"} 3
roomcast_connections{transport="websocket"} 40 1700000000000
roomcast_emits_total{source="a \"b\", {c} \\ \n"} 2
roomcast_phase{phase="serving"} 0
roomcast_phase{phase="closing"} 1
roomcast_emit_latency_seconds_bucket{stage="total",le="0.1"} 50
roomcast_emit_latency_seconds_bucket{stage="total",le="0.2"} 90
roomcast_emit_latency_seconds_bucket{stage="total",le="+Inf"} 100
roomcast_emit_latency_seconds_bucket{stage="queue",le="0.1"} 7
process_resident_memory_bytes 1.5e7
something_else{} 3
roomcast_connections{transport="broken
"#;

    #[test]
    fn series_are_read_by_name_and_labels() {
        let page = Page::read(PAGE);
        assert_eq!(page.sum("roomcast_connections", &[]), Some(43.0));
        assert_eq!(page.sum("roomcast_connections", &[("transport", "polling")]), Some(3.0));
        assert_eq!(
            page.sum("roomcast_emits_total", &[("source", "a \"b\", {c} \\ \n")]),
            Some(2.0)
        );
        assert_eq!(page.sum("roomcast_deliveries_total", &[]), None);
        assert_eq!(page.sum("process_resident_memory_bytes", &[]), Some(1.5e7));
        assert_eq!(page.which("roomcast_phase", "phase"), Some("closing"));
        assert_eq!(Page::read("\0{}{\n{ \nroomcast_connections").0.len(), 0);
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let page = Page::read(PAGE);
        let buckets =
            page.buckets("roomcast_emit_latency_seconds_bucket", &[("stage", "total")]).unwrap();
        let near = |share, expected: f64| {
            let quantile = buckets.quantile(share).unwrap();
            assert!((quantile - expected).abs() < 1e-9, "{share}: {quantile}");
        };
        near(0.25, 0.05);
        near(0.5, 0.1);
        near(0.7, 0.15);
        near(0.99, 0.2);
        assert_eq!(buckets.since(&buckets).quantile(0.5), None);
        let both = buckets.clone().and(&buckets).unwrap();
        assert_eq!(both.quantile(0.7), buckets.quantile(0.7));
        assert_eq!(both.since(&buckets), buckets);
        // It began anew.
        assert_eq!(buckets.since(&both), buckets);
    }
}
