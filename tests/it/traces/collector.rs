//! Collectors that are away, slow, or none; samplers; and variables that make no sense.

use serde_json::json;

use super::{
    super::support::{OPEN, Pod, get, roomcast, wait_for},
    Receiver, TRACE, caused_by, exporting, publish,
};

const EMIT: &str = r#"{"event": "news"}"#;

fn lost(pod: &Pod) -> usize {
    let of = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.starts_with("spans are lost"))
    };
    pod.logs().iter().filter(|line| of(line)).count()
}

#[tokio::test]
async fn a_collector_that_takes_nothing_is_a_counter_and_one_line() {
    let receiver = Receiver::start();
    let page = format!("{}/page", receiver.http);
    let nobody = "http://127.0.0.1:1";
    for (endpoint, protocol) in
        [(nobody, "grpc"), (nobody, "http/protobuf"), (&*page, "http/protobuf"), (&*page, "grpc")]
    {
        let mut variables = exporting(endpoint, protocol);
        variables.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "200"));
        let mut pod = Pod::start_with(OPEN, &variables);
        for expected in [1.0, 4.0, 7.0] {
            let emit = serde_json::from_str(EMIT).unwrap();
            assert_eq!(publish(&pod, &[], &emit).await, 200, "{endpoint} {protocol}");
            pod.metric_reaches("roomcast_spans_total{result=\"failed\"}", expected).await;
        }
        assert_eq!(pod.metric("roomcast_spans_total{result=\"exported\"}").await, 0.0);
        assert_eq!(lost(&pod), 1, "{endpoint} {protocol}: {:#?}", pod.logs());
        assert_eq!(get(&format!("http://{}/livez", pod.internal)).await.0, 200);
        pod.signal("-TERM");
        assert!(pod.wait().success(), "{endpoint} {protocol}");
    }
}

