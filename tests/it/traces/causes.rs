//! What else begins and goes on as a trace: connects, events, hooks, entries of the stream; and lines of the log.

use std::{io::Write, net::TcpStream, sync::Arc};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use parking_lot::Mutex;
use roomcast::client::Client;
use serde_json::{Value, json};

use super::{
    super::support::{OPEN, Pod, Redis, wait_for},
    CALLER, CLIENT, CONSUMER, Receiver, SERVER, TRACE, caused_by, exporting, listener, named, soon,
};

/// A hook that lets everybody in, and the `traceparent` of each call.
async fn hook() -> (String, Arc<Mutex<Vec<String>>>) {
    async fn answer(
        State(calls): State<Arc<Mutex<Vec<String>>>>,
        headers: HeaderMap,
    ) -> Json<Value> {
        calls.lock().push(headers["traceparent"].to_str().unwrap().to_owned());
        Json(json!({"allow": true}))
    }
    let calls = Arc::<Mutex<Vec<String>>>::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let routes = Router::new().route("/hook", post(answer)).with_state(calls.clone());
    tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
    (url, calls)
}

#[tokio::test]
async fn connects_events_and_hooks_are_spans() {
    let receiver = Receiver::start();
    let (url, calls) = hook().await;
    let settings = format!(
        r#"
        public.kept_headers = ["traceparent", "tracestate"]
        hooks.secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        [namespaces."/"]
        auth = "none"
        [namespaces."/".hooks]
        connect = "{url}"
        [[namespaces."/".rooms]]
        pattern = "public-*"
        join = "anyone"
        relay = ["chat"]
        [[namespaces."/".events]]
        name = "order"
        hook = "{url}"
        [namespaces."/closed"]
        auth = "required"
        [auth.jwt]
        secret = "a secret for the tests only, long enough"
        "#
    );
    let pod = Pod::start_with(&settings, &exporting(&receiver.grpc, "grpc"));
    let url = format!("http://{}", pod.public);
    let client = Client::builder(&url).header("traceparent", caused_by("01")).build().unwrap();
    soon(client.connect()).await.unwrap();
    let spans = receiver.wait_for_trace(TRACE, 2);
    let [connect] = named(&spans, "connect /")[..] else { panic!("{spans:#?}") };
    assert_eq!((connect.kind, connect.parent.as_str()), (SERVER, CALLER));
    let [asked] = named(&spans, "hook connect")[..] else { panic!("{spans:#?}") };
    assert_eq!((asked.kind, &asked.parent), (CLIENT, &connect.id));
    assert_eq!(asked.attributes["server.address"], "127.0.0.1");
    assert_eq!(*calls.lock(), [format!("00-{TRACE}-{}-01", asked.id)]);
    // The handshake is a part of it.
    assert!(connect.seconds >= asked.seconds);

    // An event is a trace of its own, with the hook that answers it.
    let _: Value = soon(client.emit_with_ack("order", &("card 4711",))).await.unwrap();
    let event = receiver.wait_for_span(|span| span.name == "event /");
    assert_ne!(event.trace, TRACE);
    let called = receiver.wait_for_span(|span| span.name == "hook event");
    assert_eq!((&called.trace, &called.parent), (&event.trace, &event.id));
    assert_eq!(calls.lock().last(), Some(&format!("00-{}-{}-01", event.trace, called.id)));

    // What is relayed is a part of the event.
    let (_other, heard) = listener(&url, "chat").await;
    soon(_other.join_rooms(["public-a"])).await.unwrap();
    soon(client.join_rooms(["public-a"])).await.unwrap();
    let _: Value = soon(client.emit_with_ack("chat", &("public-a", "hi"))).await.unwrap();
    heard.reaches(1).await;
    let given = receiver.wait_for_span(|span| span.name == "process /");
    let spans = receiver.wait_for_trace(&given.trace, 3);
    let [relayed] = named(&spans, "event /")[..] else { panic!("{spans:#?}") };
    let [sent] = named(&spans, "send /")[..] else { panic!("{spans:#?}") };
    assert_eq!((&sent.parent, &given.parent), (&relayed.id, &sent.id));
    assert_eq!(sent.attributes["roomcast.source"], "client");
    assert_eq!(given.attributes["messaging.batch.message_count"], 1);

    // A refusal is a failure, with its code, and its line of the log says where.
    let stranger = Client::builder(format!("{url}/closed")).build().unwrap();
    assert!(soon(stranger.connect()).await.is_err());
    let bad = Client::builder(format!("{url}/closed"))
        .auth(json!({"token": "bad.token.here"}))
        .build()
        .unwrap();
    assert!(soon(bad.connect()).await.is_err());
    let tried = receiver.wait_for_span(|span| span.name == "authenticate /closed");
    let refused = receiver.wait_for_span(|span| span.id == tried.parent);
    assert_eq!(refused.name, "connect /closed");
    assert!(refused.failed && tried.failed);
    assert_eq!(refused.attributes["error.type"], "token_invalid");
    let line = wait_for("the line of the log", || {
        let lines = pod.logs();
        let is = |line: &&Value| {
            line["message"] == "connect refused" && line["trace_id"] == refused.trace.as_str()
        };
        lines.iter().find(is).cloned()
    });
    assert_eq!(line["span_id"], refused.id.as_str());
    let all = format!("{:?}", receiver.spans());
    for secret in ["card 4711", "bad.token", "public-a", "order", "chat"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn an_entry_of_the_stream_goes_on_with_its_trace() {
    let (receiver, redis) = (Receiver::start(), Redis::start());
    let settings = format!(
        "{OPEN}\n[backplane]\nkind = \"pubsub\"\nurl = \"{}\"\n[publish.stream]\nenabled = true\n",
        redis.url()
    );
    let pod = Pod::start_with(&settings, &exporting(&receiver.http, "http/protobuf"));
    pod.metric_reaches("roomcast_backplane_connected", 1.0).await;
    let add = |emit: &str| {
        let mut stream = TcpStream::connect(redis.url().trim_start_matches("redis://")).unwrap();
        let traceparent = caused_by("01");
        let words = [
            "XADD",
            "roomcast:publish",
            "*",
            "emit",
            emit,
            "traceparent",
            &traceparent,
            "tracestate",
            "v=1",
        ];
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(command.as_bytes()).unwrap();
        std::io::Read::read(&mut stream, &mut [0; 64]).unwrap();
    };
    add(r#"{"event":"news","args":[1]}"#);
    let spans = receiver.wait_for_trace(TRACE, 3);
    let [entry] = named(&spans, "process roomcast:publish")[..] else { panic!("{spans:#?}") };
    assert_eq!((entry.kind, entry.parent.as_str()), (CONSUMER, CALLER));
    assert_eq!(entry.links, [(TRACE.to_owned(), CALLER.to_owned())]);
    assert_eq!(entry.state, "v=1");
    assert_eq!(entry.attributes["messaging.system"], "redis");
    assert_eq!(entry.attributes["messaging.consumer.group.name"], "roomcast");
    assert!(entry.attributes["messaging.message.id"].as_str().unwrap().contains('-'));
    let [sent] = named(&spans, "send /")[..] else { panic!("{spans:#?}") };
    assert_eq!((&sent.parent, &sent.attributes["roomcast.source"]), (&entry.id, &json!("stream")));

    add("no emit");
    let dead =
        receiver.wait_for_span(|span| span.name.starts_with("process roomcast") && span.failed);
    assert_eq!(dead.attributes["error.type"], "invalid_request");
}
