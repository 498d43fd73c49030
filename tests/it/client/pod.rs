//! Events, namespaces, rooms and subscriptions, with a real pod.

use std::time::Duration;

use bytes::Bytes;
use roomcast::client::{Client, ClientError, RejectedRoom, State, Transport};
use serde_json::{Value, json};

use super::{Seen, WAYS, quick, soon};
use crate::support::{PATIENCE, Pod};

pub const ROOMS: &str = r#"
api.keys = ["a-key-for-the-tests-only"]
auth.jwt.secret = "a-secret-of-the-tests-that-is-long-enough"
[namespaces."/"]
auth = "none"
[[namespaces."/".rooms]]
pattern = "public-*"
join = "anyone"
relay = ["chat"]
[namespaces."/second"]
auth = "none"
[[namespaces."/second".rooms]]
pattern = "public-*"
join = "anyone"
relay = ["chat"]
[namespaces."/members"]
auth = "required"
[namespaces."/late"]
auth = "required"
auth_timeout = "20s"
[namespaces."/hurry"]
auth = "required"
auth_timeout = "1s"
"#;

pub async fn connect(pod: &Pod, transports: &[Transport]) -> Client {
    let builder = Client::builder(format!("http://{}", pod.public));
    let builder = builder.transports(transports.iter().copied()).reconnect(quick());
    soon(builder.connect()).await.unwrap()
}

#[tokio::test]
async fn events_acks_and_binary_over_each_transport() {
    let pod = Pod::start(ROOMS);
    for (way, transports) in WAYS {
        let (one, two) = (connect(&pod, transports).await, connect(&pod, transports).await);
        assert_ne!(one.id().unwrap(), two.id().unwrap());
        if way == "upgrade" {
            pod.metric_reaches("roomcast_connections{transport=\"websocket\"}", 2.0).await;
        }
        let mut chat = two.events("chat", 10).unwrap();
        for client in [&one, &two] {
            let answer = soon(client.join_rooms(["public-a", "secret"])).await.unwrap();
            assert_eq!(answer.joined, ["public-a"], "{way}");
            let rejected = RejectedRoom { room: "secret".into(), code: "room_denied".into() };
            assert_eq!(answer.rejected, [rejected]);
        }
        // Both ways through the pod: text, numbers, binary inside of values.
        let data = (Bytes::from_static(b"\0\xff"), json!({"n": 1.5}), "ä\u{1e}\"");
        let relayed = ("public-a", &data.0, &data.1, data.2);
        let answer: Value = soon(one.emit_with_ack("chat", &relayed)).await.unwrap();
        assert_eq!(answer, json!({"accepted": true}));
        let event = soon(chat.next()).await.unwrap().unwrap();
        let (room, bytes, value, text): (String, Bytes, Value, String) = event.arguments().unwrap();
        assert_eq!(
            (room.as_str(), bytes, value, text.as_str()),
            ("public-a", data.0, data.1, data.2)
        );
        assert!(!event.wants_ack());
        assert!(matches!(event.ack(&1), Err(ClientError::NothingToAck)));
        // In order, many at once.
        for i in 0..200 {
            one.emit("chat", &("public-a", i)).unwrap();
            if i % 8 == 7 {
                for j in i - 7..=i {
                    let event = soon(chat.next()).await.unwrap().unwrap();
                    assert_eq!(event.arguments::<(String, i32)>().unwrap().1, j, "{way}");
                }
            }
        }
        // An event that no rule allows is refused in its ack.
        let refused: Value = soon(one.emit_with_ack("other", &())).await.unwrap();
        assert_eq!(refused["error"]["code"], "event_denied");
        let left = soon(two.leave_rooms(["public-a"])).await.unwrap();
        assert_eq!(left.left, ["public-a"]);
        soon(async { tokio::join!(one.shutdown(), two.shutdown()) }).await;
        assert_eq!(one.state(), State::Closed);
    }
}

