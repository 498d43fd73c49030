//! Hooks against real services, which verify each request with the official library of Standard Webhooks.

#![allow(clippy::disallowed_methods)]

use std::{future::pending, pin::Pin};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::*;
use crate::{
    config::{Config, Secret},
    telemetry::metrics::Metrics,
};

mod down;
mod notify;
mod tls;

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const LONG: Duration = Duration::from_secs(30);

fn metrics() -> Metrics {
    Metrics::install(&Config::defaults().telemetry).unwrap()
}

/// Settings for hooks that have all the time that a busy machine may need, and come back soon.
fn settings() -> config::Hooks {
    metrics();
    config::Hooks {
        secrets: [OLD, NEW].map(Secret::new).to_vec(),
        connect_timeout: LONG,
        timeout: LONG,
        total_timeout: LONG,
        in_flight_wait: LONG,
        backoff: Duration::from_millis(5),
        max_answer: 1024,
        breaker_failures: 100,
        ..Config::defaults().hooks
    }
}

/// What a service got.
#[derive(Clone)]
struct Received {
    headers: HeaderMap,
    body: Value,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A service that hooks call, until it is dropped.
struct Service {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    task: AbortHandle,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

impl Service {
    /// Answers requests, by how many came before.
    async fn start(answer: impl Fn(usize) -> Answering + Send + Sync + 'static) -> Self {
        Self::start_at(0, answer).await
    }

    async fn start_at(
        port: u16,
        answer: impl Fn(usize) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (requests, answer) = (received.clone(), Arc::new(answer));
        let app = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            for key in [OLD, NEW] {
                if let Err(error) = Webhook::new(key).unwrap().verify(&body, &headers) {
                    return (StatusCode::IM_A_TEAPOT, error.to_string()).into_response();
                }
            }
            let body = serde_json::from_slice(&body).unwrap();
            let before = {
                let mut requests = requests.lock();
                requests.push(Received { headers, body });
                requests.len() - 1
            };
            answer(before).await
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, received, task: task.abort_handle() }
    }

    /// Always the same answer.
    async fn says(status: u16, body: &'static str) -> Self {
        Self::start(move |_| reply(status, body)).await
    }

    async fn hangs() -> Self {
        Self::start(|_| Box::pin(pending())).await
    }

    fn url(&self) -> HookUrl {
        HookUrl::new(&format!("http://127.0.0.1:{}/hook", self.port)).unwrap()
    }

    fn hook(&self, settings: config::Hooks) -> Hook {
        Hooks::new(&settings).at(&self.url()).unwrap()
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().clone()
    }
}

fn reply(status: u16, body: &'static str) -> Answering {
    Box::pin(async move { (StatusCode::from_u16(status).unwrap(), body).into_response() })
}

fn caller() -> Caller<'static> {
    Caller {
        namespace: "/",
        socket: SocketInfo { id: "abc", rooms: &[], handshake: &Value::Null, claims: None },
    }
}

/// An event of a socket of its own.
async fn event(hook: &Hook) -> Result<String, HookError> {
    event_of(&fastrand::u64(..).to_string(), hook).await
}

async fn event_of(id: &str, hook: &Hook) -> Result<String, HookError> {
    let caller = Caller { socket: SocketInfo { id, ..caller().socket }, ..caller() };
    let args = RawValue::from_string("[1]".into()).unwrap();
    hook.event(&caller, "order", &args).await.map(|ack| ack.get().to_owned())
}

async fn join(hook: &Hook) -> Result<Grant, HookError> {
    hook.join(&caller(), &["news".to_owned()]).await
}

