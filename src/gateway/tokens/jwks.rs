//! The key set of an issuer (JWKS, RFC 7517), fetched by URL and kept.
//!
//! One task fetches, so that there is never more than one request; everyone else asks it and waits
//! for the end of a round. What comes is bounded in time, size and number of keys, redirects are
//! not followed, and an answer that is of no use leaves the last good set where it is.

use std::{convert::Infallible, fs, sync::Arc, time::Duration};

use futures_util::FutureExt;
use metrics::{counter, gauge};
use reqwest::{Certificate, Client, redirect::Policy};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, interval, sleep_until, timeout},
};
use url::Url;

use super::{
    TokensError,
    keys::{self, Key},
};
use crate::{
    config::Jwt,
    telemetry::metrics::{JWKS_AGE, JWKS_REFRESHES},
};

/// Bytes of a key set: a thousand times what one key needs.
const MAX_SIZE: usize = 256 * 1024;
/// Keys of a set. A token that names none is tried with all that have no name.
const MAX_KEYS: usize = 100;

/// A key set that is fetched.
pub(super) struct RemoteKeySet {
    url: Url,
    client: Client,
    /// How often it is fetched.
    refresh: Duration,
    /// How often at most.
    min_interval: Duration,
    timeout: Duration,
    state: watch::Sender<State>,
    /// Someone needs a key that is not there.
    wanted: Notify,
}

/// What is known of the key set.
#[derive(Default)]
pub(super) struct State {
    /// The last good set.
    pub set: Option<Arc<KeySet>>,
    /// When it was fetched.
    fetched: Option<Instant>,
    /// When the last round began that has ended.
    pub began: Option<Instant>,
}

/// The keys of an answer.
pub(super) struct KeySet {
    pub keys: Vec<Key>,
    /// The answer that they are from.
    text: Vec<u8>,
}

/// A fetch that brought nothing.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no whole answer within auth.jwt.jwks_timeout")]
    Timeout,
    #[error("{0}")]
    Unreachable(String),
    #[error("the answer is {0}; it must be 200 OK, without a redirect")]
    Status(reqwest::StatusCode),
    #[error("the answer is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("the answer is no key set: {0}")]
    Malformed(serde_json::Error),
    #[error("the answer has more than {MAX_KEYS} keys")]
    TooManyKeys,
    #[error("the answer has no key that can be used")]
    Empty,
}

impl FetchError {
    /// The label of the metric.
    fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Malformed(_) | Self::TooManyKeys => "malformed",
            Self::Empty => "empty",
        }
    }
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // What went wrong is said by the causes, not by the error itself. The address is in the log line.
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self::Unreachable(text)
    }
}

impl RemoteKeySet {
    /// The set of the settings; `None` if they name none.
    pub fn new(settings: &Jwt) -> Result<Option<Self>, TokensError> {
        if settings.jwks_url.is_empty() {
            return Ok(None);
        }
        let url = settings.key_set_url().map_err(TokensError::Address)?;
        let mut client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .https_only(url.scheme() == "https")
            .user_agent(concat!("roomcast/", env!("CARGO_PKG_VERSION")))
            .tls_certs_only(authorities(&settings.jwks_ca_file)?);
        // Between two fetches a connection would only grow old.
        client = client.pool_max_idle_per_host(0);
        Ok(Some(Self {
            url,
            client: client.build().map_err(TokensError::Client)?,
            refresh: settings.jwks_refresh,
            min_interval: settings.jwks_min_interval,
            timeout: settings.jwks_timeout,
            state: watch::Sender::default(),
            wanted: Notify::new(),
        }))
    }

    /// The last good set.
    pub fn set(&self) -> Option<Arc<KeySet>> {
        self.state.borrow().set.clone()
    }

    /// Asks for a fetch. The receiver changes at the end of each fetch.
    pub fn request_refresh(&self) -> watch::Receiver<State> {
        let rounds = self.state.subscribe();
        self.wanted.notify_one();
        rounds
    }

    /// Longest time until a fetch that is asked for has ended. Another one may have just begun, and may take longer than the
    /// interval.
    pub fn max_wait(&self) -> Duration {
        self.min_interval.max(self.timeout) + self.timeout
    }

    /// Keeps the set fresh.
    pub async fn stay_fresh(&self) -> Infallible {
        tokio::select! {
            never = self.run_fetches() => never,
            never = self.report_age() => never,
        }
    }

