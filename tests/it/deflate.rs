//! Clients that compress what they send (`permessage-deflate`), and what they should not do with it.

use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    raw::Raw,
    support::{OPEN, PATIENCE, Pod},
};

const ON: &str = "\n[engine.per_message_deflate]\nenabled = true\n";
const CLOSED: &str = "roomcast_connections_closed_total";
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// First bytes of frames: the last one of a text that is compressed, and others of it.
const TEXT: u8 = 0xc1;
const BEGINS: u8 = 0x41;
const GOES_ON: u8 = 0;
const ENDS: u8 = 0x80;

fn pod(settings: &str) -> Pod {
    Pod::start(&format!("{settings}{OPEN}{ON}"))
}

/// So many times the same, one behind the other, as a message has it.
fn repeated(bytes: &[u8], times: usize) -> Vec<u8> {
    let mut once = Vec::with_capacity(bytes.len() + 1024);
    let mut compress = Compress::new(Compression::best(), false);
    compress.compress_vec(bytes, &mut once, FlushCompress::Sync).unwrap();
    let mut all = once.repeat(times);
    all.truncate(all.len() - TAIL.len());
    all
}

fn compressed(text: &str) -> Vec<u8> {
    repeated(text.as_bytes(), 1)
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | 127];
    frame.extend((payload.len() as u64).to_be_bytes());
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A WebSocket whose frames are as the test has them.
struct Client(TcpStream);

impl Client {
    /// In no namespace yet; compressed messages are agreed on if the pod has them.
    async fn open(pod: &Pod) -> Self {
        Self::open_at(pod, "/socket.io/?EIO=4&transport=websocket").await
    }

    async fn open_at(pod: &Pod, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Who does not read it does not get much.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut stream = socket.connect(pod.public.parse().unwrap()).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-extensions: permessage-deflate\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        Self(stream)
    }

