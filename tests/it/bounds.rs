//! What one client can make a pod hold is bounded, whoever queues it.

use std::fmt::Write as _;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    raw::Raw,
    support::{OPEN, PATIENCE, Pod, get},
};

const CLOSED: &str = "roomcast_connections_closed_total";
const MIB: f64 = 1024.0 * 1024.0;

/// A WebSocket whose client has small buffers, up to the answer to its handshake.
async fn websocket(pod: &Pod) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(65536).unwrap();
    let mut tcp = socket.connect(pod.public.parse().unwrap()).await.unwrap();
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    tcp
}

/// A frame of a client, masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn a_client_that_pings_and_reads_nothing_is_not_read_either() {
    let pod = Pod::start(&format!(
        "engine.ping_interval = \"10m\"\nlimits.write_timeout = \"5s\"\n{OPEN}"
    ));
    let mut tcp = websocket(&pod).await;
    tcp.write_all(&frame(1, b"40")).await.unwrap();
    pod.metric_reaches("roomcast_sockets{", 1.0).await;
    let pings = frame(9, &[b'x'; 100]).repeat(500);
    // Until the pod ends it, which it does when the client has taken nothing for the write timeout.
    let flood = async { while tcp.write_all(&pings).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flood).await.expect("the pod reads on and on");
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"write timeout\"}}"), 1.0).await;
    // The pings whose answers are in the buffers of the kernel, and some more.
    let read = "roomcast_bytes_total{transport=\"websocket\",direction=\"received\"}";
    let read = pod.metric(read).await;
    assert!(read > 0.0 && read < 12.0 * MIB, "{read} bytes were read");
}

#[tokio::test]
async fn what_is_no_event_counts_for_the_limit_of_events() {
    let pod = Pod::start(&format!("limits.events_per_second = 5\n{OPEN}"));
    let closed = format!("{CLOSED}{{reason=\"rate limited\"}}");
    // WebSocket pings and pongs, a pong of Engine.IO, and a DISCONNECT of a namespace that it is not in.
    for (number, piece) in
        (1..).zip([frame(9, b"x"), frame(10, b""), frame(1, b"3"), frame(1, b"41/none,")])
    {
        let mut tcp = websocket(&pod).await;
        tcp.write_all(&frame(1, b"40")).await.unwrap();
        // As many as are allowed do no harm.
        tcp.write_all(&piece.repeat(10)).await.unwrap();
        pod.metric_reaches("roomcast_sockets{", 1.0).await;
        tcp.write_all(&piece.repeat(200)).await.unwrap();
        pod.metric_reaches(&closed, f64::from(number)).await;
        pod.metric_reaches("roomcast_sockets{", 0.0).await;
    }
    let base = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
    let (_, open) = get(&base).await;
    let open: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let session = format!("{base}&sid={}", open["sid"].as_str().unwrap());
    let client = reqwest::Client::new();
    let flood = ["3"; 100].join("\u{1e}");
    assert_eq!(client.post(&session).body(flood).send().await.unwrap().status(), 400);
    pod.metric_reaches(&closed, 5.0).await;
}

#[tokio::test]
async fn a_second_post_of_a_polling_session_ends_it() {
    let pod = Pod::start(OPEN);
    let base = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
    let (_, open) = get(&base).await;
    let open: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let session = format!("{base}&sid={}", open["sid"].as_str().unwrap());
    let client = reqwest::Client::new();
    assert_eq!(client.post(&session).body("40").send().await.unwrap().status(), 200);
    pod.metric_reaches("roomcast_sockets{", 1.0).await;
    // One whose body is not complete.
    let mut first = TcpStream::connect(&pod.public).await.unwrap();
    let path = session.split_once("/socket.io").unwrap().1;
    let mut request = String::new();
    write!(
        request,
        "POST /socket.io{path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n"
    )
    .unwrap();
    first.write_all(request.as_bytes()).await.unwrap();
    // It is asked to go on: the pod reads it.
    let mut going_on = [0; 12];
    first.read_exact(&mut going_on).await.unwrap();
    assert_eq!(&going_on, b"HTTP/1.1 100");
    first.write_all(b"42[").await.unwrap();
    assert_eq!(client.post(&session).body("3").send().await.unwrap().status(), 400);
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"transport error\"}}"), 1.0).await;
    // What it had begun to send is not waited for.
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, first.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains("HTTP/1.1 400"), "{answer}");
    assert_eq!(get(&session).await.0, 400);
}

#[tokio::test]
async fn a_pod_over_its_memory_refuses_new_sessions() {
    let pod = Pod::start(&format!("limits.memory = \"1MiB\"\n{OPEN}"));
    let base = format!("http://{}/socket.io/?EIO=4&transport=polling", pod.public);
    let refused = async {
        loop {
            let (status, body) = get(&base).await;
            if status == 503 {
                return body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let body = tokio::time::timeout(PATIENCE, refused).await.expect("new sessions are let in");
    assert!(body.contains("memory_limit"), "{body}");
    let code = "roomcast_requests_refused_total{code=\"memory_limit\"}";
    assert!(pod.metric(code).await >= 1.0);
    let open = Pod::start(&format!("limits.memory = \"none\"\n{OPEN}"));
    let mut member = Raw::member(&open).await;
    open.publish(&json!({"rooms": ["public-a"], "event": "x"})).await;
    member.expect("42[\"x\"").await;
}

/// Bytes of memory of a pod.
fn resident(pod: &Pod) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pod.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
}

#[tokio::test]
async fn clients_that_read_nothing_and_leave_have_their_queues_copied_by_nobody() {
    let pod = Pod::start(&format!("engine.ping_interval = \"10m\"\n{OPEN}"));
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut tcp = websocket(&pod).await;
        tcp.write_all(&frame(1, b"40")).await.unwrap();
        clients.push(tcp);
    }
    pod.metric_reaches("roomcast_sockets{", 40.0).await;
    let event = json!({"event": "big", "args": ["x".repeat(100_000)]});
    for _ in 0..80 {
        assert_eq!(pod.publish(&event).await.0, 200);
    }
    let queued = resident(&pod);
    for tcp in clients {
        tcp.set_zero_linger().unwrap();
    }
    let mut most = queued;
    while pod.metric("roomcast_connections{").await > 0.0 {
        most = most.max(resident(&pod));
    }
    most = most.max(resident(&pod));
    assert!(most < queued + 60.0 * MIB, "{queued} bytes, {most} while they left");
}

#[tokio::test]
async fn who_has_too_many_bytes_waiting_is_closed_and_nobody_else() {
    let pod = Pod::start(&format!(
        "engine.ping_interval = \"10m\"\nlimits.send_queue_bytes = \"2MB\"\n{OPEN}"
    ));
    let mut slow = websocket(&pod).await;
    slow.write_all(&frame(1, b"40")).await.unwrap();
    let mut member = Raw::member(&pod).await;
    pod.metric_reaches("roomcast_sockets{", 2.0).await;
    let event = json!({"event": "big", "args": ["x".repeat(100_000)]});
    // Far fewer packets than may wait, and more bytes than the kernel holds and the pod may.
    for _ in 0..150 {
        assert_eq!(pod.publish(&event).await.0, 200);
        member.expect("42[\"big\"").await;
    }
    pod.metric_reaches(&format!("{CLOSED}{{reason=\"queue full\"}}"), 1.0).await;
    assert!(pod.metric("roomcast_packets_dropped_total{reason=\"queue full\"}").await >= 1.0);
    pod.publish(&json!({"event": "last"})).await;
    member.expect("42[\"last\"").await;
}
