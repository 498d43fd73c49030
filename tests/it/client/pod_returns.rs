//! When the client comes back to a pod by itself, and when it does not.

use std::time::Duration;

use roomcast::client::{Backoff, Client, ClientError, Reason, State, Transport, TransportError};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Seen, WAYS,
    pod::{ROOMS, connect},
    quick, soon,
};
use crate::support::{OPEN, PATIENCE, Pod};

#[tokio::test]
async fn a_pod_that_is_killed_is_found_again_and_so_are_the_rooms() {
    for (way, transports) in WAYS {
        let mut pod = Pod::start(ROOMS);
        let client = connect(&pod, transports).await;
        let second = client.socket("/second").unwrap();
        soon(second.connect()).await.unwrap();
        soon(client.join_rooms(["public-a", "public-b"])).await.unwrap();
        soon(client.leave_rooms(["public-b"])).await.unwrap();
        let (reasons, connected) = (Seen::default(), Seen::default());
        client.on_disconnected({
            let reasons = reasons.clone();
            move |reason| reasons.push(reason)
        });
        client.on_connected({
            let connected = connected.clone();
            move || connected.push(())
        });
        let mut news = client.events("news", 10).unwrap();

        pod.signal("-KILL");
        pod.wait();
        assert_eq!(soon(client.wait_for(|state| !state.is_connected())).await, State::Reconnecting);
        assert_eq!(soon(second.wait_for(|state| !state.is_connected())).await, State::Reconnecting);
        let refused = client.emit("chat", &("public-a", 1));
        assert!(matches!(refused, Err(ClientError::NotConnected(State::Reconnecting))), "{way}");
        let asked: Result<Value, _> = client.emit_with_ack("chat", &()).await;
        assert!(matches!(asked, Err(ClientError::NotConnected(_))));

        let pod = Pod::start_on(&pod.public, ROOMS, "debug");
        assert_eq!(soon(client.wait_for(State::is_connected)).await, State::Connected);
        assert_eq!(soon(second.wait_for(State::is_connected)).await, State::Connected);
        connected.reaches(1).await;
        assert!(matches!(reasons.all()[..], [Reason::TransportClose | Reason::TransportError]));
        // Its room is joined again. Whether that is through is not to be seen from outside:
        // publish until it is.
        let to = |room: &str, text: &str| json!({"event": "news", "args": [text], "rooms": [room]});
        let begun = std::time::Instant::now();
        loop {
            pod.publish(&to("public-a", "yes")).await;
            match timeout(Duration::from_millis(100), news.next()).await {
                Ok(event) => {
                    assert_eq!(event.unwrap().unwrap().arguments::<String>().unwrap(), "yes");
                    break;
                }
                Err(_) => assert!(begun.elapsed() < PATIENCE, "{way}: not in its room"),
            }
        }
        // The room that it had left is not.
        pod.publish(&to("public-b", "no")).await;
        pod.publish(&to("public-a", "end")).await;
        loop {
            let event = soon(news.next()).await.unwrap().unwrap();
            match event.arguments::<String>().unwrap().as_str() {
                "end" => break,
                text => assert_eq!(text, "yes", "{way}"),
            }
        }
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn a_socket_that_the_server_disconnects_stays_away_until_told() {
    let pod = Pod::start(ROOMS);
    for (way, transports) in WAYS {
        let client = connect(&pod, transports).await;
        let reasons = Seen::default();
        client.on_disconnected({
            let reasons = reasons.clone();
            move |reason: Reason| reasons.push(reason.as_str())
        });
        let api = format!("http://{}/api/v1/sockets/disconnect", pod.internal);
        let request = reqwest::Client::new().post(api).bearer_auth(crate::support::API_KEY);
        let response = request.body("{}").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(soon(client.wait_for(|state| !state.is_connected())).await, State::Disconnected);
        assert_eq!(reasons.all(), ["io server disconnect"], "{way}");
        let mut states = client.watch();
        states.mark_unchanged();
        // Many times the back-off of this client.
        let changed = timeout(Duration::from_millis(700), states.changed()).await;
        assert!(changed.is_err(), "{way}: {:?}", client.state());
        assert!(matches!(client.emit("e", &()), Err(ClientError::NotConnected(_))));
        soon(client.connect()).await.unwrap();
        assert_eq!(client.state(), State::Connected);
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn it_waits_for_a_server_that_is_not_there_yet_or_gives_up_when_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{port}");
    for transport in [Transport::WebSocket, Transport::Polling] {
        let once = Client::builder(&url).transports([transport]).reconnect(Backoff::never());
        let refused = soon(once.connect()).await;
        let unreachable =
            matches!(refused, Err(ClientError::Transport(TransportError::Unreachable(_))));
        assert!(unreachable, "{refused:?}");
        let thrice = Client::builder(&url).transports([transport]).reconnect(quick().attempts(2));
        assert!(matches!(
            soon(thrice.connect()).await,
            Err(ClientError::GaveUp { attempts: 2, .. })
        ));
    }

    let client = Client::builder(&url).reconnect(quick()).build().unwrap();
    let errors = Seen::default();
    client.on_error({
        let errors = errors.clone();
        move |error: ClientError| errors.push(error.to_string())
    });
    assert_eq!(client.state(), State::Disconnected);
    assert!(matches!(client.emit("e", &()), Err(ClientError::NotConnected(State::Disconnected))));
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    errors.reaches(2).await;
    assert_eq!(client.state(), State::Connecting);
    let _pod = Pod::start_on(&port.to_string(), OPEN, "debug");
    soon(connecting).await.unwrap().unwrap();
    assert_eq!(client.state(), State::Connected);

    // `disconnect` ends the waiting as well.
    soon(client.shutdown()).await;
    let client = Client::builder("http://127.0.0.1:1").reconnect(quick()).build().unwrap();
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    soon(client.wait_for(|state| state == State::Connecting)).await;
    soon(client.disconnect()).await;
    let cancelled = soon(connecting).await.unwrap();
    assert!(matches!(cancelled, Err(ClientError::Cancelled)), "{cancelled:?}");
}

#[tokio::test]
async fn a_pod_that_drains_is_tried_again() {
    let pod = Pod::start(&format!("drain.delay = \"20s\"\n{OPEN}"));
    let drain = format!("http://{}/api/v1/drain", pod.internal);
    let key = crate::support::API_KEY;
    let request = |method| reqwest::Client::new().request(method, &drain).bearer_auth(key);
    assert_eq!(request(reqwest::Method::POST).send().await.unwrap().status(), 202);
    let url = format!("http://{}", pod.public);
    let client = Client::builder(url).reconnect(quick()).build().unwrap();
    let errors = Seen::default();
    client.on_error({
        let errors = errors.clone();
        move |error| errors.push(error)
    });
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let errors = errors.reaches(2).await;
    let drains =
        matches!(errors[0], ClientError::Transport(TransportError::Status { status: 503, .. }));
    assert!(drains, "{errors:?}");
    assert_eq!(request(reqwest::Method::DELETE).send().await.unwrap().status(), 200);
    soon(connecting).await.unwrap().unwrap();
    soon(client.shutdown()).await;
}
