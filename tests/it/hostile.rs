//! What no client should send is answered or closed, counted, and disturbs nobody else.

use std::time::{Duration, Instant};

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
    support::{API_KEY, OPEN, PATIENCE, Pod, get},
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
    for message in [
        // Engine.IO
        text(""),
        text("9"),
        text("0"),
        text("nonsense"),
        // Socket.IO
        text("4"),
        text("49"),
        text("42"),
        text("42{"),
        text("42[]"),
        text(r#"42["chat","public-a""#),
        text("43[\"no ack id\"]"),
        text("44{\"message\":\"not for servers\"}"),
        text("45[\"no count\"]"),
        text(&long_count),
        text("451001-[\"too many attachments\"]"),
        // Ids that cannot be answered.
        text("429223372036854775999[\"join\",{\"rooms\":[]}]"),
        text("421 [\"join\",{\"rooms\":[]}]"),
        text("4318446744073709551616[]"),
        Message::binary(vec![1, 2, 3]),
    ] {
        let closed = format!("{CLOSED}{{reason=\"parse error\"}}");
        let before = pod.metric(&closed).await;
        let mut raw = Raw::member(&pod).await;
        raw.send(message.clone()).await;
        raw.closed().await;
        pod.metric_reaches(&closed, before + 1.0).await;
        witness.is_well(&pod).await;
    }
}

