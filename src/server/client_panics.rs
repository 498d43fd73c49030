//! The panic of a task that serves one client, injected: what that client sees, and that nobody else does.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::*;
use crate::{
    Event, Namespace, Reply,
    client::{Backoff, Client, State, Transport},
    config::{AuthPolicy, Limits, OverLimit, Secret},
    tasks::inject,
};

const LONG: Duration = Duration::from_secs(30);
const WEBSOCKET: &[Transport] = &[Transport::WebSocket];
const UPGRADE: &[Transport] = &[Transport::Polling, Transport::WebSocket];
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// A pod in this thread, so that a panic is that of its own tasks.
struct Pod {
    url: String,
    sessions: Arc<Sessions>,
    edge: Arc<Edge>,
    metrics: Metrics,
    _stop: oneshot::Sender<()>,
}

impl Pod {
    fn start(namespace: Namespace) -> Self {
        Self::start_with(Config::defaults(), namespace)
    }

    fn start_with(mut config: Config, namespace: Namespace) -> Self {
        config.public.listen = vec![([127, 0, 0, 1], 0).into()];
        config.internal.listen = vec![([127, 0, 0, 1], 0).into()];
        config.public.request_timeout = Duration::from_secs(1);
        let pod = Server::builder(config).namespaces([namespace]).build().unwrap().bind().unwrap();
        let url = format!("http://{}", pod.public()[0]);
        let super::Pod { sessions, edge, metrics, .. } = &pod.server.pod;
        let (sessions, edge, metrics) = (sessions.clone(), edge.clone(), metrics.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move { pod.run(async { drop(stopped.await) }, pending()).await });
        Self { url, sessions, edge, metrics, _stop: stop }
    }

    fn client(&self, namespace: &str, transports: &[Transport]) -> Client {
        let soon = Backoff::default().first(Duration::from_millis(20));
        let client = Client::builder(format!("{}{namespace}", self.url)).reconnect(soon);
        client.transports(transports.iter().copied()).build().unwrap()
    }

    async fn connect(&self, transports: &[Transport]) -> Client {
        let client = self.client("", transports);
        in_time(client.connect()).await.unwrap();
        client
    }

    async fn get(&self, query: &str) -> (u16, String) {
        let answer = in_time(reqwest::get(format!("{}{POLLING}{query}", self.url))).await.unwrap();
        (answer.status().as_u16(), in_time(answer.text()).await.unwrap())
    }

    async fn post(&self, sid: &str, body: &'static str) -> u16 {
        let url = format!("{}{POLLING}&sid={sid}", self.url);
        let posted = reqwest::Client::new().post(url).body(body).send();
        in_time(posted).await.unwrap().status().as_u16()
    }

    /// Opens a polling session that is in `/`.
    async fn poll(&self) -> String {
        let (status, open) = self.get("").await;
        assert_eq!(status, 200);
        let open: Value = serde_json::from_str(&open[1..]).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        assert_eq!(self.post(&sid, "40").await, 200);
        assert_eq!(self.get(&format!("&sid={sid}")).await.0, 200);
        sid
    }

    /// The value of a series.
    fn metric(&self, series: &str) -> f64 {
        let page = self.metrics.render().unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(series)).unwrap_or("0");
        value.trim().parse().unwrap()
    }

    async fn open_connections(&self, count: usize) {
        until("connections", || self.sessions.open() == count).await;
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(LONG, work).await.unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn counted(name: &'static str, count: usize) {
    until(name, || inject::counted(name) == count).await;
}

fn open() -> Namespace {
    Namespace::new("/")
        .authentication(AuthPolicy::None)
        .on("now", |_: &Event<'_>| Reply::json("now"))
        .on("later", |_: &Event<'_>| {
            Ok(Reply::later(async {
                sleep(Duration::from_millis(1)).await;
                Reply::json("later")
            }))
        })
}

async fn ask(client: &Client, event: &str) -> Value {
    in_time(client.emit_with_ack(event, &json!(1))).await.unwrap()
}

#[tokio::test]
async fn a_connection_is_closed_and_the_next_one_is_served() {
    let pod = Pod::start(open());
    let address = pod.url.strip_prefix("http://").unwrap();
    inject::next("connection");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(b"GET /").await;
    // Closed, or reset for what was not read.
    let read = in_time(stream.read(&mut [0; 64])).await;
    assert!(!matches!(read, Ok(1..)), "{read:?}");
    assert_eq!(inject::counted("connection"), 1);
    assert_eq!(pod.get("").await.0, 200);
}

#[tokio::test]
async fn a_request_is_answered_500_and_the_next_one_on_its_connection_is_served() {
    let pod = Pod::start(open());
    let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().unwrap();
    inject::next("request");
    let url = format!("{}{POLLING}", pod.url);
    let answer = in_time(client.get(&url).send()).await.unwrap();
    let from = answer.remote_addr();
    assert_eq!(answer.status(), 500);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "internal_error");
    assert_eq!(inject::counted("request"), 1);
    let answer = in_time(client.get(&url).send()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.remote_addr()), (200, from));
}

