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
    /// When it starts with `kubernetes.enabled`.
    Kubernetes,
    /// When it starts with `kubernetes.external_metrics.listen`.
    ExternalMetrics,
    /// Once there is something to say: 0 would be wrong.
    Later,
}

/// A label.
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// All that it can be, in two lists, if that is known before the pod is configured; else both are empty.
    pub values: [&'static [&'static str]; 2],
}

impl Label {
    /// All that it can be, if that is known before the pod is configured.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        self.values.into_iter().flatten().copied()
    }

    /// Whether only the configuration says what it can be: a namespace, a hook.
    pub fn is_open(&self) -> bool {
        self.all().next().is_none()
    }
}

impl Metric {
    /// Whether the table knows all values of its labels but these.
    pub fn is_known_by(&self, known: &[(&'static str, &str)]) -> bool {
        let open = self.labels.iter().filter(|label| label.is_open());
        open.clone().count() == known.len()
            && open.into_iter().all(|label| known.iter().any(|(name, _)| *name == label.name))
    }

    /// What the table has of a label, sorted.
    #[cfg(test)]
    pub fn values_of(&self, label: &str) -> Vec<&'static str> {
        let label = self.labels.iter().find(|one| one.name == label);
        let mut values: Vec<_> = label.into_iter().flat_map(Label::all).collect();
        values.sort_unstable();
        values
    }

    /// Begins its series, at 0, for all values of its labels. `known` has values of labels that the table does not: of
    /// namespaces, of hooks.
    pub fn begin(&self, known: &[(&'static str, &str)]) {
        let mut series = vec![Vec::with_capacity(self.labels.len())];
        for label in self.labels {
            let given = known.iter().find(|(name, _)| *name == label.name);
            let values: Vec<&str> = match given {
                Some((_, value)) => vec![value],
                None => label.all().collect(),
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

/// Metrics, a row each: `CONSTANT = Kind(BUCKETS) "name" Since [label, label: "value" "value" in LIST] "help" "what it means for
/// you";`. A `LIST` of values stands in `values.rs`.
macro_rules! table {
    ($(
        $constant:ident = $kind:ident $(($buckets:ident))? $name:literal $since:ident
        [$($label:ident $(: $($value:literal)+)? $(in $list:ident)?),*]
        $help:literal $means:literal;
    )*) => {
        use super::table::{Kind, Label, Metric, Since};

        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind $((super::buckets::$buckets))?,
                since: Since::$since,
                labels: &[$(Label {
                    name: stringify!($label),
                    values: [&[$($($value),+)?], super::table::list!($($list)?)],
                }),*],
                help: $help,
                means: $means,
            };
        )*

        /// All of these.
        pub(super) const ROWS: &[&Metric] = &[$(&$constant),*];
    };
}

/// The list of this name; without one, an empty one.
macro_rules! list {
    () => {
        &[]
    };
    ($list:ident) => {
        super::values::$list
    };
}

pub(super) use {list, table};
