//! What the variables of OpenTelemetry ask for.

use std::{fs, time::Duration};

use http::{HeaderName, HeaderValue};
use url::Url;

use super::{
    certificates,
    sampler::{Rule, Sampler},
    variables::{DISABLED, EXPORTER, Variables},
};
use crate::config::{ConfigError, Problem};

/// How spans are made, and where they go.
#[derive(Debug)]
pub struct Settings {
    pub exporter: Exporter,
    pub sampler: Sampler,
    /// Whether traces go on from and to other services.
    pub propagate: bool,
    pub limits: Limits,
    pub queue: Queue,
    /// What spans say of this process, the last of a name being the one that counts.
    pub resource: Vec<(String, String)>,
}

/// Where spans go.
#[derive(Debug)]
pub enum Exporter {
    Otlp(Otlp),
    /// Standard output, a line of JSON each.
    Console,
}

/// A collector.
#[derive(Debug)]
pub struct Otlp {
    pub protocol: Protocol,
    pub endpoint: String,
    pub timeout: Duration,
    pub gzip: bool,
    /// PEM of authorities to believe, in the place of those of the system.
    pub certificate: Option<Vec<u8>>,
    /// PEM of a certificate of ours and of its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    HttpProtobuf,
    HttpJson,
}

/// What a span may have.
#[derive(Debug)]
pub struct Limits {
    pub attributes: u32,
    pub events: u32,
    pub links: u32,
    pub of_event: u32,
    pub of_link: u32,
    /// Characters of a text.
    pub length: usize,
}

/// Spans that wait to be exported.
#[derive(Debug)]
pub struct Queue {
    pub delay: Duration,
    pub size: usize,
    pub batch: usize,
}

/// Reads the variables of a process. `None`: tracing is off.
///
/// # Errors
/// All that is wrong with them.
pub fn read(
    all: impl IntoIterator<Item = (String, String)>,
) -> Result<Option<Settings>, ConfigError> {
    let mut variables = Variables::new(all);
    if variables.flag(DISABLED) {
        return Ok(None);
    }
    variables.refuse_unknown();
    let exporter = exporter(&mut variables);
    let settings = Settings {
        sampler: sampler(&mut variables),
        propagate: propagates(&mut variables),
        limits: limits(&mut variables),
        queue: queue(&mut variables),
        resource: resource(&mut variables),
        exporter: Exporter::Console,
    };
    match variables.problems {
        problems if problems.is_empty() => {
            Ok(exporter.map(|exporter| Settings { exporter, ..settings }))
        }
        problems => Err(ConfigError { problems }),
    }
}

fn exporter(variables: &mut Variables) -> Option<Exporter> {
    for (name, words) in [
        ("OTEL_METRICS_EXPORTER", "metrics are scraped, from /metrics of the internal listener"),
        ("OTEL_LOGS_EXPORTER", "logs go to standard error"),
    ] {
        if let Some(value) = variables.get(name).map(str::to_owned)
            && !value.eq_ignore_ascii_case("none")
        {
            variables.refuse(name, &value, format!("expected none: {words}"));
        }
    }
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Otlp,
        Console,
        None,
    }
    let kinds = [("otlp", Kind::Otlp), ("console", Kind::Console), ("none", Kind::None)];
    let kind = match variables.get(EXPORTER).map(str::to_owned) {
        Some(value) => variables.choice(EXPORTER, &value, &kinds)?,
        // Who says where the collector is wants it to get something.
        None if variables.of_traces("ENDPOINT").is_some() => Kind::Otlp,
        None => Kind::None,
    };
    // It is looked at in any case: what is wrong is said before it is switched on.
    let otlp = otlp(variables);
    match kind {
        Kind::Otlp => otlp.map(Exporter::Otlp),
        Kind::Console => Some(Exporter::Console),
        Kind::None => None,
    }
}

