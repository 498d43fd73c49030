//! `roomcast demo`: a chat page, and the settings that it needs.
//!
//! The page uses nothing but the configured service: rooms that anyone may join, and events that
//! their members relay.

use std::{io, net::SocketAddr, path::Path};

use axum::{Router, body::Bytes, response::Html, routing::get};
use http::{HeaderValue, header};

use crate::config::{ApiKey, AuthPolicy, Config, JoinPolicy, Namespace, RoomRule};

/// Where `make demo` puts the stock client, for a program into which none is built.
pub(crate) const CLIENT_BUNDLE: &str =
    "src/demo/node_modules/socket.io-client/dist/socket.io.min.js";

const PAGE: &str = include_str!("page.html");
/// Key of the API while nothing else is configured: the demo is for one's own machine.
const API_KEY: &str = "demo-key-not-for-production";

/// The stock client is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "the client for the page, {file}, cannot be read: {source}; `make demo` installs it, or name it with --client-bundle"
)]
pub(crate) struct NoClient {
    file: String,
    source: io::Error,
}

/// Adds what the page needs, and leaves what is configured as it is.
pub(crate) fn configure(config: &mut Config) {
    if config.api.keys.is_empty() {
        config.api.keys.push(ApiKey::new(API_KEY));
    }
    config.namespaces.entry("/".into()).or_insert_with(|| Namespace {
        auth: AuthPolicy::None,
        rooms: vec![RoomRule {
            pattern: "demo-*".into(),
            join: JoinPolicy::Anyone,
            relay: vec!["chat".into(), "presence".into()],
            hook: None,
            require: Default::default(),
            presence: false,
        }],
        ..Namespace::default()
    });
}

/// The stock client of a file.
pub(crate) fn read_client(file: &Path) -> Result<Bytes, NoClient> {
    let read = std::fs::read(file);
    read.map(Bytes::from).map_err(|source| NoClient { file: file.display().to_string(), source })
}

/// The page and the client it loads.
pub(crate) fn pages(client: Bytes) -> Router {
    let javascript =
        [(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"))];
    Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/socket.io.js", get(move || async move { (javascript, client) }))
}

/// What to try, for someone who just started the demo.
pub(crate) fn welcome(public: &[SocketAddr], internal: &[SocketAddr], config: &Config) -> String {
    let port = |addresses: &[SocketAddr]| addresses.first().map_or(0, SocketAddr::port);
    let (public, internal) = (port(public), port(internal));
    // A key of somebody's own is not for the terminal.
    let ours = config.api.keys == [ApiKey::new(API_KEY)];
    let key = if ours { API_KEY } else { "<one of api.keys>" };
    format!(
        r#"
  Open http://127.0.0.1:{public}/ in two tabs, and publish into their room:

  curl http://127.0.0.1:{internal}/api/v1/emit -H 'Authorization: Bearer {key}' \
    -d '{{"rooms":["demo-lobby"],"event":"chat","args":["demo-lobby",{{"name":"backend","text":"Hello!"}}]}}'
"#
    )
}
