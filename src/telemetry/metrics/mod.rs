//! Every metric, in tables: `docs/metrics.md` is made from them.

mod backplane;
mod buckets;
mod clients;
mod emits;
mod kubernetes;
mod pod;
pub(crate) mod reference;
mod services;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use parking_lot::Mutex;

use crate::config::Telemetry;

pub use self::{backplane::*, clients::*, emits::*, kubernetes::*, pod::*, services::*, table::*};

/// All metrics, with the titles of their tables.
fn tables() -> [(&'static str, &'static [&'static Metric]); 6] {
    [
        ("The pod", pod::ROWS),
        ("Clients", clients::ROWS),
        ("Emits", emits::ROWS),
        ("Redis and other pods", backplane::ROWS),
        ("HTTP API, publish stream, hooks", services::ROWS),
        ("Kubernetes", kubernetes::ROWS),
    ]
}

/// All metrics.
fn all() -> impl Iterator<Item = &'static Metric> {
    tables().into_iter().flat_map(|(_, rows)| rows.iter().copied())
}

/// Buckets are set of what is no histogram.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.buckets.{0}: there is no such histogram; `roomcast metrics` lists them")]
pub struct NoHistogram(String);

/// Whether all buckets are of histograms that there are.
///
/// # Errors
/// If some are not.
pub fn check(config: &Telemetry) -> Result<(), NoHistogram> {
    let is_histogram = |name: &str| {
        all().any(|metric| metric.name == name && matches!(metric.kind, Kind::Histogram(_)))
    };
    match config.buckets.keys().find(|name| !is_histogram(name)) {
        Some(name) => Err(NoHistogram(name.clone())),
        None => Ok(()),
    }
}

/// Begins the series, at 0, of all metrics that begin then, as far as the tables know their labels.
pub fn begin(since: Since) {
    let known = |metric: &&Metric| metric.since == since && metric.is_known_by(&[]);
    all().filter(known).for_each(|metric| metric.begin(&[]));
}

/// How often histograms fold what they collected, so that their memory stays bounded.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins the series, at 0, of all metrics of which only these labels are not in the tables: a namespace, a hook.
pub fn begin_for(known: &[(&'static str, &str)]) {
    all().filter(|metric| metric.is_known_by(known)).for_each(|metric| metric.begin(known));
}

/// The metrics of this process, ready to be scraped; none where they are off.
#[derive(Clone)]
pub struct Metrics(Option<Collected>);

#[derive(Clone)]
struct Collected {
    prometheus: PrometheusHandle,
    process: Collector,
}

impl Metrics {
    /// Starts collecting, once a process: a second call gets the same metrics.
    ///
    /// # Errors
    /// If the program has installed a recorder of its own already.
    pub fn install(config: &Telemetry) -> Result<Self, BuildError> {
        if !config.metrics {
            // Without a recorder, what counts does nothing.
            return Ok(Self(None));
        }
        // Held meanwhile: pods of one process may start at the same time.
        static INSTALLED: Mutex<Option<Collected>> = Mutex::new(None);
        let mut installed = INSTALLED.lock();
        if let Some(collected) = &*installed {
            return Ok(Self(Some(collected.clone())));
        }
        let mut builder = PrometheusBuilder::new();
        for metric in all() {
            if let Kind::Histogram(buckets) = metric.kind {
                let chosen = config.buckets.get(metric.name);
                let buckets = chosen.map_or(buckets, |chosen| chosen);
                builder =
                    builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), buckets)?;
            }
        }
        let prometheus = builder.install_recorder()?;
        let process = Collector::default();
        process.describe();
        for metric in all() {
            match metric.kind {
                Kind::Counter => ::metrics::describe_counter!(metric.name, metric.help),
                Kind::Gauge => ::metrics::describe_gauge!(metric.name, metric.help),
                Kind::Histogram(_) => ::metrics::describe_histogram!(metric.name, metric.help),
            }
        }
        ::metrics::gauge!(
            BUILD_INFO.name,
            "version" => env!("CARGO_PKG_VERSION"),
            "commit" => env!("VERGEN_GIT_SHA")
        )
        .set(1.0);
        begin(Since::Pod);
        Ok(Self(Some(installed.insert(Collected { prometheus, process }).clone())))
    }

    /// The page that Prometheus scrapes; `None` where metrics are off.
    pub fn render(&self) -> Option<String> {
        let Collected { prometheus, process } = self.0.as_ref()?;
        process.collect();
        prometheus.run_upkeep();
        Some(prometheus.render())
    }

    /// Keeps histograms bounded while nobody scrapes. Runs until it is dropped.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            if let Some(collected) = &self.0 {
                collected.prometheus.run_upkeep();
            }
        }
    }
}
