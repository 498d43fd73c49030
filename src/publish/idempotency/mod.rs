//! Requests that may be sent twice: the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).
//!
//! The first request of a key is carried out, and its answer noted; the next ones get the note. A request that
//! failed leaves none, so that it can be sent again.

mod store;

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ApiError, keys::Caller};
use crate::{backplane::Backplane, tasks::spawn_named, telemetry::traces};
use store::Store;

/// The header.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Longest key.
const MAX_KEY: usize = 255;
/// How long a key stays taken by a request whose pod was lost, beyond the time that clients have to answer.
const LEASE: Duration = Duration::from_secs(60);
/// Longest answer that is noted.
const MAX_ANSWER: usize = 512 * 1024;

/// What a request came to.
pub(super) struct Done {
    /// Its answer, as JSON.
    answer: String,
    /// Something was emitted: it must not be done again.
    emitted: bool,
}

impl Done {
    pub fn new(answer: &impl Serialize, emitted: bool) -> Result<Self, ApiError> {
        let answer = serde_json::to_string(answer)
            .map_err(|error| ApiError::InvalidRequest(format!("the answer: {error}")))?;
        Ok(Self { answer, emitted })
    }
}

/// A note about a key.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Of the request that came first.
    fingerprint: String,
    /// Who carries it out; no two are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    /// What it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

impl Note {
    fn text(&self) -> String {
        // Three texts can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The keys that were seen.
pub(super) struct Idempotency {
    store: Arc<Store>,
    lifetime: Duration,
}

impl Idempotency {
    /// Keys stand for their answers for so long.
    pub fn new(backplane: &Backplane, lifetime: Duration) -> Self {
        Self { store: Arc::new(Store::new(backplane.notes())), lifetime }
    }

    /// Carries a request out, unless its key says that it was already: keys are their caller's own, so that nobody is answered what
    /// another one asked for. `limit`: how long it may take
    /// beyond the usual.
    pub async fn once(
        &self,
        headers: &HeaderMap,
        caller: &Caller,
        path: &str,
        body: &Bytes,
        limit: Duration,
        work: impl Future<Output = Result<Done, ApiError>> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let Some(key) = key(headers)? else {
            return Ok(reply(work.await?.answer));
        };
        let name = format!("idempotency:{}", hash(&[caller.id().as_bytes(), key]));
        let fingerprint = hash(&[path.as_bytes(), body]);
        let holder = Some(format!("{:032x}", fastrand::u128(..)));
        let taken = Note { fingerprint: fingerprint.clone(), holder, answer: None };
        if let Some(note) = self.store.claim(&name, taken.text(), LEASE + limit).await? {
            return replay(&note, &fingerprint);
        }
        let (store, lifetime) = (self.store.clone(), self.lifetime);
        // A client that gives up waiting does not undo what it asked for, and will ask again.
        let carried_out = traces::here().within(async move {
            let result = work.await;
            match &result {
                Ok(Done { answer, emitted: true }) => {
                    let short = answer.len() <= MAX_ANSWER;
                    let answer = if short { answer.as_str() } else { r#"{"accepted":true}"# };
                    let note = Note { fingerprint, holder: None, answer: Some(answer.to_owned()) };
                    store.write(&name, note.text(), lifetime).await;
                }
                _ => store.remove(&name).await,
            }
            result
        });
        match spawn_named("api request", carried_out).await {
            Ok(result) => Ok(reply(result?.answer)),
            Err(error) => {
                Err(ApiError::BackplaneUnconfirmed(format!("the request ended: {error}")))
            }
        }
    }
}

/// The answer of the first request, if this is the same one.
fn replay(note: &str, fingerprint: &str) -> Result<Response, ApiError> {
    let Ok(note) = serde_json::from_str::<Note>(note) else {
        // Another version of Roomcast writes other notes.
        return Err(ApiError::IdempotencyKeyInUse);
    };
    if note.fingerprint != fingerprint {
        return Err(ApiError::IdempotencyKeyReused);
    }
    let mut response = reply(note.answer.ok_or(ApiError::IdempotencyKeyInUse)?);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn reply(json: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

/// The key: a string of structured fields (RFC 9651), whose quotes may be left out.
fn key(headers: &HeaderMap) -> Result<Option<&[u8]>, ApiError> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let value = value.as_bytes();
    let key = value.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")).unwrap_or(value);
    let fits = (1..=MAX_KEY).contains(&key.len())
        && key.iter().all(|byte| (b' '..=b'~').contains(byte))
        && values.next().is_none();
    if fits {
        Ok(Some(key))
    } else {
        let message =
            format!("Idempotency-Key: expected one, of 1 to {MAX_KEY} visible characters");
        Err(ApiError::InvalidRequest(message))
    }
}

/// A hash of several texts, each with its length before it.
fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
}
