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
        Since::Kubernetes => " Not there without `kubernetes.enabled`.",
        Since::ExternalMetrics => " Not there without `kubernetes.external_metrics.listen`.",
        Since::Pod | Since::Jwks | Since::Later => "",
    };
    let Metric { name, help, means, .. } = metric;
    format!("| `{name}` | {kind} | {} | {help}{since} | {means} |\n", labels.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::all;

    /// The names in backquotes that are metrics, without labels.
    fn metrics(cell: &str) -> impl Iterator<Item = &str> {
        let quoted = cell.split('`').skip(1).step_by(2);
        let names = quoted.map(|name| name.split('{').next().unwrap_or_default());
        names.filter(|name| name.starts_with("roomcast_"))
    }

    #[test]
    fn each_limit_has_a_metric_or_refuses_nobody() {
        let page = include_str!("../../../docs/limits.md");
        let cells = |line: &'static str| -> Vec<_> {
            line.trim_matches('|').split(" |").map(str::trim).collect()
        };
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with('|')).map(cells).collect();
        let letters: HashMap<_, _> =
            rows.iter().filter(|row| row.len() == 2).map(|row| (row[0], row[1])).collect();
        let exists = |name: &str| all().any(|metric| metric.name == name);
        assert!(letters.values().flat_map(|cell| metrics(cell)).all(exists), "{letters:?}");
        let limits: Vec<_> = rows.iter().filter(|row| row.len() == 5 && row[0] != "what").collect();
        assert!(limits.len() > 60, "{}", limits.len());
        for row in limits.iter().filter(|row| !row[0].starts_with("---")) {
            let told = row[4];
            let known = |letter: &str| {
                letter == "–" || letters.contains_key(letter.split(' ').next().unwrap_or_default())
            };
            let named: Vec<_> = metrics(told).collect();
            let listed = !told.is_empty() && told.split(", ").all(known);
            assert!(listed || !named.is_empty() && named.into_iter().all(exists), "{row:?}");
        }
    }

    #[test]
    fn the_reference_is_what_the_tables_say() {
        let page = include_str!("../../../docs/metrics.md");
        assert!(page == super::page(), "run `make reference`");
    }
}