#[tokio::test]
async fn a_websocket_is_closed_at_once_and_its_client_comes_back() {
    let pod = Pod::start(open());
    let (client, other) = (pod.connect(WEBSOCKET).await, pod.connect(WEBSOCKET).await);
    let ids = || [client.id(), other.id()];
    // Its stream reads, reads again, writes, and flushes: any of these may be the one, and of either client.
    for step in 0..4 {
        let before = ids();
        inject::after(step, "connection");
        let _: Result<Value, _> = in_time(client.emit_with_ack("now", &1)).await;
        counted("connection", step + 1).await;
        let moved = || (0..2).filter(|each| ids()[*each] != before[*each]).count();
        let connected = || [&client, &other].iter().all(|client| client.state().is_connected());
        until("one is back", || moved() > 0 && connected()).await;
        assert_eq!(moved(), 1);
        for each in [&client, &other] {
            assert_eq!(ask(each, "now").await, "now");
        }
    }
    pod.open_connections(2).await;
}

#[tokio::test]
async fn a_client_whose_upgrade_panics_goes_on_with_polling() {
    let pod = Pod::start(open());
    inject::next("upgrade");
    let client = pod.connect(UPGRADE).await;
    counted("upgrade", 1).await;
    let id = client.id();
    for event in ["now", "later"] {
        assert_eq!(ask(&client, event).await, event);
    }
    assert_eq!(client.id(), id);
    // The claim of the first one is not kept.
    let next = pod.connect(UPGRADE).await;
    let upgraded = || {
        pod.sessions
            .table
            .all()
            .iter()
            .any(|open| open.upgrade().is_some_and(|open| open.is_websocket()))
    };
    until("an upgrade", upgraded).await;
    assert_eq!(ask(&next, "now").await, "now");
}

