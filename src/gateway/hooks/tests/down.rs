//! Hooks that hang, fail, or answer garbage.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::{StreamExt, stream};
use tokio::io::AsyncReadExt;

use super::*;

fn down<T>(reason: Down) -> Result<T, HookError> {
    Err(HookError::Down(reason))
}

#[tokio::test]
async fn a_hook_that_hangs_ends_in_time_and_keeps_no_other_waiting() {
    let (hangs, works) = (Service::hangs().await, Service::says(204, "").await);
    let longest = Duration::from_secs(4);
    let hooks = Hooks::new(&config::Hooks { timeout: longest, ..settings() });
    let (hung, other) = (hooks.at(&hangs.url()).unwrap(), hooks.at(&works.url()).unwrap());
    let began = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..32 {
        let hung = hung.clone();
        waiting.spawn(async move { event(&hung).await });
    }
    until("all wait", || hangs.received().len() == 32).await;
    event(&other).await.unwrap();
    // None of those that hang has ended: the other one did not wait for them.
    assert!(waiting.try_join_next().is_none());
    for outcome in waiting.join_all().await {
        assert_eq!(outcome, down(Down::Timeout));
    }
    assert!(began.elapsed() >= longest && began.elapsed() < LONG);
    // An event that may have been handled is not sent again.
    assert_eq!(metric("roomcast_hook_retries_total", &hung, ""), 0.0);
    assert_eq!(hangs.received().len(), 32);
}

#[tokio::test]
async fn a_question_to_a_hook_that_hangs_is_asked_again_within_the_total_time() {
    let hangs = Service::hangs().await;
    let total = Duration::from_secs(7);
    let timeout = Duration::from_secs(4);
    let hung = hangs.hook(config::Hooks { timeout, total_timeout: total, ..settings() });
    let began = Instant::now();
    assert_eq!(join(&hung).await, down(Down::Timeout));
    assert!(began.elapsed() >= total && began.elapsed() < LONG, "{:?}", began.elapsed());
    assert_eq!(metric("roomcast_hook_retries_total", &hung, "join"), 1.0);
}

#[tokio::test]
async fn an_answer_that_never_ends_ends() {
    let endless = || stream::iter(0..).map(|_| Ok::<_, Infallible>("x".repeat(100)));
    let service = Service::start(move |_| {
        Box::pin(async move { Response::new(Body::from_stream(endless())) })
    })
    .await;
    assert_eq!(event(&service.hook(settings())).await, down(Down::TooLarge));
    let refusal = Service::start(move |_| {
        Box::pin(
            async move { (StatusCode::FORBIDDEN, Body::from_stream(endless())).into_response() },
        )
    })
    .await;
    assert_eq!(event(&refusal.hook(settings())).await.unwrap_err().code(), "hook_denied");
    // The head came, and the body does not.
    let drips = Service::start(|_| {
        let never = stream::once(pending::<Result<Bytes, Infallible>>());
        Box::pin(async move { Response::new(Body::from_stream(never)) })
    })
    .await;
    let settings = config::Hooks { timeout: Duration::from_millis(250), ..settings() };
    assert_eq!(event(&drips.hook(settings)).await, down(Down::Timeout));
}

