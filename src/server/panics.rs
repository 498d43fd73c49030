//! The panic of a task, injected: what the pod does then.

#![allow(clippy::unwrap_used)]

use std::{future::pending, time::Duration};

use tokio::time::timeout;

use super::*;
use crate::drain::Phase;

const LONG: Duration = Duration::from_secs(30);

/// A pod that listens, and serves no clients yet.
fn pod(delay: Duration) -> Listening {
    let mut config = Config::defaults();
    config.public.listen = vec![([127, 0, 0, 1], 0).into()];
    config.internal.listen = vec![([127, 0, 0, 1], 0).into()];
    config.drain.delay = delay;
    Server::builder(config).build().unwrap().bind().unwrap()
}

async fn broken() -> Infallible {
    panic!("as a bug would")
}

#[tokio::test]
async fn a_pod_that_lost_a_task_that_it_needs_is_not_ready_then_drains_and_says_which() {
    let mut pod = pod(Duration::from_secs(2));
    let internal = pod.internal()[0];
    let lifecycle = pod.server.pod.lifecycle.clone();
    pod.server.pod.keeping_time.push(Box::pin(broken()));

    let looked = async {
        lifecycle.reached(Phase::Announced).await;
        let ask = |path: &str| reqwest::get(format!("http://{internal}/{path}"));
        let ready = ask("readyz").await.unwrap().status();
        (ready, ask("metrics").await.unwrap().text().await.unwrap())
    };
    let run = timeout(LONG, pod.run(pending(), pending()));
    let (outcome, (ready, metrics)) = tokio::join!(run, looked);
    assert_eq!(outcome.unwrap().panicked, Some("namespace deadlines"));
    assert_eq!(ready, 503);
    let series = r#"roomcast_task_panics_total{task="namespace deadlines"} "#;
    let counted = metrics.lines().find_map(|line| line.strip_prefix(series));
    assert!(counted.is_some_and(|count| count != "0"), "{counted:?}");
}

#[tokio::test]
async fn a_pod_whose_tasks_are_well_ends_when_it_is_told_to() {
    let outcome = timeout(LONG, pod(Duration::ZERO).run(async {}, pending())).await.unwrap();
    assert_eq!(outcome.panicked, None);
}
