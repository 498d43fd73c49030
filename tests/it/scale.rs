//! What an autoscaler reads: `/scale/connections` and metrics of the runtime.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{API_KEY, OPEN, PATIENCE, Pod, Redis, get};

/// Opens sessions of clients that poll.
pub async fn open(pod: &Pod, count: usize) {
    for _ in 0..count {
        let url = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
        assert_eq!(get(&url).await.0, 200);
    }
}

/// Settings of a pod of this cluster, with a limit.
pub fn member(redis: &Redis, more: &str) -> String {
    format!(
        "{OPEN}\n[engine]\nping_interval = \"10m\"\n[admission]\nmax_connections = 100\n[backplane]\nkind = \"pubsub\"\nurl = \"{}\"\nheartbeat = \"100ms\"\n{more}",
        redis.url()
    )
}

async fn figures(pod: &Pod, query: &str) -> (u16, Value) {
    let (status, body) = get(&format!("http://{}/scale/connections{query}", pod.internal)).await;
    (status, serde_json::from_str(&body).unwrap())
}

/// Waits until the cluster is what it should be; a smaller number on the way there is a failure.
async fn becomes(pod: &Pod, expected: &Value, never_below: u64) {
    let begun = Instant::now();
    loop {
        let (status, now) = figures(pod, "?scope=cluster").await;
        if status == 200 && now == *expected {
            return;
        }
        if status == 200 {
            assert!(now["connections"].as_u64().unwrap() >= never_below, "{now}");
        } else {
            assert_eq!((status, &now["error"]["code"]), (503, &json!("cluster_unknown")));
        }
        assert!(begun.elapsed() < PATIENCE, "{now} should be {expected}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_pod_says_how_full_it_is_without_a_key() {
    let pod = Pod::start("[namespaces.\"/\"]\nauth = \"none\"\n[admission]\nmax_connections = 8");
    let empty = json!({"connections": 0, "limit": 8, "utilization": 0.0});
    assert_eq!(figures(&pod, "").await, (200, empty));
    open(&pod, 2).await;
    let two = json!({"connections": 2, "limit": 8, "utilization": 0.25});
    assert_eq!(figures(&pod, "").await, (200, two.clone()));
    assert_eq!(figures(&pod, "?scope=pod").await, (200, two));
    let all = json!({"connections": 2, "limit": 8, "utilization": 0.25, "pods": 1, "draining": 0});
    assert_eq!(figures(&pod, "?scope=cluster").await, (200, all));
    for wrong in ["?scope=node", "?scope=", "?scope=pod&scope=cluster", "?scop=pod"] {
        let (status, body) = figures(&pod, wrong).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("invalid_request")), "{wrong}");
    }

    let unlimited = Pod::start("[namespaces.\"/\"]\nauth = \"none\"");
    let none = json!({"connections": 0, "limit": null, "utilization": null});
    assert_eq!(figures(&unlimited, "").await, (200, none));
}

#[tokio::test]
async fn three_pods_add_up_and_a_drain_takes_no_connection_away() {
    let redis = Redis::start();
    // The drain closes nobody while this runs.
    let settings = member(&redis, "[drain]\ndelay = \"60s\"\nwindow = \"1s\"\ntimeout = \"90s\"");
    let mut pods: Vec<_> = (0..3).map(|_| Pod::start(&settings)).collect();
    for (pod, count) in pods.iter().zip([3, 4, 5]) {
        open(pod, count).await;
    }
    let whole =
        json!({"connections": 12, "limit": 300, "utilization": 0.04, "pods": 3, "draining": 0});
    for pod in &pods {
        becomes(pod, &whole, 0).await;
    }
    pods[2].signal("-TERM");
    let draining =
        json!({"connections": 12, "limit": 200, "utilization": 0.06, "pods": 3, "draining": 1});
    for pod in &pods {
        becomes(pod, &draining, 12).await;
    }
    // Of itself it says what it has.
    let own = json!({"connections": 5, "limit": 100, "utilization": 0.05});
    assert_eq!(figures(&pods[2], "").await, (200, own));
    // A second signal ends it.
    let mut last = pods.pop().unwrap();
    last.signal("-TERM");
    last.wait();
    let rest =
        json!({"connections": 7, "limit": 200, "utilization": 0.035, "pods": 2, "draining": 0});
    becomes(&pods[0], &rest, 7).await;
}

