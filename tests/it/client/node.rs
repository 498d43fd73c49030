//! Events, acks, binary, namespaces and bounds, with Node: tests/js/peers/client-server.mjs.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use roomcast::client::{Backoff, Client, ClientError, State, Transport, TransportError};
use serde_json::{Value, json};

use super::{Seen, WAYS, quick, soon};
use crate::support::PATIENCE;

/// A running server.
pub struct Node {
    pub child: Child,
    pub port: u16,
}

impl Node {
    pub fn start(options: &Value) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/js");
        let mut child = Command::new("node")
            .current_dir(folder)
            .args(["peers/client-server.mjs", &options.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server says its port");
        Self { child, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub async fn connect(&self, transports: &[Transport]) -> Client {
        let builder = Client::builder(self.url()).transports(transports.iter().copied());
        soon(builder.reconnect(quick()).connect()).await.unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn who_am_i(client: &Client) -> Value {
    soon(client.emit_with_ack("who am i", &())).await.unwrap()
}

#[tokio::test]
async fn events_acks_and_binary_over_each_transport() {
    let node = Node::start(&json!({}));
    for (way, transports) in WAYS {
        let client = node.connect(transports).await;
        let me = who_am_i(&client).await;
        assert_eq!(me["id"], client.id().unwrap());
        let expected = if way == "websocket" { "websocket" } else { "polling" };
        if way != "upgrade" {
            assert_eq!(me["transport"], expected);
        }
        // Both ways: as an ack, and as an event.
        let data = (
            1,
            "ä\u{1e}\"\n",
            json!({"deep": [null, true, 1.5]}),
            Bytes::from_static(b"\0\x1e\xff"),
            [Bytes::from(vec![7; 10_000]), Bytes::new()],
        );
        type Data = (i32, String, Value, Bytes, Vec<Bytes>);
        let check = |(number, text, value, bytes, list): Data| {
            assert_eq!((number, text.as_str(), value), (data.0, data.1, data.2.clone()), "{way}");
            assert_eq!((bytes, &list[..]), (data.3.clone(), &data.4[..]), "{way}");
        };
        check(soon(client.emit_with_ack("echo", &data)).await.unwrap());
        let mut back = client.events("back", 4).unwrap();
        client.emit("send back", &data).unwrap();
        check(soon(back.next()).await.unwrap().unwrap().arguments().unwrap());
        client.emit("send back", &()).unwrap();
        let event = soon(back.next()).await.unwrap().unwrap();
        event.arguments::<()>().unwrap();
        assert!(event.arguments::<(u8,)>().is_err());
        let nothing: Option<u8> = soon(client.emit_with_ack("echo", &())).await.unwrap();
        assert_eq!(nothing, None);

        // The server asks, the client answers with binary.
        client
            .subscribe("question", |event| {
                let (number, bytes): (u8, Bytes) = event.arguments().unwrap();
                event.ack(&(number + 1, bytes.slice(1..))).unwrap();
            })
            .unwrap();
        let question = (41, Bytes::from_static(b"abc"));
        let answer: (Option<String>, u8, Bytes) =
            soon(client.emit_with_ack("ask me", &question)).await.unwrap();
        assert_eq!(answer, (None, 42, Bytes::from_static(b"bc")));

        // Many, in order.
        let numbers = Seen::default();
        client
            .subscribe("number", {
                let numbers = numbers.clone();
                move |event| numbers.push(event.arguments::<usize>().unwrap())
            })
            .unwrap();
        client.emit("many", &1000).unwrap();
        assert_eq!(numbers.reaches(1000).await, (0..1000).collect::<Vec<_>>());
        // An event that nobody answers.
        let wait = Duration::from_millis(50);
        let none: Result<Value, _> = client.emit_with_timeout("send back", &1, wait).await;
        assert!(matches!(none, Err(ClientError::AckTimeout(_))));
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn an_upgrade_loses_nothing() {
    let node = Node::start(&json!({}));
    for _ in 0..10 {
        let client = node.connect(&[Transport::Polling, Transport::WebSocket]).await;
        let numbers = Seen::default();
        client
            .subscribe("number", {
                let numbers = numbers.clone();
                move |event| numbers.push(event.arguments::<u32>().unwrap())
            })
            .unwrap();
        let mut sent = 0;
        let begun = std::time::Instant::now();
        loop {
            client.emit("many", &3).unwrap();
            sent += 3;
            let echoed: u32 = soon(client.emit_with_ack("echo", &sent)).await.unwrap();
            assert_eq!(echoed, sent);
            if who_am_i(&client).await["transport"] == "websocket" {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "no upgrade");
        }
        let expected: Vec<_> = (0..sent).map(|i| i % 3).collect();
        assert_eq!(numbers.reaches(expected.len()).await, expected);
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn what_the_handshake_carries() {
    let node = Node::start(&json!({}));
    for (way, transports) in WAYS {
        let client = Client::builder(format!("{}/chat?a=1", node.url()))
            .transports(transports.iter().copied())
            .query("b", "x & y")
            .header("x-tenant", "blue")
            .auth(json!({"token": "t"}));
        let client = soon(client.connect()).await.unwrap();
        assert_eq!(client.namespace(), "/chat");
        let me = who_am_i(&client).await;
        assert_eq!(me["auth"], json!({"token": "t"}), "{way}");
        assert_eq!((&me["query"]["a"], &me["query"]["b"]), (&json!("1"), &json!("x & y")));
        assert_eq!(me["headers"]["x-tenant"], "blue");
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn namespaces_and_a_middleware_that_refuses() {
    let node = Node::start(&json!({}));
    for (way, transports) in WAYS {
        let client = node.connect(transports).await;
        let chat = client.socket("/chat").unwrap();
        soon(chat.connect()).await.unwrap();
        assert_ne!(chat.id(), client.id());
        assert_eq!(who_am_i(&chat).await["id"], chat.id().unwrap());

        let refused = soon(client.socket("/private").unwrap().connect()).await;
        let Err(ClientError::Refused { message, data }) = refused else { panic!("{refused:?}") };
        assert_eq!((message.as_str(), data), ("no entry", Some(json!({"code": 7}))), "{way}");
        let none = soon(client.socket("/none").unwrap().connect()).await;
        assert!(
            matches!(none, Err(ClientError::Refused { message, .. }) if message == "Invalid namespace")
        );
        assert!(client.state().is_connected() && chat.state().is_connected());
        soon(client.shutdown()).await;
        assert_eq!(chat.state(), State::Closed);
    }
}

#[tokio::test]
async fn a_namespace_that_does_not_answer() {
    let node = Node::start(&json!({}));
    let client = Client::builder(node.url()).connect_timeout(Duration::from_secs(2));
    let client = soon(client.connect()).await.unwrap();
    let silent = client.socket("/silent").unwrap();
    let late = soon(silent.connect()).await;
    assert!(matches!(late, Err(ClientError::NamespaceTimeout(_))), "{late:?}");
    assert_eq!((client.state(), silent.state()), (State::Connected, State::Disconnected));
    // The server lets it in after all, and is told that it has left.
    client.emit("open up", &()).unwrap();
    let begun = std::time::Instant::now();
    while soon(client.emit_with_ack::<_, u32>("sockets of", "/silent")).await.unwrap() > 0 {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!((client.state(), silent.state()), (State::Connected, State::Disconnected));
    soon(client.shutdown()).await;
}

#[tokio::test]
async fn without_websockets_it_falls_back_to_polling() {
    let node = Node::start(&json!({"transports": ["polling"]}));
    let client = soon(Client::builder(node.url()).connect()).await.unwrap();
    assert_eq!(who_am_i(&client).await["transport"], "polling");
    soon(client.shutdown()).await;
    let only = Client::builder(node.url()).transports([Transport::WebSocket]);
    let only = only.reconnect(Backoff::never());
    let refused = soon(only.connect()).await;
    let status =
        matches!(refused, Err(ClientError::Transport(TransportError::Status { status: 400, .. })));
    assert!(status, "{refused:?}");
}

#[tokio::test]
async fn what_the_server_would_not_take_is_split_or_refused() {
    let node = Node::start(&json!({"maxHttpBufferSize": 1000}));
    for (way, transports) in WAYS {
        let client = node.connect(transports).await;
        let large = client.emit("echo", &"x".repeat(1000));
        assert!(matches!(large, Err(ClientError::TooLarge { max: 1000, .. })), "{way}");
        // Each attachment fits, all together do not.
        let parts = vec![Bytes::from(vec![1; 600]); 4];
        let echoed: Vec<Bytes> = soon(client.emit_with_ack("echo", &(&parts,))).await.unwrap();
        assert_eq!(echoed, parts, "{way}");
        let many: Vec<_> = (0..20).map(|i| (i, "x".repeat(300))).collect();
        let echoes = many.iter().map(|part| client.emit_with_ack("echo", part));
        let echoes: Vec<Result<(i32, String), _>> =
            soon(futures_util::future::join_all(echoes)).await;
        assert_eq!(echoes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), many);
        soon(client.shutdown()).await;
    }
}

#[tokio::test]
async fn tls_with_certificates_that_are_trusted_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-days", "1", "-keyout", &path("key.pem"), "-out", &path("cert.pem")])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let node = Node::start(&json!({"key": path("key.pem"), "cert": path("cert.pem")}));
    let pem = std::fs::read(path("cert.pem")).unwrap();
    for (way, transports) in WAYS {
        for scheme in ["https", "wss"] {
            let url = format!("{scheme}://localhost:{}", node.port);
            let builder = || {
                let never = Backoff::never();
                Client::builder(&url).transports(transports.iter().copied()).reconnect(never)
            };
            let client = soon(builder().ca_certificates(pem.clone()).connect()).await.unwrap();
            assert_eq!(who_am_i(&client).await["id"], client.id().unwrap(), "{way}");
            soon(client.shutdown()).await;
            // Whether the system has certificates or none: this one is not among them.
            let refused = soon(builder().connect()).await;
            let untrusted = matches!(refused, Err(ClientError::Transport(_) | ClientError::Tls(_)));
            assert!(untrusted, "{refused:?}");
        }
    }
}
