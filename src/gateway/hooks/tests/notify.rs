//! Disconnects are told when the hook can hear them, and wait in a queue that ends.

use super::*;
use crate::tasks::inject;

#[tokio::test]
async fn a_disconnect_is_told_until_it_is_heard() {
    let service = Service::start(|before| match before {
        0..=2 => reply(500, "oops"),
        3 => reply(429, ""),
        _ => reply(204, ""),
    })
    .await;
    let hooks = Hooks::new(&settings());
    let hook = hooks.at(&service.url()).unwrap();
    hook.disconnect(&caller(), "ping timeout");
    timeout(LONG, hooks.flushed()).await.unwrap();
    let received = service.received();
    assert_eq!(received.len(), 5);
    let id = |request: &Received| request.header("webhook-id").unwrap().to_owned();
    assert!(received.iter().all(|request| id(request) == id(&received[0])));
    assert_eq!(received[0].body["type"], "socket.disconnect");
    assert_eq!(received[0].body["data"]["reason"], "ping timeout");
    until("the queue is empty", || metric("roomcast_hook_queue", &hook, "") == 0.0).await;
    assert_eq!(
        metric("roomcast_hook_calls_total", &hook, "kind=\"disconnect\",result=\"ok\""),
        1.0
    );
    assert_eq!(metric("roomcast_hook_notifications_dropped_total", &hook, ""), 0.0);
}

#[tokio::test]
async fn what_does_not_fit_or_is_not_heard_is_dropped_and_counted() {
    let service = Service::hangs().await;
    let settings = config::Hooks {
        disconnect_queue: 3,
        disconnect_timeout: Duration::from_millis(400),
        ..settings()
    };
    let hooks = Hooks::new(&settings);
    let hook = hooks.at(&service.url()).unwrap();
    for _ in 0..5 {
        hook.disconnect(&caller(), "transport close");
    }
    let dropped = |reason| metric("roomcast_hook_notifications_dropped_total", &hook, reason);
    assert_eq!(metric("roomcast_hook_queue", &hook, ""), 3.0);
    assert_eq!(dropped("queue full"), 2.0);
    timeout(LONG, hooks.flushed()).await.unwrap();
    assert_eq!(dropped("failed"), 3.0);
    assert_eq!(metric("roomcast_hook_queue", &hook, ""), 0.0);
}

#[tokio::test]
async fn a_crowd_that_goes_leaves_room_for_questions_and_waits_for_the_breaker() {
    let service = Service::start(|before| match before {
        0 | 1 => reply(503, ""),
        _ => reply(200, r#"{"allow":true}"#),
    })
    .await;
    let settings = config::Hooks {
        in_flight: 2,
        breaker_failures: 2,
        breaker_open: Duration::from_secs(5),
        ..settings()
    };
    let hooks = Hooks::new(&settings);
    let hook = hooks.at(&service.url()).unwrap();
    for _ in 0..50 {
        hook.disconnect(&caller(), "transport close");
    }
    until("the breaker is open", || metric("roomcast_hook_breaker", &hook, "\"open\"") == 1.0)
        .await;
    assert_eq!(join(&hook).await, Err(HookError::Down(Down::BreakerOpen)));
    until("the breaker is closed", || metric("roomcast_hook_breaker", &hook, "closed") == 1.0)
        .await;
    join(&hook).await.unwrap();
    timeout(LONG, hooks.flushed()).await.unwrap();
    // Two failed, one question.
    assert_eq!(service.received().len(), 50 + 2 + 1);
}

#[tokio::test]
async fn notifications_take_a_quarter_of_the_calls_in_flight() {
    let service = Service::start(|before| match before {
        0 => Box::pin(pending()),
        _ => reply(200, r#"{"allow":true}"#),
    })
    .await;
    let hook = service.hook(config::Hooks { in_flight: 4, ..settings() });
    for _ in 0..10 {
        hook.disconnect(&caller(), "transport close");
    }
    until("one is told", || service.received().len() == 1).await;
    for _ in 0..20 {
        join(&hook).await.unwrap();
    }
    let told = service.received().into_iter();
    let told = told.filter(|request| request.body["type"] == "socket.disconnect");
    assert_eq!(told.count(), 1);
    assert_eq!(metric("roomcast_hook_queue", &hook, ""), 10.0);
}

#[tokio::test]
async fn one_that_panics_is_dropped_and_leaves_its_place() {
    let service = Service::says(204, "").await;
    let hooks = Hooks::new(&config::Hooks { disconnect_queue: 1, ..settings() });
    let hook = hooks.at(&service.url()).unwrap();
    inject::next("hook notification");
    hook.disconnect(&caller(), "ping timeout");
    timeout(LONG, hooks.flushed()).await.unwrap();
    until("it is counted", || inject::counted("hook notification") == 1).await;
    until("the queue is empty", || metric("roomcast_hook_queue", &hook, "") == 0.0).await;
    assert_eq!(metric("roomcast_hook_notifications_dropped_total", &hook, "failed"), 1.0);
    hook.disconnect(&caller(), "transport close");
    timeout(LONG, hooks.flushed()).await.unwrap();
    assert_eq!(service.received().len(), 1);
    assert_eq!(metric("roomcast_hook_notifications_dropped_total", &hook, ""), 1.0);
}
