//! WebSocket: one text or binary message for each packet.

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        Error, Message, Utf8Bytes, client::IntoClientRequest, protocol::WebSocketConfig,
    },
};

use super::{Address, Opened, Sink, Source, Transport};
use crate::client::{
    TransportError,
    engine::{Frame, Packet, beginning},
};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A client has few connections and mostly short messages.
const READ_BUFFER: usize = 16 * 1024;

pub(in crate::client) struct Reader {
    stream: SplitStream<Stream>,
    max_message: usize,
}

pub(in crate::client) struct Writer(SplitSink<Stream, Message>);

pub(super) async fn open(address: &Address) -> Result<Opened, TransportError> {
    let (mut reader, writer) = connect(address, None).await?;
    let Packet::Open(handshake) = reader.next().await? else {
        return Err(TransportError::Protocol("the server begins without `open`".into()));
    };
    let (source, sink) = (Source::WebSocket(reader), Sink::WebSocket(writer));
    Ok(Opened { handshake, source, sink, transport: Transport::WebSocket })
}

/// `2probe` and `3probe`, as the protocol has it for an upgrade.
pub(super) async fn probe(
    address: &Address,
    session: &str,
) -> Result<(Source, Sink), TransportError> {
    let (mut reader, mut writer) = connect(address, Some(session)).await?;
    writer.0.send(Message::text("2probe")).await.map_err(|error| reader.lost(error))?;
    match reader.next().await? {
        Packet::Pong => Ok((Source::WebSocket(reader), Sink::WebSocket(writer))),
        packet => Err(TransportError::Protocol(format!("{packet:?} instead of a pong"))),
    }
}

async fn connect(
    address: &Address,
    session: Option<&str>,
) -> Result<(Reader, Writer), TransportError> {
    let wrong = |error: &dyn std::fmt::Display| TransportError::Unreachable(error.to_string());
    let mut url = address.url("websocket", session);
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme).map_err(|()| wrong(&"the URL takes no other scheme"))?;
    let mut request = url.as_str().into_client_request().map_err(|error| wrong(&error))?;
    request.headers_mut().extend(address.headers.clone());
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(address.max_message))
        .max_frame_size(Some(address.max_message));
    let tls = Some(Connector::Rustls(address.tls.clone()));
    let connecting = connect_async_tls_with_config(request, Some(config), true, tls);
    let (stream, _) = connecting.await.map_err(|error| lost(error, address.max_message))?;
    let (sink, stream) = stream.split();
    Ok((Reader { stream, max_message: address.max_message }, Writer(sink)))
}

impl Reader {
    pub async fn next(&mut self) -> Result<Packet, TransportError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Packet::text(&text),
                Some(Ok(Message::Binary(bytes))) => return Ok(Packet::Binary(bytes)),
                // Pings of the WebSocket itself are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Err(TransportError::Closed),
                Some(Err(error)) => return Err(self.lost(error)),
            }
        }
    }

    fn lost(&self, error: Error) -> TransportError {
        lost(error, self.max_message)
    }
}

impl Writer {
    pub async fn send(&mut self, frames: Vec<Frame>) -> Result<(), TransportError> {
        for frame in frames {
            let message = match frame {
                Frame::Binary(bytes) => Message::Binary(bytes),
                frame => {
                    let mut text = Vec::with_capacity(frame.size_in_body());
                    frame.append_to(&mut text);
                    let text = Utf8Bytes::try_from(text)
                        .map_err(|error| TransportError::Protocol(error.to_string()))?;
                    Message::Text(text)
                }
            };
            self.0.feed(message).await.map_err(|error| lost(error, 0))?;
        }
        self.0.flush().await.map_err(|error| lost(error, 0))
    }

    pub async fn close(&mut self) -> Result<(), TransportError> {
        self.0.close().await.map_err(|error| lost(error, 0))
    }
}

fn lost(error: Error, max_message: usize) -> TransportError {
    match error {
        // A broken connection is the end of the transport here, as in browsers.
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_) => {
            TransportError::Closed
        }
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
            TransportError::Closed
        }
        Error::Capacity(_) => TransportError::TooLarge(max_message),
        Error::Utf8(problem) => TransportError::Protocol(problem),
        Error::Http(response) => TransportError::Status {
            status: response.status().as_u16(),
            body: response
                .body()
                .as_deref()
                .map(|body| beginning(&String::from_utf8_lossy(body)))
                .unwrap_or_default(),
        },
        error => TransportError::Unreachable(error.to_string()),
    }
}
