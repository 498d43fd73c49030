//! How a pod ends.

use std::{
    io::{Read, Write},
    process::Command,
    time::{Duration, Instant},
};

use super::{
    raw::Raw,
    support::{OPEN, PATIENCE, Pod, get, roomcast, wait_for},
};

#[tokio::test]
async fn it_announces_refuses_closes_and_exits_with_0() {
    let mut pod = Pod::start(&format!("drain.delay = \"3s\"\ndrain.window = \"200ms\"\n{OPEN}"));
    let mut members = Vec::new();
    for _ in 0..10 {
        members.push(Raw::member(&pod).await);
    }
    // One that never joins a namespace, and two that poll.
    let mut idle = Raw::open(&pod).await;
    let polling = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
    for _ in 0..2 {
        assert_eq!(get(&polling).await.0, 200);
    }
    assert_eq!(pod.readyz().await, 200);

    pod.signal("-TERM");
    wait_for("the announcement", || {
        let announced = pod.logs().iter().any(|line| {
            line["message"].as_str().is_some_and(|message| message.starts_with("stopping"))
        });
        announced.then_some(())
    });
    assert_eq!(pod.readyz().await, 503);
    let response = reqwest::get(&polling).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "draining");

    for member in &mut members {
        member.closed().await;
    }
    idle.closed().await;
    assert_eq!(pod.wait().code(), Some(0));
    let last = last_line(&pod);
    assert_eq!([&last["connections"], &last["closed"], &last["cut"]], [13, 13, 0]);
    let seconds = last["seconds"].as_f64().unwrap();
    assert!((3.0..20.0).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_at_the_timeout() {
    let mut pod = Pod::start(&format!(
        "drain.timeout = \"500ms\"\nlimits.write_timeout = \"10m\"\nlimits.send_queue_bytes = \"64MiB\"\n\
         engine.ping_interval = \"10m\"\n{OPEN}"
    ));
    let reader = Raw::member(&pod).await;
    // It never reads again: what is sent to it fills the socket buffers, and then its queue.
    let chunk =
        serde_json::json!({"rooms": ["public-a"], "event": "x", "args": ["x".repeat(900_000)]});
    for _ in 0..30 {
        pod.publish(&chunk).await;
    }
    pod.signal("-TERM");
    assert_eq!(pod.wait().code(), Some(0));
    let last = last_line(&pod);
    assert_eq!([&last["connections"], &last["cut"]], [1, 1]);
    drop(reader);
}

#[test]
fn a_second_signal_ends_it_now() {
    let mut pod = Pod::start("drain.delay = \"1h\"\ndrain.timeout = \"1h\"");
    pod.signal("-INT");
    wait_for("the first signal", || {
        pod.logs().iter().any(|line| line["message"] == "signal received").then_some(())
    });
    pod.signal("-TERM");
    assert_eq!(pod.wait().code(), Some(0));
}

#[test]
fn a_pod_that_logs_little_serves_and_ends_as_any() {
    for level in ["warn", "error", "off"] {
        // The addresses are not logged either.
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (public, internal) = (free().to_string(), free().to_string());
        let mut pod = roomcast()
            .args(["--listen", &public, "--internal-listen", &internal])
            .args(["--set", &format!("log.level={level}"), "--set", "drain.delay=1h"])
            .args(["--set", "drain.timeout=1h"])
            .spawn()
            .unwrap();
        wait_for("the listener", || {
            assert_eq!(pod.try_wait().unwrap(), None, "it ended with log.level = {level:?}");
            std::net::TcpStream::connect(&internal).ok()
        });
        let id = pod.id().to_string();
        let signal = |name: &str| {
            assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
        };
        signal("-TERM");
        // The first one begins the drain, which is long; the second ends it.
        wait_for("the drain", || {
            let mut stream = std::net::TcpStream::connect(&internal).unwrap();
            stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.contains(" 503 ").then_some(())
        });
        assert_eq!(pod.try_wait().unwrap(), None, "the drain waits with log.level = {level:?}");
        signal("-TERM");
        let ended = wait_for("the end", || pod.try_wait().unwrap());
        assert_eq!(ended.code(), Some(0));
    }
}

/// What the pod said last. Whatever else is there instead is told, for this is how its end is known.
fn last_line(pod: &Pod) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let logs = pod.logs();
        if let Some(line) = logs.last().filter(|line| line["message"] == "stopped") {
            return line.clone();
        }
        let last = &logs[logs.len().saturating_sub(3)..];
        assert!(begun.elapsed() < PATIENCE, "the last lines: {last:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
