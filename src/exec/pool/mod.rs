//! Threads: the pools, and the one function that runs parallel code.
//!
//! All parallel work of the library goes through [`run`]. It takes tasks 0..n from one counter on as many
//! workers as the caller allows. The calling thread is one of them unless the executor says otherwise. The
//! results go to the calling thread in order, between its own tasks; it reports progress and finds the
//! first error in order. An error stops the tasks after it and none before it. [`run_within`] also bounds
//! the distance between the workers and the last delivered result. A worker with nothing to do inside that
//! window ends and is started again later. It never waits, because the call that would wake it may itself
//! wait for the pool, from within a progress callback.
//!
//! rayon's global pool is never used. The library's own pool is made at the first parallel call and again in a
//! forked child, where the parent's threads do not exist. A [`Pool`] from before a fork is refused there with STATE
//! instead of hanging; a program with a rayon pool of its own must know where its threads are.

use crate::accelerator::Accelerator;
use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

#[cfg(feature = "parallel")]
mod schedule;
#[cfg(feature = "parallel")]
mod threads;
#[cfg(feature = "parallel")]
mod ticket;

#[cfg(feature = "parallel")]
pub use threads::Pool;
#[cfg(feature = "parallel")]
pub(crate) use threads::on_idle_threads;

/// Minimum number of bytes that a task hashes. Waking a thread costs as much as hashing some 10 KiB.
pub(crate) const TASK_BYTES: usize = 64 * 1024;

/// Maximum number of threads of a pool.
const MAX_THREADS: u32 = 1024;

fn check_threads(threads: u32) -> Result<()> {
    if threads <= MAX_THREADS {
        return Ok(());
    }
    Err(AtlasError::invalid_argument(format!("threads {threads} is outside 0..={MAX_THREADS}")))
}

/// The threads on which a call runs its parallel work.
#[derive(Default, Clone, Copy)]
pub(crate) enum Executor<'a> {
    /// The library's own pool, made on demand.
    #[default]
    Library,
    /// The calling thread.
    Inline,
    /// A [`Pool`] of the caller.
    Pool(&'a Pool),
    /// A [`Pool`] of the caller, without the calling thread.
    OnlyPool(&'a Pool),
    /// A rayon pool of the caller.
    #[cfg(feature = "parallel")]
    Rayon(&'a rayon::ThreadPool),
    /// A rayon pool of the caller, without the calling thread.
    #[cfg(feature = "parallel")]
    OnlyRayon(&'a rayon::ThreadPool),
}

impl<'a> Executor<'a> {
    /// Returns the number of threads that can work at once. Starts no thread.
    pub(crate) fn threads(&self) -> usize {
        match self {
            Executor::Library => cores(),
            Executor::Inline => 1,
            Executor::Pool(pool) | Executor::OnlyPool(pool) => pool.threads(),
            #[cfg(feature = "parallel")]
            Executor::Rayon(pool) | Executor::OnlyRayon(pool) => pool.current_num_threads(),
        }
    }

    /// Fails if the threads of the pool are in another process, because of a fork, or if its OpenCL device has
    /// failed.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Executor::Pool(pool) | Executor::OnlyPool(pool) => pool.check_process(),
            _ => Ok(()),
        }
    }

    /// Returns the OpenCL device that hashes tiles beside the threads of the pool. `None` if there is none.
    pub(crate) fn accelerator(self) -> Option<&'a Arc<Accelerator>> {
        match self {
            Executor::Pool(pool) | Executor::OnlyPool(pool) => pool.device(),
            _ => None,
        }
    }

    /// Returns true for a pool of the caller, and false for the library's own pool and the calling thread.
    pub(crate) fn is_hosts(&self) -> bool {
        !matches!(self, Executor::Library | Executor::Inline)
    }

    /// Excludes the calling thread from a pool of the caller, so that work for one thread runs on that pool too.
    pub(crate) fn and_nowhere_else(self) -> Self {
        match self {
            Executor::Pool(pool) => Executor::OnlyPool(pool),
            #[cfg(feature = "parallel")]
            Executor::Rayon(pool) => Executor::OnlyRayon(pool),
            other => other,
        }
    }
}