#[tokio::test]
async fn garbage_is_no_decision_and_not_asked_for_again() {
    for garbage in ["<html>", "{}", "{\"allow\":", "true"] {
        let service = Service::says(200, garbage).await;
        let hook = service.hook(settings());
        assert_eq!(join(&hook).await, down(Down::Unreadable), "{garbage}");
        assert_eq!(service.received().len(), 1);
        assert_eq!(metric("roomcast_hook_calls_total", &hook, "unreadable"), 1.0);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Service::says(200, r#"{"allow":true}"#).await;
    let location = target.url().to_string();
    let service = Service::start(move |_| {
        let headers = [("location", location.clone())];
        Box::pin(async move { (StatusCode::TEMPORARY_REDIRECT, headers).into_response() })
    })
    .await;
    assert_eq!(join(&service.hook(settings())).await, down(Down::Redirect));
    assert_eq!((service.received().len(), target.received().len()), (1, 0));
}

#[tokio::test]
async fn a_question_is_asked_again_under_the_same_id_and_an_event_is_not() {
    let flaky = || {
        Service::start(|before| match before {
            0 => reply(500, "oops"),
            _ => reply(200, r#"{"allow":true}"#),
        })
    };
    let service = flaky().await;
    let hook = service.hook(settings());
    join(&hook).await.unwrap();
    let received = service.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
    assert_eq!(metric("roomcast_hook_retries_total", &hook, "join"), 1.0);

    let service = flaky().await;
    assert_eq!(event(&service.hook(settings())).await, down(Down::Status(500)));
    assert_eq!(service.received().len(), 1);

    // Attempts are counted.
    let service = Service::says(500, "oops").await;
    assert_eq!(join(&service.hook(settings())).await, down(Down::Status(500)));
    assert_eq!(service.received().len(), 3);
}

#[tokio::test]
async fn an_event_that_the_hook_put_off_is_sent_again_when_it_said() {
    let service = Service::start(|before| match before {
        0 => Box::pin(async {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response()
        }),
        _ => reply(204, ""),
    })
    .await;
    let began = Instant::now();
    event(&service.hook(settings())).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    // Nobody waits for longer than the total time.
    let service = Service::start(|_| {
        Box::pin(async {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "3600")]).into_response()
        })
    })
    .await;
    assert_eq!(event(&service.hook(settings())).await, down(Down::Status(503)));
    assert_eq!(service.received().len(), 1);
}

#[tokio::test]
async fn an_event_is_sent_again_if_there_was_no_connection() {
    let gone = Service::says(204, "").await;
    let port = gone.port;
    let settings = config::Hooks { retries: 100, ..settings() };
    let hook = gone.hook(settings);
    drop(gone);
    let waiting = tokio::spawn({
        let hook = hook.clone();
        async move { event(&hook).await }
    });
    let retried = || metric("roomcast_hook_retries_total", &hook, "event") >= 2.0;
    until("it is not reached", retried).await;
    let _back = Service::start_at(port, |_| reply(204, "")).await;
    assert_eq!(waiting.await.unwrap().unwrap(), r#"{"accepted":true}"#);

    let nobody = HookUrl::new("http://no-such-host.invalid/").unwrap();
    let hook = Hooks::new(&super::settings()).at(&nobody).unwrap();
    assert_eq!(event(&hook).await, down(Down::Unreachable));
}

#[tokio::test]
async fn an_event_is_not_sent_again_if_the_connection_broke() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn({
        let connections = connections.clone();
        async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 4096]).await;
            }
        }
    });
    let url = HookUrl::new(&format!("http://127.0.0.1:{port}/")).unwrap();
    let hook = Hooks::new(&settings()).at(&url).unwrap();
    assert_eq!(event(&hook).await, down(Down::Lost));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert_eq!(join(&hook).await, down(Down::Lost));
    assert_eq!(connections.load(Ordering::Relaxed), 4);
    task.abort();
}

#[tokio::test]
async fn the_circuit_breaker_opens_and_closes() {
    let works = Arc::new(AtomicBool::new(false));
    let service = Service::start({
        let works = works.clone();
        move |_| match works.load(Ordering::Relaxed) {
            false => reply(503, ""),
            true => reply(204, ""),
        }
    })
    .await;
    let settings =
        config::Hooks { breaker_failures: 3, breaker_open: Duration::from_secs(5), ..settings() };
    let hook = service.hook(settings);
    let is = |state: &str| metric("roomcast_hook_breaker", &hook, &format!("\"{state}\"")) == 1.0;
    assert!(is("closed"));
    for _ in 0..3 {
        assert_eq!(event(&hook).await, down(Down::Status(503)));
    }
    assert!(is("open"));
    works.store(true, Ordering::Relaxed);
    for outcome in join_all((0..10).map(|_| event(&hook))).await {
        assert_eq!(outcome, down(Down::BreakerOpen));
    }
    assert_eq!(service.received().len(), 3);
    assert_eq!(metric("roomcast_hook_calls_total", &hook, "breaker open"), 10.0);
    let answered = async {
        while event(&hook).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, answered).await.unwrap();
    assert!(is("closed"));
    assert_eq!(service.received().len(), 4);
}

