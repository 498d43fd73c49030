//! What no client should send is answered or closed, counted, and disturbs nobody else.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::frame::{Frame, coding::OpCode},
};

use super::{
    raw::Raw,
    support::{OPEN, PATIENCE, Pod, get},
};

const CLOSED: &str = "roomcast_connections_closed_total";
const REFUSED: &str = "roomcast_requests_refused_total";

/// Another client, which must notice nothing.
struct Witness(Raw);

impl Witness {
    async fn new(pod: &Pod) -> Self {
        Self(Raw::member(pod).await)
    }

    /// It still gets what is sent to it, and it got nothing else.
    async fn is_well(&mut self, pod: &Pod) {
        let (status, _) = pod.publish(&json!({"rooms": ["public-a"], "event": "well"})).await;
        assert_eq!(status, 200);
        assert_eq!(self.0.next().await.as_deref(), Some(r#"42["well"]"#));
    }
}

fn text(text: &str) -> Message {
    Message::text(text)
}

#[tokio::test]
async fn nonsense_from_a_member_closes_its_connection() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let long_count = format!("45{}-[\"chat\"]", "9".repeat(40));
    for (message, reason) in [
        // Engine.IO
        (text(""), "parse error"),
        (text("9"), "parse error"),
        (text("0"), "parse error"),
        (text("nonsense"), "parse error"),
        // Socket.IO
        (text("4"), "parse error"),
        (text("49"), "parse error"),
        (text("42"), "parse error"),
        (text("42{"), "parse error"),
        (text("42[]"), "parse error"),
        (text("42[1]"), "parse error"),
        (text(r#"42["chat","public-a""#), "parse error"),
        (text("43[\"no ack id\"]"), "parse error"),
        (text("44{\"message\":\"not for servers\"}"), "parse error"),
        (text("45[\"no count\"]"), "parse error"),
        (text(&long_count), "parse error"),
        (text("451001-[\"too many attachments\"]"), "parse error"),
        (Message::binary(vec![1, 2, 3]), "parse error"),
        // Events of a namespace that it has not joined.
        (text(r#"42/second,["chat","public-a"]"#), "no namespace"),
    ] {
        let label = format!("{CLOSED}{{reason=");
        let before = pod.metric(&label).await;
        let mut raw = Raw::member(&pod).await;
        raw.send(message.clone()).await;
        if reason == "no namespace" {
            // Node closes such a client; socketioxide takes no notice of an unknown namespace.
            raw.send(text(r#"421["leave",{"rooms":[]}]"#)).await;
            raw.expect("431[").await;
            continue;
        }
        raw.closed().await;
        pod.metric_reaches(&label, before + 1.0).await;
        assert!(pod.metric(&format!("{CLOSED}{{reason=\"{reason}\"")).await >= 1.0, "{message}");
        witness.is_well(&pod).await;
    }
}

#[tokio::test]
async fn an_event_that_others_could_not_decode_goes_no_further() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let events = "roomcast_events_total{namespace=\"/\",result=\"bad_event\"}";
    let dangling = r#"{"_placeholder":true,"num":1}"#;
    let many = vec![dangling; 5000].join(",");
    let cases = [
        vec![text(r#"42["chat","public-a"] and more"#)],
        vec![text(r#"42["connect","public-a"]"#)],
        vec![text(r#"42["disconnect"]"#)],
        vec![
            text(&format!(r#"451-["chat","public-a",{dangling}]"#)),
            Message::binary(b"x".to_vec()),
        ],
        vec![text(&format!(r#"451-["chat","public-a",{many}]"#)), Message::binary(b"x".to_vec())],
    ];
    for (index, messages) in cases.into_iter().enumerate() {
        let mut raw = Raw::member(&pod).await;
        for message in messages {
            raw.send(message).await;
        }
        raw.expect("41").await; // Socket.IO's DISCONNECT
        pod.metric_reaches(events, (index + 1) as f64).await;
        witness.is_well(&pod).await;
    }
}

#[tokio::test]
async fn thousands_of_placeholders_for_one_attachment_are_just_an_event() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let mut raw = Raw::member(&pod).await;
    let many = vec![r#"{"_placeholder":true,"num":0}"#; 5000].join(",");
    raw.send(text(&format!(r#"451-["chat","public-a",{many}]"#))).await;
    raw.send(Message::binary(b"x".to_vec())).await;
    let relayed = witness.0.next().await.unwrap();
    assert!(relayed.starts_with(r#"451-["chat","public-a","#) && relayed.len() > 100_000);
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn attachments_that_never_arrive_end_with_the_next_packet() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let mut raw = Raw::member(&pod).await;
    raw.send(text(r#"452-["chat","public-a",{"_placeholder":true,"num":0}]"#)).await;
    raw.send(Message::binary(b"x".to_vec())).await;
    witness.is_well(&pod).await;
    raw.send(text(r#"42["chat","public-a","instead"]"#)).await;
    raw.closed().await;
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"parse error\"}}"), 1.0).await;
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn a_message_over_the_limit_closes_its_sender() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let huge = "x".repeat(2_000_000);

    let mut raw = Raw::member(&pod).await;
    raw.send(text(&format!(r#"42["chat","public-a","{huge}"]"#))).await;
    raw.closed().await;
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"transport error\"}}"), 1.0).await;

    // Many attachments, each below the limit and together above.
    let mut raw = Raw::member(&pod).await;
    raw.send(text(r#"453-["chat","public-a"]"#)).await;
    for _ in 0..3 {
        raw.send(Message::binary(vec![0; 400_000])).await;
    }
    raw.closed().await;
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"parse error\"}}"), 1.0).await;

    let session = open_polling(&pod).await;
    let response = reqwest::Client::new().post(&session).body(format!("4{huge}")).send().await;
    assert_eq!(response.unwrap().status(), 413);
    pod.metric_reaches(&format!("{REFUSED}{{code=\"payload_too_large\"}}"), 1.0).await;
    assert_eq!(get(&session).await.0, 400, "the session is over");
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn an_unknown_session_is_answered_as_on_node() {
    let pod = Pod::start(OPEN);
    let base = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
    let unknown = (400, r#"{"code":1,"message":"Session ID unknown"}"#.to_owned());
    for sid in ["AAAAAAAAAAAAAAAA", "short", "", "%00", "..%2f..%2f"] {
        assert_eq!(get(&format!("{base}&sid={sid}")).await, unknown, "{sid}");
    }
    let url =
        format!("ws://{}/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA", pod.public);
    let error = tokio_tungstenite::connect_async(url).await.unwrap_err();
    assert!(error.to_string().contains("400"), "{error}");
    pod.metric_reaches(&format!("{REFUSED}{{code=\"session_unknown\"}}"), 6.0).await;
    assert_eq!(pod.metric("roomcast_connections{").await, 0.0);
}

#[tokio::test]
async fn the_second_of_two_polls_ends_the_session() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let session = open_polling(&pod).await;
    // The first answer is the ping that is due. After it, polls wait.
    get(&session).await;
    let polls = async { tokio::join!(get(&session), get(&session)) };
    let (one, other) = tokio::time::timeout(PATIENCE, polls).await.expect("a poll hangs");
    assert!([one.0, other.0].contains(&400), "{one:?} {other:?}");
    pod.metric_reaches(&format!("{REFUSED}{{code=\"bad_request\"}}"), 1.0).await;
    pod.metric_reaches(CLOSED, 1.0).await;
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn clients_that_send_nothing_are_closed_in_time() {
    let pod = Pod::start(
        "engine.connect_timeout = \"300ms\"\npublic.request_timeout = \"300ms\"\napi.keys = [\"a-key-for-the-tests-only\"]",
    );
    // A WebSocket that joins no namespace.
    let mut raw = Raw::open(&pod).await;
    raw.closed().await;
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"no namespace\"}}"), 1.0).await;

    // A connection without a request, one with half a head, one with half a body.
    let session = open_polling(&pod).await;
    let path = session.split_once("/socket.io").unwrap().1;
    let half_body =
        format!("POST /socket.io{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n42[");
    for sent in ["", "GET /socket.io/?EIO=4", &half_body] {
        let mut tcp = TcpStream::connect(&pod.public).await.unwrap();
        tcp.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "{sent:?} is not closed");
    }
}

#[tokio::test]
async fn a_thousand_clients_that_leave_in_any_state_leave_nothing_behind() {
    let pod = Pod::start(OPEN);
    for round in 0..1000 {
        let tcp = TcpStream::connect(&pod.public).await.unwrap();
        let mut tcp = tcp;
        let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
            upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        // "40" masked with zeros: some leave before it, some behind it, some in its middle.
        let bytes = [request.as_bytes(), &[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']].concat();
        let sent = request.len() - 20 + round % 28;
        tcp.write_all(&bytes[..sent]).await.unwrap();
        drop(tcp);
    }
    let begun = std::time::Instant::now();
    while pod.metric("roomcast_connections{").await + pod.metric("roomcast_sockets{").await > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "connections are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Witness::new(&pod).await.is_well(&pod).await;
}

#[tokio::test]
async fn messages_that_are_never_finished_are_closed_in_time() {
    let pod = Pod::start(&format!("public.request_timeout = \"400ms\"\n{OPEN}"));
    let mut witness = Witness::new(&pod).await;
    let announced = text(r#"452-["chat","public-a",{"_placeholder":true,"num":0}]"#);
    let half = Message::Frame(Frame::message(
        "42[".to_owned(),
        OpCode::Data(tungstenite::protocol::frame::coding::Data::Text),
        false,
    ));
    for (count, messages) in
        [vec![announced.clone()], vec![announced, Message::binary(b"x".to_vec())], vec![half]]
            .into_iter()
            .enumerate()
    {
        let mut raw = Raw::member(&pod).await;
        for message in messages {
            raw.send(message).await;
        }
        raw.closed().await;
        pod.metric_reaches(&format!("{CLOSED}{{reason=\"message timeout\"}}"), (count + 1) as f64)
            .await;
        witness.is_well(&pod).await;
    }
}

/// Opens a polling session, and gives the URL of its requests.
async fn open_polling(pod: &Pod) -> String {
    let base = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
    let (status, body) = get(&base).await;
    assert_eq!(status, 200);
    let open: serde_json::Value = serde_json::from_str(body.strip_prefix('0').unwrap()).unwrap();
    format!("{base}&sid={}", open["sid"].as_str().unwrap())
}
