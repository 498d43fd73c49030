//! How the tables of metrics are written, and how their series begin.

/// One metric and what it means.
#[derive(Debug)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// When its series begin.
    pub since: Since,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it counts.
    pub help: &'static str,
    /// What it tells who looks at it.
    pub means: &'static str,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// In buckets, of which these are the upper bounds unless `telemetry.buckets` has others.
    Histogram(&'static [f64]),
}

/// When the series of a metric begin, at 0: a series that is not there is unknown to who reads it, not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// When the pod starts.
    Pod,
    /// When it starts with a backplane.
    Backplane,
    /// When it starts with a publish stream.
    Stream,
    /// When it starts with a key set that is fetched.
    Jwks,
    /// Once there is something to say: 0 would be wrong.
    Later,
}

/// A label.
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// All that it can be, if that is known before the pod is configured.
    pub values: &'static [&'static str],
}

impl Metric {
    /// Begins its series, at 0, for all values of its labels. `known` has values of labels that the table does not: of
    /// namespaces, of hooks.
    pub fn begin(&self, known: &[(&'static str, &str)]) {
        let mut series = vec![Vec::with_capacity(self.labels.len())];
        for label in self.labels {
            let given = known.iter().find(|(name, _)| *name == label.name);
            let values: Vec<&str> = match given {
                Some((_, value)) => vec![value],
                None => label.values.to_vec(),
            };
            series = series
                .iter()
                .flat_map(|before| {
                    values.iter().map(move |value| {
                        let mut labels: Vec<metrics::Label> = before.clone();
                        labels.push(metrics::Label::new(label.name, (*value).to_owned()));
                        labels
                    })
                })
                .collect();
        }
        for labels in series {
            match self.kind {
                Kind::Counter => metrics::counter!(self.name, labels).increment(0),
                Kind::Gauge => metrics::gauge!(self.name, labels).increment(0),
                Kind::Histogram(_) => drop(metrics::histogram!(self.name, labels)),
            }
        }
    }
}

/// Metrics, a row each: `CONSTANT = Kind(BUCKETS) "name" Since [label, label: "value" "value"] "help" "what it means for you";`.
macro_rules! table {
    ($(
        $constant:ident = $kind:ident $(($buckets:ident))? $name:literal $since:ident
        [$($label:ident $(: $($value:literal)+)?),*]
        $help:literal $means:literal;
    )*) => {
        use super::table::{Kind, Label, Metric, Since};

        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind $((super::buckets::$buckets))?,
                since: Since::$since,
                labels: &[$(Label { name: stringify!($label), values: &[$($($value),+)?] }),*],
                help: $help,
                means: $means,
            };
        )*

        /// All of these.
        pub(super) const ROWS: &[&Metric] = &[$(&$constant),*];
    };
}

pub(super) use table;