fn otlp(variables: &mut Variables) -> Option<Otlp> {
    let protocols = [
        ("grpc", Protocol::Grpc),
        ("http/protobuf", Protocol::HttpProtobuf),
        ("http/json", Protocol::HttpJson),
    ];
    let protocol = match variables.of_traces("PROTOCOL") {
        Some((name, value)) => variables.choice(&name, &value, &protocols)?,
        None => Protocol::HttpProtobuf,
    };
    let insecure = match variables.of_traces("INSECURE") {
        Some((name, _)) => variables.flag(&name),
        None => false,
    };
    let gzip = match variables.of_traces("COMPRESSION") {
        Some((name, value)) => variables.choice(&name, &value, &[("gzip", true), ("none", false)]),
        None => Some(false),
    };
    let timeout = match variables.of_traces("TIMEOUT") {
        Some((name, _)) => variables.number(&name, TIMEOUT, 1, LONGEST),
        None => TIMEOUT,
    };
    // The time for an export is that of the exporter here: there is one attempt at a time.
    let timeout = timeout.min(variables.number("OTEL_BSP_EXPORT_TIMEOUT", 30_000, 1, LONGEST));
    if let Some((name, value)) = variables.of_traces("HEADERS")
        && let Err(wrong) = check_headers(&value)
    {
        variables.problems.push(Problem::hidden(&name, wrong));
    }
    let certificate = file(variables, "CERTIFICATE", certificates::authorities);
    let own = file(variables, "CLIENT_CERTIFICATE", |_| Ok(()));
    let key = file(variables, "CLIENT_KEY", |_| Ok(()));
    let name = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
    let wrong = match (&own, &key) {
        (Some(own), Some(key)) => certificates::identity(own, key).err(),
        (None, None) => None,
        _ => Some(
            "a certificate and OTEL_EXPORTER_OTLP_CLIENT_KEY are set together, or neither".into(),
        ),
    };
    if let Some(wrong) = wrong {
        variables.problems.push(Problem::hidden(name, wrong));
    }
    Some(Otlp {
        protocol,
        endpoint: endpoint(variables, protocol, insecure)?,
        timeout: Duration::from_millis(timeout),
        gzip: gzip?,
        certificate,
        identity: own.zip(key),
    })
}

/// Milliseconds of an export, unless something else is said.
const TIMEOUT: u64 = 10_000;
/// The most milliseconds that anything may take.
const LONGEST: u64 = 3_600_000;

/// Where the collector is, with its path.
fn endpoint(variables: &mut Variables, protocol: Protocol, insecure: bool) -> Option<String> {
    let grpc = protocol == Protocol::Grpc;
    let Some((name, value)) = variables.of_traces("ENDPOINT") else {
        let otherwise =
            if grpc { "http://localhost:4317" } else { "http://localhost:4318/v1/traces" };
        return Some(otherwise.to_owned());
    };
    let whole = match (grpc && !value.contains("://"), insecure) {
        (true, true) => format!("http://{value}"),
        (true, false) => format!("https://{value}"),
        (false, _) => value.clone(),
    };
    let parsed = Url::parse(&whole).ok().filter(|url| {
        ["http", "https"].contains(&url.scheme()) && url.has_host() && url.fragment().is_none()
    });
    let Some(url) = parsed else {
        let remedy = if grpc {
            "expected http://HOST:4317, or https://"
        } else {
            "expected http://HOST:4318, or https://"
        };
        variables.problems.push(Problem::hidden(&name, remedy));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        let remedy = "a password does not belong into it; use OTEL_EXPORTER_OTLP_HEADERS";
        variables.problems.push(Problem::hidden(&name, remedy));
        return None;
    }
    // The path of signals is added to what is for all of them, and to nothing else.
    if grpc || name.contains("_TRACES_") {
        return Some(whole);
    }
    let mut url = url;
    url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
    Some(url.into())
}

/// `name=value`, separated by commas; values may be escaped as in URLs.
fn check_headers(text: &str) -> Result<(), String> {
    for entry in text.split_terminator(',') {
        let (name, value) = entry.split_once('=').unwrap_or_default();
        let value = unescaped(value.trim()).and_then(|value| HeaderValue::try_from(value).ok());
        if HeaderName::try_from(name.trim()).is_err() || value.is_none() {
            return Err("expected name=value, several separated by commas".into());
        }
    }
    Ok(())
}

