//! `docs/metrics.md`, made from the tables.

use std::fmt::Write;

use super::{Kind, Metric, Since, tables};

/// What stands before the tables.
const HEAD: &str = "\
# Metrics

<!-- Made from the tables in src/telemetry/metrics by `roomcast metrics`. -->

Served on the internal listener at `/metrics`, in Prometheus' text format. Names end with their unit: durations are in
seconds, sizes in bytes; what has no unit is a number. The pod also exports the usual `process_*` metrics (memory, CPU seconds, open files
and their limit).

Labels are bounded: no room, no socket, no user, and no event or namespace that a client can make up. The label of a namespace is
`nsp`, since Prometheus gives the label `namespace` to the Kubernetes namespace of the pod; children of a dynamic namespace count
for their parent. A series whose labels are known when the pod starts is there from then on, at 0.
";

/// The page.
pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    for (title, rows) in tables() {
        let _ = write!(
            page,
            "\n## {title}\n\n| metric | kind | labels | meaning | what it means for you |\n|---|---|---|---|---|\n"
        );
        for metric in rows {
            page += &row(metric);
        }
    }
    page
}

fn row(metric: &Metric) -> String {
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let since = match metric.since {
        Since::Backplane => " Not there without a backplane.",
        Since::Stream => " Not there without the publish stream.",
        Since::Pod | Since::Jwks | Since::Later => "",
    };
    let Metric { name, help, means, .. } = metric;
    format!("| `{name}` | {kind} | {} | {help}{since} | {means} |\n", labels.join(", "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_is_what_the_tables_say() {
        let page = include_str!("../../../docs/metrics.md");
        assert!(page == super::page(), "run `make reference`");
    }
}
