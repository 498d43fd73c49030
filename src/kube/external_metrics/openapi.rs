//! What the API server merges into the description of all its APIs: `kubectl explain` and typed clients read it.

use serde_json::{Value, json};

use super::{
    answers::{CONNECTIONS, UTILIZATION},
    asked::{GROUP, VERSION},
};

/// Names of the types, as other servers of this group give them: two of one name that differ would be renamed.
const LIST: &str = "io.k8s.metrics.pkg.apis.external_metrics.v1beta1.ExternalMetricValueList";
const ITEM: &str = "io.k8s.metrics.pkg.apis.external_metrics.v1beta1.ExternalMetricValue";

/// `/openapi/v2`.
pub fn v2() -> Value {
    let parameter =
        |name: &str| json!({"name": name, "in": "path", "required": true, "type": "string"});
    let path = |metric| {
        let mut operation = operation(metric);
        operation["parameters"] = json!([parameter("namespace")]);
        operation["produces"] = json!(["application/json"]);
        operation["responses"] = json!({"200": {
            "description": "OK",
            "schema": {"$ref": format!("#/definitions/{LIST}")},
        }});
        json!({"get": operation})
    };
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": {url(CONNECTIONS): path(CONNECTIONS), url(UTILIZATION): path(UTILIZATION)},
        "definitions": types("#/definitions/"),
    })
}

/// `/openapi/v3`: where the description of the version is.
pub fn v3_root() -> Value {
    let of_version = format!("apis/{GROUP}/{VERSION}");
    // What is named there is kept for as long as the address stays the same.
    let url = format!("/openapi/v3/{of_version}?hash={}", env!("CARGO_PKG_VERSION"));
    json!({"paths": {of_version: {"serverRelativeURL": url}}})
}

/// `/openapi/v3/apis/external.metrics.k8s.io/v1beta1`.
pub fn v3() -> Value {
    let path = |metric| {
        let mut operation = operation(metric);
        operation["parameters"] = json!([
            {"name": "namespace", "in": "path", "required": true, "schema": {"type": "string"}},
        ]);
        operation["responses"] = json!({"200": {
            "description": "OK",
            "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{LIST}")}}},
        }});
        json!({"get": operation})
    };
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": {url(CONNECTIONS): path(CONNECTIONS), url(UTILIZATION): path(UTILIZATION)},
        "components": {"schemas": types("#/components/schemas/")},
    })
}

fn info() -> Value {
    json!({"title": "Roomcast", "version": env!("CARGO_PKG_VERSION")})
}

fn url(metric: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{metric}")
}

fn operation(metric: &str) -> Value {
    let description = match metric {
        CONNECTIONS => "Connections of all pods.",
        _ => "Connections of all pods in percent of what they take (admission.max_connections).",
    };
    let camel: String = metric.split('_').map(capital).collect();
    json!({
        "description": description,
        "operationId": format!("getExternalMetricsV1beta1Namespaced{camel}"),
        "tags": ["externalMetrics_v1beta1"],
        "x-kubernetes-action": "get",
        "x-kubernetes-group-version-kind": kind("ExternalMetricValueList"),
    })
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}

fn kind(kind: &str) -> Value {
    json!({"group": GROUP, "version": VERSION, "kind": kind})
}

fn types(place: &str) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let head = |of: Value| {
        let mut properties = of;
        properties["apiVersion"] = text("The version of this object.");
        properties["kind"] = text("What this object is.");
        properties
    };
    json!({
        ITEM: {
            "description": "A value of a metric.",
            "type": "object",
            "required": ["metricName", "metricLabels", "timestamp", "value"],
            "properties": head(json!({
                "metricName": text("The metric."),
                "metricLabels": {
                    "type": "object",
                    "description": "Labels of the series; none.",
                    "additionalProperties": {"type": "string"},
                },
                "timestamp": {"type": "string", "format": "date-time", "description": "When it was so."},
                "value": text("The value, as a quantity."),
            })),
            "x-kubernetes-group-version-kind": [kind("ExternalMetricValue")],
        },
        LIST: {
            "description": "Values of a metric.",
            "type": "object",
            "required": ["items"],
            "properties": head(json!({
                "metadata": {"type": "object"},
                "items": {"type": "array", "items": {"$ref": format!("{place}{ITEM}")}},
            })),
            "x-kubernetes-group-version-kind": [kind("ExternalMetricValueList")],
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// All values of `$ref`, wherever they are.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_is_to_a_type_that_is_there() {
        for description in [v2(), v3()] {
            let mut found = Vec::new();
            references(&description, &mut found);
            assert_eq!(found.len(), 3);
            for reference in found {
                let place = reference.strip_prefix('#').unwrap();
                assert!(description.pointer(place).is_some(), "{reference}");
            }
        }
        let root = v3_root();
        let url =
            root["paths"]["apis/external.metrics.k8s.io/v1beta1"]["serverRelativeURL"].clone();
        assert!(
            url.as_str()
                .unwrap()
                .starts_with("/openapi/v3/apis/external.metrics.k8s.io/v1beta1?hash=")
        );
    }
}