/// The value of a metric of a hook, whose labels contain a text.
fn metric(name: &str, hook: &Hook, labels: &str) -> f64 {
    let page = metrics().render().unwrap();
    let ours = format!("hook=\"{}\"", hook.0.label);
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let lines = lines.filter(|line| line.contains(&ours) && line.contains(labels));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test]
async fn an_event_is_answered_with_the_ack() {
    let service = Service::says(200, r#"{"price": 1.50}"#).await;
    let hook = service.hook(settings());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let handshake = json!({"headers": {"traceparent": trace}});
    let socket = SocketInfo { handshake: &handshake, ..caller().socket };
    let caller = Caller { socket, ..caller() };
    let args = RawValue::from_string(r#"[{"item": "é"}]"#.into()).unwrap();
    let ack = hook.event(&caller, "order", &args).await.unwrap();
    assert_eq!(ack.get(), r#"{"price": 1.50}"#);

    let received = service.received();
    assert_eq!(received.len(), 1);
    let request = &received[0];
    assert_eq!(request.body["type"], "socket.event");
    assert_eq!(request.body["data"]["event"], "order");
    assert_eq!(request.body["data"]["args"], json!([{"item": "é"}]));
    assert_eq!(request.body["data"]["socket"]["id"], "abc");
    let sent = request.header("traceparent").unwrap();
    assert!(sent.starts_with(&trace[..36]) && sent != trace, "the next span of its trace: {sent}");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.header("user-agent").unwrap().starts_with("roomcast/"));
    assert_eq!(metric("roomcast_hook_calls_total", &hook, "kind=\"event\",result=\"ok\""), 1.0);
    assert_eq!(metric("roomcast_hook_duration_seconds_count", &hook, "event"), 1.0);
    assert_eq!(metric("roomcast_hook_in_flight", &hook, ""), 0.0);
}

#[tokio::test]
async fn no_content_accepts_an_event_and_decides_nothing() {
    let service = Service::says(204, "").await;
    let hook = service.hook(settings());
    assert_eq!(event(&hook).await.unwrap(), r#"{"accepted":true}"#);
    assert_eq!(join(&hook).await, Err(HookError::Down(Down::Unreadable)));
    assert!(service.received()[0].header("traceparent").is_some(), "a trace begins");
}

#[tokio::test]
async fn a_decision_says_who_may_do_what() {
    let answer = r#"{"allow": true, "claims": {"sub": "ada"}, "rooms": ["vip"]}"#;
    let hook = Service::says(200, answer).await;
    let (service, hook) = (&hook, hook.hook(settings()));
    for grant in [
        hook.authenticate(&caller(), Some("token")).await.unwrap(),
        hook.connect(&caller()).await.unwrap(),
        join(&hook).await.unwrap(),
    ] {
        assert_eq!(grant.claims.unwrap()["sub"], "ada");
        assert_eq!(grant.rooms.unwrap(), ["vip"]);
    }
    let bodies: Vec<_> = service.received().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies[0]["data"]["token"], "token");
    assert_eq!(bodies[1]["type"], "socket.connect");
    assert_eq!(bodies[2]["data"]["rooms"], json!(["news"]));
}

#[tokio::test]
async fn a_refusal_is_final_and_quoted() {
    let answer = r#"{"error": {"code": "banned", "message": "Not you."}}"#;
    for (status, answer, code) in [
        (403, answer, "banned"),
        (200, r#"{"allow": false, "code": "banned"}"#, "banned"),
        (404, "<html>", "hook_denied"),
        (429, "", "hook_denied"),
    ] {
        let service = Service::says(status, answer).await;
        let hook = service.hook(settings());
        let error = join(&hook).await.unwrap_err();
        assert!(matches!(error, HookError::Refused { .. }), "{error}");
        assert_eq!(error.code(), code);
        assert_eq!(service.received().len(), 1);
        assert_eq!(metric("roomcast_hook_calls_total", &hook, "refused"), 1.0);
    }
}

#[tokio::test]
async fn one_address_is_one_hook() {
    let hooks = Hooks::new(&settings());
    let [a, b] =
        ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"].map(|url| HookUrl::new(url).unwrap());
    assert!(Arc::ptr_eq(&hooks.at(&a).unwrap().0, &hooks.clone().at(&a).unwrap().0));
    assert!(!Arc::ptr_eq(&hooks.at(&a).unwrap().0, &hooks.at(&b).unwrap().0));
    let keyless = config::Hooks { secrets: Vec::new(), ..settings() };
    assert!(matches!(Hooks::new(&keyless).at(&a), Err(HookSetupError::NoKey)));
}

#[tokio::test]
async fn a_password_in_the_address_is_sent_and_not_shown() {
    let service = Service::says(204, "").await;
    let url = format!("http://user:hunter2@127.0.0.1:{}/hook?key=k1", service.port);
    let hook = Hooks::new(&settings()).at(&HookUrl::new(&url).unwrap()).unwrap();
    event(&hook).await.unwrap();
    assert_eq!(service.received()[0].header("authorization"), Some("Basic dXNlcjpodW50ZXIy"));
    assert_eq!(hook.0.label, format!("http://127.0.0.1:{}/hook", service.port));
    let page = metrics().render().unwrap();
    assert!(!page.contains("hunter2") && !page.contains("k1"));
}
