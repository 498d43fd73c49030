//! Socket.IO on the port of an application that has an HTTP server already: its router is merged into the application's.
//!
//!     cargo run --example router -- 127.0.0.1:3000
//!
//! The internal listener is that of the configuration, which comes from the environment: `ROOMCAST__INTERNAL__LISTEN`.

// The rule of this repository for tasks of pods, not of programs.
#![allow(clippy::disallowed_methods)]

use std::{env, error::Error, future::pending, net::SocketAddr};

use axum::{Router, routing::get};
use roomcast::{
    Ack, Args, Namespace, Server,
    config::{AuthPolicy, Sources},
};
use tokio::{net::TcpListener, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let mut config = Sources::default().load()?;
    // The application listens for clients, not the pod.
    config.public.listen = Vec::new();
    let double = Namespace::new("/double")
        .authentication(AuthPolicy::None)
        .on("double", |Args(number): Args<i64>| Ack(number * 2));
    let server = Server::builder(config).namespace(double).build()?;

    let roomcast = server.roomcast();
    let application = Router::new()
        .route("/hello", get(async || "hello"))
        // Node's `io.engine.clientsCount`.
        .route("/clients", get(async move || roomcast.clients_count().to_string()))
        .merge(server.router());
    let listener = TcpListener::bind(&listen).await?;
    println!("http://{}", listener.local_addr()?);
    // With the addresses of clients, which the pod needs.
    let service = application.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, service).await });

    // Beside the application, until Ctrl-C and the drain after it.
    let stop = async { drop(signal::ctrl_c().await) };
    server.bind()?.run(stop, pending()).await;
    Ok(())
}
