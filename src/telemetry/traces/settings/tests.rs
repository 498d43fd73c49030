#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::telemetry::traces::variables::KNOWN;

fn read(pairs: &[(&str, &str)]) -> Result<Option<Settings>, String> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    super::read(pairs).map_err(|error| error.to_string())
}

fn on(pairs: &[(&str, &str)]) -> Settings {
    let exporter = ("OTEL_TRACES_EXPORTER", "otlp");
    read(&[pairs, &[exporter]].concat()).unwrap().unwrap()
}

fn endpoint(pairs: &[(&str, &str)]) -> (Protocol, String) {
    match on(pairs).exporter {
        Exporter::Otlp(otlp) => (otlp.protocol, otlp.endpoint),
        Exporter::Console => panic!("no collector"),
    }
}

#[test]
fn tracing_is_off_until_it_is_said_where_spans_go() {
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    for off in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")],
        &[collector, ("OTEL_TRACES_EXPORTER", "none")],
        &[collector, ("OTEL_SDK_DISABLED", "TRUE")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
        // Nothing is looked at then.
        &[("OTEL_SDK_DISABLED", "true"), ("OTEL_NOTHING", "x")],
    ] {
        assert!(read(off).unwrap().is_none(), "{off:?}");
    }
    for on in [
        &[collector][..],
        &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector/x")],
        &[("OTEL_TRACES_EXPORTER", "otlp")],
        &[("OTEL_TRACES_EXPORTER", "console")],
        &[collector, ("OTEL_SDK_DISABLED", "false"), ("OTEL_METRICS_EXPORTER", "none")],
    ] {
        assert!(read(on).unwrap().is_some(), "{on:?}");
    }
}

