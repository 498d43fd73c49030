//! The peer of `make bench`: plain socketioxide behind `axum::serve`, with `TCP_NODELAY`.
//!
//! Prints the address it listens on, and ends with its standard input.

// A rule for tasks of pods, which this is none of.
#![allow(clippy::disallowed_methods)]

use axum::{Router, serve::ListenerExt};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
    handler::ConnectHandler,
};
use tokio::{io::AsyncReadExt, net::TcpListener};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    // In a middleware: an event that comes right behind CONNECT would miss a handler that is
    // registered in a connect handler.
    let handlers = async |socket: SocketRef| {
        socket.on(
            "join",
            async |socket: SocketRef, Data::<serde_json::Value>(request), ack: AckSender| {
                if let Some(room) = request["rooms"][0].as_str() {
                    socket.join(room.to_owned());
                }
                let _ = ack.send(&request);
            },
        );
        Ok::<_, std::convert::Infallible>(())
    };
    io.ns("/", (async || {}).with(handlers));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move { axum::serve(listener, Router::new().layer(layer)).await });
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