    async fn run_fetches(&self) -> Infallible {
        let mut failures = 0;
        loop {
            // Who has asked until here is served by this round.
            let _ = self.wanted.notified().now_or_never();
            let began = Instant::now();
            failures = if self.round(began).await { 0 } else { failures + 1 };
            let pause = self.pause(failures).max(self.min_interval);
            tokio::select! {
                () = sleep_until(began + pause) => {}
                () = self.wanted.notified() => sleep_until(began + self.min_interval).await,
            }
        }
    }

    /// Fetches once. Says whether it went well.
    async fn round(&self, began: Instant) -> bool {
        let fetched = timeout(self.timeout, self.fetch()).await;
        let fetched = fetched.unwrap_or(Err(FetchError::Timeout));
        let label = fetched.as_ref().map_or_else(FetchError::label, |_| "ok");
        counter!(JWKS_REFRESHES.name, "result" => label).increment(1);
        let well = fetched.is_ok();
        match fetched {
            Ok(set) => {
                self.state.send_modify(|state| {
                    *state = State { set: Some(set), fetched: Some(began), began: Some(began) };
                });
            }
            Err(error) => {
                self.state.send_modify(|state| state.began = Some(began));
                let url = self.url.as_str();
                match self.set() {
                    Some(_) => {
                        tracing::warn!(url, %error, "key set not fetched: the last one stays");
                    }
                    None => {
                        tracing::error!(url, %error, "no key set yet: its tokens are refused");
                    }
                }
            }
        }
        well
    }

    /// Time until the next round that nobody asked for, from the beginning of the last.
    fn pause(&self, failures: u32) -> Duration {
        if failures == 0 {
            // Pods that were started together do not ask together for ever.
            return self.refresh.mul_f64(1.0 - fastrand::f64() / 10.0);
        }
        let doublings = if self.set().is_some() { failures.min(16) - 1 } else { 0 };
        self.min_interval.saturating_mul(1 << doublings).min(self.refresh)
    }

    async fn fetch(&self) -> Result<Arc<KeySet>, FetchError> {
        let request = self.client.get(self.url.clone());
        let mut response =
            request.header("accept", "application/jwk-set+json, application/json").send().await?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if text.len() + chunk.len() > MAX_SIZE {
                return Err(FetchError::TooLarge);
            }
            text.extend_from_slice(&chunk);
        }
        match self.set() {
            Some(set) if set.text == text => Ok(set),
            _ => KeySet::read(text).map(Arc::new),
        }
    }

    async fn report_age(&self) -> Infallible {
        let age = gauge!(JWKS_AGE.name);
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let fetched = self.state.borrow().fetched;
            if let Some(fetched) = fetched {
                age.set(fetched.elapsed().as_secs_f64());
            }
        }
    }
}

impl KeySet {
    fn read(text: Vec<u8>) -> Result<Self, FetchError> {
        #[derive(Deserialize)]
        struct Answer {
            keys: Vec<Value>,
        }
        let answer: Answer = serde_json::from_slice(&text).map_err(FetchError::Malformed)?;
        if answer.keys.len() > MAX_KEYS {
            return Err(FetchError::TooManyKeys);
        }
        let mut keys = Vec::new();
        for jwk in answer.keys {
            let kid = jwk["kid"].as_str().map(str::to_owned);
            match keys::from_set(jwk) {
                Ok(key) => keys.push(key),
                Err(why) => tracing::warn!(?kid, why, "a key of the key set is not used"),
            }
        }
        if keys.is_empty() {
            return Err(FetchError::Empty);
        }
        let names: Vec<_> = keys.iter().map(|key| key.kid.as_deref().unwrap_or("-")).collect();
        tracing::info!(keys = ?names, "new key set");
        Ok(Self { keys, text })
    }

    /// Whether a key has this name.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }
}

/// Who may vouch for the server of the set: those of a file, else those of the system. They are read
/// here and not by the library, which fails where a system has none, also for http.
fn authorities(file: &str) -> Result<Vec<Certificate>, TokensError> {
    if file.is_empty() {
        let native = rustls_native_certs::load_native_certs().certs;
        return Ok(native.iter().filter_map(|der| Certificate::from_der(der).ok()).collect());
    }
    let key = "auth.jwt.jwks_ca_file";
    let problem = |problem: String| TokensError::File { key, file: file.to_owned(), problem };
    let pem = fs::read(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(problem("holds no certificate in PEM".to_owned())),
    }
}

#[cfg(test)]
mod tests;
