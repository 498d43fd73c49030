//! A Rust program publishes through the pods that it runs: `Roomcast`, on one pod and on two.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use roomcast::{
    BroadcastOperator, ClientAnswers, Destination, Namespace, Pods, Roomcast, RoomcastError,
    Server, Socket,
    client::{Client, Event},
    config::{AuthPolicy, BackplaneKind, Config},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    client::{Seen, quick, soon},
    support::Redis,
};

/// A pod in this process.
struct Embedded {
    url: String,
    roomcast: Roomcast,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Embedded {
    fn config(redis: Option<&Redis>) -> Config {
        let mut config = Config::defaults();
        config.public.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.internal.listen = vec!["127.0.0.1:0".parse().unwrap()];
        if let Some(redis) = redis {
            config.backplane.kind = BackplaneKind::Pubsub;
            config.backplane.url = roomcast::config::Secret::new(redis.url());
        }
        config
    }

    async fn start(redis: Option<&Redis>) -> Self {
        let pod = Server::builder(Self::config(redis)).namespace(chat());
        let pod = pod.build().unwrap().bind().unwrap();
        let (url, roomcast) = (format!("http://{}", pod.public()[0]), pod.roomcast());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            pod.run(async { drop(stopped.await) }, pending()).await;
        });
        soon(roomcast.ready()).await.unwrap();
        Self { url, roomcast, stop: Some(stop), task }
    }

    fn chat(&self) -> BroadcastOperator {
        self.roomcast.of("/chat")
    }

    async fn client(&self, rooms: &[&str]) -> Heard {
        let builder = Client::builder(format!("{}/chat", self.url)).reconnect(quick());
        let client = builder.build().unwrap();
        let seen = Seen::default();
        let note = seen.clone();
        let hear = move |event: Event| {
            let (first, second): (Value, Value) = event.arguments().unwrap_or_default();
            note.push((event.name().to_owned(), first, second));
        };
        client.subscribe_many(["news", "direct", "all", "from handler"], hear).unwrap();
        client
            .subscribe("question", |event| {
                let n: i64 = event.arguments().unwrap();
                event.ack(&(n + 1)).unwrap();
            })
            .unwrap();
        soon(client.connect()).await.unwrap();
        let _: Value = soon(client.emit_with_ack("enter", &json!(rooms))).await.unwrap();
        Heard { client, seen }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        soon(self.task).await.unwrap();
    }
}

/// A client, and the events that it got.
struct Heard {
    client: Client,
    seen: Seen<(String, Value, Value)>,
}

impl Heard {
    fn id(&self) -> String {
        self.client.id().unwrap()
    }

    /// Those that it got until now, by their first argument: what was sent before this has arrived.
    async fn texts(&self, operator: BroadcastOperator) -> Vec<Value> {
        operator.to(self.id()).emit("direct", &("end", ())).await.unwrap();
        loop {
            let all = self.seen.all();
            if all.last().is_some_and(|(_, text, _)| text == "end") {
                return all.into_iter().map(|(_, text, _)| text).filter(|t| t != "end").collect();
            }
            soon(self.seen.reaches(all.len() + 1)).await;
        }
    }
}

/// Lets clients into rooms that they name, and has one event that speaks to all from a handler.
fn chat() -> Namespace {
    Namespace::new("/chat")
        .authentication(AuthPolicy::None)
        .on("enter", |socket: Socket, roomcast::Args(rooms): roomcast::Args<Vec<String>>| {
            socket.join_then(rooms, roomcast::Reply::accepted())
        })
        .on("shout", async |socket: Socket, roomcast::Args(text): roomcast::Args<String>| {
            let sent = socket.nsp().to("a").emit("from handler", &(text, socket.id())).await;
            sent.map(|()| roomcast::Reply::accepted())
                .map_err(|error| roomcast::Refusal::new("not_sent", error.to_string()))
        })
        .on_server_side(|event, arguments| json!({"heard": event, "arguments": arguments}))
}

