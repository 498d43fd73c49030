//! Requests to the API server: each is bounded in time, counted by what came of it, and warned of once.

use std::{
    error::Error,
    future::Future,
    io,
    time::{Duration, Instant},
};

use metrics::counter;
use parking_lot::Mutex;
use tokio::time::{error::Elapsed, timeout};

use crate::telemetry::metrics::KUBERNETES_REQUESTS;

/// Longest wait for an answer. Nothing of the pod's own waits for it.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The log is told again of a request that still fails after this time.
const QUIET: Duration = Duration::from_secs(600);

/// A kind of request: a verb and a resource, as RBAC names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Whether the service account may do something.
    Review,
    /// The own pod, to see what deletion cost it has.
    GetPod,
    /// Its deletion cost is written.
    PatchPod,
    /// The EndpointSlices of the peers.
    ListSlices,
    /// Their changes.
    WatchSlices,
    /// A new Event.
    CreateEvent,
    /// One that happened again.
    PatchEvent,
    /// How the API server is recognized when it passes requests on.
    GetConfigMap,
    /// Whether somebody else may read external metrics.
    Access,
    /// The certificate that the pods made.
    GetSecret,
    /// The first one is kept.
    CreateSecret,
    /// A later one is.
    UpdateSecret,
    /// Whether the API of external metrics leads here.
    GetApiService,
    /// It is told whose certificates to believe.
    PatchApiService,
}

impl Call {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Self; 14] = [
        Self::Review,
        Self::GetPod,
        Self::PatchPod,
        Self::ListSlices,
        Self::WatchSlices,
        Self::CreateEvent,
        Self::PatchEvent,
        Self::GetConfigMap,
        Self::Access,
        Self::GetSecret,
        Self::CreateSecret,
        Self::UpdateSecret,
        Self::GetApiService,
        Self::PatchApiService,
    ];

    /// Its name in metrics and logs: verb and resource.
    pub fn name(self) -> &'static str {
        match self {
            Self::Review => "create accessreviews",
            Self::GetPod => "get pods",
            Self::PatchPod => "patch pods",
            Self::ListSlices => "list endpointslices",
            Self::WatchSlices => "watch endpointslices",
            Self::CreateEvent => "create events",
            Self::PatchEvent => "patch events",
            Self::GetConfigMap => "get configmaps",
            Self::Access => "create subjectaccessreviews",
            Self::GetSecret => "get secrets",
            Self::CreateSecret => "create secrets",
            Self::UpdateSecret => "update secrets",
            Self::GetApiService => "get apiservices",
            Self::PatchApiService => "patch apiservices",
        }
    }
}

/// What came of a request.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service account may not, or its token is not taken.
    #[error("the API server refuses: {0}")]
    Refused(String),
    /// It answered otherwise.
    #[error("the API server answered: {0}")]
    Failed(String),
    /// It did not answer.
    #[error("the API server did not answer within {PATIENCE:?}")]
    Late,
    /// It could not be asked.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
}

impl CallError {
    /// Its name in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Late => "timeout",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl From<&kube::core::Status> for CallError {
    fn from(status: &kube::core::Status) -> Self {
        let text = format!("{} {}", status.code, status.message);
        if matches!(status.code, 401 | 403) { Self::Refused(text) } else { Self::Failed(text) }
    }
}

impl From<&kube::Error> for CallError {
    fn from(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from(&**status),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
                Self::Failed(error.to_string())
            }
            _ if is_late(error) => Self::Late,
            _ => Self::Unreachable(causes(error)),
        }
    }
}

/// Whether it comes of a wait that was over.
fn is_late(error: &(dyn Error + 'static)) -> bool {
    let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    let late = |error: &(dyn Error + 'static)| {
        error.is::<Elapsed>() || error.downcast_ref().is_some_and(timed_out)
    };
    late(error) || error.source().is_some_and(is_late)
}

/// An error with what it came from, of which the outermost often says nothing.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// The requests of a pod, of which the log is told.
#[derive(Debug, Default)]
pub struct Calls {
    failing: Mutex<Vec<Failing>>,
}

/// A request that fails.
#[derive(Debug)]
struct Failing {
    call: Call,
    /// Whether it is refused, which has another remedy than all else.
    refused: bool,
    told: Instant,
}

impl Calls {
    /// Makes a request: waits for its answer no longer than [`PATIENCE`], and notes what came of it.
    ///
    /// # Errors
    /// If the API server refuses it, fails, or is away.
    pub async fn make<T>(
        &self,
        call: Call,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        let answer = match timeout(PATIENCE, request).await {
            Ok(answer) => answer.map_err(|error| CallError::from(&error)),
            Err(_) => Err(CallError::Late),
        };
        self.note(call, answer.as_ref().err());
        answer
    }

    /// Notes what came of a request: counts it, and tells the log when that begins, ends, or has lasted.
    pub fn note(&self, call: Call, error: Option<&CallError>) {
        let result = error.map_or("ok", CallError::name);
        counter!(KUBERNETES_REQUESTS.name, "request" => call.name(), "result" => result)
            .increment(1);
        let mut failing = self.failing.lock();
        let known = failing.iter().position(|failing| failing.call == call);
        let Some(error) = error else {
            if let Some(known) = known {
                failing.swap_remove(known);
                tracing::info!(request = call.name(), "Kubernetes: works again");
            }
            return;
        };
        let refused = matches!(error, CallError::Refused(_));
        let quiet = known.is_some_and(|known| {
            failing[known].refused == refused && failing[known].told.elapsed() < QUIET
        });
        if quiet {
            tracing::debug!(request = call.name(), %error, "Kubernetes: still fails");
            return;
        }
        if let Some(known) = known {
            failing.swap_remove(known);
        }
        failing.push(Failing { call, refused, told: Instant::now() });
        tracing::warn!(
            request = call.name(),
            %error,
            "Kubernetes: this does not work, and all else goes on; `roomcast doctor` in the pod says what is missing"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_and_result_has_a_series_from_the_start() {
        let mut names = Call::ALL.map(Call::name).to_vec();
        names.sort_unstable();
        assert_eq!(names, KUBERNETES_REQUESTS.values_of("request"));
        let text = String::new;
        let mut results = vec![
            "ok",
            CallError::Refused(text()).name(),
            CallError::Failed(text()).name(),
            CallError::Late.name(),
            CallError::Unreachable(text()).name(),
        ];
        results.sort_unstable();
        assert_eq!(results, KUBERNETES_REQUESTS.values_of("result"));
    }

    #[test]
    fn what_fails_is_remembered_until_it_works() {
        let calls = Calls::default();
        calls.note(Call::GetPod, Some(&CallError::Late));
        calls.note(Call::GetPod, Some(&CallError::Late));
        calls.note(Call::PatchPod, Some(&CallError::Refused("403".into())));
        assert_eq!(calls.failing.lock().len(), 2);
        calls.note(Call::GetPod, Some(&CallError::Refused("403".into())));
        assert_eq!(calls.failing.lock().len(), 2);
        calls.note(Call::GetPod, None);
        assert_eq!(calls.failing.lock().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_not_waited_for() {
        let calls = Calls::default();
        let never = std::future::pending::<kube::Result<()>>();
        assert!(matches!(calls.make(Call::GetPod, never).await, Err(CallError::Late)));
    }
}
