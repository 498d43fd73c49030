//! What a panic in a task does: it is counted, told in the log with the name of the task, and never silent.
//!
//! A task whose state can be made anew is [`restarted`]. Without the others a pod cannot go on: it drains, and exits with
//! an error, so that Kubernetes starts another ([`named`], [`first_panic`], [`Failed`]).

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use futures_util::FutureExt;
use metrics::counter;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::sleep,
};

use crate::telemetry::metrics::TASK_PANICS;

/// Learns of panics in tasks that a pod cannot do without, where they are no set of their own. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Failed(watch::Sender<Option<&'static str>>);

impl Default for Failed {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Failed {
    /// A task that the pod needs.
    pub async fn needed(self, name: &'static str, task: impl Future<Output = ()>) {
        if caught(name, task).await.is_none() {
            self.0.send_replace(Some(name));
        }
    }

    /// Waits for a panic, and gives the name of its task.
    pub async fn first(&self) -> &'static str {
        match self.0.subscribe().wait_for(Option::is_some).await.map(|name| *name) {
            Ok(Some(name)) => name,
            // The sender lives in `self`, so the channel is open.
            _ => pending().await,
        }
    }
}

/// How long a task rests before it is restarted: one that panics at once must not keep a processor busy.
const PAUSE: Duration = Duration::from_secs(1);

/// The payload that goes on after a panic was counted: the name of the task.
struct Counted(&'static str);

/// A task of a set that is watched by [`first_panic`], under the name that log and metric have for it.
pub(crate) async fn named<T>(name: &'static str, task: impl Future<Output = T>) -> T {
    match caught(name, task).await {
        Some(done) => done,
        None => resume_unwind(Box::new(Counted(name))),
    }
}

/// Waits for the first panic among tasks, and gives the name of its task. Tasks that end are let go.
pub(crate) async fn first_panic(tasks: &mut JoinSet<()>) -> &'static str {
    loop {
        match tasks.join_next().await {
            Some(Err(error)) => {
                let Ok(payload) = error.try_into_panic() else { continue };
                match payload.downcast::<Counted>() {
                    Ok(counted) => return counted.0,
                    Err(_) => {
                        count(OTHER);
                        return OTHER;
                    }
                }
            }
            Some(Ok(())) => {}
            None => return pending().await,
        }
    }
}

/// The name of a task that has none.
const OTHER: &str = "other";

/// Makes a task again whenever it has panicked, until it ends by itself.
pub(crate) async fn restarted<F: Future>(name: &'static str, make: impl Fn() -> F) -> F::Output {
    loop {
        match caught(name, async { make().await }).await {
            Some(done) => return done,
            None => sleep(PAUSE).await,
        }
    }
}

/// A task that others do well without: nothing else comes of a panic in it.
pub(crate) fn counted(name: &'static str, task: impl Future) -> impl Future<Output = ()> {
    caught(name, task).map(drop)
}

/// Spawns a task that nobody waits for, and that does one thing for one client, server or request. What it holds is
/// dropped if it panics: that is the end of what it was for.
pub(crate) fn spawn<F>(name: &'static str, task: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    bare(counted(name, task))
}

/// The same for one that somebody would wait for in vain: `otherwise` is done if it panics.
pub(crate) fn spawn_or<F, O>(name: &'static str, task: F, otherwise: O) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
    O: Future<Output = ()> + Send + 'static,
{
    bare(async move {
        if caught(name, task).await.is_none() {
            counted(name, otherwise).await;
        }
    })
}

/// Spawns a task that is made again whenever it has panicked.
pub(crate) fn spawn_restarted<F>(
    name: &'static str,
    make: impl Fn() -> F + Send + Sync + 'static,
) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    bare(restarted(name, make))
}

/// Spawns a task whose panic is counted, and is that of its handle.
pub(crate) fn spawn_named<F>(name: &'static str, task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    bare(named(name, task))
}

#[expect(clippy::disallowed_methods, reason = "here its panic is counted")]
fn bare<F: Future<Output: Send> + Send + 'static>(task: F) -> JoinHandle<F::Output> {
    tokio::spawn(task)
}

/// Does on a thread of its own what would keep a worker busy, and waits for it. None if it panics.
#[expect(clippy::disallowed_methods, reason = "here its panic is counted")]
pub(crate) async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    spawn_blocking(move || attempt(name, work)).await.ok().flatten()
}

/// Does one piece of the work of a thread, which goes on with the next one if this panics.
pub(crate) fn piece(name: &'static str, work: impl FnOnce()) {
    let _ = attempt(name, work);
}

/// Does something that others call. A panic in it is counted, and gives nothing.
pub(crate) fn attempt<T>(name: &'static str, work: impl FnOnce() -> T) -> Option<T> {
    let work = || {
        #[cfg(test)]
        inject::trip(name);
        work()
    };
    catch_unwind(AssertUnwindSafe(work)).inspect_err(|_| count(name)).ok()
}

/// Awaits a task. A panic in it is counted, and gives nothing. No `async fn`: that would have room for the task twice, and
/// each connection has one.
pub(crate) fn caught<T>(
    name: &'static str,
    task: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    #[cfg(test)]
    let task = futures_util::future::lazy(move |_| inject::trip(name)).then(|()| task);
    AssertUnwindSafe(task).catch_unwind().map(move |done| done.inspect_err(|_| count(name)).ok())
}

