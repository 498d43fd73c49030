//! What a pod asks of Kubernetes, of a real API server; and of none, or one that is away.

mod away;
mod lab;
mod peers;
mod rbac;

use std::time::{Duration, Instant};

use self::lab::Lab;
use super::{
    scale::open,
    support::{OPEN, PATIENCE, Pod, Redis, wait_for},
};

/// All of it is on.
const ALL: &str = "kubernetes.peers_service = \"chat-headless\"\n";

/// The counter of a request that came to this.
fn requests(request: &str, result: &str) -> String {
    format!("roomcast_kubernetes_requests_total{{request=\"{request}\",result=\"{result}\"}}")
}

async fn count(pod: &Pod, request: &str, result: &str) -> f64 {
    pod.metric(&requests(request, result)).await
}

#[tokio::test]
async fn the_deletion_cost_of_a_pod_is_its_connections() {
    let Some(lab) = Lab::new() else { return };
    let pod = Pod::start_with(
        &format!("engine.ping_interval = \"10m\"\nengine.connect_timeout = \"10m\"\n{OPEN}"),
        &lab.variables(),
    );
    wait_for("the cost of an empty pod", || (lab.deletion_cost() == "0").then_some(()));
    open(&pod, 7).await;
    // It is written once a minute at most.
    let begun = Instant::now();
    while lab.deletion_cost() != "7" {
        assert!(begun.elapsed() < 3 * PATIENCE, "{:#?}", pod.logs());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(count(&pod, "patch pods", "ok").await, 2.0);
    assert_eq!(count(&pod, "get pods", "ok").await, 1.0);
}

#[tokio::test]
async fn a_cost_that_is_left_of_a_container_before_is_not_written_again() {
    let Some(lab) = Lab::new() else { return };
    for (left, writes) in [("0", 0.0), ("5", 1.0)] {
        let annotation = format!("controller.kubernetes.io/pod-deletion-cost={left}");
        lab.kubectl(&["annotate", "--overwrite", "pod", "chat-0", &annotation], None);
        let pod = Pod::start_with(OPEN, &lab.variables());
        pod.metric_reaches(&requests("get pods", "ok"), 1.0).await;
        if writes > 0.0 {
            wait_for("the cost of an empty pod", || (lab.deletion_cost() == "0").then_some(()));
        }
        assert_eq!(count(&pod, "patch pods", "ok").await, writes, "{left}");
    }
}

#[tokio::test]
async fn events_tell_of_the_backplane_and_of_a_drain() {
    let Some(lab) = Lab::new() else { return };
    let mut redis = Redis::start();
    let settings = format!(
        "drain.delay = \"1s\"\n{OPEN}\n[backplane]\nkind = \"pubsub\"\nurl = \"{}\"\nheartbeat = \"100ms\"\ntimeout = \"500ms\"\n",
        redis.url()
    );
    let mut pod = Pod::start_with(&settings, &lab.variables());
    pod.metric_reaches("roomcast_backplane_connected", 1.0).await;
    redis.kill();
    let lost = lab.event("BackplaneLost", 1);
    assert_eq!(lost["type"], "Warning");
    assert_eq!(lost["regarding"]["name"], "chat-0");
    assert_eq!(lost["regarding"]["kind"], "Pod");
    assert_eq!(lost["reportingInstance"], "chat-0");
    redis.restart();
    assert_eq!(lab.event("BackplaneBack", 1)["type"], "Normal");
    // The second time counts on the first.
    redis.kill();
    lab.event("BackplaneLost", 2);
    redis.restart();
    lab.event("BackplaneBack", 2);
    assert!(count(&pod, "create events", "ok").await >= 2.0);
    assert!(count(&pod, "patch events", "ok").await >= 2.0);
    open(&pod, 2).await;
    pod.signal("-TERM");
    assert_eq!(pod.wait().code(), Some(0));
    let began = lab.event("DrainBegan", 1);
    assert!(began["note"].as_str().unwrap().starts_with("2 connections"), "{began}");
    let ended = lab.event("DrainEnded", 1);
    assert!(ended["note"].as_str().unwrap().starts_with("2 connections closed"), "{ended}");
    assert_eq!(
        lab.event("BackplaneLost", 2)["series"]["count"],
        2,
        "a pod that leaves has lost nothing"
    );
}
