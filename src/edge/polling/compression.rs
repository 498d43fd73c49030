//! Node's `httpCompression`: answers to polls that are large enough, compressed for clients that take it.
//!
//! What is compressed costs processor time in proportion to what is sent. Large answers are compressed on threads that
//! may block, as many at once as there are processors; one that finds no turn goes out as it is.

use std::{num::NonZero, sync::Arc, thread};

use axum::{body::Body, extract::Request, response::Response};
use http::{Method, StatusCode, header};
use tokio::sync::Semaphore;

use crate::{
    config::HttpCompression,
    edge::{connections::service::whole, requests::content_encoding::Encoding},
    tasks,
    telemetry::Reached,
};

/// Up to so many bytes, to compress them takes less than to have another thread do it.
const AT_ONCE: usize = 16 * 1024;
/// As on Node.
const OFFERS: [Encoding; 2] = [Encoding::Gzip, Encoding::Deflate];

/// Compresses answers.
pub(super) struct Compressor {
    /// None: nothing is compressed.
    threshold: Option<usize>,
    turns: Arc<Semaphore>,
}

impl Compressor {
    pub fn new(settings: &HttpCompression) -> Self {
        let turns = thread::available_parallelism().map_or(1, NonZero::get);
        let threshold = settings.enabled.then_some(settings.threshold);
        Self { threshold, turns: Arc::new(Semaphore::new(turns)) }
    }

    /// How the answer to a request may be encoded.
    pub fn wanted(&self, request: &Request) -> Option<Encoding> {
        let polls = self.threshold.is_some() && request.method() == Method::GET;
        polls.then(|| Encoding::preferred(request.headers(), &OFFERS))?
    }

    /// The answer, compressed if it may be and is worth it.
    pub async fn compressed(&self, response: Response, wanted: Option<Encoding>) -> Response {
        let (Some(encoding), Some(threshold), StatusCode::OK) =
            (wanted, self.threshold, response.status())
        else {
            return response;
        };
        let (mut parts, body) = whole(response).await;
        if body.len() < threshold {
            return Response::from_parts(parts, Body::from(body));
        }
        let encoded = if body.len() <= AT_ONCE {
            encoding.encode(&body).ok()
        } else if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            let body = body.clone();
            let encode = move || {
                let _turn = turn;
                encoding.encode(&body).ok()
            };
            // Without an answer it goes out as it is.
            tasks::blocking("compression", encode).await.flatten()
        } else {
            Reached::HttpCompression.count();
            None
        };
        let Some(encoded) = encoded else {
            return Response::from_parts(parts, Body::from(body));
        };
        parts.headers.insert(header::CONTENT_ENCODING, encoding.header());
        parts.headers.insert(header::CONTENT_LENGTH, encoded.len().into());
        Response::from_parts(parts, Body::from(encoded))
    }
}