#[tokio::test]
async fn the_server_asks_and_the_client_answers() {
    let pod = Pod::start(ROOMS);
    for (way, transports) in WAYS {
        let client = connect(&pod, transports).await;
        client
            .subscribe("sum", |event| {
                assert!(event.wants_ack());
                let (a, b): (i64, i64) = event.arguments().unwrap();
                event.ack(&(a + b)).unwrap();
                assert!(matches!(event.ack(&0), Err(ClientError::NothingToAck)));
            })
            .unwrap();
        let question = json!({"event": "sum", "args": [20, 22], "ack_timeout": "10s"});
        let (status, answer) = soon(pod.publish(&question)).await;
        assert_eq!((status, &answer["answers"]), (200, &json!([42])), "{way}");
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn several_namespaces_share_a_connection() {
    let pod = Pod::start(ROOMS);
    let first = connect(&pod, &[Transport::WebSocket]).await;
    let second = first.socket("/second").unwrap();
    assert_eq!(second.state(), State::Disconnected);
    soon(second.connect()).await.unwrap();
    assert_eq!(pod.metric("roomcast_connections{").await, 1.0);
    assert_eq!(pod.metric("roomcast_connections_opened_total{").await, 1.0);

    let (one, two) = (Seen::default(), Seen::default());
    for (client, seen) in [(&first, one.clone()), (&second, two.clone())] {
        client.subscribe("news", move |event| seen.push(event.arguments::<u8>().unwrap())).unwrap();
    }
    pod.publish(&json!({"event": "news", "args": [1]})).await;
    pod.publish(&json!({"event": "news", "args": [2], "namespace": "/second"})).await;
    assert_eq!((one.reaches(1).await, two.reaches(1).await), (vec![1], vec![2]));

    // A namespace that is none, and one that lets nobody in without a token.
    let nowhere = soon(first.socket("/nowhere").unwrap().connect()).await;
    match nowhere {
        Err(ClientError::Refused { message, .. }) => assert_eq!(message, "Invalid namespace"),
        other => panic!("{other:?}"),
    }
    let members = first.socket_with("/members", json!({"token": "bad"})).unwrap();
    let errors = Seen::default();
    members.on_error({
        let errors = errors.clone();
        move |error| errors.push(error.to_string())
    });
    assert!(matches!(soon(members.connect()).await, Err(ClientError::Refused { .. })));
    assert_eq!(members.state(), State::Disconnected);
    assert_eq!(errors.all().len(), 1);

    // Leaving one leaves the other.
    soon(second.disconnect()).await;
    assert_eq!((first.state(), second.state()), (State::Connected, State::Disconnected));
    let answer: Value = soon(first.emit_with_ack("other", &())).await.unwrap();
    assert!(answer["error"].is_object());
    soon(second.connect()).await.unwrap();
    // The connection ends with the last.
    soon(async { tokio::join!(first.disconnect(), second.disconnect()) }).await;
    let begun = std::time::Instant::now();
    while pod.metric("roomcast_connections{").await > 0.0 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn shutdown_sends_what_waits_and_is_final() {
    let pod = Pod::start(ROOMS);
    for (way, transports) in WAYS {
        let (one, two) = (connect(&pod, transports).await, connect(&pod, transports).await);
        for client in [&one, &two] {
            soon(client.join_rooms(["public-a"])).await.unwrap();
        }
        let chats = Seen::default();
        two.subscribe("chat", {
            let chats = chats.clone();
            move |event| chats.push(event.arguments::<(String, u32)>().unwrap().1)
        })
        .unwrap();
        for i in 0..100 {
            one.emit("chat", &("public-a", i)).unwrap();
        }
        soon(one.shutdown()).await;
        assert_eq!(chats.reaches(100).await, (0..100).collect::<Vec<_>>(), "{way}");
        assert_eq!(one.state(), State::Closed);
        assert!(matches!(one.emit("e", &()), Err(ClientError::NotConnected(State::Closed))));
        assert!(matches!(soon(one.connect()).await, Err(ClientError::Closed)));
        assert!(matches!(one.socket("/second"), Err(ClientError::Closed)));
        soon(one.shutdown()).await;
        // The last handle ends it as well.
        let mut states = two.watch();
        drop(two);
        soon(states.wait_for(|state| *state == State::Closed)).await.unwrap();
    }
}

#[tokio::test]
async fn subscriptions_skip_duplicates() {
    let pod = Pod::start(ROOMS);
    let client = connect(&pod, &[Transport::WebSocket]).await;
    let seen = Seen::default();
    let record = |name: &'static str| {
        let seen = seen.clone();
        move |event: roomcast::client::Event| seen.push(format!("{name} {}", event.name()))
    };
    assert!(client.subscribe("a", record("first")).unwrap());
    assert!(!client.subscribe("a", record("skipped")).unwrap());
    client.subscribe_also("a", record("second")).unwrap();
    assert_eq!(client.subscribe_many(["a", "b", "c"], record("many")).unwrap(), 2);
    client.subscribe_also("b", |_| panic!("a callback that panics harms nobody")).unwrap();
    for (event, wrong) in [("", "NoEvent"), ("connect", "ReservedEvent")] {
        let error = client.subscribe(event, |_| {}).unwrap_err();
        assert!(format!("{error:?}").starts_with(wrong));
        let error = client.emit(event, &()).unwrap_err();
        assert!(format!("{error:?}").starts_with(wrong));
    }
    for event in ["a", "b", "c"] {
        pod.publish(&json!({"event": event})).await;
    }
    let expected = ["first a", "second a", "many b", "many c"];
    assert_eq!(seen.reaches(4).await, expected);
    assert!(client.unsubscribe("a") && !client.unsubscribe("a"));
    for event in ["a", "c"] {
        pod.publish(&json!({"event": event})).await;
    }
    assert_eq!(seen.reaches(5).await.last().unwrap(), "many c");

    // A stream that nobody reads forgets, and says how much.
    let mut stream = client.events("c", 2).unwrap();
    for _ in 0..5 {
        pod.publish(&json!({"event": "c"})).await;
    }
    seen.reaches(10).await;
    assert_eq!(soon(stream.next()).await.unwrap().unwrap_err().0, 3);
    assert!(soon(stream.next()).await.unwrap().is_ok());
    client.unsubscribe("c");
    assert!(soon(stream.next()).await.unwrap().is_ok());
    assert!(soon(stream.next()).await.is_none());
}

#[tokio::test]
async fn what_is_sent_is_bounded() {
    let pod = Pod::start(ROOMS);
    let url = format!("http://{}", pod.public);
    let client = soon(Client::builder(url).queue(10, 1000).connect()).await.unwrap();
    // The pod's `limits.max_payload` would close the connection for it.
    let large = "x".repeat(2_000_000);
    assert!(matches!(client.emit("e", &large), Err(ClientError::TooLarge { .. })));
    // Nothing is written between: this test has one thread.
    let full = (0..100).find_map(|_| client.emit("e", &()).err());
    assert!(matches!(full, Some(ClientError::QueueFull { packets: 10, .. })), "{full:?}");
    let answer: Value = soon(async {
        loop {
            match client.emit_with_ack("e", &()).await {
                Err(ClientError::QueueFull { .. }) => tokio::task::yield_now().await,
                answer => return answer.unwrap(),
            }
        }
    })
    .await;
    assert!(answer["error"].is_object());
    assert_eq!(client.state(), State::Connected);
}

#[tokio::test]
async fn a_code_says_why_it_is_not_authenticated() {
    let pod = Pod::start(ROOMS);
    let connected = async |namespace| {
        let client = Client::builder(format!("http://{}{namespace}", pod.public)).build().unwrap();
        let refusals = Seen::default();
        client.on_unauthenticated({
            let refusals = refusals.clone();
            move |refusal| refusals.push(refusal)
        });
        soon(client.connect()).await.unwrap();
        (client, refusals)
    };
    let (client, refusals) = connected("/late").await;
    let refused = soon(client.authenticate("a.bad.token")).await.unwrap_err();
    assert!(refused.to_string().contains("(token_invalid)"), "{refused}");
    let ClientError::Unauthenticated(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code.as_deref(), Some("token_invalid"));
    assert_eq!(refusals.reaches(1).await, [refusal]);

    let (_late, refusals) = connected("/hurry").await;
    let code = refusals.reaches(1).await[0].code.clone();
    assert_eq!(code.as_deref(), Some("authentication_timeout"));
}
