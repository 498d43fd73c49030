//! Open files, of which a process may have so many and each connection is one.
//!
//! Clients must not take them all: probes, metrics, other pods and Redis need some, and a pod that fails its probe because
//! it is popular is killed with all of its clients. So connections of clients are closed at once from a share of the limit
//! on, and the internal listener holds files that it can let go when all the others are taken nevertheless.

use std::{fs::File, os::fd::AsRawFd, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Files that clients leave to the rest: an eighth, within these.
const LEAST_RESERVE: u64 = 64;
const MOST_RESERVE: u64 = 1024;
/// Files that each internal listener holds for its own connections.
const SPARES: usize = 16;
/// Shortest time between two lines of the log about want of files: there is a reason for one with each connection.
const QUIET: Duration = Duration::from_secs(1);

/// Raises the soft limit of open files to the hard one, and gives it. The soft one is low (1024) for the sake of programs
/// that use select(2), which this one does not; Node raises it too.
///
/// # Errors
/// If the system does not say what it is, or refuses.
pub fn raise_limit() -> std::io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}

/// How many of so many files are for clients.
pub fn files_for_clients(limit: u64) -> u64 {
    // A limit that is smaller than that is shared.
    let reserve = (limit / 8).clamp(LEAST_RESERVE, MOST_RESERVE).min(limit / 2);
    limit - reserve
}

/// How many files there are for whom. One for all listeners of a pod.
#[derive(Debug)]
pub struct Files {
    /// The first file that is not for a client.
    for_clients: u64,
    told: Mutex<Told>,
}

/// When the log was last told, and how often it was not since.
#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    kept_back: u64,
}

impl Files {
    /// With the limit that the process has now.
    pub fn new() -> Self {
        let limit = rlimit::Resource::NOFILE.get().map_or(u64::MAX, |(soft, _)| soft);
        Self::with_limit(limit)
    }

    fn with_limit(limit: u64) -> Self {
        Self { for_clients: files_for_clients(limit), told: Mutex::default() }
    }

    /// Whether those for clients are taken, this one being the latest. The system gives the lowest number that is free, so
    /// that all below are in use, whoever has them: relays, hooks, files of an embedding program.
    pub(crate) fn are_taken(&self, latest: &impl AsRawFd) -> bool {
        u64::try_from(latest.as_raw_fd()).is_ok_and(|number| number >= self.for_clients)
    }

    /// Whether the log may be told again, and how many times it was not since the last one.
    pub(crate) fn may_tell(&self) -> Option<u64> {
        let mut told = self.told.lock();
        if told.last.is_some_and(|last| last.elapsed() < QUIET) {
            told.kept_back += 1;
            return None;
        }
        told.last = Some(Instant::now());
        Some(std::mem::take(&mut told.kept_back))
    }
}

/// Files that are held to be let go when there are no others.
pub(crate) struct Spares(Vec<File>);

impl Spares {
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Takes as many as it should have, or as there are.
    pub fn fill(&mut self) {
        while self.0.len() < SPARES {
            let Ok(file) = File::open("/dev/null") else {
                return;
            };
            self.0.push(file);
        }
    }

    /// Lets one go, if there is one.
    pub fn give(&mut self) -> bool {
        self.0.pop().is_some()
    }
}

/// Whether the process, or the machine, has no more files.
pub(crate) fn ran_out(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_some_files_to_the_rest() {
        for (limit, for_clients) in
            [(64, 32), (256, 192), (1024, 896), (65_536, 64_512), (1_048_576, 1_047_552)]
        {
            assert_eq!(Files::with_limit(limit).for_clients, for_clients, "{limit}");
        }
        struct Number(i32);
        impl AsRawFd for Number {
            fn as_raw_fd(&self) -> i32 {
                self.0
            }
        }
        let files = Files::with_limit(256);
        assert!(!files.are_taken(&Number(191)));
        assert!(files.are_taken(&Number(192)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_is_told_once_a_second_and_how_often_it_was_not() {
        let files = Files::with_limit(256);
        assert_eq!(files.may_tell(), Some(0));
        assert_eq!((files.may_tell(), files.may_tell()), (None, None));
        tokio::time::advance(QUIET).await;
        assert_eq!(files.may_tell(), Some(2));
        assert_eq!(files.may_tell(), None);
    }

    #[test]
    fn spares_come_back() {
        let mut spares = Spares::none();
        assert!(!spares.give());
        spares.fill();
        assert!((0..SPARES).all(|_| spares.give()));
        assert!(!spares.give());
    }
}
