//! The objects that are answered, as Kubernetes writes them in JSON.

use std::time::SystemTime;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{
    asked::{GROUP, VERSION},
    quantity,
};

/// Connections of all pods.
pub const CONNECTIONS: &str = "roomcast_connections";
/// Connections of all pods in percent of what they take.
pub const UTILIZATION: &str = "roomcast_utilization";

/// A request that is refused, as the `Status` of Kubernetes has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub code: StatusCode,
    pub message: String,
}

impl Failure {
    pub fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// What came of the request, as the metric says it.
    pub fn result(&self) -> &'static str {
        match self.code {
            StatusCode::BAD_REQUEST => "bad_request",
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            _ => "unavailable",
        }
    }

    /// The reason of `Status`, by its code.
    fn reason(&self) -> &'static str {
        match self.code {
            StatusCode::BAD_REQUEST => "BadRequest",
            StatusCode::UNAUTHORIZED => "Unauthorized",
            StatusCode::FORBIDDEN => "Forbidden",
            StatusCode::NOT_FOUND => "NotFound",
            StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
            _ => "ServiceUnavailable",
        }
    }
}

impl IntoResponse for Failure {
    /// Without `Retry-After`: the client of an autoscaler would ask again at once, and it comes back by itself.
    fn into_response(self) -> Response {
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason(),
            "code": self.code.as_u16(),
        });
        (self.code, object(status)).into_response()
    }
}

/// The answer that has this object; it is the truth of a moment.
pub fn object(object: Value) -> Response {
    let mut answer = Json(object).into_response();
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// `/apis`.
pub fn groups() -> Value {
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [versions()]})
}

/// `/apis/external.metrics.k8s.io`.
pub fn group() -> Value {
    let mut group = versions();
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    group
}

fn versions() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({"name": GROUP, "versions": [version], "preferredVersion": version})
}

/// `/apis/external.metrics.k8s.io/v1beta1`. Each has the verb `get` and no other: what can be listed, controllers that go
/// through all of a namespace (garbage, quotas) and `kubectl get all` would ask for.
pub fn resources() -> Value {
    let resource = |name| {
        json!({
            "name": name,
            "singularName": "",
            "namespaced": true,
            "kind": "ExternalMetricValueList",
            "verbs": ["get"],
        })
    };
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": [resource(CONNECTIONS), resource(UTILIZATION)],
    })
}

/// Connections of all pods, and how many they take: none where one of them has no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    pub connections: usize,
    pub limit: Option<usize>,
}

/// The value of a metric, as a quantity; `figures` is none where this pod does not know all pods.
///
/// # Errors
/// If there is no such metric, or nobody knows its value. An autoscaler keeps the replicas that there are then.
pub fn value(name: &str, figures: Option<Figures>) -> Result<String, Failure> {
    if ![CONNECTIONS, UTILIZATION].contains(&name) {
        let message = format!("no metric {name:?}; there are {CONNECTIONS} and {UTILIZATION}");
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    }
    let unknown = |message| Failure::new(StatusCode::SERVICE_UNAVAILABLE, message);
    let Some(Figures { connections, limit }) = figures else {
        return Err(unknown(
            "this pod does not know all pods of the cluster: it is cut off from Redis, or has just met them",
        ));
    };
    let connections = connections as u64;
    if name == CONNECTIONS {
        return Ok(quantity::whole(connections));
    }
    match limit {
        None => {
            let message = format!(
                "{UTILIZATION} is connections in percent of admission.max_connections, which is not set on all pods"
            );
            Err(Failure::new(StatusCode::NOT_FOUND, message))
        }
        Some(0) => Err(unknown("all pods drain: there is no place to be in use")),
        Some(limit) => {
            let used = u128::from(connections) * 100_000 / limit as u128;
            Ok(quantity::thousandths(u64::try_from(used).unwrap_or(u64::MAX)))
        }
    }
}

/// The list with the one value of a metric.
pub fn list(name: &str, value: String, now: SystemTime) -> Value {
    json!({
        "kind": "ExternalMetricValueList",
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {},
        "items": [{
            "metricName": name,
            "metricLabels": {},
            "timestamp": humantime::format_rfc3339_seconds(now).to_string(),
            "value": value,
        }],
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn figures(connections: usize, limit: Option<usize>) -> Option<Figures> {
        Some(Figures { connections, limit })
    }

    #[test]
    fn a_sum_is_a_quantity_and_utilization_is_in_percent() {
        for (name, figures, text) in [
            (CONNECTIONS, figures(0, None), "0"),
            (CONNECTIONS, figures(12_000, Some(1)), "12k"),
            (CONNECTIONS, figures(12_345, None), "12345"),
            (UTILIZATION, figures(0, Some(300)), "0"),
            (UTILIZATION, figures(200, Some(300)), "66666m"),
            (UTILIZATION, figures(240, Some(300)), "80"),
            (UTILIZATION, figures(600, Some(300)), "200"),
            (UTILIZATION, figures(usize::MAX, Some(1)), "9223372036854775807m"),
            (UTILIZATION, figures(usize::MAX, Some(usize::MAX)), "100"),
        ] {
            assert_eq!(value(name, figures).unwrap(), text, "{name} {figures:?}");
        }
    }

    #[test]
    fn what_nobody_knows_is_no_number() {
        for (name, figures, code, text) in [
            (CONNECTIONS, None, 503, "cut off from Redis"),
            (UTILIZATION, None, 503, "cut off from Redis"),
            (UTILIZATION, figures(3, None), 404, "admission.max_connections"),
            (UTILIZATION, figures(3, Some(0)), 503, "all pods drain"),
            ("roomcast_rooms", figures(3, None), 404, "there are roomcast_connections"),
            ("", None, 404, "no metric"),
        ] {
            let failure = value(name, figures).unwrap_err();
            assert_eq!(failure.code.as_u16(), code, "{name} {figures:?}");
            assert!(failure.message.contains(text), "{failure:?}");
        }
    }

    #[test]
    fn each_code_has_the_reason_that_kubernetes_gives_it() {
        for (code, reason) in [
            (400, "BadRequest"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (404, "NotFound"),
            (405, "MethodNotAllowed"),
            (503, "ServiceUnavailable"),
        ] {
            let failure = Failure::new(StatusCode::from_u16(code).unwrap(), "m");
            assert_eq!(failure.reason(), reason);
        }
    }
}