/// All of it with clients on `here` and `there`, which may be the same pod; publishing `from` one of them.
async fn publishes(here: &Embedded, there: &Embedded, from: &Embedded, servers: usize) {
    let roomcast = from.roomcast.clone();
    let (a, b, ab) =
        (here.client(&["a"]).await, there.client(&["b"]).await, there.client(&["a", "b"]).await);
    let all = [&a, &b, &ab];

    // It goes when nothing else waits for a client, so it has no place in the order.
    from.chat().to_all(["b", "none"]).volatile().emit("news", &("volatile", 3)).await.unwrap();
    for client in [&b, &ab] {
        soon(client.seen.reaches(1)).await;
    }
    from.chat().emit("news", &("everyone", 0)).await.unwrap();
    from.chat().to("a").emit("news", &("to a", 1)).await.unwrap();
    from.chat().to("a").to("b").except(ab.id()).emit("news", &("a or b", 2)).await.unwrap();
    let send = |to: Destination, text: &'static str| {
        let chat = from.chat();
        async move { chat.send(to, "direct", &(text, 4)).await.unwrap() }
    };
    send(Destination::Socket(b.id()), "to a socket").await;
    send(Destination::Room("a".into()), "to a room").await;
    send(Destination::Everyone, "to all").await;
    // In "/", where they are not: nobody gets it, and it is no error.
    roomcast.of("/chat").to("nobody").emit("news", &("lost", 5)).await.unwrap();

    let mut texts = Vec::new();
    for client in all {
        texts.push(client.texts(from.chat()).await);
    }
    assert_eq!(
        texts,
        [
            vec!["everyone", "to a", "a or b", "to a room", "to all"],
            vec!["volatile", "everyone", "a or b", "to a socket", "to all"],
            vec!["volatile", "everyone", "to a", "to a room", "to all"],
        ]
    );

    // A handler speaks to all of a room, its own socket among them.
    let answer: Value = soon(a.client.emit_with_ack("shout", &"hi")).await.unwrap();
    assert_eq!(answer, json!({"accepted": true}));
    for client in [&a, &ab] {
        let texts = client.texts(from.chat()).await;
        assert_eq!(texts.last().unwrap(), "hi");
    }
    assert_ne!(b.texts(from.chat()).await.last().unwrap(), "hi");

    let asked = from.chat().to("b").emit_with_ack("question", &41, Duration::from_secs(10));
    let answered = soon(asked).await.unwrap();
    assert_eq!((firsts(&answered.answer), answered.answer.missing), (vec![json!(42); 2], 0));
    assert_eq!(answered.answer.expected(), 2);
    assert_eq!(answered.pods, Pods { asked: servers, silent: 0 });

    let ids = async |operator: BroadcastOperator| {
        let answered = operator.fetch_sockets().await.unwrap();
        assert_eq!(answered.pods, Pods { asked: servers, silent: 0 });
        let mut ids: Vec<_> = answered.answer.into_iter().map(|socket| socket.id).collect();
        ids.sort();
        ids
    };
    let sorted = |clients: &[&Heard]| {
        let mut ids: Vec<_> = clients.iter().map(|client| client.id()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(from.chat()).await, sorted(&all));
    assert_eq!(ids(from.chat().to("a").except("b")).await, sorted(&[&a]));
    from.chat().to("b").sockets_join(["c", "d"]).await.unwrap();
    from.chat().to(b.id()).sockets_leave(["c"]).await.unwrap();
    reaches(async || ids(from.chat().to("c")).await == sorted(&[&ab])).await;
    reaches(async || ids(from.chat().to("d")).await == sorted(&[&b, &ab])).await;

    let gone = Arc::new(Mutex::new(Vec::new()));
    b.client.on_disconnected({
        let gone = gone.clone();
        move |reason| gone.lock().unwrap().push(reason.to_string())
    });
    from.chat().to("d").except(ab.id()).disconnect_sockets(false).await.unwrap();
    reaches(async || *gone.lock().unwrap() == ["io server disconnect"]).await;
    reaches(async || ids(from.chat()).await == sorted(&[&a, &ab])).await;
    for client in all {
        soon(client.client.shutdown()).await;
    }
}

/// The first value of each answer.
fn firsts(answers: &ClientAnswers) -> Vec<Value> {
    answers.answers.iter().map(|answer| answer.arguments().unwrap()).collect()
}

