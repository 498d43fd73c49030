//! Every metric, in one table: `docs/metrics.md` is its text for operators and a test compares them.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use parking_lot::Mutex;

/// One metric and what it means.
#[derive(Debug)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Names of its labels, which the reference must name too.
    #[cfg(test)]
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Seconds, in buckets.
    Histogram,
}

macro_rules! table {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                #[cfg(test)]
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// All metrics.
        pub const ALL: &[&Metric] = &[$(&$constant),*];
    };
}

table! {
    BUILD_INFO = Gauge "roomcast_build_info" ["version", "commit"]
        "Always 1; its labels say which build runs.";
    PHASE = Gauge "roomcast_phase" ["phase"]
        "1 for the phase of its life that the pod is in (serving, announced, closing, flushing, stopped), 0 for the others.";
    DRAIN_REMAINING = Gauge "roomcast_drain_remaining" []
        "Connections that a drain has not closed yet, from its announcement on; 0 once it is taken back.";
    CONNECTIONS = Gauge "roomcast_connections" ["transport"]
        "Connections open now (Engine.IO sessions).";
    CONNECTIONS_OPENED = Counter "roomcast_connections_opened_total" ["transport"]
        "Connections opened, by the transport they began with.";
    CONNECTIONS_CLOSED = Counter "roomcast_connections_closed_total" ["reason"]
        "Connections closed, by Socket.IO's disconnect reason, or `no namespace` for one that never joined any.";
    BYTES = Counter "roomcast_bytes_total" ["transport", "direction"]
        "Bytes `received` from and `sent` to clients: bodies of polling, WebSocket frames with their headers, as they are when they are not compressed.";
    PACKETS = Counter "roomcast_packets_total" ["transport", "direction"]
        "Engine.IO packets `received` from and `sent` to clients, control frames of WebSocket sent among them.";
    REQUESTS_REFUSED = Counter "roomcast_requests_refused_total" ["code"]
        "Requests of clients that were answered with an error before or by Engine.IO.";
    FORWARDED = Counter "roomcast_forwarded_requests_total" ["transport", "result"]
        "Requests of other pods' sessions that came here and were forwarded: `ok`, or `failed` when that pod did not take them.";
    RELAYED_WEBSOCKETS = Gauge "roomcast_relayed_websockets" []
        "WebSockets of other pods' sessions that pass through this pod now.";
    HELD_POLLS = Gauge "roomcast_held_polls" []
        "Polls of other pods' sessions that wait on this pod now.";
    SOCKETS = Gauge "roomcast_sockets" ["namespace"]
        "Sockets connected now.";
    CHILD_NAMESPACES = Gauge "roomcast_child_namespaces" ["namespace"]
        "Children of dynamic namespaces now, by their parent.";
    CONNECTS_REFUSED = Counter "roomcast_connects_refused_total" ["namespace", "code"]
        "Sockets refused at CONNECT, by error code.";
    TOKEN_CHECKS = Counter "roomcast_token_checks_total" ["result"]
        "Tokens checked: `ok`, or the reason why one was refused.";
    JWKS_REFRESHES = Counter "roomcast_jwks_refreshes_total" ["result"]
        "Times that the key set of `auth.jwt.jwks_url` was fetched: `ok`, or why that failed (`timeout`, `unreachable`, `status`, `too_large`, `malformed`, `empty`).";
    JWKS_AGE = Gauge "roomcast_jwks_age_seconds" []
        "Time since the key set in use was fetched.";
    EVENTS = Counter "roomcast_events_total" ["namespace", "result"]
        "Events received from clients: `ok`, or the error code they were refused with.";
    EMITS = Counter "roomcast_emits_total" ["source"]
        "Emits: `client` for events that members relay, `api` for publishes over HTTP, `stream` for entries of the publish stream, `handler` for Rust handlers, `backplane` for those of other servers and emitters.";
    EMIT_DURATION = Histogram "roomcast_emit_duration_seconds" ["source"]
        "Time from the request for an emit until it is in the queue of each of its sockets on this pod.";
    PACKETS_DROPPED = Counter "roomcast_packets_dropped_total" ["reason"]
        "Packets that a client will not get: `queue full` (limits.send_queue, limits.send_queue_bytes) or `closed` (it left meanwhile).";
    BACKPLANE_CONNECTED = Gauge "roomcast_backplane_connected" []
        "1 while what this pod publishes comes back to it through Redis, 0 while it is cut off.";
    BACKPLANE_RECONNECTS = Counter "roomcast_backplane_reconnects_total" []
        "Times that the pod was cut off and found back.";
    BACKPLANE_RECORD_FAILURES = Counter "roomcast_backplane_record_failures_total" []
        "Times that the record in which other pods find this one could not be written or theirs not read: Redis is full, or refuses.";
    BACKPLANE_PUBLISHED = Counter "roomcast_backplane_published_total" []
        "Messages for other pods that Redis has confirmed.";
    BACKPLANE_RECEIVED = Counter "roomcast_backplane_received_total" ["result"]
        "Messages from Redis: `handled`, or `no members` for a room that nobody here is in, which is not even decoded.";
    BACKPLANE_DROPPED = Counter "roomcast_backplane_messages_dropped_total" ["reason"]
        "Messages between pods that were lost: `disconnected`, `publish queue full`, `publish failed`, `unencodable`, `child namespaces` on the way out, `lagged`, `receive queue full`, `question queue full`, `server events`, `undecodable` on the way in.";
    BACKPLANE_LATENCY = Histogram "roomcast_backplane_latency_seconds" []
        "Time from a publish on another pod of ours until it is in the queues of the sockets here, by the clocks of both machines.";
    STREAM_ENTRIES = Counter "roomcast_stream_entries_total" ["result"]
        "Entries of the publish stream that this pod ended with: `ok`, or the error code that made a dead letter of them; `trimmed` for those that were deleted before they were emitted.";
    STREAM_RETRIES = Counter "roomcast_stream_retries_total" ["reason"]
        "Entries of the publish stream that came to this pod again: `claimed` from another that did not end with them, `retried` after a failure of its own.";
    STREAM_LAG = Gauge "roomcast_stream_lag" []
        "Entries of the publish stream that no pod has read, the same on all pods.";
    STREAM_PENDING = Gauge "roomcast_stream_pending" []
        "Entries of the publish stream that pods have read and not ended with, the same on all pods.";
    STREAM_DEAD_LETTERS = Gauge "roomcast_stream_dead_letters" []
        "Entries in the stream of dead letters, the same on all pods.";
    API_REQUESTS = Counter "roomcast_api_requests_total" ["path", "result"]
        "Requests to the HTTP API: `ok`, or the error code of the answer.";
    HOOK_CALLS = Counter "roomcast_hook_calls_total" ["hook", "kind", "result"]
        "Calls of hooks: `ok`, `refused`, or why the hook counts as down: `unreachable`, `timeout`, `lost`, `status`, `redirect`, `unreadable`, `too large`, `breaker open`, `in flight limit`.";
    HOOK_RETRIES = Counter "roomcast_hook_retries_total" ["hook", "kind"]
        "Attempts after the first of a call.";
    HOOK_DURATION = Histogram "roomcast_hook_duration_seconds" ["hook", "kind"]
        "Time of a call with all its attempts, until the answer is read.";
    HOOK_IN_FLIGHT = Gauge "roomcast_hook_in_flight" ["hook"]
        "Attempts under way now.";
    HOOK_BREAKER = Gauge "roomcast_hook_breaker" ["hook", "state"]
        "1 for the state that the circuit breaker of the hook is in (closed, open, half-open), 0 for the others.";
    HOOK_QUEUE = Gauge "roomcast_hook_queue" ["hook"]
        "Disconnects that the hook has not been told yet.";
    HOOK_DROPPED = Counter "roomcast_hook_notifications_dropped_total" ["hook", "reason"]
        "Disconnects that the hook was not told: `queue full` (hooks.disconnect_queue), or `failed` when it refused or hooks.disconnect_timeout was over.";
}

