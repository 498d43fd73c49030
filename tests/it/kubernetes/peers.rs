//! Pods that find each other while Redis is away.

use std::{net::UdpSocket, time::Duration};

use serde_json::json;

use super::{ALL, Lab, requests};
use crate::support::{OPEN, Pod, get};

/// A secret that all pods have; Redis is not there from the start.
fn settings() -> String {
    // Free a moment ago, and nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!(
        "{ALL}sessions.secret = \"a secret for the tests only, long enough\"\n{OPEN}\n[backplane]\nkind = \"pubsub\"\n\
         url = \"redis://127.0.0.1:{port}\"\nheartbeat = \"100ms\"\ntimeout = \"500ms\"\n\
         when_away = \"queue\"\n"
    )
}

/// An address of this machine that Kubernetes takes for one of a pod: none of the loopback. Nothing is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then(|| ip.to_string())
}

fn port(pod: &Pod) -> u16 {
    pod.internal.rsplit(':').next().unwrap().parse().unwrap()
}

/// The address of a poll at a pod.
fn poll(pod: &Pod, session: &str) -> String {
    format!("http://{}/socket.io/?EIO=4&transport=polling{session}", pod.public)
}

/// Opens a session, and gives its part of a query.
async fn session(pod: &Pod) -> String {
    let (status, body) = get(&poll(pod, "")).await;
    assert_eq!(status, 200, "{body}");
    let open: serde_json::Value = serde_json::from_str(&body[1..]).unwrap();
    format!("&sid={}", open["sid"].as_str().unwrap())
}

#[tokio::test]
async fn requests_find_their_session_though_redis_was_never_there() {
    let Some(lab) = Lab::new() else { return };
    let Some(address) = own_address() else {
        eprintln!("SKIPPED: this machine has no address but that of the loopback");
        return;
    };
    let (settings, internal) = (settings(), format!("{address}:0"));
    let start = || Pod::start_at(&internal, &settings, &lab.variables());
    let (here, there) = (start(), start());
    here.metric_reaches(&requests("list endpointslices", "ok"), 1.0).await;
    let polled = session(&there).await;
    let client = reqwest::Client::new();
    let connect = |pod: &Pod, session: &str| client.post(poll(pod, session)).body("40").send();
    // Nobody says where the other is.
    assert_eq!(connect(&here, &polled).await.unwrap().status(), 400);

    lab.slice("there", &address, port(&there));
    lab.slice("here", &address, port(&here));
    // Nobody answers there.
    lab.slice("gone", &address, 9);
    here.metric_reaches("roomcast_kubernetes_peers", 3.0).await;
    assert!(super::count(&here, "watch endpointslices", "ok").await >= 1.0);
    assert_eq!(connect(&here, &polled).await.unwrap().status(), 200);
    assert!(get(&poll(&here, &polled)).await.1.starts_with("40{"));

    // A poll that is held is answered over the other pod: longer than a pod may be unknown to Redis.
    let held = tokio::spawn({
        let url = poll(&here, &polled);
        async move { get(&url).await }
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!held.is_finished());
    there.publish(&json!({"event": "hello"})).await;
    assert_eq!(held.await.unwrap(), (200, "42[\"hello\"]".to_owned()));

    // One whose pod has gone is not.
    let held = tokio::spawn({
        let url = poll(&here, &polled);
        async move { get(&url).await }
    });
    here.metric_reaches("roomcast_held_polls", 1.0).await;
    lab.kubectl(&["delete", "endpointslice", "there"], None);
    assert_eq!(held.await.unwrap().0, 400);
}

#[tokio::test]
async fn a_pod_that_is_started_anew_at_the_same_address_is_found() {
    let Some(lab) = Lab::new() else { return };
    let Some(address) = own_address() else { return };
    let settings = settings();
    let start =
        |port: u16| Pod::start_at(&format!("{address}:{port}"), &settings, &lab.variables());
    let (here, mut there) = (start(0), start(0));
    let port = port(&there);
    lab.slice("there", &address, port);
    here.metric_reaches("roomcast_kubernetes_peers", 1.0).await;
    let before = session(&there).await;
    let post = |session: String| {
        let request = reqwest::Client::new().post(poll(&here, &session)).body("40");
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(post(before.clone()).await, 200);
    there.signal("-KILL");
    there.wait();
    let again = start(port);
    let after = session(&again).await;
    let begun = std::time::Instant::now();
    while post(after.clone()).await != 200 {
        assert!(begun.elapsed() < crate::support::PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(post(before).await, 400);
}

#[tokio::test]
async fn a_pod_says_who_it_is_to_a_question_that_is_one() {
    let pod = Pod::start("sessions.secret = \"a secret for the tests only, long enough\"");
    let ask = |query: &'static str| {
        let url = format!("http://{}/forward/identity{query}", pod.internal);
        async move { get(&url).await }
    };
    for query in ["", "?", "?short", "?AAAAAAAAAAAAAAAAAAAAAA==", "?%%%"] {
        assert_eq!(ask(query).await.0, 400, "{query}");
    }
    let (status, answer) = ask("?AAAAAAAAAAAAAAAAAAAAAA").await;
    assert_eq!(status, 200);
    let (id, proof) = answer.split_once(' ').unwrap();
    assert_eq!((id.len(), proof.len()), (16, 43));
    assert_ne!(ask("?AAAAAAAAAAAAAAAAAAAAAQ").await.1, answer);
}
