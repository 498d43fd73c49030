//! The memory of the pod: what is free of it is given back to the system, and new sessions are refused while it has
//! more than it may.
//!
//! Chosen by measurement (`docs/benchmarks.md`): the allocator of glibc needs the least for an idle
//! connection, and keeps all that is freed, unless it is asked to give it back. jemalloc
//! gives it back by itself and needs more; mimalloc needs more and keeps it.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use metrics::gauge;

use crate::{
    config::MemoryLimit,
    edge::connections::sessions::Sessions,
    tasks,
    telemetry::{Total, metrics::ALLOCATOR_BYTES},
};

/// How often it is looked at what the allocator keeps.
const INTERVAL: Duration = Duration::from_secs(2);
/// Fewer bytes than this, beyond those that the last walk through the heap left, are not worth another.
const WORTH: u64 = 8 << 20;
/// A part of the pod's memory that is not, either: a large heap takes longer to walk through.
const WORTH_PART: u64 = 10;
/// How often it is looked at how much memory the pod has.
const LOOK: Duration = Duration::from_millis(200);
/// Where the system tells of cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// cgroup v1 says so much, or a little less, where there is no limit.
const NO_LIMIT: u64 = 1 << 60;

/// Gives free memory back until it is dropped.
pub async fn give_back() {
    let mut ticks = tokio::time::interval(INTERVAL);
    // What the last walk left, and what was allocated at the last look.
    let (mut left, mut before) = (u64::MAX, u64::MAX);
    loop {
        ticks.tick().await;
        let Some((resident, heap)) = tasks::blocking("memory", look).await else { continue };
        if let Some(resident) = resident {
            gauge!(ALLOCATOR_BYTES.name, "state" => "held").set(resident as f64);
        }
        let Some(heap) = heap else { continue };
        gauge!(ALLOCATOR_BYTES.name, "state" => "in_use").set(heap.used as f64);
        left = left.min(heap.idle());
        let worth = WORTH.max(heap.resident / WORTH_PART);
        // What is freed in the middle of a storm is soon taken again.
        let grows = heap.used > before.saturating_add(worth);
        before = heap.used;
        if grows || heap.idle() - left < worth {
            continue;
        }
        let trimmed = tasks::blocking("memory", || {
            trim();
            Heap::now()
        });
        if let Some(Some(now)) = trimmed.await {
            left = now.idle();
            let bytes = heap.resident.saturating_sub(now.resident);
            tracing::debug!(bytes, "memory given back");
        }
    }
}

/// Has new sessions refused while the pod has more memory than a limit, until it is dropped.
pub async fn watch(sessions: Arc<Sessions>, limit: MemoryLimit) {
    let Some(limit) = memory_limit(limit) else { return };
    tracing::debug!(limit, "memory is watched");
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let Some(resident) = resident("VmRSS:") else { return };
        Total::Memory.uses(resident as f64, limit as f64);
        let over = resident > limit;
        if sessions.over_memory.swap(over, Ordering::Relaxed) != over {
            if over {
                tracing::warn!(resident, limit, "over limits.memory: new sessions are refused");
            } else {
                tracing::info!(resident, limit, "below limits.memory: new sessions are let in");
            }
        }
    }
}

/// The limit in bytes, if there is one.
pub fn memory_limit(limit: MemoryLimit) -> Option<u64> {
    match limit {
        MemoryLimit::None => None,
        MemoryLimit::Bytes(bytes) => Some(bytes),
        MemoryLimit::Auto => {
            let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
            let limit = cgroup_limit(Path::new(CGROUPS), &cgroups)?;
            Some(limit / 5 * 4)
        }
    }
}

/// The least memory that a cgroup of this process, or one above it, may have (`cgroups(7)`: v2 and v1). `root` is where
/// they are mounted, in a container often only its own: what is not there is looked for further up.
fn cgroup_limit(root: &Path, cgroups: &str) -> Option<u64> {
    let limits = cgroups.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let (root, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        let own = root.join(path.trim_start_matches('/'));
        let above = own.ancestors().take_while(|above| above.starts_with(&root));
        above.filter_map(|group| number(&group.join(file))).min()
    });
    limits.filter(|limit| *limit < NO_LIMIT).min()
}

/// The number in a file; none if it has `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Bytes that the process has in memory, by their name in `/proc/self/status` (`proc_pid_status(5)`).
fn resident(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The heap, in bytes.
struct Heap {
    /// In memory.
    resident: u64,
    /// Allocated.
    used: u64,
}

/// What is in memory, and the heap where its allocator tells of it.
fn look() -> (Option<u64>, Option<Heap>) {
    let resident = resident("RssAnon:");
    let heap = resident.and_then(|resident| Some(Heap { used: used()?, resident }));
    (resident, heap)
}

impl Heap {
    fn now() -> Option<Self> {
        look().1
    }

    /// What the allocator keeps, about: stacks are in it too, and what is allocated and was never touched is not.
    fn idle(&self) -> u64 {
        self.resident.saturating_sub(self.used)
    }
}

#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    not(feature = "jemalloc"),
    not(feature = "mimalloc")
))]
#[allow(unsafe_code)]
fn used() -> Option<u64> {
    // SAFETY: mallinfo2(3) takes no pointer and may be called from any thread at any time.
    let info = unsafe { libc::mallinfo2() };
    Some(info.uordblks as u64 + info.hblkhd as u64)
}

#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    not(feature = "jemalloc"),
    not(feature = "mimalloc")
))]
#[allow(unsafe_code)]
fn trim() {
    // SAFETY: malloc_trim(3) takes no pointer and may be called from any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

// glibc's own figures say nothing of another allocator.
#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    not(feature = "jemalloc"),
    not(feature = "mimalloc")
)))]
fn used() -> Option<u64> {
    None
}

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    not(feature = "jemalloc"),
    not(feature = "mimalloc")
)))]
fn trim() {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_least_limit_of_a_cgroup_and_those_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |cgroups| cgroup_limit(root.path(), cgroups);
        assert_eq!(limit("0::/pod/container\n"), None);
        write("pod/container/memory.max", "max\n");
        assert_eq!(limit("0::/pod/container\n"), None);
        write("pod/memory.max", "1000\n");
        assert_eq!(limit("0::/pod/container\n"), Some(1000));
        // Seen from within a container, the path can be one of outside.
        write("memory.max", "2000\n");
        assert_eq!(limit("0::/kubepods/x\n"), Some(2000));
        let v1 = "5:cpu,cpuacct:/a\n4:memory:/a\n";
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(v1), None);
        write("memory/a/memory.limit_in_bytes", "3000\n");
        assert_eq!(limit(v1), Some(3000));
    }
}
