//! How connections to Node end and begin again, with credentials and tokens.

use std::{process::Command, time::Duration};

use roomcast::client::{Auth, Client, ClientError, Reason, State, Transport};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Seen, WAYS,
    node::{Node, who_am_i},
    quick, soon,
};
use crate::support::PATIENCE;

#[tokio::test]
async fn credentials_are_asked_for_each_time_and_again_if_they_fail() {
    let node = Node::start(&json!({}));
    let asked = Seen::default();
    let auth = Auth::provider({
        let asked = asked.clone();
        move || {
            asked.push(());
            let count = asked.all().len();
            async move {
                match count {
                    1 => Err("the token server is away".into()),
                    _ => Ok(json!({"token": "good", "count": count})),
                }
            }
        }
    });
    let url = format!("{}/private", node.url());
    let client = Client::builder(url).auth(auth).reconnect(quick()).build().unwrap();
    let errors = Seen::default();
    client.on_error({
        let errors = errors.clone();
        move |error| errors.push(error.to_string())
    });
    soon(client.connect()).await.unwrap();
    assert_eq!(errors.all(), ["the provider of `auth` failed: the token server is away"]);
    assert_eq!(who_am_i(&client).await["auth"]["count"], 2);
    client.emit("cut me", &()).unwrap();
    soon(client.wait_for(|state| state == State::Reconnecting)).await;
    soon(client.wait_for(State::is_connected)).await;
    assert_eq!(who_am_i(&client).await["auth"]["count"], 3);
}

#[tokio::test]
async fn late_authentication_and_what_a_reconnection_restores() {
    let node = Node::start(&json!({}));
    for (way, transports) in WAYS {
        let client = node.connect(transports).await;
        let events = Seen::default();
        let note = |text: &'static str| {
            let events = events.clone();
            move || events.push(text.to_owned())
        };
        client.on_connected(note("connected"));
        client.on_authenticated(note("authenticated"));
        client.on_disconnected({
            let events = events.clone();
            move |reason| events.push(reason.to_string())
        });
        let refused = soon(client.join_rooms(["members"])).await.unwrap();
        assert_eq!(refused.rejected[0].code, "authentication_required");
        soon(client.authenticate("good")).await.unwrap();
        assert_eq!(client.state(), State::Authenticated);
        soon(client.join_rooms(["members", "lobby"])).await.unwrap();

        let mut news = client.events("news", 1000).unwrap();
        client.emit("cut me", &()).unwrap();
        soon(client.wait_for(|state| state == State::Reconnecting)).await;
        soon(client.wait_for(|state| state == State::Authenticated)).await;
        // The room of members needed the token again.
        let begun = std::time::Instant::now();
        loop {
            client.emit("to room", &("members", 1)).unwrap();
            match timeout(Duration::from_millis(100), news.next()).await {
                Ok(event) => break assert!(event.unwrap().is_ok()),
                Err(_) => assert!(begun.elapsed() < PATIENCE, "{way}"),
            }
        }
        let expected = ["authenticated", "transport close", "connected", "authenticated"];
        assert_eq!(events.all(), expected, "{way}");
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn a_token_that_is_refused() {
    let node = Node::start(&json!({}));
    let client = node.connect(&[Transport::WebSocket]).await;
    let refusals = Seen::default();
    client.on_unauthenticated({
        let refusals = refusals.clone();
        move |refusal| refusals.push(refusal)
    });
    let refused = soon(client.authenticate("bad")).await;
    let Err(ClientError::Unauthenticated(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.message.as_str(), &refusal.time), ("token is bad", &json!(1234)));
    // Node has no codes.
    assert_eq!(refusal.code, None);
    assert_eq!(refusals.all(), [refusal]);
    assert_eq!(soon(client.wait_for(|state| !state.is_connected())).await, State::Disconnected);
    assert!(matches!(client.authenticate("good").await, Err(ClientError::NotConnected(_))));
    soon(client.connect()).await.unwrap();
    soon(client.authenticate("good")).await.unwrap();
    assert_eq!(client.state(), State::Authenticated);
}

#[tokio::test]
async fn how_a_connection_ends() {
    let node = Node::start(&json!({"pingInterval": 200, "pingTimeout": 5000}));
    for (way, transports) in WAYS {
        let client = node.connect(transports).await;
        let reasons = Seen::default();
        client.on_disconnected({
            let reasons = reasons.clone();
            move |reason| reasons.push(reason)
        });
        // Pings are answered: several intervals pass, and the connection is the same.
        let id = client.id();
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(client.id(), id, "{way}: {:?}", reasons.all());

        client.emit("garbage", &()).unwrap();
        assert_eq!(reasons.reaches(1).await[0], Reason::ParseError, "{way}");
        soon(client.wait_for(State::is_connected)).await;
        // Who waits for an answer is told that none will come.
        let lost: Result<Value, _> = soon(client.emit_with_ack("cut me", &())).await;
        assert!(matches!(lost, Err(ClientError::Disconnected(Reason::TransportClose))), "{lost:?}");
        soon(client.wait_for(State::is_connected)).await;
        client.emit("kick me", &()).unwrap();
        assert_eq!(soon(client.wait_for(|s| !s.is_connected())).await, State::Disconnected);
        assert_eq!(reasons.all()[1..], [Reason::TransportClose, Reason::ServerDisconnect]);
        soon(client.connect()).await.unwrap();
        soon(client.shutdown()).await;
        assert_eq!(reasons.all().len(), 4, "{way}");
        assert_eq!(reasons.all()[3], Reason::ClientDisconnect);
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_and_one_that_says_too_much() {
    let node = Node::start(&json!({"pingInterval": 200, "pingTimeout": 5000}));
    for (way, transports) in WAYS {
        let client = Client::builder(node.url()).transports(transports.iter().copied());
        let client = soon(client.max_message(100_000).reconnect(quick()).connect()).await.unwrap();
        let reasons = Seen::default();
        client.on_disconnected({
            let reasons = reasons.clone();
            move |reason| reasons.push(reason)
        });
        let text: String = {
            let mut back = client.events("back", 1).unwrap();
            client.emit("large", &50_000).unwrap();
            soon(back.next()).await.unwrap().unwrap().arguments().unwrap()
        };
        assert_eq!(text.len(), 50_000);
        client.emit("large", &200_000).unwrap();
        assert_eq!(reasons.reaches(1).await, [Reason::ParseError], "{way}");
        soon(client.wait_for(State::is_connected)).await;

        let signal = |name: &str| {
            let pid = node.child.id().to_string();
            assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
        };
        signal("-STOP");
        let seen = reasons.reaches(2).await;
        signal("-CONT");
        assert_eq!(seen[1], Reason::PingTimeout, "{way}");
        soon(client.wait_for(State::is_connected)).await;
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn a_server_that_is_killed_is_found_again() {
    for (way, transports) in WAYS {
        let mut node = Node::start(&json!({}));
        let client = node.connect(transports).await;
        soon(client.authenticate("good")).await.unwrap();
        let first = client.id();
        node.child.kill().unwrap();
        node.child.wait().unwrap();
        soon(client.wait_for(|state| state == State::Reconnecting)).await;
        let _node = Node::start(&json!({"port": node.port}));
        soon(client.wait_for(|state| state == State::Authenticated)).await;
        assert_ne!(client.id(), first, "{way}");
        soon(client.shutdown()).await;
    }
}
