//! The variables of OpenTelemetry (`OTEL_*`): each works, or is refused by its name. One that would be overlooked would be
//! believed.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use crate::config::{Problem, nearest};

/// Variables that work. `docs/traces.md` has what each does.
pub const KNOWN: [&str; 43] = [
    DISABLED,
    EXPORTER,
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_PROPAGATORS",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_INSECURE",
    "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "K8S_POD_NAME",
    "K8S_POD_UID",
    "K8S_NAMESPACE_NAME",
    "K8S_NODE_NAME",
];

pub const DISABLED: &str = "OTEL_SDK_DISABLED";
pub const EXPORTER: &str = "OTEL_TRACES_EXPORTER";

/// Variables of a family that somebody may expect to work, and what does it instead.
const ELSEWHERE: [(&str, &str); 13] = [
    ("OTEL_EXPORTER_OTLP_METRICS_", METRICS),
    ("OTEL_EXPORTER_PROMETHEUS_", METRICS),
    ("OTEL_METRIC", METRICS),
    ("OTEL_EXPORTER_OTLP_LOGS_", LOGS),
    ("OTEL_BLRP_", LOGS),
    ("OTEL_LOGRECORD_", LOGS),
    ("OTEL_LOG_LEVEL", LOGS),
    ("OTEL_EXPORTER_JAEGER_", OTLP),
    ("OTEL_EXPORTER_ZIPKIN_", OTLP),
    ("OTEL_CONFIG_FILE", NO_FILE),
    ("OTEL_EXPERIMENTAL_CONFIG_FILE", NO_FILE),
    ("OTEL_SEMCONV_STABILITY_OPT_IN", "remove it: the stable names are written, and no others"),
    ("OTEL_BSP_MAX_CONCURRENT_EXPORTS", "remove it: there is one export at a time"),
];

const METRICS: &str = "remove it: metrics are scraped, from /metrics of the internal listener";
const LOGS: &str =
    "remove it: logs go to standard error, and log.level and log.format are for them";
const OTLP: &str = "remove it: spans go out by OTLP, to OTEL_EXPORTER_OTLP_ENDPOINT";
const NO_FILE: &str = "remove it: no such file is read; use the variables of docs/traces.md";

/// The variables of a process that are for this, and what is wrong with them.
pub struct Variables {
    values: BTreeMap<String, String>,
    pub problems: Vec<Problem>,
}

impl Variables {
    /// Those of these that have a value: an empty one stands for none, as the specification says.
    pub fn new(all: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = |name: &str| name.starts_with("OTEL_") && !is_service_link(name);
        let values = all
            .into_iter()
            .filter(|(name, value)| {
                !value.trim().is_empty() && (ours(name) || KNOWN.contains(&name.as_str()))
            })
            .map(|(name, value)| (name, value.trim().to_owned()))
            .collect();
        Self { values, problems: Vec::new() }
    }

    /// Refuses all that nobody reads.
    pub fn refuse_unknown(&mut self) {
        let unknown: Vec<_> =
            self.values.keys().filter(|name| !KNOWN.contains(&name.as_str())).cloned().collect();
        for name in unknown {
            let elsewhere = ELSEWHERE.iter().find(|(family, _)| name.starts_with(family));
            let remedy = match (elsewhere, nearest(&name, &KNOWN)) {
                (Some((_, remedy)), _) => (*remedy).to_owned(),
                (None, Some(near)) => format!("is not known; did you mean {near}?"),
                (None, None) => "is not known; docs/traces.md has those that work".to_owned(),
            };
            // It may be a misspelt one of those with secrets.
            self.problems.push(Problem::hidden(&name, remedy));
        }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// That of a variable for traces, or else of the one for all: its name, and its value.
    pub fn of_traces(&self, rest: &str) -> Option<(String, String)> {
        [format!("OTEL_EXPORTER_OTLP_TRACES_{rest}"), format!("OTEL_EXPORTER_OTLP_{rest}")]
            .into_iter()
            .find_map(|name| self.get(&name).map(str::to_owned).map(|value| (name, value)))
    }

    pub fn refuse(&mut self, name: &str, value: &str, remedy: impl Into<String>) {
        self.problems.push(Problem::new(name, value, remedy));
    }

    /// One of these words, whatever their case.
    pub fn choice<T: Copy>(&mut self, name: &str, value: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
        if found.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let near = nearest(value, &words).map(|near| format!("; did you mean {near}?"));
            let remedy = format!("expected {}{}", words.join(", "), near.unwrap_or_default());
            self.refuse(name, value, remedy);
        }
        found.map(|(_, meant)| *meant)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> bool {
        let Some(value) = self.get(name).map(str::to_owned) else { return false };
        self.choice(name, &value, &[("true", true), ("false", false)]).unwrap_or_default()
    }

    /// A number of this range; `otherwise` where there is none.
    pub fn number<T>(&mut self, name: &str, otherwise: T, least: T, most: T) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let Some(value) = self.get(name).map(str::to_owned) else { return otherwise };
        match value.parse() {
            Ok(number) if number >= least && number <= most => number,
            _ => {
                self.refuse(name, &value, format!("expected a number of {least} to {most}"));
                otherwise
            }
        }
    }
}

/// Whether Kubernetes made this variable, for a Service whose name begins with `otel-`: `OTEL_COLLECTOR_PORT_4317_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    // These are settings, or settings that are misspelt.
    if name.starts_with("OTEL_EXPORTER_") {
        return false;
    }
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_PORT") {
        return true;
    }
    if name.contains("_SERVICE_PORT") {
        return true;
    }
    let Some((_, port)) = name.rsplit_once("_PORT_") else { return false };
    let mut parts = port.split('_');
    let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    number && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_for_a_service_is_not_ours() {
        for link in [
            "OTEL_COLLECTOR_SERVICE_HOST",
            "OTEL_COLLECTOR_SERVICE_PORT",
            "OTEL_COLLECTOR_SERVICE_PORT_OTLP_GRPC",
            "OTEL_COLLECTOR_PORT",
            "OTEL_COLLECTOR_PORT_4317_TCP",
            "OTEL_COLLECTOR_PORT_4317_TCP_ADDR",
        ] {
            assert!(is_service_link(link), "{link}");
        }
        assert!(KNOWN.iter().all(|name| !is_service_link(name)));
        for other in ["OTEL_SUPPORT_4317_TCP", "OTEL_EXPORTER_OTLP_PORT", "OTEL_EXPORTER_PORT"] {
            assert!(!is_service_link(other), "{other}");
        }
    }
}
