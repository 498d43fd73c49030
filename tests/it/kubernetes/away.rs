//! No cluster, an API server that is not there, and one that never answers: a pod starts, serves and ends.

use std::{net::TcpListener, process::Command};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::{ALL, requests};
use crate::support::{OPEN, Pod, config_file, get, roomcast};

/// A service account whose token nobody knows.
fn account() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, .. } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    for (file, text) in
        [("token", "t".to_owned()), ("ca.crt", cert.pem()), ("namespace", "n".into())]
    {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

/// Starts a pod whose API server is at a port.
fn start(port: u16) -> (Pod, tempfile::TempDir) {
    let account = account();
    let port = port.to_string();
    let pod = Pod::start_with(
        &format!("{ALL}{OPEN}"),
        &[
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
            ("KUBERNETES_SERVICE_PORT", &port),
            ("K8S_POD_NAME", "chat-0"),
            ("ROOMCAST__KUBERNETES__ENABLED", "true"),
            ("ROOMCAST__KUBERNETES__SERVICE_ACCOUNT", account.path().to_str().unwrap()),
        ],
    );
    (pod, account)
}

/// It serves, and ends as if nothing were.
async fn goes_on(mut pod: Pod) {
    assert_eq!(pod.readyz().await, 200);
    let poll = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
    assert_eq!(get(&poll).await.0, 200);
    pod.signal("-TERM");
    assert_eq!(pod.wait().code(), Some(0));
    let logs = pod.logs();
    let warnings: Vec<_> = logs
        .iter()
        .filter(|line| line["level"] == "WARN")
        .filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with("Kubernetes")))
        .collect();
    let mut requests: Vec<_> = warnings.iter().map(|line| line["request"].to_string()).collect();
    requests.sort_unstable();
    let count = requests.len();
    requests.dedup();
    assert!(count > 0 && requests.len() == count, "one warning each: {warnings:#?}");
}

#[tokio::test]
async fn an_api_server_that_is_away_is_not_missed() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (pod, _account) = start(port);
    pod.metric_reaches(&requests("create accessreviews", "unreachable"), 1.0).await;
    pod.metric_reaches(&requests("list endpointslices", "unreachable"), 2.0).await;
    goes_on(pod).await;
}

#[tokio::test]
async fn an_api_server_that_never_answers_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (pod, _account) = start(listener.local_addr().unwrap().port());
    assert_eq!(pod.readyz().await, 200);
    pod.metric_reaches(&requests("create accessreviews", "timeout"), 1.0).await;
    goes_on(pod).await;
}

#[tokio::test]
async fn without_a_cluster_it_asks_nobody_and_does_not_start_if_it_is_to() {
    let run = |variables: &[(&str, &str)]| {
        let mut command: Command = roomcast();
        command.args(["--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"]);
        command.env_remove("KUBERNETES_SERVICE_HOST").envs(variables.iter().copied());
        let output = command.env("ROOMCAST__KUBERNETES__ENABLED", "true").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(&[]);
    assert_eq!(code, Some(1));
    let line = error.lines().last().unwrap();
    for part in ["kubernetes.enabled = true", "KUBERNETES_SERVICE_HOST", "set it to false"] {
        assert!(line.contains(part), "{error}");
    }
    let (_, error) = run(&[("KUBERNETES_SERVICE_HOST", "127.0.0.1")]);
    assert!(error.contains("kubernetes.service_account") && error.contains("token"), "{error}");
    let account = account();
    let folder = account.path().to_str().unwrap();
    let (_, error) = run(&[
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("ROOMCAST__KUBERNETES__SERVICE_ACCOUNT", folder),
    ]);
    assert!(error.contains("K8S_POD_NAME") && error.contains("deletion_cost"), "{error}");
    std::fs::write(account.path().join("ca.crt"), "nothing").unwrap();
    let (_, error) = run(&[
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("K8S_POD_NAME", "chat-0"),
        ("ROOMCAST__KUBERNETES__SERVICE_ACCOUNT", folder),
    ]);
    assert!(error.contains("no certificate in PEM"), "{error}");

    // It is no error of the configuration, which may be checked anywhere.
    let file = config_file("kubernetes.enabled = true");
    let check = roomcast().args(["check-config", "--config"]).arg(file.path()).output().unwrap();
    assert!(check.status.success());
    let pod = Pod::start(OPEN);
    assert!(
        !get(&format!("http://{}/metrics", pod.internal)).await.1.contains("roomcast_kubernetes")
    );
}