#[tokio::test]
async fn an_error_that_a_client_may_provoke_does_not_shut_off_the_hook() {
    let service = Service::start(|before| match before {
        9 => reply(204, ""),
        3 => reply(200, "<html>"),
        _ => reply(500, "oops"),
    })
    .await;
    let hook = service.hook(config::Hooks { breaker_failures: 2, ..settings() });
    for _ in 0..9 {
        assert!(event(&hook).await.is_err());
    }
    event(&hook).await.unwrap();
}

#[tokio::test]
async fn one_socket_takes_a_quarter_of_the_calls_in_flight_and_waits_for_itself() {
    let release = Arc::new(Notify::new());
    let service = Service::start({
        let release = release.clone();
        move |before| match before {
            0 => {
                let release = release.clone();
                Box::pin(async move {
                    release.notified().await;
                    StatusCode::NO_CONTENT.into_response()
                })
            }
            _ => reply(204, ""),
        }
    })
    .await;
    let settings = config::Hooks { timeout: LONG / 6, in_flight: 4, ..settings() };
    let hook = service.hook(settings);
    let mut greedy = JoinSet::new();
    for _ in 0..10 {
        let hook = hook.clone();
        greedy.spawn(async move { event_of("greedy", &hook).await });
    }
    until("one of them is there", || service.received().len() == 1).await;
    for _ in 0..20 {
        event(&hook).await.unwrap();
    }
    assert_eq!(service.received().len(), 21);
    release.notify_one();
    assert!(greedy.join_all().await.iter().all(Result::is_ok));
    assert_eq!(service.received().len(), 30);
}

#[tokio::test]
async fn calls_in_flight_are_limited_and_places_come_back() {
    let release = Arc::new(Notify::new());
    let service = Service::start({
        let release = release.clone();
        move |_| {
            let release = release.clone();
            Box::pin(async move {
                release.notified().await;
                StatusCode::NO_CONTENT.into_response()
            })
        }
    })
    .await;
    let settings =
        config::Hooks { in_flight: 2, in_flight_wait: Duration::from_millis(20), ..settings() };
    let hook = service.hook(settings);
    let mut calls = JoinSet::new();
    let call = |calls: &mut JoinSet<_>| {
        let hook = hook.clone();
        calls.spawn(async move { event(&hook).await })
    };
    let given_up = call(&mut calls);
    call(&mut calls);
    until("two are there", || service.received().len() == 2).await;
    assert_eq!(metric("roomcast_hook_in_flight", &hook, ""), 2.0);
    assert_eq!(event(&hook).await, down(Down::InFlightLimit));
    // The client of one goes.
    given_up.abort();
    until("one has gone", || metric("roomcast_hook_in_flight", &hook, "") == 1.0).await;
    call(&mut calls);
    until("the next one is there", || service.received().len() == 3).await;
    assert_eq!(event(&hook).await, down(Down::InFlightLimit));
    let released = async {
        let mut answered = 0;
        while let Some(outcome) = {
            release.notify_waiters();
            calls.join_next().await
        } {
            answered += usize::from(outcome.is_ok_and(|outcome| outcome.is_ok()));
        }
        answered
    };
    assert_eq!(timeout(LONG, released).await.unwrap(), 2);
    assert_eq!(service.received().len(), 3);
}