/// The panic itself, with its place, has been printed by the program's hook.
fn count(name: &'static str) {
    #[cfg(test)]
    inject::note(name);
    counter!(TASK_PANICS.name, "task" => name).increment(1);
    tracing::error!(task = name, "a task panicked: this is a bug");
}

/// Panics that a test has a task make, in the thread of that test.
#[cfg(test)]
pub(crate) mod inject {
    use std::cell::RefCell;

    thread_local! {
        static DUE: RefCell<Vec<(&'static str, usize)>> = const { RefCell::new(Vec::new()) };
        static COUNTED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    /// The next task of this name panics when it begins.
    pub fn next(name: &'static str) {
        after(0, name);
    }

    /// The one behind so many others does.
    pub fn after(others: usize, name: &'static str) {
        DUE.with_borrow_mut(|due| due.push((name, others)));
    }

    /// How many panics have been counted under a name.
    pub fn counted(name: &'static str) -> usize {
        COUNTED.with_borrow(|counted| counted.iter().filter(|other| **other == name).count())
    }

    pub(super) fn note(name: &'static str) {
        COUNTED.with_borrow_mut(|counted| counted.push(name));
    }

    pub(super) fn trip(name: &'static str) {
        let due = DUE.with_borrow_mut(|due| {
            let place = due.iter().position(|(other, _)| *other == name)?;
            match &mut due[place].1 {
                0 => Some(due.remove(place)),
                others => {
                    *others -= 1;
                    None
                }
            }
        });
        assert!(due.is_none(), "{name}, as a bug would");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{Instant, timeout};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn the_first_panic_among_tasks_is_named_and_those_that_end_are_not() {
        let mut tasks = JoinSet::new();
        tasks.spawn(named("ends", async {}));
        tasks.spawn(named("goes on", pending()));
        assert!(timeout(LONG, first_panic(&mut tasks)).await.is_err());
        tasks.spawn(named("panics", async { panic!("as a bug would") }));
        assert_eq!(timeout(LONG, first_panic(&mut tasks)).await, Ok("panics"));
        tasks.spawn(async { panic!("without a name") });
        assert_eq!(timeout(LONG, first_panic(&mut tasks)).await, Ok(OTHER));
        tasks.abort_all();
        assert!(timeout(LONG, first_panic(&mut tasks)).await.is_err(), "a task that is ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_outside_of_a_set_is_learned_of() {
        let failed = Failed::default();
        failed.clone().needed("ends", async {}).await;
        assert!(timeout(LONG, failed.first()).await.is_err());
        failed.clone().needed("panics", async { panic!("as a bug would") }).await;
        assert_eq!(timeout(LONG, failed.first()).await, Ok("panics"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_made_anew_after_a_pause() {
        let (made, begun) = (AtomicUsize::new(0), Instant::now());
        let ended = restarted("restarts", || {
            let turn = made.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(turn == 2, "as a bug would");
                turn
            }
        });
        assert_eq!(ended.await, 2);
        assert_eq!(begun.elapsed(), 2 * PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_even_be_made_is_tried_again() {
        let made = AtomicUsize::new(0);
        let task = restarted("restarts", || {
            assert!(made.fetch_add(1, Ordering::Relaxed) > 0, "as a bug would");
            async {}
        });
        assert!(timeout(LONG, task).await.is_ok());
    }

    #[tokio::test]
    async fn a_panic_for_one_client_harms_nothing_else() {
        assert!(spawn("request", async { panic!("as a bug would") }).await.is_ok());
        let mut done = 0;
        for turn in 0..3 {
            piece("thread", || {
                assert!(turn != 1, "as a bug would");
                done += 1;
            });
        }
        assert_eq!(done, 2);
    }

    #[tokio::test]
    async fn who_would_wait_in_vain_is_told_after_a_panic_and_only_then() {
        let (told, mut heard) = tokio::sync::mpsc::channel(2);
        let tell = |what: &'static str| {
            let told = told.clone();
            async move { told.send(what).await.unwrap() }
        };
        assert!(spawn_or("request", tell("done"), tell("in vain")).await.is_ok());
        inject::next("request");
        assert!(spawn_or("request", tell("lost"), tell("otherwise")).await.is_ok());
        assert_eq!((heard.recv().await, heard.recv().await), (Some("done"), Some("otherwise")));
        assert_eq!(inject::counted("request"), 1);
        // Even that may panic.
        let broken = async { panic!("as a bug would") };
        inject::next("request");
        assert!(spawn_or("request", async {}, broken).await.is_ok());
        assert_eq!(inject::counted("request"), 3);
    }

    #[tokio::test]
    async fn a_panic_on_a_thread_is_no_answer() {
        assert_eq!(blocking("compression", || 7).await, Some(7));
        assert_eq!(blocking("compression", || -> u8 { panic!("as a bug would") }).await, None);
    }

    #[tokio::test]
    async fn a_handle_that_is_waited_for_has_the_panic() {
        assert_eq!(spawn_named("api request", async { 7 }).await.unwrap(), 7);
        inject::next("api request");
        assert!(spawn_named("api request", async { 7 }).await.unwrap_err().is_panic());
        assert_eq!(inject::counted("api request"), 1);
    }

    #[test]
    fn what_catches_a_panic_is_hardly_larger_than_the_task() {
        let task = async {
            let bytes = std::hint::black_box([1_u8; 4096]);
            pending::<()>().await;
            std::hint::black_box(bytes);
        };
        let alone = size_of_val(&task);
        assert!(size_of_val(&counted("connection", task)) < alone + alone / 2 + 64);
    }
}
