//! What a Rust program declares of a namespace: in which order it is called, and what reaches the client.

use std::{
    future::pending,
    time::{Duration, SystemTime},
};

use axum::{Router, routing::get};
use roomcast::{
    Ack, Args, Bearer, Claims, Event, Grant, Handshake, Name, Namespace, Refusal, Roomcast, Server,
    Socket, Tokens,
    client::{Backoff, Client, ClientError, Transport},
    config::{AuthPolicy, Config, Limits, Secret},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    client::{Seen, quick, soon},
    support,
};

/// A pod in this process, until it is dropped.
struct Pod {
    url: String,
    config: Config,
    roomcast: Roomcast,
    _stop: oneshot::Sender<()>,
    _task: JoinHandle<()>,
}

fn start(namespaces: impl IntoIterator<Item = Namespace>, pages: Router) -> Pod {
    let mut config = Config::defaults();
    config.public.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.internal.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.auth.jwt.secret = vec![Secret::new("a-secret-of-the-tests-that-is-long-enough")];
    let pod = Server::builder(config.clone()).namespaces(namespaces).pages(pages);
    let pod = pod.build().unwrap().bind().unwrap();
    let url = format!("http://{}", pod.public()[0]);
    let roomcast = pod.roomcast();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        pod.run(async { drop(stopped.await) }, pending()).await;
    });
    Pod { url, config, roomcast, _stop: stop, _task: task }
}

impl Pod {
    fn client(&self, namespace: &str, auth: Value) -> Client {
        let builder = Client::builder(format!("{}{namespace}", self.url)).auth(auth);
        builder.reconnect(quick()).build().unwrap()
    }

    fn token(&self, sub: &str) -> String {
        let tokens = Tokens::new(&self.config.auth.jwt).unwrap().unwrap();
        tokens.mint(sub, Claims::new(), Duration::from_secs(3600)).unwrap()
    }
}

async fn ask(client: &Client, event: &str, data: &Value) -> Value {
    soon(client.emit_with_ack(event, data)).await.unwrap()
}

/// A namespace whose parts note when they are called.
fn noting(path: &str, seen: &Seen<String>) -> Namespace {
    let note = |what: &'static str| {
        let seen = seen.clone();
        move |of: &str| seen.push(format!("{what} {of}").trim_end().to_owned())
    };
    let (handshake, connect, reconnect, disconnect) =
        (note("handshake"), note("connect"), note("reconnect"), note("disconnect"));
    let (packet, any, handled, verified) =
        (note("packet"), note("any"), note("handler"), note("verified"));
    Namespace::new(path)
        .authentication(AuthPolicy::Optional)
        .limits(Limits { name_length: 20, ..Config::defaults().limits })
        .handshake(move |asks: Handshake| {
            handshake(asks.auth["name"].as_str().unwrap_or_default());
            let banned = asks.auth["name"] == "mallory";
            async move {
                if banned {
                    return Err(Refusal::new("banned", "not until monday"));
                }
                Ok(Grant { rooms: Some(vec!["granted".into()]), ..Grant::default() })
            }
        })
        .on_connect(move |socket: &Socket| connect(&socket.rooms().join(",")))
        .on_reconnect(move |_: &Socket, previous: &str| reconnect(previous))
        .on_disconnect(move |_: &Socket, reason: &str| disconnect(reason))
        .use_packet(move |event: &Event<'_>| {
            packet(event.name());
            if event.name() == "forbidden" {
                return Err(Refusal::new("forbidden", "the middleware refuses it"));
            }
            Ok(())
        })
        .on_any(move |event: &Event<'_>| any(event.name()))
        .on("half", move |Name(name): Name, Args(n): Args<i64>| {
            handled(&name);
            if n % 2 == 0 { Ok(Ack(n / 2)) } else { Err(Refusal::new("odd", "it is odd")) }
        })
        .auth("who", move |Bearer(claims): Bearer| {
            verified(claims["sub"].as_str().unwrap_or_default());
            async move { Ack(claims["sub"].clone()) }
        })
}