    /// A member of `public-a`.
    async fn member(pod: &Pod) -> Self {
        let mut client = Self::open(pod).await;
        client.send(&frame(TEXT, &compressed("40"))).await;
        client.expect("40{").await;
        client.send(&frame(TEXT, &compressed(r#"420["join",{"rooms":["public-a"]}]"#))).await;
        client.expect("430[").await;
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already: then the test sees that next.
        let _ = self.0.write_all(bytes).await;
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await.ok()?;
        let length = match self.0.read_u8().await.ok()? {
            126 => self.0.read_u16().await.ok()?.into(),
            127 => self.0.read_u64().await.ok()?,
            short => short.into(),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((first, payload))
    }

    /// The next message that is no ping of Engine.IO; none once the server has closed.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let next = async {
            let (mut all, mut is_compressed) = (Vec::new(), false);
            loop {
                let (first, payload) = self.frame().await?;
                match first & 0x0f {
                    8 => return None,
                    10 => return Some(payload),
                    _ if payload == b"2" => continue,
                    _ => {}
                }
                is_compressed |= first & 0x40 != 0;
                all.extend(payload);
                if first & 0x80 == 0 {
                    continue;
                }
                if is_compressed {
                    all.extend(TAIL);
                    let mut inflated = Vec::with_capacity(2_000_000);
                    let mut inflate = Decompress::new(false);
                    inflate.decompress_vec(&all, &mut inflated, FlushDecompress::Sync).unwrap();
                    all = inflated;
                }
                return Some(all);
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("neither an answer nor the end")
    }

    async fn expect(&mut self, prefix: &str) {
        let next = self.next().await.map(|next| String::from_utf8(next).unwrap());
        let next = next.map(|mut next| {
            next.truncate(200);
            next
        });
        let expected = next.as_ref().is_some_and(|next| next.starts_with(prefix));
        assert!(expected || self.is_opening(&next), "{prefix}: {next:?}");
        if !expected {
            Box::pin(self.expect(prefix)).await;
        }
    }

    fn is_opening(&self, next: &Option<String>) -> bool {
        next.as_ref().is_some_and(|next| next.starts_with("0{"))
    }

    async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// Most memory that the process has had, in bytes.
fn most_memory(pod: &Pod) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pod.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn what_would_fill_the_memory_is_too_large_before_it_is_inflated() {
    let pod = pod("");
    let mut witness = Raw::member(&pod).await;
    // 1 GiB in about 1 MB.
    let bomb = repeated(&vec![b'x'; 1024 * 1024], 1024);
    assert!(bomb.len() < 2_000_000);
    let middle = bomb.len() / 2;
    let in_two = [frame(BEGINS, &bomb[..middle]), frame(ENDS, &bomb[middle..])].concat();
    let open = compressed(r#"42["chat","public-a",""#);
    let in_an_event = [frame(BEGINS, &open), frame(ENDS, &[&TAIL[..], &bomb].concat())].concat();
    let before = most_memory(&pod);
    for (count, bytes) in
        [frame(TEXT, &bomb), frame(0xc2, &bomb), in_two, in_an_event].iter().enumerate()
    {
        let mut client = Client::member(&pod).await;
        client.send(bytes).await;
        client.closed().await;
        let reason = format!("{CLOSED}{{reason=\"transport error\"}}");
        pod.metric_reaches(&reason, (count + 1) as f64).await;
    }
    // A message of the largest size, copied some times on its way.
    let more = most_memory(&pod) - before;
    assert!(more < 16_000_000, "{more} bytes");
    let (status, _) = pod.publish(&json!({"rooms": ["public-a"], "event": "well"})).await;
    assert_eq!(status, 200);
    assert_eq!(witness.next().await.as_deref(), Some(r#"42["well"]"#));
}

#[tokio::test]
async fn what_makes_no_sense_closes_its_sender_as_it_does_without_the_extension() {
    let (with, without) = (pod(""), Pod::start(OPEN));
    let transport_error = format!("{CLOSED}{{reason=\"transport error\"}}");
    let text = compressed(r#"42["chat","public-a","hello"]"#);
    let begun = frame(BEGINS, &text[..4]);
    for (at, wrong) in [
        frame(TEXT, b"\xff\xff\xff\xff"),
        [&begun[..], &frame(ENDS, b"\xff\xff\xff\xff\xff\xff")].concat(),
        [&begun[..], &frame(0xc0, &text[4..])].concat(),
        [&begun[..], &frame(TEXT, &text)].concat(),
        [&begun[..], &frame(0x81, b"3")].concat(),
        [&begun[..], &frame(0xc9, b"ping")].concat(),
        frame(0xc0, &text),
        frame(0x40, &text),
        frame(0xc9, b"ping"),
        frame(0xc8, b""),
        frame(0xd1, &text),
        frame(0xe1, &text),
        frame(0xc3, &text),
        vec![TEXT, 4, 1, 2, 3, 4],
    ]
    .iter()
    .enumerate()
    {
        let before = with.metric(&transport_error).await;
        let mut client = Client::member(&with).await;
        client.send(wrong).await;
        client.closed().await;
        with.metric_reaches(&transport_error, before + 1.0).await;
        assert_eq!(with.metric(CLOSED).await, (at + 1) as f64);
    }
    // Where it is off, a compressed message is one of those.
    let mut client = Client::open(&without).await;
    client.send(&frame(0x81, b"40")).await;
    client.expect("40{").await;
    client.send(&frame(TEXT, &text)).await;
    client.closed().await;
    without.metric_reaches(&transport_error, 1.0).await;
}

#[tokio::test]
async fn other_frames_come_between_the_fragments_of_a_message() {
    let pod = pod("");
    let mut witness = Raw::member(&pod).await;
    let mut client = Client::member(&pod).await;
    let said = "said again and again ".repeat(3000);
    let text = compressed(&format!(r#"421["chat","public-a","{said}"]"#));
    let (start, rest) = text.split_at(10);
    let (middle, end) = rest.split_at(rest.len() / 2);
    client.send(&frame(BEGINS, start)).await;
    client.send(&frame(0x89, b"between")).await;
    client.expect("between").await;
    client.send(&frame(GOES_ON, b"")).await;
    client.send(&frame(GOES_ON, middle)).await;
    client.send(&frame(0x89, b"again")).await;
    client.expect("again").await;
    for byte in frame(ENDS, end) {
        client.send(&[byte]).await;
    }
    client.expect("431[").await;
    let expected = format!(r#"42["chat","public-a","{said}"]"#);
    assert_eq!(witness.next().await.as_deref(), Some(&expected[..]));
    // And the other way.
    pod.publish(&json!({"rooms": ["public-a"], "event": "news", "args": [said]})).await;
    client.expect(r#"42["news","said again"#).await;
}

#[tokio::test]
async fn a_message_that_does_not_go_on_ends_its_session() {
    let pod = pod("public.request_timeout = \"1s\"\n");
    let timeout = format!("{CLOSED}{{reason=\"message timeout\"}}");
    let text = compressed(r#"42["chat","public-a","hello"]"#);
    for (at, begun) in [
        frame(TEXT, &text)[..1].to_vec(),
        frame(TEXT, &text)[..16].to_vec(),
        frame(TEXT, &text)[..20].to_vec(),
        frame(BEGINS, &text[..5]),
        frame(BEGINS, b""),
    ]
    .iter()
    .enumerate()
    {
        let mut client = Client::member(&pod).await;
        client.send(begun).await;
        client.closed().await;
        pod.metric_reaches(&timeout, (at + 1) as f64).await;
    }
    // Blocks that say nothing do not make it any longer.
    let mut client = Client::member(&pod).await;
    let endless = frame(TEXT, &[0, 0, 0, 0xff, 0xff].repeat(190_000));
    let (start, rest) = endless.split_at(14);
    client.send(start).await;
    let mut pieces = rest.chunks(500);
    let drip = async {
        loop {
            client.send(pieces.next().unwrap()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = pod.metric_reaches(&timeout, 6.0) => {}
        () = drip => {}
    }
}

#[tokio::test]
async fn small_fragments_are_counted_as_those_that_are_not_compressed() {
    let pod = pod("limits.events_per_second = 10\n");
    let mut client = Client::member(&pod).await;
    client.send(&frame(BEGINS, b"")).await;
    client.send(&frame(GOES_ON, b"").repeat(100)).await;
    client.closed().await;
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"rate limited\"}}"), 1.0).await;
    // Large ones are not, into however many they are inflated.
    let mut client = Client::member(&pod).await;
    let said = "said again and again ".repeat(40_000);
    let text = compressed(&format!(r#"421["chat","public-a","{said}"]"#));
    client.send(&frame(BEGINS, &text[..text.len() / 2])).await;
    client.send(&frame(ENDS, &text[text.len() / 2..])).await;
    client.expect("431[").await;
}

#[tokio::test]
async fn a_probe_may_be_compressed() {
    let pod = pod("");
    let url = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
    let opening = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let opening: serde_json::Value = serde_json::from_str(&opening[1..]).unwrap();
    let sid = opening["sid"].as_str().unwrap();
    let path = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
    let mut client = Client::open_at(&pod, &path).await;
    client.send(&frame(TEXT, &compressed("2probe"))).await;
    client.expect("3probe").await;
    // With what comes behind it.
    let both = [frame(TEXT, &compressed("5")), frame(TEXT, &compressed("40"))].concat();
    client.send(&both).await;
    client.expect("40{").await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_a_compressed_message_is_let_go() {
    let pod = pod("limits.write_timeout = \"1s\"\n");
    let client = Client::member(&pod).await;
    // Letters of which each takes six bits.
    let mut rng = fastrand::Rng::with_seed(1);
    let letters: String = (0..900_000).map(|_| rng.alphanumeric()).collect();
    for _ in 0..12 {
        let (status, _) =
            pod.publish(&json!({"rooms": ["public-a"], "event": "news", "args": [letters]})).await;
        assert_eq!(status, 200);
    }
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"write timeout\"}}"), 1.0).await;
    drop(client);
}
