//! A signal to the pod that has a session whose requests this pod forwards: a request without a body, to the internal
//! listener. It says that a poll is to be answered now, or that the client of a WebSocket does not read.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tokio::time::timeout;

/// A signal that may have to be sent.
pub(super) struct PeerSignal {
    pub client: Client<HttpConnector, Body>,
    pub request: Request<()>,
    /// Longest wait for the other pod.
    pub limit: Duration,
}

impl PeerSignal {
    /// Sends it. An error is logged alone: the other pod finds out by itself before long.
    pub async fn send(&self) {
        let request = self.request.clone().map(|()| Body::empty());
        match timeout(self.limit, self.client.request(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "another pod cannot be told"),
            Err(_) => tracing::debug!("another pod cannot be told in time"),
        }
    }
}