#[tokio::test]
async fn an_event_for_a_namespace_that_is_not_joined_changes_nothing() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let mut raw = Raw::member(&pod).await;
    // Node closes such a client; socketioxide takes no notice.
    raw.send(text(r#"42/second,["chat","public-a"]"#)).await;
    raw.send(text(r#"421["leave",{"rooms":[]}]"#)).await;
    raw.expect("431[").await;
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn an_event_that_others_could_not_decode_goes_no_further() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let events = "roomcast_events_total{nsp=\"/\",result=\"bad_event\"}";
    let dangling = r#"{"_placeholder":true,"num":1}"#;
    let same = r#"{"_placeholder":true,"num":0}"#;
    let many = vec![dangling; 5000].join(",");
    let cases = [
        vec![text(r#"42["chat","public-a"] and more"#)],
        vec![text(r#"42["connect","public-a"]"#)],
        vec![text(r#"42["disconnect"]"#)],
        vec![
            text(&format!(r#"451-["chat","public-a",{dangling}]"#)),
            Message::binary(b"x".to_vec()),
        ],
        // Between pods, each would be a copy of the attachment.
        vec![
            text(&format!(r#"451-["chat","public-a",{same},{same}]"#)),
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
async fn what_not_all_clients_could_be_given_is_refused_and_its_sender_stays() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let mut raw = Raw::member(&pod).await;
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let refused = [
        deep(65),
        deep(200_000),
        format!(r#"{{"a":{}}}"#, deep(64)),
        "1e400".into(),
        format!("-{}", "9".repeat(400)),
        r#""\ud83d""#.into(),
        r#"{"\ude00":1}"#.into(),
    ];
    for argument in &refused {
        // A relay, an event of the gateway's own, a room that is cut, and one that no rule allows: all the same.
        for event in [
            format!(r#"421["chat","public-a",{argument}]"#),
            format!(r#"421["join",{argument}]"#),
            format!(r#"421["other",{argument}]"#),
            format!(r#"421["chat",{argument}]"#),
        ] {
            raw.send(text(&event)).await;
            raw.expect(r#"431[{"error":{"code":"bad_arguments""#).await;
        }
    }
    let events = "roomcast_events_total{nsp=\"/\",result=\"bad_arguments\"}";
    pod.metric_reaches(events, 4.0 * refused.len() as f64).await;
    witness.is_well(&pod).await;
    raw.expect("42[\"well\"]").await;
    for argument in
        [deep(64), "1e308".into(), r#""\ud83d\ude00""#.into(), r#""1e400 \\ud83d""#.into()]
    {
        let event = format!(r#"["chat","public-a",{argument}]"#);
        raw.send(text(&format!("421{event}"))).await;
        raw.expect("431[{\"accepted\"").await;
        assert_eq!(witness.0.next().await, Some(format!("42{event}")));
    }
}

#[tokio::test]
async fn a_backend_cannot_publish_what_a_client_could_not() {
    let pod = Pod::start(&format!("limits.depth = 3\n{OPEN}"));
    let mut witness = Witness::new(&pod).await;
    for (argument, status) in
        [("[[[1]]]", 200), ("[[[[1]]]]", 400), ("1e400", 400), (r#""\ud83d""#, 400)]
    {
        let body = format!(r#"{{"rooms":["public-a"],"event":"news","args":[{argument}]}}"#);
        let (answered, answer) = pod.publish_raw(Some(API_KEY), body).await;
        assert_eq!(answered, status, "{argument}: {answer}");
        if status == 400 {
            assert_eq!(answer["error"]["code"], "invalid_request");
        }
    }
    assert_eq!(witness.0.next().await.as_deref(), Some(r#"42["news",[[[1]]]]"#));
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn each_connect_behind_a_disconnect_is_answered() {
    let pod = Pod::start(&format!("{OPEN}\n[namespaces.\"/other\"]\nauth = \"none\"\n"));
    let mut witness = Witness::new(&pod).await;
    let mut raw = Raw::member(&pod).await;
    raw.send(text("40/other,")).await;
    raw.expect("40/other,").await;
    for _ in 0..200 {
        raw.send_all([text("41/other,"), text("40/other,")]).await;
        raw.expect("40/other,").await;
    }
    assert_eq!(pod.metric("roomcast_sockets{nsp=\"/other\"}").await, 1.0);
    // An event of a socket that has left ends the connection, as on Node.
    raw.send_all([text("41/other,"), text("42/other,[\"x\"]")]).await;
    raw.closed().await;
    pod.metric_reaches("roomcast_sockets{nsp=\"/other\"}", 0.0).await;
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn many_packets_of_engine_io_3_are_all_read() {
    let pod = Pod::start(&format!("engine.allow_eio3 = true\n{OPEN}"));
    let url = format!("http://{}/socket.io/?EIO=3&transport=polling", pod.public);
    let (_, opened) = get(&url).await;
    let sid = opened.split_once("\"sid\":\"").unwrap().1.split_once('"').unwrap().0;
    let url = format!("{url}&sid={sid}");
    assert!(get(&url).await.1.contains("2:40"));
    let client = reqwest::Client::new();
    // Lengths are in UTF-16 units; pings in between, a quarter of a million of them.
    let mut body = String::new();
    for id in 0..10 {
        let packet = format!(r#"42{id}["é😀","{}"]"#, "😀".repeat(id));
        body += &format!("{}:{packet}", packet.encode_utf16().count());
        body += &"1:2".repeat(25_000);
    }
    let answer = client.post(&url).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut acks = 0;
    while acks < 10 {
        acks += get(&url).await.1.matches("event_denied").count();
    }
    for malformed in ["1:2x:1", "5:short", "26:429223372036854775999[\"a\"]"] {
        let (_, opened) = get(url.split("&sid").next().unwrap()).await;
        let sid = opened.split_once("\"sid\":\"").unwrap().1.split_once('"').unwrap().0;
        let url = format!("{}&sid={sid}", url.split("&sid").next().unwrap());
        let answer = client.post(&url).body(malformed).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{malformed}");
    }
}

#[tokio::test]
async fn a_broken_chunk_is_answered_on_either_listener() {
    let pod = Pod::start(OPEN);
    let (_, opened) =
        get(&format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public)).await;
    let sid = opened.split_once("\"sid\":\"").unwrap().1.split_once('"').unwrap().0;
    for (address, path) in [
        (pod.public.to_string(), format!("/socket.io/?EIO=4&transport=polling&sid={sid}")),
        (pod.internal.to_string(), "/api/v1/emit".into()),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400", "{path}");
    }
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
    for sid in ["AAAAAAAAAAAAAAAA", "short", "%00", "..%2f..%2f"] {
        assert_eq!(get(&format!("{base}&sid={sid}")).await, unknown, "{sid}");
    }
    let url =
        format!("ws://{}/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA", pod.public);
    let error = tokio_tungstenite::connect_async(url).await.unwrap_err();
    assert!(error.to_string().contains("400"), "{error}");
    pod.metric_reaches(&format!("{REFUSED}{{code=\"session_unknown\"}}"), 5.0).await;
    assert_eq!(pod.metric("roomcast_connections{").await, 0.0);
}

#[tokio::test]
async fn the_second_of_two_polls_ends_the_session() {
    let pod = Pod::start(OPEN);
    let mut witness = Witness::new(&pod).await;
    let session = open_polling(&pod).await;
    let polls = async { tokio::join!(get(&session), get(&session)) };
    let (one, other) = tokio::time::timeout(PATIENCE, polls).await.expect("a poll hangs");
    assert!([one.0, other.0].contains(&400), "{one:?} {other:?}");
    pod.metric_reaches(&format!("{REFUSED}{{code=\"bad_request\"}}"), 1.0).await;
    pod.metric_reaches(CLOSED, 1.0).await;
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn a_websocket_that_sends_nothing_is_closed_in_time() {
    let pod = Pod::start("engine.connect_timeout = \"300ms\"");
    let mut raw = Raw::open(&pod).await;
    raw.closed().await;
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"no namespace\"}}"), 1.0).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed_in_time() {
    let pod = Pod::start(&format!(
        "engine.ping_interval = \"200ms\"\nengine.ping_timeout = \"5s\"\n{OPEN}"
    ));
    let mut frozen = Raw::member(&pod).await;
    frozen.answers = false;
    frozen.closed().await;
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"ping timeout\"}}"), 1.0).await;
    Witness::new(&pod).await.is_well(&pod).await;
}

#[tokio::test]
async fn half_a_request_is_closed_in_time() {
    let pod = Pod::start(&format!("public.request_timeout = \"3s\"\n{OPEN}"));
    let mut witness = Witness::new(&pod).await;
    let session = open_polling(&pod).await;
    let path = session.split_once("/socket.io").unwrap().1;
    let half_body =
        format!("POST /socket.io{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n42[");
    for (sent, answer, code) in [
        ("", "", "head_timeout"),
        ("GET /socket.io/?EIO=4", "", "head_timeout"),
        (&half_body, "HTTP/1.1 408", "request_timeout"),
        ("nonsense\r\n\r\n", "HTTP/1.1 400", "bad_http"),
    ] {
        let refused = format!("{REFUSED}{{code=\"{code}\"}}");
        let before = pod.metric(&refused).await;
        let mut tcp = TcpStream::connect(&pod.public).await.unwrap();
        tcp.write_all(sent.as_bytes()).await.unwrap();
        let mut answered = String::new();
        let read = tokio::time::timeout(PATIENCE, tcp.read_to_string(&mut answered)).await;
        assert!(read.is_ok(), "{sent:?} is not closed");
        assert!(answered.starts_with(answer), "{sent:?}: {answered}");
        pod.metric_reaches(&refused, before + 1.0).await;
        witness.is_well(&pod).await;
    }
    // On the internal listener it is no client's.
    let before = pod.metric(REFUSED).await;
    let mut tcp = TcpStream::connect(&pod.internal).await.unwrap();
    tcp.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let mut answered = String::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_string(&mut answered)).await.unwrap().unwrap();
    assert!(answered.starts_with("HTTP/1.1 400"), "{answered}");
    assert_eq!(pod.metric(REFUSED).await, before);
}

#[tokio::test]
async fn a_session_outlives_an_upgrade_that_fails() {
    let pod = Pod::start(OPEN);
    for packets in [vec![], vec![text("2probe")], vec![text("nonsense")]] {
        let session = open_polling(&pod).await;
        let client = reqwest::Client::new();
        client.post(&session).body("40").send().await.unwrap();
        pod.metric_reaches("roomcast_sockets{", 1.0).await;
        let url = session.replace("http://", "ws://").replace("polling", "websocket");
        let (mut websocket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
        // While one upgrade is under way, a second WebSocket is closed.
        let (mut second, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
        let closed = futures_util::StreamExt::next(&mut second).await;
        assert!(matches!(closed, Some(Ok(Message::Close(_)))), "{closed:?}");
        for packet in packets {
            futures_util::SinkExt::send(&mut websocket, packet).await.unwrap();
        }
        drop(websocket);
        let event = r#"427["join",{"rooms":["public-a"]}]"#;
        assert_eq!(client.post(&session).body(event).send().await.unwrap().status(), 200);
        loop {
            let (status, body) = get(&session).await;
            assert_eq!(status, 200);
            if body.contains("437[") {
                break;
            }
        }
        // The next upgrade may go through: once the pod has seen the end of the last one.
        let begun = Instant::now();
        let mut websocket = loop {
            let (mut websocket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
            let _ = futures_util::SinkExt::send(&mut websocket, text("2probe")).await;
            match futures_util::StreamExt::next(&mut websocket).await {
                Some(Ok(answer)) if answer == text("3probe") => break websocket,
                _ => assert!(begun.elapsed() < PATIENCE, "no upgrade any more"),
            }
        };
        for packet in ["5", r#"428["leave",{"rooms":["public-a"]}]"#] {
            futures_util::SinkExt::send(&mut websocket, text(packet)).await.unwrap();
        }
        let mut next = async || loop {
            let next = futures_util::StreamExt::next(&mut websocket).await.unwrap().unwrap();
            if next != text("2") {
                return next.into_text().unwrap();
            }
        };
        assert!(next().await.starts_with("438["));
        drop(websocket);
        nothing_is_left(&pod).await;
        assert_eq!(get(&session).await.0, 400);
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_in_time() {
    // All that waits may wait: the time is what ends it.
    let pod = Pod::start(&format!(
        "limits.write_timeout = \"5s\"\nlimits.send_queue_bytes = \"64MiB\"\n{OPEN}"
    ));
    let mut witness = Witness::new(&pod).await;
    let stuck = Raw::member(&pod).await;
    let chunk = json!({"event": "big", "rooms": ["public-a"], "args": ["x".repeat(900_000)]});
    // More than the buffers of both ends of the connection hold.
    for _ in 0..30 {
        assert_eq!(pod.publish(&chunk).await.0, 200);
        assert!(witness.0.next().await.unwrap().starts_with(r#"42["big""#));
    }
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"write timeout\"}}"), 1.0).await;
    assert_eq!(pod.metric("roomcast_sockets{").await, 1.0);
    witness.is_well(&pod).await;
    drop(stuck);
}

#[tokio::test]
async fn announced_attachments_of_a_polling_client_are_awaited_in_time() {
    let pod = Pod::start(&format!("public.request_timeout = \"5s\"\n{OPEN}"));
    let mut witness = Witness::new(&pod).await;
    let session = open_polling(&pod).await;
    let client = reqwest::Client::new();
    let post = |body: &'static str| client.post(&session).body(body).send();
    post("40").await.unwrap();
    // As on Node, an event of a client that is not in the namespace yet ends its connection.
    pod.metric_reaches("roomcast_sockets{", 2.0).await;
    // Attachments may come in a later request.
    post(r#"452-["chat","public-a",{"_placeholder":true,"num":1}]"#).await.unwrap();
    assert_eq!(post("bAQL/\u{1e}bAQL/").await.unwrap().status(), 200);
    assert_eq!(post(r#"452-["chat","public-a"]"#).await.unwrap().status(), 200);
    assert_eq!(post("bAQL/").await.unwrap().status(), 200);
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"message timeout\"}}"), 1.0).await;
    assert_eq!(get(&session).await.0, 400);
    witness.is_well(&pod).await;
}

#[tokio::test]
async fn the_id_of_a_client_is_no_room_for_others_in_any_namespace() {
    let pod = Pod::start(
        "[namespaces.\"/\"]\nauth = \"none\"\n[namespaces.\"/wide\"]\nauth = \"none\"\n\
         [[namespaces.\"/wide\".rooms]]\npattern = \"*\"\njoin = \"anyone\"\n",
    );
    let mut victim = Raw::open(&pod).await;
    victim.send(text("40")).await;
    let connected = victim.next().await.unwrap();
    let id = connected.strip_prefix("40{\"sid\":\"").unwrap().trim_end_matches("\"}");
    let mut other = Raw::open(&pod).await;
    other.send(text("40/wide,")).await;
    other.expect("40/wide,").await;
    other.send(text(&format!(r#"42/wide,0["join",{{"rooms":["{id}","free"]}}]"#))).await;
    let answer = other.next().await.unwrap();
    assert!(
        answer.contains(r#""joined":["free"]"#) && answer.contains("room_reserved"),
        "{answer}"
    );
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
    nothing_is_left(&pod).await;
    Witness::new(&pod).await.is_well(&pod).await;
}

#[tokio::test]
async fn messages_that_are_never_finished_are_closed_in_time() {
    let pod = Pod::start(&format!("public.request_timeout = \"5s\"\n{OPEN}"));
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
        raw.answers = false; // a pong is not allowed in the middle of a message
        for message in messages {
            raw.send(message).await;
        }
        raw.closed().await;
        pod.metric_reaches(&format!("{CLOSED}{{reason=\"message timeout\"}}"), (count + 1) as f64)
            .await;
        witness.is_well(&pod).await;
    }
}

/// Waits until no connection and no socket is open.
async fn nothing_is_left(pod: &Pod) {
    let begun = Instant::now();
    while pod.metric("roomcast_connections{").await + pod.metric("roomcast_sockets{").await > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "connections are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
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
