//! `roomcast top` against real pods.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    scale::{member, open},
    support::{API_KEY, PATIENCE, Pod, Redis, roomcast, wait_for},
};

fn top(pod: &Pod, args: &[&str]) -> Command {
    let mut command = roomcast();
    command.args(["top", "--url", &format!("http://{}", pod.internal)]).args(args);
    command.env_remove("ROOMCAST_API_KEY");
    command
}

/// One table, by words.
fn once(pod: &Pod, args: &[&str]) -> (Vec<Vec<String>>, Output) {
    let output = top(pod, &["--once", "--interval", "200ms"]).args(args).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    (text.lines().map(words).collect(), output)
}

#[tokio::test]
async fn a_table_of_two_pods_has_their_connections() {
    let redis = Redis::start();
    let settings = member(&redis, "");
    let mut pods = vec![Pod::start(&settings), Pod::start(&settings)];
    open(&pods[0], 3).await;
    open(&pods[1], 4).await;
    let key = ["--api-key", API_KEY];
    let lines = wait_for("both pods", || {
        let (lines, _) = once(&pods[0], &key);
        (lines.len() == 4).then_some(lines)
    });
    assert_eq!(lines[0][..3], ["POD", "PHASE", "CONNECTIONS"]);
    for (pod, connections) in pods.iter().zip(["3", "4"]) {
        let line = lines.iter().find(|line| line[0] == pod.internal).unwrap();
        assert_eq!(line[1..3], ["serving", connections]);
        assert_eq!(line.last().unwrap(), "MiB");
    }
    assert_eq!(lines[3][..3], ["2", "pods", "7"]);

    // Emits come while it looks.
    let emits = async {
        loop {
            assert_eq!(pods[0].publish(&json!({"event": "x"})).await.0, 200);
        }
    };
    let looks = async {
        let begun = Instant::now();
        loop {
            let mut command =
                top(&pods[1], &["--once", "--interval", "200ms", "--api-key", API_KEY]);
            let output = tokio::task::spawn_blocking(move || command.output());
            let output = output.await.unwrap().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let all: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
            // `2 pods 7`, then the rate.
            if all[3].parse::<f64>().is_ok_and(|rate| rate > 0.0) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{text}");
        }
    };
    tokio::select! {
        _ = emits => {}
        () = looks => {}
    }

    // One that is gone without a word is shown as such, as long as its record is there.
    let gone = pods.remove(1);
    let name = gone.internal.clone();
    drop(gone);
    let (lines, _) = once(&pods[0], &key);
    let line = lines.iter().find(|line| line[0] == name).unwrap();
    assert_eq!(line[1..3], ["no", "answer"]);
    assert_eq!(lines[3][..4], ["2", "pods", "1", "silent"]);
}

#[test]
fn without_a_key_it_shows_one_pod_and_says_so() {
    let pod = Pod::start("[namespaces.\"/\"]\nauth = \"none\"");
    let (lines, output) = once(&pod, &[]);
    assert!(output.status.success());
    assert_eq!(lines[1][1..3], ["serving", "0"]);
    assert_eq!(lines[2][..2], ["1", "pod"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("there is no key of the API"), "{told}");
    let (_, output) = once(&pod, &["--api-key", "another-key-of-no-pod"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("api_disabled"), "{told}");
    // Without a terminal it is the same without the flag.
    let output = top(&pod, &["--interval", "200ms"]).stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("POD "));
}

#[test]
fn a_pod_that_is_not_there_is_a_failure_in_bounded_time() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let begun = Instant::now();
    let output = roomcast()
        .args(["top", "--once", "--url", &format!("http://{address}"), "--api-key", API_KEY])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("no answer in time"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let output = roomcast().args(["top", "--interval", "1ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}

/// In a terminal of its own, which `script` (util-linux) makes and writes down.
#[tokio::test]
async fn in_a_terminal_it_stays_until_somebody_quits() {
    let pod = Pod::start("[namespaces.\"/\"]\nauth = \"none\"");
    open(&pod, 23).await;
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("screen");
    let line = format!(
        "stty cols 120 rows 30; {} top --interval 200ms --url http://{}; echo ended $?",
        env!("CARGO_BIN_EXE_roomcast"),
        pod.internal
    );
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &line])
        .arg(&written)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    // The first line is that of `script`.
    let screen = || {
        let text =
            String::from_utf8_lossy(&std::fs::read(&written).unwrap_or_default()).into_owned();
        text.split_once('\n').map(|(_, text)| text.to_owned()).unwrap_or_default()
    };
    // The cursor is put somewhere, and then the number.
    wait_for("the connections of the pod", || screen().contains("H23").then_some(()));
    assert!(screen().contains("CONNECTIONS") && screen().contains("serving"));
    assert!(!screen().contains("ended"));
    keys.write_all(b"q").unwrap();
    keys.flush().unwrap();
    wait_for("its end", || screen().contains("ended 0").then_some(()));
    // The terminal is as it was: out of the other screen.
    assert!(screen().contains("\u{1b}[?1049l"));
    drop(keys);
    let _ = terminal.wait();
}
