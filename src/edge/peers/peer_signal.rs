//! What a pod says to another of a session that it forwards requests of: a request without a body, to the internal
//! listener.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tokio::time::timeout;

/// A notice, to be sent when there is cause.
pub(super) struct PeerSignal {
    pub client: Client<HttpConnector, Body>,
    pub request: Request<()>,
    /// Longest wait for the other pod.
    pub patience: Duration,
}

impl PeerSignal {
    /// Sends it; a pod that does not take it sees before long what it is about.
    pub async fn send(&self) {
        let request = self.request.clone().map(|()| Body::empty());
        match timeout(self.patience, self.client.request(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "another pod cannot be told"),
            Err(_) => tracing::debug!("another pod cannot be told in time"),
        }
    }
}
