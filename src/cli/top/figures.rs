//! What is shown of each pod, and of all together.

use std::time::Duration;

use super::{
    cluster::Sample,
    page::{Buckets, Page},
};

/// The heads of the columns.
pub(super) const HEADS: [&str; 9] =
    ["POD", "PHASE", "CONNECTIONS", "EMITS/S", "DELIVERIES/S", "P50", "P99", "DROPS/S", "MEMORY"];
/// What stands where nothing is known.
const UNKNOWN: &str = "-";

/// Lost packets and messages.
const DROPS: [&str; 2] =
    ["roomcast_packets_dropped_total", "roomcast_backplane_messages_dropped_total"];

/// What is known of a pod, or of all.
#[derive(Debug, Default)]
struct Figures {
    connections: Option<f64>,
    emits: Option<f64>,
    deliveries: Option<f64>,
    drops: Option<f64>,
    memory: Option<f64>,
    latency: Option<Buckets>,
}

/// A line of the table.
pub(super) struct Row {
    pub cells: [String; 9],
    pub look: Look,
}

/// What kind of a line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Serving,
    Draining,
    Silent,
    Total,
}

/// A line for each pod, and one for all. Rates are those since the sample before.
pub(super) fn rows(before: Option<&Sample>, now: &Sample) -> Vec<Row> {
    let passed = before.map(|before| now.at.saturating_duration_since(before.at));
    let (mut all, mut draining, mut silent) = (Vec::new(), 0, 0);
    let mut rows = Vec::with_capacity(now.pods.len() + 1);
    for pod in &now.pods {
        let page = match &pod.page {
            Ok(page) => page,
            Err(why) => {
                silent += 1;
                let cells = cells(pod.name.clone(), why.clone(), &Figures::default());
                rows.push(Row { cells, look: Look::Silent });
                continue;
            }
        };
        let old = before.and_then(|before| {
            before.pods.iter().find(|old| old.name == pod.name)?.page.as_ref().ok()
        });
        let figures = figures(page, old.zip(passed));
        let phase = page.which("roomcast_phase", "phase").unwrap_or(UNKNOWN);
        let look =
            if matches!(phase, "serving" | UNKNOWN) { Look::Serving } else { Look::Draining };
        draining += usize::from(look == Look::Draining);
        rows.push(Row { cells: cells(pod.name.clone(), phase.to_owned(), &figures), look });
        all.push(figures);
    }
    let mut state = Vec::new();
    for (count, what) in [(draining, "draining"), (silent, "silent")] {
        if count > 0 {
            state.push(format!("{count} {what}"));
        }
    }
    let name = match now.pods.len() {
        1 => "1 pod".to_owned(),
        count => format!("{count} pods"),
    };
    rows.push(Row { cells: cells(name, state.join(", "), &total(&all)), look: Look::Total });
    rows
}

fn figures(page: &Page, before: Option<(&Page, Duration)>) -> Figures {
    let rate = |name: &str| {
        let (before, passed) = before?;
        let (now, old) = (page.sum(name, &[])?, before.sum(name, &[]).unwrap_or_default());
        // A counter that went down began anew.
        let grown = if now >= old { now - old } else { now };
        Some(grown / passed.as_secs_f64().max(f64::MIN_POSITIVE))
    };
    let latency = |page: &Page| {
        let total = [("stage", "total")];
        // Of pods of a build before, the time until it is in the queues here.
        page.buckets("roomcast_emit_latency_seconds_bucket", &total)
            .or_else(|| page.buckets("roomcast_emit_duration_seconds_bucket", &[]))
    };
    Figures {
        connections: page.sum("roomcast_connections", &[]),
        emits: rate("roomcast_emits_total"),
        deliveries: rate("roomcast_deliveries_total"),
        drops: DROPS.into_iter().filter_map(rate).reduce(|one, other| one + other),
        memory: page.sum("process_resident_memory_bytes", &[]),
        latency: before.and_then(|(before, _)| {
            let now = latency(page)?;
            Some(latency(before).map_or(now.clone(), |old| now.since(&old)))
        }),
    }
}

