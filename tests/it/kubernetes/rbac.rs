//! Each verb that the chart grants is used, and each one that is taken away is noticed.

use std::process::Output;

use super::{ALL, Lab, lab::GRANTED, requests};
use crate::support::{OPEN, Pod, config_file, get, roomcast, wait_for};

/// `roomcast doctor` in the place of the pod.
fn doctor(lab: &Lab, config: &str) -> (String, Output) {
    let file = config_file(config);
    let output = roomcast()
        .args(["doctor", "--timeout", "1s", "--config"])
        .arg(file.path())
        .envs(lab.variables())
        .output()
        .unwrap();
    (String::from_utf8(output.stdout.clone()).unwrap(), output)
}

fn missing(permission: &str) -> String {
    format!("roomcast_kubernetes_permission_missing{{permission=\"{permission}\"}}")
}

fn warnings(pod: &Pod, of: &str) -> Vec<String> {
    let logs = pod.logs();
    let warnings = logs.iter().filter(|line| line["level"] == "WARN").map(ToString::to_string);
    warnings.filter(|line| line.contains(of)).collect()
}

#[tokio::test]
async fn nothing_is_missing_where_all_is_granted() {
    let Some(lab) = Lab::new() else { return };
    let pod = Pod::start_with(&format!("{ALL}{OPEN}"), &lab.variables());
    pod.metric_reaches(&requests("create accessreviews", "ok"), GRANTED.len() as f64).await;
    pod.metric_reaches(&requests("list endpointslices", "ok"), 1.0).await;
    assert_eq!(pod.metric("roomcast_kubernetes_permission_missing").await, 0.0);
    assert_eq!(warnings(&pod, "Kubernetes:"), Vec::<String>::new());
    let (lines, _) = doctor(&lab, &format!("{ALL}{OPEN}"));
    for (verb, resource, _) in GRANTED {
        assert!(lines.contains(&format!("ok       rbac: {verb} {resource} (")), "{lines}");
    }
    assert!(
        lines.contains("ok       grace period: terminationGracePeriodSeconds is 60s"),
        "{lines}"
    );
}

#[tokio::test]
async fn each_verb_that_is_taken_away_is_noticed_and_all_else_goes_on() {
    for taken in 0..GRANTED.len() {
        let mut granted = GRANTED.to_vec();
        let (verb, resource, group) = granted.remove(taken);
        let Some(lab) = Lab::with(&granted) else { return };
        let name = format!("{verb} {resource}");
        let config = format!("{ALL}{OPEN}");
        let mut pod = Pod::start_with(&config, &lab.variables());
        pod.metric_reaches(&missing(&name), 1.0).await;
        pod.metric_reaches(&requests("create accessreviews", "ok"), GRANTED.len() as f64).await;
        assert_eq!(pod.metric("roomcast_kubernetes_permission_missing").await, 1.0, "{name}");
        let told = wait_for("the warning", || {
            Some(warnings(&pod, "may not do this")).filter(|lines| !lines.is_empty())
        });
        assert_eq!(told.len(), 1, "{told:?}");
        for part in [&*name, group, "verbs: ["] {
            assert!(told[0].contains(part), "{part}: {told:?}");
        }
        // The rest of its work is done.
        if resource != "pods" {
            wait_for("the cost", || (lab.deletion_cost() == "0").then_some(()));
        }
        if verb == "get" {
            wait_for("the cost", || (lab.deletion_cost() == "0").then_some(()));
        }
        assert_eq!(pod.readyz().await, 200);
        let poll = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
        assert_eq!(get(&poll).await.0, 200);

        let (lines, output) = doctor(&lab, &config);
        let line = format!("error    rbac: {name} is refused, for kubernetes.");
        assert!(lines.contains(&line), "{lines}");
        assert!(lines.contains(&format!("verbs: [{verb}]}}")), "{lines}");
        assert_eq!(lines.matches("is refused, for").count(), 1, "{lines}");
        assert_eq!(output.status.code(), Some(1));

        pod.signal("-TERM");
        assert_eq!(pod.wait().code(), Some(0));
    }
}

#[tokio::test]
async fn what_is_taken_away_from_a_pod_that_runs_is_a_refusal() {
    let Some(lab) = Lab::new() else { return };
    let mut pod = Pod::start_with(&format!("{ALL}{OPEN}"), &lab.variables());
    wait_for("the cost", || (lab.deletion_cost() == "0").then_some(()));
    pod.metric_reaches(&requests("list endpointslices", "ok"), 1.0).await;
    lab.grant(&[]);
    // A role takes a moment.
    let account = format!("system:serviceaccount:{}:chat", lab.namespace);
    wait_for("the role", || {
        let rules = lab.kubectl(&["auth", "can-i", "--list", "--as", &account], None);
        (!rules.contains("endpointslices")).then_some(())
    });
    pod.signal("-TERM");
    assert_eq!(pod.wait().code(), Some(0), "it ends all the same");
    let told = warnings(&pod, "create events");
    assert!(!told.is_empty() && told[0].contains("403"), "{told:?}");
    assert!(told.len() <= 2, "once each for what becomes of it: {told:?}");
}