#[tokio::test]
async fn a_pod_without_redis_says_nothing_of_the_others() {
    let mut redis = Redis::start();
    let settings = member(&redis, "timeout = \"500ms\"\nready_when_away = true");
    let pods = [Pod::start(&settings), Pod::start(&settings)];
    for pod in &pods {
        open(pod, 2).await;
    }
    let whole =
        json!({"connections": 4, "limit": 200, "utilization": 0.02, "pods": 2, "draining": 0});
    for pod in &pods {
        becomes(pod, &whole, 0).await;
    }
    redis.kill();
    for pod in &pods {
        let begun = Instant::now();
        loop {
            let (status, body) = figures(pod, "?scope=cluster").await;
            if status == 503 {
                assert_eq!(body["error"]["code"], "cluster_unknown");
                break;
            }
            assert_eq!((status, &body), (200, &whole));
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Of itself it knows all.
        assert_eq!(figures(pod, "").await.0, 200);
    }
    // It comes back empty: nobody is told of half a cluster.
    redis.restart();
    for pod in &pods {
        becomes(pod, &whole, 4).await;
    }
}

#[tokio::test]
async fn what_the_runtime_and_the_allocator_do_is_there_to_be_scraped() {
    let pod = Pod::start("[namespaces.\"/\"]\nauth = \"none\"");
    for name in ["roomcast_runtime_busy_ratio ", "roomcast_runtime_delay_seconds_count "] {
        let (_, page) = get(&format!("http://{}/metrics", pod.internal)).await;
        assert!(page.lines().any(|line| line.starts_with(name)), "{name}");
    }
    pod.metric_reaches("roomcast_runtime_delay_seconds_count", 3.0).await;
    pod.metric_reaches("roomcast_runtime_busy_ratio", f64::MIN_POSITIVE).await;
    assert!(pod.metric("roomcast_runtime_busy_ratio").await <= 1.0);
    pod.metric_reaches("roomcast_allocator_bytes{state=\"in_use\"}", 1e5).await;
    let held = pod.metric("roomcast_allocator_bytes{state=\"held\"}").await;
    let resident = pod.metric("process_resident_memory_bytes").await;
    assert!(held > 1e5 && held <= resident * 1.5, "{held} of {resident}");
}

/// Open files and their limit are those that the kernel tells of.
#[tokio::test]
async fn open_files_and_their_limit_are_there_to_be_scraped() {
    let pod = Pod::start_within_files("[namespaces.\"/\"]\nauth = \"none\"", 300);
    assert!((pod.metric("process_max_fds ").await - 300.0).abs() < 0.5);
    let there = std::fs::read_dir(format!("/proc/{}/fd", pod.id())).unwrap().count() as f64;
    let told = pod.metric("process_open_fds ").await;
    // The scrape is a connection itself, and reading the folder opens it.
    assert!((told - there).abs() <= 3.0, "{told} of {there}");
}

#[tokio::test]
async fn metrics_can_be_off_and_then_say_so() {
    let pod = Pod::start(&format!("{OPEN}\n[telemetry]\nmetrics = false"));
    let (status, body) = get(&format!("http://{}/metrics", pod.internal)).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["error"]["code"]), (404, &json!("metrics_off")));
    // All else works.
    open(&pod, 1).await;
    assert_eq!(figures(&pod, "").await.1["connections"], 1);
    let (status, _) = pod.publish_raw(Some(API_KEY), json!({"event": "x"}).to_string()).await;
    assert_eq!(status, 200);
}
