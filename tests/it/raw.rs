//! A client that sends what a stock client never would.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::support::{PATIENCE, Pod};

pub struct Raw {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Whether it answers pings.
    pub answers: bool,
}

impl Raw {
    /// A WebSocket with an open Engine.IO session, in no namespace yet.
    pub async fn open(pod: &Pod) -> Self {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", pod.public);
        let (stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut raw = Self { stream, answers: true };
        assert!(raw.next().await.unwrap().starts_with("0{"));
        raw
    }

    /// A member of `public-a` in `/`.
    pub async fn member(pod: &Pod) -> Self {
        let mut raw = Self::open(pod).await;
        raw.send(Message::text("40")).await;
        raw.expect("40{").await;
        raw.send(Message::text(r#"420["join",{"rooms":["public-a"]}]"#)).await;
        raw.expect(r#"430[{"joined":["public-a"]"#).await;
        raw
    }

    pub async fn send(&mut self, message: Message) {
        // The server may have closed already: then the test sees that next.
        let _ = self.stream.send(message).await;
    }

    /// Sends several in one piece.
    pub async fn send_all(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            let _ = self.stream.feed(message).await;
        }
        let _ = self.stream.flush().await;
    }

    /// The next text, but for pings, which are answered; `None` once the server has closed.
    pub async fn next(&mut self) -> Option<String> {
        let next = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                        if self.answers {
                            let _ = self.stream.send(Message::text("3")).await;
                        }
                    }
                    Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("neither an answer nor the end")
    }

    pub async fn expect(&mut self, prefix: &str) {
        let next = self.next().await;
        assert!(next.as_ref().is_some_and(|text| text.starts_with(prefix)), "{prefix}: {next:?}");
    }

    /// Reads until the server closes.
    pub async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}
