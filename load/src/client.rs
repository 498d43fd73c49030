//! The smallest Socket.IO client over WebSocket: it can connect, ask for a room, and stay.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// Longest wait for any packet.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client that has been answered.
pub struct Client(WebSocketStream<TcpStream>);

impl Client {
    /// Connects, and joins `/`.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let config = WebSocketConfig::default().read_buffer_size(512);
        let (stream, _) = tokio_tungstenite::client_async_with_config(url, tcp, Some(config))
            .await
            .map_err(io::Error::other)?;
        let mut client = Self(stream);
        client.expect("0{").await?;
        client.send("40").await?;
        client.expect("40{").await?;
        Ok(client)
    }

    /// Connects, and times from before the TCP connect until its first event is acknowledged.
    pub async fn time_to_first_event(address: SocketAddr) -> io::Result<Duration> {
        let begun = Instant::now();
        let mut client = Self::connect(address).await?;
        client.send(r#"420["join",{"rooms":["public-a"]}]"#).await?;
        client.expect("430[").await?;
        Ok(begun.elapsed())
    }

    /// Answers pings until it is dropped or the server goes.
    pub async fn stay(mut self) {
        while let Some(Ok(message)) = self.0.next().await {
            if message.to_text().is_ok_and(|text| text == "2") && self.send("3").await.is_err() {
                break;
            }
        }
    }

    async fn send(&mut self, packet: &'static str) -> io::Result<()> {
        self.0.send(Message::text(packet)).await.map_err(io::Error::other)
    }

    /// Waits for a packet that begins so, and answers pings meanwhile.
    async fn expect(&mut self, prefix: &str) -> io::Result<()> {
        let wait = async {
            while let Some(message) = self.0.next().await {
                let message = message.map_err(io::Error::other)?;
                let text = message.to_text().map_err(io::Error::other)?;
                if text.starts_with(prefix) {
                    return Ok(());
                }
                match text {
                    "2" => self.send("3").await?,
                    other => {
                        return Err(io::Error::other(format!("expected {prefix}…, got {other}")));
                    }
                }
            }
            Err(io::ErrorKind::UnexpectedEof.into())
        };
        tokio::time::timeout(PATIENCE, wait).await?
    }
}
