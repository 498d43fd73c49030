//! Dynamic namespaces of a program: what it publishes to them.

use std::{
    future::{pending, ready},
    time::Duration,
};

use roomcast::{
    Namespace, RoomcastError, Server,
    client::Client,
    config::{AuthPolicy, Config},
};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn an_emit_to_all_children_of_a_parent() {
    let mut config = Config::defaults();
    config.public.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.internal.listen = vec!["127.0.0.1:0".parse().unwrap()];
    let rooms = Namespace::pattern("/room-{id}").authentication(AuthPolicy::None);
    let pod = Server::builder(config).namespace(rooms).build().unwrap().bind().unwrap();
    let url = format!("http://{}", pod.public()[0]);
    let roomcast = pod.roomcast();
    tokio::spawn(pod.run(pending(), ready(())));
    roomcast.ready().await.unwrap();

    assert!(roomcast.children("/room-{id}").is_empty());
    // Nobody is there, here or elsewhere.
    roomcast.of("/room-1").emit("news", &1).await.unwrap();
    let nobody = roomcast.of("/other").emit("news", &1).await.unwrap_err();
    assert!(matches!(nobody, RoomcastError::UnknownNamespace(_)), "{nobody:?}");

    let client = Client::builder(&url).connect().await.unwrap();
    let mut heard = Vec::new();
    for path in ["/room-1", "/room-2"] {
        let socket = client.socket(path).unwrap();
        heard.push(socket.events("news", 8).unwrap());
        socket.connect().await.unwrap();
    }
    let children = roomcast.children("/room-{id}");
    assert_eq!(children.len(), 2);
    for child in children {
        child.emit("news", &"all").await.unwrap();
    }
    for mut events in heard {
        let event =
            timeout(Duration::from_secs(30), events.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.arguments::<String>().unwrap(), "all");
    }
}