#[test]
fn what_does_not_work_is_refused_by_name() {
    for (name, value, remedy) in [
        ("OTEL_SDK_DISABLED", "yes", "expected true, false"),
        ("OTEL_TRACES_EXPORTER", "jaeger", "expected otlp, console, none"),
        ("OTEL_TRACES_SAMPLER", "alwayson", "did you mean always_on?"),
        ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote", "expected parentbased_always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.1", "is for traceidratio"),
        ("OTEL_PROPAGATORS", "b3", "expected tracecontext, none"),
        ("OTEL_PROPAGATORS", "tracecontext,baggage", "expected tracecontext, none"),
        ("OTEL_PROPAGATORS", "none,tracecontext", "not both"),
        ("OTEL_METRICS_EXPORTER", "otlp", "metrics are scraped"),
        ("OTEL_LOGS_EXPORTER", "otlp", "logs go to standard error"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http", "expected grpc, http/protobuf, http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "expected http://HOST:4318"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://user:secret@collector",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "expected gzip, none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "expected a number of 1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "secret", "expected name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret%0Ab", "expected name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret%zz", "expected name=value"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "1", "expected true, false"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem", "cannot be read"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "expected a number of 1 to 65536"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "at most OTEL_BSP_MAX_QUEUE_SIZE"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1", "expected a number of 0 to 1024"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment", "expected key=value"),
        // Those that nobody reads.
        ("OTEL_EXPORTER_OTLP_ENDPOINTS", "x", "did you mean OTEL_EXPORTER_OTLP_ENDPOINT?"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "x", "metrics are scraped"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000", "metrics are scraped"),
        ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "x", "spans go out by OTLP"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "1", "logs go to standard error"),
        ("OTEL_CONFIG_FILE", "x", "no such file is read"),
    ] {
        let refused = read(&[(name, value)]).unwrap_err();
        assert!(refused.contains(&format!("{name} = ")) && refused.contains(remedy), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
    let both = read(&[("OTEL_TRACES_SAMPLER", "x"), ("OTEL_PROPAGATORS", "y")]).unwrap_err();
    assert!(both.starts_with("2 problems"), "{both}");
}

#[test]
fn certificates_without_sense_are_refused_at_start() {
    let folder = std::env::temp_dir().join(format!("roomcast-pem-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let block = |what: &str| format!("-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n");
    let certificate = write("ca.pem", &block("CERTIFICATE"));
    let key = write("key.pem", &block("PRIVATE KEY"));
    let text = write("text.pem", "no PEM");
    let [ca, own, its_key] = ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"]
        .map(|rest| format!("OTEL_EXPORTER_OTLP_{rest}"));
    for (variables, name, remedy) in [
        (vec![(&*ca, &*certificate)], &ca, "cannot be read"),
        (vec![(&*ca, &*text)], &ca, "no certificate in PEM"),
        (vec![(&*own, &*certificate), (&*its_key, &*key)], &own, "makes no sense"),
        (vec![(&*own, &*certificate), (&*its_key, &*text)], &own, "its key cannot be read"),
        (vec![(&*own, &*text), (&*its_key, &*key)], &own, "no certificate in PEM"),
        (vec![(&*own, &*certificate)], &own, "together"),
    ] {
        let refused = read(&variables).unwrap_err();
        assert!(refused.contains(&format!("{name} = ")) && refused.contains(remedy), "{refused}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_collector_is_where_the_specification_says() {
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/mine");
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let http = Protocol::HttpProtobuf;
    assert_eq!(endpoint(&[]), (http, "http://localhost:4318/v1/traces".into()));
    assert_eq!(endpoint(&[all]), (http, "http://collector:4318/v1/traces".into()));
    assert_eq!(endpoint(&[all, traces]), (http, "http://collector:4318/mine".into()));
    let asking = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/of?tenant=1");
    assert_eq!(endpoint(&[asking]).1, "http://collector:4318/of/v1/traces?tenant=1");
    assert_eq!(endpoint(&[grpc]), (Protocol::Grpc, "http://localhost:4317".into()));
    let plain = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    assert_eq!(endpoint(&[grpc, plain]).1, "https://collector:4317");
    let insecure = ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "true");
    assert_eq!(endpoint(&[grpc, plain, insecure]).1, "http://collector:4317");
    let (all_in_clear, traces_not) =
        (("OTEL_EXPORTER_OTLP_INSECURE", "true"), ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "false"));
    assert_eq!(endpoint(&[grpc, plain, all_in_clear]).1, "http://collector:4317");
    assert_eq!(endpoint(&[grpc, plain, all_in_clear, traces_not]).1, "https://collector:4317");
    let json = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json");
    assert_eq!(endpoint(&[grpc, json, all]).0, Protocol::HttpJson);
}

#[test]
fn what_is_set_is_what_holds() {
    let settings = on(&[
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_PROPAGATORS", "none"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "250"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "7"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "3"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "64"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "500"),
        ("K8S_POD_NAME", "roomcast-0"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb, service.name=other,k8s.pod.name=mine"),
        ("OTEL_SERVICE_NAME", "live"),
    ]);
    assert_eq!(settings.sampler, Sampler { rule: Rule::Share(0.25), parent_based: false });
    assert!(!settings.propagate);
    let Queue { delay, size, batch } = settings.queue;
    assert_eq!((delay, size, batch), (Duration::from_millis(250), 100, 100));
    let Limits { attributes, links, of_event, length, events, .. } = settings.limits;
    assert_eq!((attributes, links, of_event, length, events), (7, 3, 7, 64, 128));
    let Exporter::Otlp(otlp) = settings.exporter else { panic!() };
    assert_eq!(otlp.timeout, Duration::from_millis(500));
    let last = |key: &str| {
        let found = settings.resource.iter().rfind(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(last("service.name"), Some("live"));
    assert_eq!(last("k8s.pod.name"), Some("mine"));
    assert_eq!(last("team"), Some("a,b"));
}

#[test]
fn each_variable_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/traces.md");
    let page = std::fs::read_to_string(path).unwrap();
    for name in KNOWN {
        let traces = name.replacen("_TRACES_", "_", 1);
        let listed = |name: &str| page.contains(&format!("`{name}`"));
        assert!(listed(name) || (traces != name && listed(&traces)), "{name}");
    }
}
