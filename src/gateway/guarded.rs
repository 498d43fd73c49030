//! A function of the program that panics harms what it was called for, and nothing else: neither the other events of
//! its client, nor the task that reads them, nor what the pod does for all.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;

use super::{Refusal, codes};

/// Calls a function; a refusal if it panics. What it leaves half done is its own: nothing of the gateway's is
/// locked while it runs.
pub(super) fn guarded<T>(what: &'static str, call: impl FnOnce() -> T) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| panicked(what))
}

/// The same for one that takes time.
pub(super) async fn guarded_later<T>(
    what: &'static str,
    call: impl Future<Output = T>,
) -> Result<T, Refusal> {
    AssertUnwindSafe(call).catch_unwind().await.map_err(|_| panicked(what))
}

/// The panic itself has been printed by the program's hook.
fn panicked(what: &'static str) -> Refusal {
    tracing::error!(what, "a function of the program panicked");
    Refusal::new(codes::INTERNAL_ERROR, "the server could not handle this")
}
