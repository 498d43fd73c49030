//! One attempt of a call: signed, sent, and its answer read as far as it may go.

use std::{
    cmp::min,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{
    StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use metrics::Gauge;
use reqwest::Response;
use tokio::time::Instant;

use super::{
    CallLimits, Down, Hook, HookError, Kind, Request, answer, socket_slots::acquire_within, trace,
};

/// Why an attempt brought no answer.
pub enum AttemptError {
    /// The hook said no.
    Refused(HookError),
    /// It did not decide.
    Down(Failure),
}

/// An attempt that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    pub down: Down,
    /// The pause that the hook asked for.
    pub retry_after: Option<Duration>,
}

impl From<Down> for AttemptError {
    fn from(down: Down) -> Self {
        Self::Down(Failure { down, retry_after: None })
    }
}

impl AttemptError {
    /// Whether it says that the hook is not there, or has too much to do; see `breaker`.
    fn is_hook_absent(&self) -> bool {
        let Self::Down(failure) = self else {
            return false;
        };
        matches!(
            failure.down,
            Down::Unreachable | Down::Timeout | Down::Lost | Down::Status(502..=504)
        )
    }
}

impl Hook {
    /// Calls once, if the circuit breaker and the limit allow it. The body of an answer 2xx.
    pub(super) async fn attempt(
        &self,
        request: &Request,
        limits: &CallLimits,
    ) -> Result<Vec<u8>, AttemptError> {
        let hook = &*self.0;
        let left = || limits.deadline.saturating_duration_since(Instant::now());
        let (_notifying, _asking) = match request.kind {
            Kind::Disconnect => (Some(hook.notifications.acquire(left()).await?), None),
            // Not so long that the hook would have less time than it may take.
            _ => {
                let wait = left().saturating_sub(hook.settings.timeout);
                (None, Some(hook.slots.acquire(&request.socket, wait).await?))
            }
        };
        let admitted = hook.breaker.admit().ok_or(Down::BreakerOpen)?;
        let permit = match hook.in_flight.try_acquire() {
            Ok(permit) => permit,
            Err(_) => acquire_within(min(limits.wait, left()), hook.in_flight.acquire()).await?,
        };
        let in_flight = InFlightGuard::new(&hook.in_flight_gauge);
        let time = min(hook.settings.timeout, left());
        let outcome = self.send(request, time).await;
        drop((in_flight, permit));
        match &outcome {
            // It had less time than a hook may take.
            Err(AttemptError::Down(Failure { down: Down::Timeout, .. }))
                if time < hook.settings.timeout => {}
            Err(failed) if failed.is_hook_absent() => admitted.failed(),
            _ => admitted.answered(),
        }
        outcome
    }

    async fn send(&self, request: &Request, time: Duration) -> Result<Vec<u8>, AttemptError> {
        let hook = &*self.0;
        // That of the attempt: hooks refuse old ones.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut builder = hook
            .client
            .post(hook.url.expose().clone())
            .timeout(time)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &request.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", hook.keys.sign(&request.id, now, &request.body))
            .body(request.body.clone());
        builder = trace::with_trace(builder, request.traceparent.as_ref());
        let response = builder.send().await.map_err(|error| self.down(error))?;
        let status = response.status();
        match status {
            // As the answer to a question it is a refusal: clients that ask too often must not get what
            // `on_failure` allows.
            StatusCode::TOO_MANY_REQUESTS if request.kind == Kind::Disconnect => {
                return Err(unanswered(&response));
            }
            _ if status.is_redirection() => return Err(Down::Redirect.into()),
            _ if !status.is_success() && !status.is_client_error() => {
                return Err(unanswered(&response));
            }
            _ => {}
        }
        let body = self.read(response).await;
        if status.is_client_error() {
            // It said no, whatever else it said.
            return Err(AttemptError::Refused(answer::refusal(&body.unwrap_or_default())));
        }
        body
    }

    /// Reads the body of an answer, as far as it may go.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, AttemptError> {
        let most = self.0.settings.max_answer;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.down(error))? {
            if body.len() + piece.len() > most {
                return Err(Down::TooLarge.into());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn down(&self, error: reqwest::Error) -> AttemptError {
        // First: the time for a connection may be over too.
        let down = if error.is_connect() {
            Down::Unreachable
        } else if error.is_timeout() {
            Down::Timeout
        } else {
            Down::Lost
        };
        // The address may hold a password.
        let error = error.without_url();
        tracing::debug!(hook = self.0.label, ?error, "the hook was not reached");
        down.into()
    }
}

/// The hook, or a proxy before it, says that it cannot answer.
fn unanswered(response: &Response) -> AttemptError {
    // The other form, a date, would need clocks that agree.
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = seconds.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    AttemptError::Down(Failure { down: Down::Status(response.status().as_u16()), retry_after })
}

/// Counts an attempt for as long as it lives, also when its client goes.
struct InFlightGuard<'a>(&'a Gauge);

impl<'a> InFlightGuard<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