/// What is in the file that a variable names, where that makes sense.
fn file(
    variables: &mut Variables,
    rest: &str,
    check: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Option<Vec<u8>> {
    let (name, value) = variables.of_traces(rest)?;
    let content = fs::read(&value).map_err(|error| format!("cannot be read: {error}"));
    match content.and_then(|content| check(&content).map(|()| content)) {
        Ok(content) => Some(content),
        Err(wrong) => {
            variables.refuse(&name, &value, wrong);
            None
        }
    }
}

fn sampler(variables: &mut Variables) -> Sampler {
    let all = Sampler { rule: Rule::Always, parent_based: true };
    let none = Sampler { rule: Rule::Never, parent_based: true };
    let share = Sampler { rule: Rule::Share(1.0), parent_based: true };
    let alone = |sampler| Sampler { parent_based: false, ..sampler };
    let samplers = [
        ("parentbased_always_on", all),
        ("parentbased_always_off", none),
        ("parentbased_traceidratio", share),
        ("always_on", alone(all)),
        ("always_off", alone(none)),
        ("traceidratio", alone(share)),
    ];
    let (name, argument) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG");
    let sampler = match variables.get(name).map(str::to_owned) {
        Some(value) => variables.choice(name, &value, &samplers),
        None => Some(all),
    };
    match sampler {
        Some(Sampler { rule: Rule::Share(_), parent_based }) => {
            Sampler { rule: Rule::Share(variables.number(argument, 1.0, 0.0, 1.0)), parent_based }
        }
        Some(sampler) => {
            if let Some(value) = variables.get(argument).map(str::to_owned) {
                let remedy = format!(
                    "is for traceidratio and parentbased_traceidratio: remove it, or set {name}"
                );
                variables.refuse(argument, &value, remedy);
            }
            sampler
        }
        None => all,
    }
}

fn propagates(variables: &mut Variables) -> bool {
    let name = "OTEL_PROPAGATORS";
    let Some(value) = variables.get(name).map(str::to_owned) else { return true };
    let (mut propagates, mut none) = (false, false);
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let words = [("tracecontext", true), ("none", false)];
        match variables.choice(name, word, &words) {
            Some(true) => propagates = true,
            Some(false) => none = true,
            None => {}
        }
    }
    if propagates && none {
        variables.refuse(name, &value, "expected none, or the names of propagators, not both");
    }
    propagates
}

fn limits(variables: &mut Variables) -> Limits {
    const MOST: u32 = 1024;
    const COUNT: u32 = 128;
    let most = u32::try_from(usize::MAX).unwrap_or(u32::MAX) as usize;
    let attributes = variables.number("OTEL_ATTRIBUTE_COUNT_LIMIT", COUNT, 0, MOST);
    let length = variables.number("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", most, 0, most);
    let mut count = |name, otherwise| variables.number(name, otherwise, 0, MOST);
    Limits {
        attributes: count("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", attributes),
        events: count("OTEL_SPAN_EVENT_COUNT_LIMIT", COUNT),
        links: count("OTEL_SPAN_LINK_COUNT_LIMIT", COUNT),
        of_event: count("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", attributes),
        of_link: count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", attributes),
        length: variables.number("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", length, 0, most),
    }
}

fn queue(variables: &mut Variables) -> Queue {
    const MOST: usize = 65_536;
    let delay = variables.number("OTEL_BSP_SCHEDULE_DELAY", 5000, 1, LONGEST);
    let size = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1, MOST);
    let name = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    let batch = variables.number(name, size.min(512), 1, MOST);
    if batch > size {
        let remedy = format!("must be at most OTEL_BSP_MAX_QUEUE_SIZE, which is {size}");
        variables.refuse(name, &batch.to_string(), remedy);
    }
    Queue { delay: Duration::from_millis(delay), size, batch }
}

/// What the Downward API says, and what the variables of OpenTelemetry say in its place.
fn resource(variables: &mut Variables) -> Vec<(String, String)> {
    let mut resource = Vec::new();
    for (name, key) in [
        ("K8S_POD_NAME", "k8s.pod.name"),
        ("K8S_POD_UID", "k8s.pod.uid"),
        ("K8S_NAMESPACE_NAME", "k8s.namespace.name"),
        ("K8S_NODE_NAME", "k8s.node.name"),
    ] {
        resource.extend(variables.get(name).map(|value| (key.to_owned(), value.to_owned())));
    }
    let name = "OTEL_RESOURCE_ATTRIBUTES";
    if let Some(value) = variables.get(name).map(str::to_owned) {
        for entry in value.split_terminator(',') {
            match entry.split_once('=').map(|(key, value)| (key.trim(), unescaped(value.trim()))) {
                Some((key, Some(value))) if !key.is_empty() => {
                    resource.push((key.to_owned(), value));
                }
                _ => {
                    variables.refuse(name, entry, "expected key=value, several separated by commas")
                }
            }
        }
    }
    if let Some(service) = variables.get("OTEL_SERVICE_NAME") {
        resource.push(("service.name".to_owned(), service.to_owned()));
    }
    resource
}

/// A text in which any byte may stand as `%2C`.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests;