#[tokio::test]
async fn a_session_whose_attachments_do_not_come_ends_all_the_same() {
    let pod = Pod::start(open());
    let sid = pod.poll().await;
    inject::next("attachments");
    assert_eq!(pod.post(&sid, r#"451-["now",{"_placeholder":true,"num":0}]"#).await, 200);
    counted("attachments", 1).await;
    pod.open_connections(0).await;
    assert_eq!(pod.get(&format!("&sid={sid}")).await.0, 400);
}

#[tokio::test]
async fn a_poll_that_is_given_up_ends_its_session_all_the_same() {
    let pod = Pod::start(open());
    let sid = pod.poll().await;
    inject::next("polling end");
    let address = pod.url.strip_prefix("http://").unwrap();
    let head = format!("GET {POLLING}&sid={sid} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let open = pod.sessions.table.all()[0].upgrade().unwrap();
    open.polling().unwrap().await_idle_poll(LONG).await;
    drop((stream, open));
    counted("polling end", 1).await;
    assert_eq!(pod.get(&format!("&sid={sid}")).await.0, 400);
}

#[tokio::test]
async fn a_post_that_panics_is_the_last_of_its_session() {
    let pod = Pod::start(open());
    let sid = pod.poll().await;
    inject::after(1, "request");
    assert_eq!(pod.post(&sid, r#"42["now"]"#).await, 500);
    assert_eq!(inject::counted("request"), 1);
    pod.open_connections(0).await;
    assert_eq!(pod.get(&format!("&sid={sid}")).await.0, 400);
}

#[tokio::test]
async fn connections_are_given_away_all_the_same_and_again() {
    let pod = Pod::start(open());
    let shedder = pod.edge.shedder();
    pod.poll().await;
    inject::next("rebalance");
    assert_eq!(shedder.begin(1.0, 1000.0), Some(1));
    counted("rebalance", 1).await;
    assert_eq!(pod.sessions.open(), 1);
    inject::next("polling end");
    until("the end of the first", || shedder.begin(1.0, 1000.0).is_some()).await;
    pod.open_connections(0).await;
    assert_eq!(inject::counted("polling end"), 1);
}

#[tokio::test]
async fn a_client_is_refused_and_let_in_when_it_asks_again() {
    let pod = Pod::start(open());
    let client = pod.client("", WEBSOCKET);
    inject::next("connect");
    let refused = in_time(client.connect()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("internal_error"), "{refused:?}");
    assert_eq!(inject::counted("connect"), 1);
    in_time(client.connect()).await.unwrap();
    assert_eq!(ask(&client, "now").await, "now");
}

#[tokio::test]
async fn one_that_is_let_in_and_not_told_to_the_program_comes_back() {
    let pod = Pod::start(open());
    let client = pod.client("", WEBSOCKET);
    let times = Arc::new(AtomicUsize::new(0));
    client.on_connected({
        let times = times.clone();
        move || {
            times.fetch_add(1, Ordering::Relaxed);
        }
    });
    inject::after(1, "connect");
    in_time(client.connect()).await.unwrap();
    counted("connect", 1).await;
    until("it is back", || times.load(Ordering::Relaxed) == 2).await;
    assert_eq!(ask(&client, "now").await, "now");
}

#[tokio::test]
async fn an_event_is_refused_and_the_next_one_is_answered() {
    let pod = Pod::start(open());
    let client = pod.connect(WEBSOCKET).await;
    let id = client.id();
    // Before an answer is waited for, and while.
    for (others, event) in [(0, "now"), (0, "later"), (1, "later")] {
        let before = inject::counted("event");
        inject::after(others, "event");
        assert_eq!(ask(&client, event).await["error"]["code"], "internal_error", "{event}");
        assert_eq!(inject::counted("event"), before + 1);
        assert_eq!(ask(&client, event).await, event);
    }
    assert_eq!(client.id(), id);
}

#[tokio::test]
async fn answers_that_panic_leave_their_places() {
    let limits = Limits { acks_pending: 1, ..Config::defaults().limits };
    let pod = Pod::start(open().limits(limits));
    let client = pod.connect(WEBSOCKET).await;
    for _ in 0..3 {
        inject::after(1, "event");
        assert_eq!(ask(&client, "later").await["error"]["code"], "internal_error");
    }
    assert_eq!(ask(&client, "later").await, "later");
}

#[tokio::test]
async fn one_that_is_to_go_goes_all_the_same() {
    let over = OverLimit::Disconnect;
    let limits = Limits { acks_pending: 1, over, ..Config::defaults().limits };
    let hang = |_: &Event<'_>| Ok(Reply::later(pending()));
    let pod = Pod::start(open().limits(limits).on("hang", hang));
    let client = pod.connect(WEBSOCKET).await;
    inject::next("dismissal");
    client.emit("hang", &1).unwrap();
    client.emit("hang", &2).unwrap();
    in_time(client.wait_for(|state| state == State::Disconnected)).await;
    assert_eq!(inject::counted("dismissal"), 1);
}

#[tokio::test]
async fn a_socket_that_leaves_is_forgotten_all_the_same() {
    let pod = Pod::start(open());
    for (turn, others) in [0, 0, 1].into_iter().enumerate() {
        let client = pod.connect(WEBSOCKET).await;
        let first = inject::counted("disconnect");
        inject::after(others, "disconnect");
        if turn == 0 {
            // As the client says, in the loop that reads it; it is let in again on the same connection.
            in_time(client.disconnect()).await;
            counted("disconnect", first + 1).await;
            in_time(client.connect()).await.unwrap();
            assert_eq!(ask(&client, "now").await, "now");
        } else {
            let id = client.id();
            let sid = id.as_ref().unwrap().parse().unwrap();
            pod.sessions.find(sid).unwrap().rebalance();
            counted("disconnect", first + 1).await;
            until("it is back", || client.id() != id && client.state().is_connected()).await;
            assert_eq!(ask(&client, "now").await, "now");
        }
        in_time(client.shutdown()).await;
        pod.open_connections(0).await;
    }
}

#[tokio::test]
async fn an_empty_child_is_taken_away_all_the_same() {
    let children = Namespace::pattern("/panics-{id}").authentication(AuthPolicy::None);
    let pod = Pod::start(children.on("now", |_: &Event<'_>| Reply::json("now")));
    let client = pod.client("/panics-7", WEBSOCKET);
    let there = || pod.metric(r#"roomcast_child_namespaces{nsp="/panics-{id}"}"#);
    inject::next("connect");
    let refused = in_time(client.connect()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("internal_error"), "{refused:?}");
    until("the end of what was not made", || there() == 0.0).await;
    // Its timers begin again, and so does what takes it away.
    inject::next("namespace deadlines");
    inject::next("child namespaces");
    in_time(client.connect()).await.unwrap();
    counted("namespace deadlines", 1).await;
    assert_eq!(ask(&client, "now").await, "now");
    assert_eq!(there(), 1.0);
    counted("child namespaces", 1).await;
    in_time(client.shutdown()).await;
    until("the end of the child", || there() == 0.0).await;
}

#[tokio::test]
async fn a_socket_whose_deadline_panics_is_closed() {
    let timeout = Duration::from_millis(50);
    let late = Namespace::new("/").authentication(AuthPolicy::Required).auth_timeout(timeout);
    let mut config = Config::defaults();
    config.auth.jwt.secret = vec![Secret::new("a-secret-of-the-tests-that-is-long-enough")];
    let pod = Pod::start_with(config, late);
    let client = pod.client("", WEBSOCKET);
    // The first one is the task.
    inject::after(1, "namespace deadlines");
    in_time(client.connect()).await.unwrap();
    counted("namespace deadlines", 1).await;
    in_time(client.wait_for(|state| !state.is_connected())).await;
}