#[tokio::test]
async fn the_parts_of_a_namespace_are_called_in_their_order() {
    let seen = Seen::default();
    let pod = start([noting("/", &seen)], Router::new());
    let client = pod.client("/", json!({"name": "ada"}));
    soon(client.connect()).await.unwrap();
    assert_eq!(ask(&client, "half", &json!(84)).await, 42);
    assert_eq!(
        seen.all(),
        ["handshake ada", "connect granted", "packet half", "any half", "handler half"]
    );

    // What is refused goes no further, and the client is told by whom.
    for (event, data, code, last) in [
        ("half", json!(1), "odd", "handler half"),
        ("half", json!("x"), "bad_request", "any half"),
        ("forbidden", json!(1), "forbidden", "packet forbidden"),
        ("who", json!(1), "authentication_required", "packet who"),
    ] {
        assert_eq!(ask(&client, event, &data).await["error"]["code"], code);
        assert_eq!(seen.all().last().unwrap(), last, "{event} {data}");
    }
    // As on Node, an event that has no handler is not acked: the next one is answered before.
    client.emit("nothing", &json!(1)).unwrap();
    assert_eq!(ask(&client, "half", &json!(2)).await, 1);
    let last = seen.all();
    assert_eq!(
        last[last.len() - 5..],
        ["packet nothing", "any nothing", "packet half", "any half", "handler half"]
    );
    // Limits come before the middleware.
    let before = seen.all();
    let refused = ask(&client, "a name of 21 letters.", &json!(1)).await;
    assert!(refused["error"]["code"].is_string(), "{refused}");
    assert_eq!(seen.all(), before);

    soon(client.authenticate(pod.token("ada"))).await.unwrap();
    assert_eq!(ask(&client, "who", &json!(1)).await, "ada");
    // What lets clients in is asked again, with the token; and its `auth` has no name.
    let calls = ["handshake", "packet who", "any who", "verified ada"];
    assert_eq!(seen.all()[before.len() + 1..], calls);
    soon(client.shutdown()).await;
    let end = "disconnect client namespace disconnect";
    soon(async {
        while seen.all().last().unwrap() != end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_handshake_refuses_and_a_returning_client_is_told_apart() {
    let seen = Seen::default();
    let pod = start([noting("/", &seen)], Router::new());
    let banned = pod.client("/", json!({"name": "mallory"}));
    match soon(banned.connect()).await {
        Err(ClientError::Refused { message, .. }) => {
            assert_eq!(message, "not until monday")
        }
        other => panic!("{other:?}"),
    }
    let again = pod.client("/", json!({"name": "ada", "previous": "an id"}));
    soon(again.connect()).await.unwrap();
    assert_eq!(ask(&again, "half", &json!(2)).await, 1);
    let calls = ["handshake mallory", "handshake ada", "reconnect an id"];
    assert_eq!(seen.all()[..3], calls);
}

#[tokio::test]
async fn each_service_has_its_own_namespaces() {
    // The same handlers for several namespaces, and others for another.
    let (one, other) = (Seen::default(), Seen::default());
    let pod = start(
        ["/a", "/b"].map(|path| noting(path, &one)).into_iter().chain([noting("/c", &other)]),
        Router::new(),
    );
    let a = pod.client("/a", json!({}));
    soon(a.connect()).await.unwrap();
    for (namespace, number) in [("/b", 4), ("/c", 6)] {
        let socket = a.socket(namespace).unwrap();
        soon(socket.connect()).await.unwrap();
        assert_eq!(ask(&socket, "half", &json!(number)).await, number / 2);
    }
    assert_eq!(one.all().iter().filter(|call| *call == "handler half").count(), 1);
    assert_eq!(other.all().iter().filter(|call| *call == "handler half").count(), 1);
}

#[tokio::test]
async fn a_program_says_who_a_client_is() {
    let members = Namespace::new("/")
        .authenticator(async |asks: Handshake| {
            let token = asks.token.map(|token| token.expose().to_owned()).unwrap_or_default();
            let Some(name) = token.strip_prefix("session-of-") else {
                return Err(Refusal::new("no_session", "log in first"));
            };
            let claims = Claims::from_iter([("sub".to_owned(), json!(name))]);
            Ok(Grant { claims: Some(claims), ..Grant::default() })
        })
        .own_room("user:{sub}")
        .on_connect(|socket: &Socket| socket.set_data(json!({"seen": 1})))
        .on("rooms", |socket: Socket, Bearer(claims): Bearer| {
            Ack(json!([claims["sub"], socket.rooms()]))
        });
    let pod = start([members], Router::new());
    let ada = pod.client("/", json!({"token": "session-of-ada"}));
    soon(ada.connect()).await.unwrap();
    assert_eq!(ask(&ada, "rooms", &json!(null)).await, json!(["ada", ["user:ada"]]));
    let fetched = pod.roomcast.of("/").to("user:ada").fetch_sockets().await.unwrap().answer;
    assert_eq!(fetched[0].data, json!({"seen": 1, "claims": {"sub": "ada"}}));
    for auth in [json!({"token": "x"}), json!({})] {
        let refused = soon(pod.client("/", auth).connect()).await;
        assert!(matches!(refused, Err(ClientError::Refused { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn pages_of_the_program_share_the_port() {
    let began = SystemTime::now();
    let pages = Router::new().route("/hello", get(async move || format!("since {began:?}")));
    let pod = start([noting("/", &Seen::default())], pages);
    let (status, page) = support::get(&format!("{}/hello", pod.url)).await;
    assert_eq!((status, &page[..5]), (200, "since"));
    assert_eq!(support::get(&format!("{}/other", pod.url)).await.0, 404);
    let client = pod.client("/", json!({}));
    soon(client.connect()).await.unwrap();
    assert_eq!(ask(&client, "half", &json!(2)).await, 1);
}

#[tokio::test]
async fn the_router_is_served_by_the_application() {
    let mut config = Config::defaults();
    config.public.listen = Vec::new();
    config.internal.listen = vec!["127.0.0.1:0".parse().unwrap()];
    let double = |Args(number): Args<i64>| Ack(number * 2);
    let namespace = Namespace::new("/").authentication(AuthPolicy::None).on("double", double);
    let server = Server::builder(config).namespace(namespace).build().unwrap();
    let application = Router::new()
        .route("/hello", get(async || "hello"))
        .fallback(async || "the application's own")
        .merge(server.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = application.into_make_service_with_connect_info::<std::net::SocketAddr>();
    let serving = tokio::spawn(async { axum::serve(listener, service).await });
    let pod = server.bind().unwrap();
    assert!(pod.public().is_empty());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(pod.run(async { drop(stopped.await) }, pending()));

    assert_eq!(support::get(&format!("{url}/hello")).await.1, "hello");
    assert_eq!(support::get(&format!("{url}/other")).await.1, "the application's own");
    for transports in [
        &[Transport::WebSocket][..],
        &[Transport::Polling],
        &[Transport::Polling, Transport::WebSocket],
    ] {
        let builder = Client::builder(url.clone()).transports(transports.iter().copied());
        let client = builder.reconnect(Backoff::never()).build().unwrap();
        soon(client.connect()).await.unwrap();
        assert_eq!(ask(&client, "double", &json!(21)).await, 42, "{transports:?}");
    }
    // The drain closes those that are left, and new ones are refused.
    drop(stop);
    soon(async { running.await.map_err(|_| ()) }).await.unwrap();
    let late = Client::builder(url).reconnect(Backoff::never()).build().unwrap();
    assert!(soon(late.connect()).await.is_err());
    serving.abort();
}