#[cfg(not(feature = "parallel"))]
fn cores() -> usize {
    1
}

/// Returns the number of cores that this process may use. It is the largest number that a thread has found so
/// far, so that a thread that is bound to one core does not decide for the other threads.
#[cfg(feature = "parallel")]
fn cores() -> usize {
    use crate::base::cpu;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};
    // Asking the system reads files; once a second is enough.
    static CORES: AtomicUsize = AtomicUsize::new(0);
    static ASKED: Mutex<Option<Instant>> = Mutex::new(None);
    // `try_lock` does not wait: a fork may have left the lock closed.
    if let Ok(mut asked) = ASKED.try_lock()
        && asked.is_none_or(|asked| asked.elapsed() >= Duration::from_secs(1))
    {
        CORES.fetch_max(cpu::cores(), Ordering::Relaxed);
        *asked = Some(Instant::now());
    }
    match CORES.load(Ordering::Relaxed) {
        // Nothing is known yet: another thread is asking, or a fork has left the lock closed.
        0 => cpu::cores(),
        known => known,
    }
}

/// Runs `work` for each of `tasks` tasks and passes the results to `sink` in order.
///
/// At most `workers` workers run tasks, each with a state of its own from `start`. The calling thread is one of
/// the workers unless the executor forbids it. If it is itself inside a task of the same pool, it runs all tasks
/// alone. `sink` runs on the calling thread; its error cancels the remaining tasks.
pub(crate) fn run<S, T: Send>(
    executor: Executor<'_>,
    workers: usize,
    tasks: u64,
    start: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, u64) -> Result<T> + Sync,
    sink: impl FnMut(u64, T) -> Result<()>,
) -> Result<()> {
    run_within(executor, workers, tasks, Order::default(), start, work, sink)
}

/// Rules for the tasks of a call: how many a worker takes at once, how far workers run ahead of the delivered
/// results, and if results may be delayed.
#[derive(Clone, Copy, Default)]
#[cfg_attr(not(feature = "parallel"), expect(dead_code, reason = "one thread has one order"))]
pub(crate) struct Order<'a> {
    /// True if no progress callback is set: the sink may then get results many at a time, which saves
    /// wake-ups of the calling thread on busy cores. In any case an error stops the remaining tasks without
    /// delay.
    pub(crate) unwatched: bool,
    /// Number of tasks, from the next one to deliver on, that may be started. `None` means two per worker if a
    /// progress callback is set, because results must not pile up before a slow sink, and unlimited otherwise.
    pub(crate) window: Option<u64>,
    /// Ends of runs of tasks, ascending; the last end is the number of tasks. A worker takes a run at a time. If the list
    /// is empty, each task is a run of its own.
    pub(crate) runs: &'a [u64],
    /// True if a worker takes no task outside of the window, and so only a part of a run that the window cuts. False if
    /// it takes whole runs, because it works on their tasks together.
    pub(crate) cuts_runs: bool,
}

/// Runs tasks like [`run`], by the rules of `order`.
pub(crate) fn run_within<S, T: Send>(
    executor: Executor<'_>,
    workers: usize,
    tasks: u64,
    order: Order<'_>,
    start: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, u64) -> Result<T> + Sync,
    mut sink: impl FnMut(u64, T) -> Result<()>,
) -> Result<()> {
    executor.check()?;
    if tasks == 0 {
        return Ok(());
    }
    // With threads to use, the scheduler takes over.
    #[cfg(feature = "parallel")]
    if let Some(team) = threads::team_for(executor, workers) {
        return schedule::run_on(team, workers, tasks, order, start, work, sink);
    }
    // Otherwise every task runs here, in order, with panics turned into errors as on a pool.
    let _ = (workers, order);
    let mut state = start()?;
    (0..tasks).try_for_each(|task| {
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut state, task)));
        sink(task, result.unwrap_or_else(|payload| Err(panic_error(payload)))?)
    })
}

