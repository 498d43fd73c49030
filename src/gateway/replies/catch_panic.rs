//! Catches panics in functions of the program.
//!
//! A panic ends only the call that it happens in. The other events of the client go on, and so do the task that reads the
//! client and the rest of the pod.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;

use super::refusal::Refusal;

/// Calls a function, and turns a panic into a refusal. The gateway holds no lock during the call, so nothing of it is left
/// half done.
pub(in crate::gateway) fn catch_panic<T>(
    callback: &'static str,
    call: impl FnOnce() -> T,
) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| panicked(callback))
}

/// Awaits a future, and turns a panic into a refusal.
pub(in crate::gateway) async fn catch_panic_async<T>(
    callback: &'static str,
    call: impl Future<Output = T>,
) -> Result<T, Refusal> {
    AssertUnwindSafe(call).catch_unwind().await.map_err(|_| panicked(callback))
}

/// The program's panic hook has printed the panic itself.
fn panicked(callback: &'static str) -> Refusal {
    tracing::error!(what = callback, "a function of the program panicked");
    Refusal::internal_error()
}