/// Buckets of durations: from a small room on an idle pod to a stall worth a page.
const SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0,
];
/// Buckets of calls to other services: from a service beside the pod to one that lets it wait.
const SERVICE_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often histograms fold what they collected, so that their memory stays bounded.
const UPKEEP: Duration = Duration::from_secs(5);

/// The metrics of this process, ready to be scraped.
#[derive(Clone)]
pub struct Metrics {
    prometheus: PrometheusHandle,
    process: Collector,
}

impl Metrics {
    /// Starts collecting, once a process: a second call gets the same metrics.
    ///
    /// # Errors
    /// If the program has installed a recorder of its own already.
    pub fn install() -> Result<Self, BuildError> {
        // Held meanwhile: pods of one process may start at the same time.
        static INSTALLED: Mutex<Option<Metrics>> = Mutex::new(None);
        let mut installed = INSTALLED.lock();
        if let Some(metrics) = &*installed {
            return Ok(metrics.clone());
        }
        let prometheus = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(EMIT_DURATION.name.into()), SECONDS)?
            .set_buckets_for_metric(Matcher::Full(BACKPLANE_LATENCY.name.into()), SECONDS)?
            .set_buckets_for_metric(Matcher::Full(HOOK_DURATION.name.into()), SERVICE_SECONDS)?
            .install_recorder()?;
        let process = Collector::default();
        process.describe();
        for metric in ALL {
            match metric.kind {
                Kind::Counter => ::metrics::describe_counter!(metric.name, metric.help),
                Kind::Gauge => ::metrics::describe_gauge!(metric.name, metric.help),
                Kind::Histogram => ::metrics::describe_histogram!(metric.name, metric.help),
            }
        }
        ::metrics::gauge!(
            BUILD_INFO.name,
            "version" => env!("CARGO_PKG_VERSION"),
            "commit" => env!("VERGEN_GIT_SHA")
        )
        .set(1.0);
        Ok(installed.insert(Self { prometheus, process }).clone())
    }

    /// The page that Prometheus scrapes.
    pub fn render(&self) -> String {
        self.process.collect();
        self.prometheus.run_upkeep();
        self.prometheus.render()
    }

    /// Keeps histograms bounded while nobody scrapes. Runs until it is dropped.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.prometheus.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_lists_each_metric_with_its_labels_and_meaning() {
        let page = include_str!("../../docs/metrics.md");
        for metric in ALL {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let row = format!("| `{}` | {kind} | {} |", metric.name, labels.join(", "));
            let line = page.lines().find(|line| line.starts_with(&row));
            assert!(
                line.is_some_and(|line| line.contains(metric.help)),
                "missing: {row} {}",
                metric.help
            );
        }
        let rows = page.lines().filter(|line| line.starts_with("| `roomcast_")).count();
        assert_eq!(rows, ALL.len(), "docs/metrics.md names a metric that does not exist");
    }
}