fn total(all: &[Figures]) -> Figures {
    let sum = |figure: fn(&Figures) -> Option<f64>| {
        all.iter().filter_map(figure).reduce(|one, other| one + other)
    };
    let mut latencies = all.iter().filter_map(|figures| figures.latency.as_ref());
    let first = latencies.next().cloned();
    Figures {
        connections: sum(|figures| figures.connections),
        emits: sum(|figures| figures.emits),
        deliveries: sum(|figures| figures.deliveries),
        drops: sum(|figures| figures.drops),
        memory: sum(|figures| figures.memory),
        latency: first.and_then(|first| latencies.try_fold(first, Buckets::and)),
    }
}

/// What others said, for a terminal: it would do what control characters say.
pub(super) fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

fn cells(name: String, state: String, figures: &Figures) -> [String; 9] {
    let [name, state] = [printable(&name), printable(&state)];
    let text = |figure: Option<f64>, write: fn(f64) -> String| {
        figure.map_or_else(|| UNKNOWN.to_owned(), write)
    };
    let quantile = |share| figures.latency.as_ref().and_then(|latency| latency.quantile(share));
    [
        name,
        state,
        text(figures.connections, |count| format!("{count:.0}")),
        text(figures.emits, rate),
        text(figures.deliveries, rate),
        text(quantile(0.5), time),
        text(quantile(0.99), time),
        text(figures.drops, rate),
        text(figures.memory, |bytes| format!("{:.1} MiB", bytes / f64::from(1 << 20))),
    ]
}

fn rate(rate: f64) -> String {
    if rate == 0.0 || rate >= 10.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

fn time(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

/// How wide the columns are.
pub(super) fn widths(rows: &[Row]) -> [usize; 9] {
    let mut widths = HEADS.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

/// The first two columns are texts, the others numbers.
pub(super) fn is_text(column: usize) -> bool {
    column < 2
}

/// As plain text.
pub(super) fn text(rows: &[Row]) -> String {
    let widths = widths(rows);
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let heads = line(&HEADS.map(str::to_owned));
    rows.iter().fold(heads, |text, row| text + &line(&row.cells))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{super::cluster::Said, *};

    fn sample(at: Instant, pages: &[Result<&str, &str>]) -> Sample {
        let pods = pages.iter().enumerate().map(|(index, page)| Said {
            name: format!("10.0.0.{index}:9000"),
            page: page.map(Page::read).map_err(str::to_owned),
        });
        Sample { at, pods: pods.collect(), note: None }
    }

    #[test]
    fn rates_are_those_between_two_samples_and_what_is_not_known_is_not_0() {
        let (begun, second) = (Instant::now(), Duration::from_secs(2));
        let before =
            sample(begun, &[Ok("roomcast_emits_total 100\n"), Ok("roomcast_emits_total 50\n")]);
        let serving = "roomcast_emits_total 300\nroomcast_connections 7\nroomcast_phase{phase=\"serving\"} 1\n";
        let draining = "roomcast_emits_total 10\nroomcast_connections 5\nroomcast_phase{phase=\"closing\"} 1\nprocess_resident_memory_bytes 1048576\n";
        let now = sample(begun + second, &[Ok(serving), Ok(draining), Err("no answer")]);
        let text = text(&rows(Some(&before), &now));
        let words = |line: usize| {
            text.lines()
                .nth(line)
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(words(1), "10.0.0.0:9000 serving 7 100 - - - - -");
        // It began anew: 10 in 2 s.
        assert_eq!(words(2), "10.0.0.1:9000 closing 5 5.0 - - - - 1.0 MiB");
        assert_eq!(words(3), "10.0.0.2:9000 no answer - - - - - - -");
        assert_eq!(words(4), "3 pods 1 draining, 1 silent 12 105 - - - - 1.0 MiB");
    }
}
