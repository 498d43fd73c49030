//! Gives the memory of closed connections back to the system.
//!
//! Chosen by measurement (`docs/benchmarks.md`): the allocator of glibc needs the least for an idle
//! connection, and keeps it all when connections close, unless it is asked to give it back. jemalloc
//! gives it back by itself and needs more; mimalloc needs more and keeps it.

use std::{sync::Arc, time::Duration};

use super::Sessions;

/// How often the number of connections is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// Fewer closed connections than this are not worth the walk through the heap.
const WORTH: usize = 1000;

/// Looks after memory until it is dropped.
pub async fn give_back(sessions: Arc<Sessions>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut most = 0;
    loop {
        ticks.tick().await;
        let open = sessions.open();
        most = most.max(open);
        // A quarter of them is gone, and for the moment no more are going.
        if most - open >= WORTH.max(most / 4) {
            ticks.tick().await;
            most = sessions.open();
            if tokio::task::spawn_blocking(trim).await.is_ok() {
                tracing::debug!(connections = most, "memory given back");
            }
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn trim() {
    // SAFETY: malloc_trim(3) takes no pointer and may be called from any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