/// Waits until something is so.
async fn reaches(condition: impl AsyncFn() -> bool) {
    soon(async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_pod_publishes_to_sockets_rooms_and_everyone() {
    let pod = Embedded::start(None).await;
    publishes(&pod, &pod, &pod, 1).await;
    pod.stop().await;
}

#[tokio::test]
async fn two_pods_publish_to_the_clients_of_both() {
    let redis = Redis::start();
    let (one, two) = (Embedded::start(Some(&redis)).await, Embedded::start(Some(&redis)).await);
    let servers = async || one.chat().fetch_sockets().await.unwrap().pods.asked == 2;
    reaches(servers).await;
    publishes(&one, &two, &one, 2).await;
    publishes(&one, &two, &two, 2).await;

    let answered = one.chat().server_side_emit_with_ack("sum", vec![json!(1)]).await.unwrap();
    assert_eq!(answered.answer, [json!({"heard": "sum", "arguments": [1]})]);
    one.chat().server_side_emit("sum", vec![json!(2)]).await.unwrap();
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn without_redis_a_publisher_is_told_what_to_do() {
    let mut redis = Redis::start();
    let pod = Embedded::start(Some(&redis)).await;
    let client = pod.client(&["a"]).await;
    redis.kill();
    let away =
        async || pod.chat().emit("news", &("x", 0)).await == Err(RoomcastError::BackplaneAway);
    reaches(away).await;
    let error = pod.chat().to("a").sockets_join(["b"]).await.unwrap_err();
    assert_eq!(error, RoomcastError::BackplaneAway);
    let text = error.to_string();
    assert!(text.contains("backplane.url") && text.contains("when_away"), "{text}");
    assert_eq!(pod.chat().server_side_emit("e", vec![]).await, Err(error));
    // What is refused is not emitted on this pod either: an ack comes only of what was.
    let ask = || pod.chat().emit_with_ack("question", &1, Duration::from_secs(5));
    // What was accepted before comes before this.
    assert_eq!(firsts(&soon(ask()).await.unwrap().answer), [2]);
    let told = client.seen.all().len();
    assert_eq!(pod.chat().emit("news", &("x", 0)).await, Err(RoomcastError::BackplaneAway));
    assert_eq!(firsts(&soon(ask()).await.unwrap().answer), [2]);
    assert_eq!(client.seen.all().len(), told);
    soon(client.client.shutdown()).await;
    pod.stop().await;
}

#[tokio::test]
async fn mistakes_are_refused_with_the_remedy() {
    let built = Server::builder(Embedded::config(None)).namespace(chat()).build().unwrap();
    let early = built.roomcast();
    let not_yet = early.send(Destination::Everyone, "news", &1).await;
    assert_eq!(not_yet, Err(RoomcastError::NotStarted));
    assert!(RoomcastError::NotStarted.to_string().contains("Roomcast::ready"));
    drop(built);

    let pod = Embedded::start(None).await;
    let (roomcast, long) = (pod.roomcast.clone(), "e".repeat(257));
    for (operator, event, error, remedy) in [
        (pod.chat(), "", RoomcastError::NoEvent, "name the event"),
        (pod.chat(), "connect", RoomcastError::ReservedEvent("connect".into()), "another name"),
        (
            pod.chat(),
            &long,
            RoomcastError::NameTooLong { length: 257, max: 256 },
            "limits.name_length",
        ),
        (
            roomcast.of("/none"),
            "e",
            RoomcastError::UnknownNamespace("/none".into()),
            "Builder::namespace",
        ),
        (pod.chat().to_all(Vec::<String>::new()), "e", RoomcastError::NoRooms, "leave it out"),
        (pod.chat().to("a").except(""), "e", RoomcastError::EmptyRoom, "name the room"),
    ] {
        let emitted = operator.emit(event, &1).await;
        assert_eq!(emitted, Err(error.clone()), "{event}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
    // JSON has no keys that are lists.
    let unwritable = std::collections::BTreeMap::from([(vec![1], 1)]);
    let encoded = pod.chat().emit("e", &unwritable).await;
    assert!(matches!(encoded, Err(RoomcastError::Encode(_))), "{encoded:?}");
    let asked = pod.chat().volatile().emit_with_ack("e", &1, Duration::from_secs(1)).await;
    assert_eq!(asked.unwrap_err(), RoomcastError::VolatileAck);
    let joined = pod.chat().sockets_join(Vec::<String>::new()).await;
    assert_eq!(joined, Err(RoomcastError::NoRooms));
    let narrowed = pod.chat().to("a").server_side_emit("e", vec![]).await;
    assert_eq!(narrowed, Err(RoomcastError::ServersHaveNoRooms));
    let alone = pod.chat().server_side_emit("e", vec![]).await.unwrap_err();
    assert!(alone.to_string().contains("backplane.kind"), "{alone}");

    pod.stop().await;
    let late = roomcast.send(Destination::Everyone, "news", &1).await;
    assert_eq!(late, Err(RoomcastError::Stopped));
    assert_eq!(soon(roomcast.ready()).await, Err(RoomcastError::Stopped));
}

#[tokio::test]
async fn a_pod_whose_future_is_dropped_has_stopped() {
    let pod = Embedded::start(None).await;
    pod.task.abort();
    reaches(async || pod.roomcast.ready().await == Err(RoomcastError::Stopped)).await;
}
