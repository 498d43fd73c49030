//! The settings of the stream that backends publish to.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BackplaneKind, Config, Problem, values};

/// How backends publish, beside the HTTP API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The stream in Redis.
    pub stream: PublishStream,
}

/// The stream in Redis, and how pods read it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishStream {
    /// Whether the pod reads it.
    pub enabled: bool,
    /// The consumer group.
    pub group: String,
    /// Entries that a pod takes at once.
    pub batch: u64,
    /// Time after which another pod takes an entry over.
    #[serde(with = "values::AsDuration")]
    pub claim_after: Duration,
    /// How often an entry is tried.
    pub max_deliveries: u64,
    /// Dead letters that are kept.
    pub dead_letter_max_len: usize,
    /// Whether entries that are done are deleted.
    pub trim: bool,
}

/// Most entries that a pod takes at once.
const MAX_BATCH: u64 = 1000;

impl Publish {
    pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
        let stream = &config.publish.stream;
        if !stream.enabled {
            return;
        }
        if config.backplane.kind() == BackplaneKind::None {
            let remedy = "needs Redis: set backplane.url";
            problems.push(Problem::new("publish.stream.enabled", true, remedy));
        }
        if stream.group.is_empty() {
            let remedy = "expected the name of a consumer group";
            problems.push(Problem::new("publish.stream.group", "", remedy));
        }
        if !(1..=MAX_BATCH).contains(&stream.batch) {
            let remedy = format!("expected 1 to {MAX_BATCH}");
            problems.push(Problem::new("publish.stream.batch", stream.batch, remedy));
        }
        // A pod that waits for Redis still has its entries in hand.
        if stream.claim_after <= config.backplane.timeout {
            let timeout = config.backplane.timeout;
            let remedy = format!("must be longer than backplane.timeout, which is {timeout:?}");
            problems.push(Problem::new("publish.stream.claim_after", stream.claim_after, remedy));
        }
        for (key, value) in [
            ("publish.stream.max_deliveries", stream.max_deliveries),
            ("publish.stream.dead_letter_max_len", stream.dead_letter_max_len as u64),
        ] {
            if value == 0 {
                problems.push(Problem::new(key, value, "must be at least 1"));
            }
        }
    }
}
