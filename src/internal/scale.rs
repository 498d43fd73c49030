//! `/scale/connections`: how full this pod is, or all of them, for scalers that read JSON rather than Prometheus.
//!
//! Of a pod that drains, the connections count and the limit does not. Its connections come back to the others: to leave
//! them out would have a scaler take pods away in the middle of a deploy. Its place is gone, as is its replica in the
//! count of a Deployment, so that replicas × utilization stays what it is.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde::Serialize;

use crate::backplane::{Backplane, PodRecord};

/// Who knows the figures.
#[derive(Clone)]
pub struct Scale(Arc<Inner>);

struct Inner {
    backplane: Backplane,
    /// What this pod is like now.
    record: Box<dyn Fn() -> PodRecord + Send + Sync>,
}

impl Scale {
    /// Of the pods behind a backplane; `record` is asked what this one is like.
    pub fn new(
        backplane: Backplane,
        record: impl Fn() -> PodRecord + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { backplane, record: Box::new(record) }))
    }

    /// Connections of all pods, and their limit; none where this one does not know all.
    pub fn of_cluster(&self) -> Option<(usize, Option<usize>)> {
        let all = sum(self.0.backplane.cluster().seen()?, (self.0.record)());
        Some((all.connections, all.limit))
    }
}

/// How full a pod is, or all.
#[derive(Debug, PartialEq, Serialize)]
struct Connections {
    connections: usize,
    /// None if there is none, or a pod that does not drain has none.
    limit: Option<usize>,
    utilization: Option<f64>,
    #[serde(flatten)]
    cluster: Option<Cluster>,
}

/// Whose figures they are.
#[derive(Debug, PartialEq, Serialize)]
struct Cluster {
    /// All pods.
    pods: usize,
    /// Those of them that drain.
    draining: usize,
}

/// The route.
pub fn router(scale: Scale) -> Router {
    Router::new().route("/scale/connections", get(connections)).with_state(scale)
}

async fn connections(State(Scale(scale)): State<Scale>, RawQuery(query): RawQuery) -> Response {
    let own = (scale.record)();
    let answer = match scope(query.as_deref().unwrap_or_default()) {
        Some(Scope::Pod) => Ok(Connections::of(own.connections, own.limit, None)),
        Some(Scope::Cluster) => match scale.backplane.cluster().seen() {
            Some(pods) => Ok(sum(pods, own)),
            None => Err((
                StatusCode::SERVICE_UNAVAILABLE,
                "cluster_unknown",
                "this pod does not know all pods of the cluster: it is cut off from Redis, or has just met them",
            )),
        },
        None => {
            let expected = "expected ?scope=pod, ?scope=cluster, or nothing for this pod";
            Err((StatusCode::BAD_REQUEST, "invalid_request", expected))
        }
    };
    match answer {
        // It is the truth of a moment.
        Ok(figures) => ([(header::CACHE_CONTROL, "no-store")], Json(figures)).into_response(),
        Err((status, code, message)) => {
            (status, Json(crate::error_body(code, message))).into_response()
        }
    }
}

enum Scope {
    Pod,
    Cluster,
}

fn scope(query: &str) -> Option<Scope> {
    match query {
        "" | "scope=pod" => Some(Scope::Pod),
        "scope=cluster" => Some(Scope::Cluster),
        _ => None,
    }
}

/// All together. Of this pod, what it knows itself is newer than its record.
fn sum(mut pods: Vec<PodRecord>, own: PodRecord) -> Connections {
    pods.retain(|pod| pod.id != own.id);
    pods.push(own);
    let (serving, draining): (Vec<_>, Vec<_>) =
        pods.iter().partition(|pod| pod.state != "draining");
    // Who may write to Redis may write any number: it is never a small one then.
    let connections = pods.iter().map(|pod| pod.connections).fold(0, usize::saturating_add);
    let limits = serving.iter().map(|pod| pod.limit);
    let limit = limits.reduce(|all, one| Some(all?.saturating_add(one?))).unwrap_or(Some(0));
    let cluster = Cluster { pods: pods.len(), draining: draining.len() };
    Connections::of(connections, limit, Some(cluster))
}

impl Connections {
    fn of(connections: usize, limit: Option<usize>, cluster: Option<Cluster>) -> Self {
        let used = |limit| connections as f64 / limit as f64;
        // Where all drain there is no place at all.
        let utilization = limit.filter(|limit| *limit > 0).map(used);
        Self { connections, limit, utilization, cluster }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pod(id: &str, state: &str, connections: usize, limit: Option<usize>) -> PodRecord {
        let [id, state] = [id, state].map(str::to_owned);
        let (address, version, since, template, deployment) = Default::default();
        PodRecord { id, address, version, state, connections, limit, since, template, deployment }
    }

    #[test]
    fn what_is_more_than_there_can_be_is_no_small_number() {
        let all = usize::MAX;
        let figures =
            sum(vec![pod("b", "serving", all, Some(all))], pod("a", "serving", 3, Some(4)));
        assert_eq!((figures.connections, figures.limit), (all, Some(all)));
        let figures = sum(vec![pod("b", "serving", 1, None)], pod("a", "serving", 3, Some(4)));
        assert_eq!((figures.connections, figures.limit), (4, None));
    }

    #[test]
    fn a_drain_takes_a_place_away_and_no_connection() {
        let own = || pod("a", "serving", 30, Some(100));
        let before = vec![pod("a", "serving", 20, Some(100)), pod("b", "serving", 50, Some(100))];
        let figures = sum(before, own());
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(
            text,
            r#"{"connections":80,"limit":200,"utilization":0.4,"pods":2,"draining":0}"#
        );
        let figures = sum(vec![pod("b", "draining", 50, Some(100))], own());
        assert_eq!((figures.connections, figures.limit), (80, Some(100)));
        assert_eq!(figures.utilization, Some(0.8));
        assert_eq!(figures.cluster, Some(Cluster { pods: 2, draining: 1 }));
    }

    #[test]
    fn one_pod_without_a_limit_and_there_is_none() {
        let own = || pod("a", "serving", 30, Some(100));
        let figures = sum(vec![pod("b", "serving", 50, None)], own());
        assert_eq!((figures.connections, figures.limit, figures.utilization), (80, None, None));
        let figures = sum(vec![pod("b", "draining", 50, None)], own());
        assert_eq!((figures.limit, figures.utilization), (Some(100), Some(0.8)));
        let figures = sum(Vec::new(), pod("a", "draining", 3, Some(100)));
        assert_eq!((figures.connections, figures.limit, figures.utilization), (3, Some(0), None));
    }

    #[test]
    fn the_record_of_a_build_before_can_be_read() {
        let old = r#"{"id":"a","address":"x:1","version":"0.1.0","state":"serving","connections":3,"since":"now"}"#;
        let record: PodRecord = serde_json::from_str(old).unwrap();
        assert_eq!((record.connections, record.limit, record.template), (3, None, None));
        // And that of a build after.
        let new = old.replace("\"since\"", "\"colour\":\"green\",\"since\"");
        let record: PodRecord = serde_json::from_str(&new).unwrap();
        assert_eq!(record.since, "now");
    }
}
