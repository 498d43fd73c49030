//! `[telemetry]`: metrics and traces.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Problem, values};

/// Metrics and traces.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Whether metrics are collected.
    pub metrics: bool,
    /// An emit that takes longer is logged.
    #[serde(with = "values::AsDuration")]
    pub slow_emit: Duration,
    /// Upper bounds of the buckets of histograms, by their names, in the place of ours.
    pub buckets: BTreeMap<String, Vec<f64>>,
}

/// So many buckets a histogram may have: each is a series of each pod.
const BUCKETS: usize = 40;

impl Telemetry {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        for (name, buckets) in &self.buckets {
            let rising = buckets.iter().all(|bound| bound.is_finite())
                && buckets.windows(2).all(|pair| pair[0] < pair[1]);
            if buckets.is_empty() || buckets.len() > BUCKETS || !rising {
                let remedy = format!("must be 1 to {BUCKETS} numbers, each above the one before");
                problems.push(Problem::new(
                    format!("telemetry.buckets.{name}"),
                    format!("{buckets:?}"),
                    remedy,
                ));
            }
        }
    }
}