/// Runs both closures and returns their results. Runs them in parallel if a thread is available.
pub(crate) fn both<A: Send, B: Send>(
    executor: Executor<'_>,
    first: impl FnOnce() -> Result<A> + Send,
    second: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    // A task is a shared closure, so that each of the two is taken out of its lock once.
    let (first, second) = (Mutex::new(Some(first)), Mutex::new(Some(second)));
    let (mut a, mut b) = (None, None);
    let twice = || AtlasError::internal("a defect of the library, please report it: a task ran twice");
    run(
        executor,
        2,
        2,
        || Ok(()),
        |(), task| match task {
            0 => lock(&first).take().ok_or_else(twice)?().map(|a| (Some(a), None)),
            _ => lock(&second).take().ok_or_else(twice)?().map(|b| (None, Some(b))),
        },
        |_, (first, second)| {
            // Each task fills its own half of the result.
            (a, b) = (a.take().or(first), b.take().or(second));
            Ok(())
        },
    )?;
    a.zip(b).ok_or_else(|| {
        AtlasError::internal("a defect of the library, please report it: a task returned no result")
    })
}

/// Returns the text of a panic's payload. A payload that is no text is forgotten, because its drop could panic again.
pub(crate) fn panic_text(payload: Box<dyn std::any::Any + Send>) -> String {
    // `panic!` makes two kinds of payload: a literal or a formatted text.
    let payload = match payload.downcast::<&str>() {
        Ok(text) => return (*text).to_owned(),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => {
            std::mem::forget(payload);
            "a panic without a text".to_owned()
        }
    }
}

/// Converts the payload of a panic to an INTERNAL error with the text of the panic.
pub(crate) fn panic_error(payload: Box<dyn std::any::Any + Send>) -> AtlasError {
    AtlasError::internal(format!("caught a panic: {}", panic_text(payload)))
}

#[cfg(not(feature = "parallel"))]
mod sequential {
    use super::*;
    use crate::accelerator::{AcceleratorInfo, AcceleratorOptions};

    /// Stand-in without the feature `parallel`: every pool is the calling thread.
    #[derive(Debug)]
    pub struct Pool {
        accelerator: Option<Arc<Accelerator>>,
    }

    impl Pool {
        /// Returns a pool that starts no thread. Refuses the same numbers of threads as a pool with threads.
        pub fn new(threads: u32) -> Result<Pool> {
            check_threads(threads).map(|()| Pool { accelerator: None })
        }

        /// Returns a pool with an OpenCL device that hashes tiles beside the calling thread.
        pub fn accelerated(threads: u32, options: &AcceleratorOptions<'_>) -> Result<Pool> {
            check_threads(threads)?;
            Ok(Pool { accelerator: Some(Arc::new(Accelerator::open(options)?)) })
        }

        /// Returns the properties of the OpenCL device, if the pool has one.
        pub fn accelerator(&self) -> Option<AcceleratorInfo> {
            self.accelerator.as_ref().map(|accelerator| accelerator.info())
        }

        pub(crate) fn device(&self) -> Option<&Arc<Accelerator>> {
            self.accelerator.as_ref()
        }

        /// Returns 1, for the calling thread.
        pub fn threads(&self) -> usize {
            1
        }

        pub(crate) fn check_process(&self) -> Result<()> {
            self.accelerator.as_ref().map_or(Ok(()), |accelerator| accelerator.check())
        }
    }
}
#[cfg(not(feature = "parallel"))]
pub use sequential::Pool;

/// Does nothing, because a pool has no threads without the feature `parallel`.
#[cfg(not(feature = "parallel"))]
pub(crate) fn on_idle_threads(_: fn()) {}

#[cfg(test)]
mod tests;
