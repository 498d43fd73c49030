//! Traces, as a receiver of OTLP gets them.

mod causes;
mod collector;
mod receiver;
mod secure;

use std::time::Duration;

use roomcast::client::Client;
use serde_json::{Value, json};

use self::receiver::{Receiver, Seen};
use crate::{
    client::{Seen as Heard, node::Node, soon},
    support::{API_KEY, OPEN, PATIENCE, Pod, Redis},
};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// A trace of a caller, and its span there.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn caused_by(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// Variables of a pod whose spans come soon.
fn exporting<'a>(endpoint: &'a str, protocol: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ]
}

/// Publishes with headers of its own.
async fn publish(pod: &Pod, headers: &[(&str, &str)], body: &Value) -> u16 {
    let url = format!("http://{}/api/v1/emit", pod.internal);
    let mut request = reqwest::Client::new().post(url).bearer_auth(API_KEY);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_string()).send().await.unwrap().status().as_u16()
}

/// A client of any server, and what it hears of an event.
async fn listener(url: &str, event: &str) -> (Client, Heard<Value>) {
    let heard = Heard::default();
    let client = Client::builder(url).build().unwrap();
    let keep = heard.clone();
    client
        .subscribe(event, move |event| keep.push(event.arguments::<Value>().unwrap_or_default()))
        .unwrap();
    soon(client.connect()).await.unwrap();
    (client, heard)
}

fn named<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// One publish over HTTP, two pods and a server of Node.
async fn one_publish_is_one_trace(kind: &str, protocol: &str, compression: &str) {
    let (receiver, redis) = (Receiver::start(), Redis::start());
    let settings = format!("{OPEN}\n[backplane]\nkind = \"{kind}\"\nurl = \"{}\"\n", redis.url());
    let endpoint = if protocol == "grpc" { &receiver.grpc } else { &receiver.http };
    let mut variables = exporting(endpoint, protocol);
    variables.extend([
        ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=rooms%20and%20more"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("K8S_POD_NAME", "roomcast-0"),
    ]);
    let pods = [Pod::start_with(&settings, &variables), Pod::start_with(&settings, &variables)];
    for pod in &pods {
        pod.metric_reaches("roomcast_backplane_connected", 1.0).await;
    }
    let node = Node::start(&json!({"redis": redis.url(), "kind": kind}));
    let url = |pod: &Pod| format!("http://{}", pod.public);
    let there = [url(&pods[0]), url(&pods[1]), url(&pods[1]), node.url()];
    let mut listeners = Vec::new();
    for url in &there {
        let (client, heard) = listener(url, "news").await;
        soon(client.join_rooms(["public-a"])).await.unwrap();
        listeners.push((client, heard));
    }
    // Until all are subscribed.
    let begun = std::time::Instant::now();
    while listeners.iter().any(|(_, heard)| heard.all().is_empty()) {
        assert!(begun.elapsed() < PATIENCE, "not all hear");
        let warm = json!({"event": "news", "rooms": ["public-a"], "args": ["warm"]});
        publish(&pods[0], &[], &warm).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let emit = json!({"event": "news", "rooms": ["public-a"], "args": [{"secret": "body"}]});
    let headers = [("traceparent", &*caused_by("01")), ("tracestate", "vendor=1")];
    assert_eq!(publish(&pods[0], &headers, &emit).await, 200);
    for (_, heard) in &listeners {
        let begun = std::time::Instant::now();
        // Exactly what was published, on Node too.
        while heard.all().last() != Some(&json!({"secret": "body"})) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", heard.all());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    let spans = receiver.wait_for_trace(TRACE, 4);
    assert_eq!(spans.len(), 4, "{spans:#?}");
    let [call] = named(&spans, "POST /api/v1/emit")[..] else { panic!("{spans:#?}") };
    assert_eq!((call.kind, call.parent.as_str()), (SERVER, CALLER));
    assert_eq!(
        call.attributes,
        json!({"http.request.method": "POST", "http.route": "/api/v1/emit",
            "http.response.status_code": 200})
    );
    let [sent] = named(&spans, "send /")[..] else { panic!("{spans:#?}") };
    assert_eq!((sent.kind, &sent.parent), (PRODUCER, &call.id));
    assert_eq!(
        sent.attributes,
        json!({"messaging.system": "socketio", "messaging.operation.name": "send",
            "messaging.operation.type": "send", "messaging.destination.name": "/",
            "roomcast.source": "api"})
    );
    let mut counts = Vec::new();
    for process in named(&spans, "process /") {
        assert_eq!((process.kind, &process.parent), (CONSUMER, &sent.id));
        assert_eq!(process.links, [(TRACE.to_owned(), sent.id.clone())]);
        let of = process.resource["service.instance.id"].as_str().unwrap().to_owned();
        counts.push((of, process.attributes["messaging.batch.message_count"].as_i64().unwrap()));
        assert_eq!(process.attributes["messaging.operation.type"], "process");
    }
    let publisher = &sent.resource["service.instance.id"];
    counts.sort_by_key(|(pod, _)| pod != publisher.as_str().unwrap());
    assert_eq!(counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 2]);
    assert_ne!(counts[0].0, counts[1].0);
    for span in &spans {
        assert_eq!(span.state, "vendor=1");
        assert_eq!(span.resource["service.name"], "roomcast");
        assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(span.resource["k8s.pod.name"], "roomcast-0");
        assert_eq!(span.resource["deployment.environment.name"], "test");
    }
    // Neither rooms nor what was in it.
    let all = format!("{:?}", receiver.spans());
    assert!(!all.contains("public-a") && !all.contains("secret") && !all.contains(API_KEY));
    assert!(receiver.headers().iter().all(|team| team == "rooms and more"));
    assert!(!receiver.headers().is_empty());

    // Node and pods still understand each other.
    let (on_node, _) = &listeners[3];
    on_node.emit("to room", &("public-a", "from node")).unwrap();
    for (_, heard) in &listeners {
        let begun = std::time::Instant::now();
        while heard.all().last() != Some(&json!("from node")) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", heard.all());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // So they do when clients are asked: those of pods and of Node answer, or are missed.
    let asked = json!({"event": "asked", "rooms": ["public-a"], "ack_timeout": "300ms"});
    let asks = format!("00-{}-{CALLER}-01", TRACE.replace('0', "1"));
    assert_eq!(publish(&pods[0], &[("traceparent", &asks)], &asked).await, 200);
    let spans = receiver.wait_for_trace(&TRACE.replace('0', "1"), 4);
    assert_eq!(named(&spans, "process /").len(), 2, "{spans:#?}");
    for pod in &pods {
        // What is said of the settings at start has nothing to do with it.
        let bad = |line: &Value| {
            (line["level"] == "ERROR" || line["level"] == "WARN")
                && line["target"] != "roomcast::cli"
        };
        let logs: Vec<_> = pod.logs().into_iter().filter(bad).collect();
        assert_eq!(logs, [Value::Null; 0]);
    }
    for pod in &pods {
        assert!(pod.metric("roomcast_spans_total{result=\"exported\"}").await > 0.0);
        assert_eq!(pod.metric("roomcast_spans_total{result=\"failed\"}").await, 0.0);
    }
}

#[tokio::test]
async fn one_publish_is_one_trace_over_grpc_and_pubsub() {
    one_publish_is_one_trace("pubsub", "grpc", "none").await;
}

#[tokio::test]
async fn one_publish_is_one_trace_over_http_and_sharded() {
    one_publish_is_one_trace("sharded", "http/protobuf", "gzip").await;
}