#[tokio::test]
async fn a_collector_that_is_slow_costs_spans_and_nothing_else() {
    let receiver = Receiver::start();
    let slow = format!("{}/slow", receiver.http);
    let mut variables = exporting(&slow, "http/protobuf");
    variables.extend([("OTEL_BSP_MAX_QUEUE_SIZE", "2"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")]);
    let settings = format!("{OPEN}\n[drain]\ndelay = \"0s\"\nwindow = \"0s\"\ntimeout = \"5s\"\n");
    let mut pod = Pod::start_with(&settings, &variables);
    let emit = serde_json::from_str(EMIT).unwrap();
    for _ in 0..10 {
        assert_eq!(publish(&pod, &[], &emit).await, 200);
    }
    pod.metric_reaches("roomcast_spans_total{result=\"dropped\"}", 10.0).await;
    // Nor does it hold up the end.
    pod.signal("-TERM");
    assert!(pod.wait().success());
    wait_for("the line about the last spans", || {
        let told = |line: &serde_json::Value| {
            line["message"] == "the last spans were not exported in time"
        };
        pod.logs().iter().any(told).then_some(())
    });
}

#[tokio::test]
async fn what_nobody_wants_is_no_span() {
    let receiver = Receiver::start();
    for (sampler, unasked) in [("parentbased_always_off", 0), ("parentbased_always_on", 2)] {
        let mut variables = exporting(&receiver.http, "http/json");
        variables.push(("OTEL_TRACES_SAMPLER", sampler));
        let settings =
            format!("{OPEN}\n[drain]\ndelay = \"0s\"\nwindow = \"0s\"\ntimeout = \"5s\"\n");
        let mut pod = Pod::start_with(&settings, &variables);
        let before = receiver.spans().len();
        let emit = serde_json::from_str(EMIT).unwrap();
        // Whatever the sampler makes of others: the parent said no, and said yes.
        let unwanted = caused_by("00");
        assert_eq!(publish(&pod, &[("traceparent", &unwanted)], &emit).await, 200);
        assert_eq!(publish(&pod, &[("traceparent", &caused_by("01"))], &emit).await, 200);
        assert_eq!(publish(&pod, &[], &emit).await, 200);
        // What is no such header is none.
        assert_eq!(publish(&pod, &[("traceparent", "00-0-0-01")], &emit).await, 200);
        pod.signal("-TERM");
        assert!(pod.wait().success());
        let spans = receiver.spans().split_off(before);
        let (asked, other): (Vec<_>, Vec<_>) =
            spans.into_iter().partition(|span| span.trace == TRACE);
        assert_eq!(asked.len(), 3, "{asked:#?}");
        assert!(asked.iter().any(|span| span.parent == "b7ad6b7169203331"));
        let calls = other.iter().filter(|span| span.name == "POST /api/v1/emit").count();
        assert_eq!(calls, unasked, "{other:#?}");
        // A drain is a trace of its own.
        let drains = other.iter().filter(|span| span.name == "drain").count();
        assert_eq!(drains, usize::from(unasked > 0));
        assert!(unasked > 0 || other.is_empty(), "{other:#?}");
    }
}

#[tokio::test]
async fn traces_of_callers_need_not_go_on_and_texts_can_be_short() {
    let receiver = Receiver::start();
    let mut variables = exporting(&receiver.grpc, "grpc");
    variables.extend([
        ("OTEL_PROPAGATORS", "none"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2"),
    ]);
    let pod = Pod::start_with(OPEN, &variables);
    let emit = serde_json::from_str(EMIT).unwrap();
    assert_eq!(publish(&pod, &[("traceparent", &caused_by("01"))], &emit).await, 200);
    let given = receiver.wait_for_span(|span| span.name == "process /");
    let call = receiver.wait_for_span(|span| span.name == "POST /api/v1/emit");
    assert_eq!(given.trace, call.trace);
    assert_ne!(given.trace, TRACE);
    let [system, name] = ["messaging.system", "messaging.operation.name"];
    assert_eq!(given.attributes, json!({system: "soc", name: "pro"}));
}

#[tokio::test]
async fn without_the_variables_nothing_is_traced() {
    let pod = Pod::start(OPEN);
    let emit = serde_json::from_str(EMIT).unwrap();
    assert_eq!(publish(&pod, &[("traceparent", &caused_by("01"))], &emit).await, 200);
    assert_eq!(pod.metric("roomcast_spans_total").await, 0.0);
    assert!(pod.logs().iter().all(|line| line.get("trace_id").is_none()));
}

#[test]
fn a_variable_that_does_not_work_is_refused_at_start() {
    for (name, value, remedy) in [
        ("OTEL_TRACES_SAMPLER", "alwayson", "did you mean always_on?"),
        ("OTEL_PROPAGATORS", "b3", "expected tracecontext, none"),
        ("OTEL_TRACE_EXPORTER", "otlp", "did you mean OTEL_TRACES_EXPORTER?"),
        ("OTEL_METRICS_EXPORTER", "otlp", "metrics are scraped"),
    ] {
        for command in ["serve", "check-config"] {
            let output = roomcast().arg(command).env(name, value).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{command}: {text}");
            assert!(text.contains(name) && text.contains(remedy), "{text}");
        }
    }
}

#[test]
fn spans_are_shown_on_the_console() {
    let mut command = roomcast();
    command.env("OTEL_TRACES_EXPORTER", "console").stdout(std::process::Stdio::piped());
    command.args(["--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"]);
    command
        .args(["--set", "drain.delay=0s", "--set", "log.format=text"])
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It listens.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    lines.find(|line| line.as_ref().unwrap().contains("internal listener")).unwrap().unwrap();
    let term = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(term.success());
    // The log goes on; who does not read it would stop the pod.
    let read = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let output = child.wait_with_output().unwrap();
    let log = read.join().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    let span: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(span["name"], json!("drain"));
    // Lines of text say which trace they belong to, too.
    let ids = format!(
        " trace_id={} span_id={}",
        span["traceId"].as_str().unwrap(),
        span["spanId"].as_str().unwrap()
    );
    let closing = log.iter().find(|line| line.contains("closing connections")).unwrap();
    assert!(closing.ends_with(&ids), "{closing}");
}
