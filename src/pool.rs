//! Threads: the pools, and the one function that runs parallel code.
//!
//! All parallel work of the library goes through [`run`]. It takes tasks 0..n from one counter on as
//! many workers as the caller allows, and hands the results to the calling thread in order, which
//! is where progress is reported and where the first error in order is found: an error stops the
//! tasks behind it and none before it. [`run_within`] also bounds how far the workers may be ahead of
//! what was delivered. A worker with nothing to do inside that window ends and is started again
//! later; it never waits, because the call that would wake it may itself wait for the pool, from
//! within a progress callback.
//!
//! rayon's global pool is never used. The library's own pool is made at the first parallel call and
//! again in a forked child, where the parent's threads do not exist. A [`Pool`] from before a fork is
//! refused there with STATE instead of hanging; a host that brings a pool of rayon's own must know
//! itself where its threads are.

use crate::error::{AtlasError, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "parallel")]
pub use threads::Pool;

/// What a task should be worth at least, in bytes hashed: waking a thread costs as much as some
/// 10 KiB.
pub(crate) const TASK_BYTES: usize = 64 * 1024;

/// More threads than this are a mistake in the argument.
const MAX_THREADS: u32 = 1024;

fn check_threads(threads: u32) -> Result<()> {
    if threads <= MAX_THREADS {
        return Ok(());
    }
    Err(AtlasError::invalid_argument(format!("threads {threads} is outside 0..={MAX_THREADS}")))
}

/// Where parallel work runs.
#[derive(Default, Clone, Copy)]
pub(crate) enum Executor<'a> {
    /// The library's own pool, made on demand.
    #[default]
    Library,
    /// The calling thread.
    Inline,
    /// A pool that the host made with us.
    Pool(&'a Pool),
    /// A pool that the host made with us, and not the calling thread either.
    OnlyPool(&'a Pool),
    /// A pool that the host made with rayon.
    #[cfg(feature = "parallel")]
    Rayon(&'a rayon::ThreadPool),
    /// One of rayon's, and not the calling thread either.
    #[cfg(feature = "parallel")]
    OnlyRayon(&'a rayon::ThreadPool),
}

impl Executor<'_> {
    /// How many threads there are to use. Starts none.
    pub(crate) fn threads(&self) -> usize {
        match self {
            Executor::Library => cores(),
            Executor::Inline => 1,
            Executor::Pool(pool) | Executor::OnlyPool(pool) => pool.threads(),
            #[cfg(feature = "parallel")]
            Executor::Rayon(pool) | Executor::OnlyRayon(pool) => pool.current_num_threads(),
        }
    }

    /// Refuses a pool whose threads are in another process.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Executor::Pool(pool) | Executor::OnlyPool(pool) => pool.check_process(),
            _ => Ok(()),
        }
    }

    /// Whether it is a pool of the host.
    pub(crate) fn is_hosts(&self) -> bool {
        !matches!(self, Executor::Library | Executor::Inline)
    }

    /// Where it is a pool of the host: work for one thread is for that pool too.
    pub(crate) fn and_nowhere_else(self) -> Self {
        match self {
            Executor::Pool(pool) => Executor::OnlyPool(pool),
            #[cfg(feature = "parallel")]
            Executor::Rayon(pool) => Executor::OnlyRayon(pool),
            other => other,
        }
    }
}

/// One thread a core, as far as this process may use them.
fn cores() -> usize {
    // Asking the system reads files; once is enough.
    static CORES: AtomicU64 = AtomicU64::new(0);
    let cores = match CORES.load(Ordering::Relaxed) {
        0 if cfg!(feature = "parallel") => {
            let found = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
            CORES.store(found, Ordering::Relaxed);
            found
        }
        0 => 1,
        known => known,
    };
    usize::try_from(cores).unwrap_or(1)
}

/// Runs `work` for each of `tasks` tasks and gives the results to `sink` in order.
///
/// At most `workers` tasks are at work at a time, each worker with a state of its own from `start`.
/// `sink` runs on the calling thread; its error cancels the rest. With one worker everything runs
/// on the calling thread unless the executor forbids it, and so it does in a call from inside a task
/// of the same pool.
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

/// In which order workers take tasks, how far ahead, and how soon the sink gets what is done.
#[derive(Clone, Copy, Default)]
#[cfg_attr(not(feature = "parallel"), expect(dead_code, reason = "one thread has one order"))]
pub(crate) struct Order<'a> {
    /// Nobody watches the sink: it may get results many at a time, which saves the calling thread as
    /// many wake-ups on cores that are at work. Errors stop the rest as soon as ever.
    pub(crate) unwatched: bool,
    /// No task starts that is so many or more ahead of the one that the sink is due. None: any.
    pub(crate) window: Option<u64>,
    /// Where runs of tasks end that one worker takes at a time, ascending, the last one being the
    /// number of tasks. Empty: every task is a run.
    pub(crate) runs: &'a [u64],
}

/// As [`run`], with an order.
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
    #[cfg(feature = "parallel")]
    if let Some(pool) = threads::pool_for(executor, workers)? {
        return threads::run_on(pool, workers, tasks, order, start, work, sink);
    }
    let _ = (workers, order);
    let mut state = start()?;
    (0..tasks).try_for_each(|task| {
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut state, task)));
        sink(task, result.unwrap_or_else(|payload| Err(panic_error(payload)))?)
    })
}

/// The text of a panic's payload, which is forgotten: its drop could panic again.
pub(crate) fn panic_text(payload: Box<dyn std::any::Any + Send>) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    };
    std::mem::forget(payload);
    text
}

/// A panic as an error.
pub(crate) fn panic_error(payload: Box<dyn std::any::Any + Send>) -> AtlasError {
    AtlasError::internal(format!("caught a panic: {}", panic_text(payload)))
}

#[cfg(not(feature = "parallel"))]
mod sequential {
    use super::*;

    /// Without the feature `parallel` every pool is the calling thread.
    #[derive(Debug)]
    pub struct Pool(());

    impl Pool {
        /// Accepts as many threads as ever and starts none.
        pub fn new(threads: u32) -> Result<Pool> {
            check_threads(threads).map(|()| Pool(()))
        }

        /// Always 1.
        pub fn threads(&self) -> usize {
            1
        }

        pub(super) fn check_process(&self) -> Result<()> {
            Ok(())
        }
    }
}
#[cfg(not(feature = "parallel"))]
pub use sequential::Pool;

#[cfg(feature = "parallel")]
mod threads {
    use super::*;
    use crate::slot::Slot;
    use crate::sync::lock;
    use std::collections::BTreeMap;
    use std::io;
    use std::mem::ManuallyDrop;
    use std::ops::Range;
    use std::process;
    use std::sync::{Arc, Condvar, Mutex, PoisonError};
    use std::thread::{self, JoinHandle};

    /// Stack of a worker. The deepest recursion is over the height of a tree, so that this is ample.
    const STACK_SIZE: usize = 2 * 1024 * 1024;

    /// Threads that the host asked for, joined when it is dropped.
    ///
    /// A pool of one thread starts none: its work runs on the calling thread. The others are named
    /// `atlas-0`, `atlas-1` and so on, block asynchronous signals, and have a stack of 2 MiB.
    #[derive(Debug)]
    pub struct Pool {
        started: Option<Started>,
        /// The process that made it, whose threads these are.
        process: u32,
    }

    #[derive(Debug)]
    struct Started {
        pool: ManuallyDrop<rayon::ThreadPool>,
        joins: ManuallyDrop<Arc<Mutex<Vec<JoinHandle<()>>>>>,
        /// As the pool's.
        process: u32,
    }

    impl Pool {
        /// Starts `threads` threads, 0 for one a core.
        pub fn new(threads: u32) -> Result<Pool> {
            check_threads(threads)?;
            let threads = if threads == 0 { cores() } else { threads as usize };
            let process = process::id();
            if threads == 1 {
                return Ok(Pool { started: None, process });
            }
            let joins = Arc::new(Mutex::new(Vec::new()));
            let spawned = Arc::clone(&joins);
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .spawn_handler(move |worker| {
                    let name = format!("atlas-{}", worker.index());
                    let builder = thread::Builder::new().name(name).stack_size(STACK_SIZE);
                    let join = with_signals_blocked(|| builder.spawn(|| worker.run()))?;
                    lock(&spawned).push(join);
                    Ok(())
                })
                .build();
            match pool {
                Ok(pool) => Ok(Pool {
                    started: Some(Started {
                        pool: ManuallyDrop::new(pool),
                        joins: ManuallyDrop::new(joins),
                        process,
                    }),
                    process,
                }),
                Err(error) => {
                    join_all(&joins);
                    let os_error = std::error::Error::source(&error)
                        .and_then(|source| source.downcast_ref::<io::Error>())
                        .and_then(io::Error::raw_os_error)
                        .unwrap_or(0);
                    Err(AtlasError::out_of_memory(format!("starting {threads} threads: {error}"))
                        .with_os_error(os_error))
                }
            }
        }

        /// How many tasks can be at work at a time.
        pub fn threads(&self) -> usize {
            self.started.as_ref().map_or(1, |started| started.pool.current_num_threads())
        }

        pub(super) fn check_process(&self) -> Result<()> {
            if self.process == process::id() {
                return Ok(());
            }
            Err(AtlasError::state("the pool was made before a fork: its threads are in the parent process"))
        }
    }

    impl Drop for Started {
        fn drop(&mut self) {
            if self.process != process::id() {
                // The threads are the parent's. Nothing is stopped, joined or even detached here: the
                // numbers of those threads may by now be those of the child's own.
                return;
            }
            // SAFETY: dropped here only, and not used again.
            unsafe { ManuallyDrop::drop(&mut self.pool) };
            join_all(&self.joins);
            // SAFETY: as above.
            unsafe { ManuallyDrop::drop(&mut self.joins) };
        }
    }

    /// Joins all but the current thread, which may be one of them: a task may drop its pool.
    fn join_all(joins: &Mutex<Vec<JoinHandle<()>>>) {
        let joins = std::mem::take(&mut *lock(joins));
        for join in joins {
            if join.thread().id() != thread::current().id() {
                // A worker's panic was delivered where its task was run.
                drop(join.join());
            }
        }
    }

    /// Runs `spawn` with all asynchronous signals blocked, so that the new thread never handles one
    /// of the host's.
    #[cfg(unix)]
    fn with_signals_blocked<R>(spawn: impl FnOnce() -> R) -> R {
        let mut block = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises `block` before it is used; the signals taken out of it are
        // valid numbers; pthread_sigmask writes `before` and touches this thread alone.
        let blocked = unsafe {
            libc::sigfillset(block.as_mut_ptr());
            for fault in
                [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS]
            {
                libc::sigdelset(block.as_mut_ptr(), fault);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, block.as_ptr(), before.as_mut_ptr()) == 0
        };
        let result = spawn();
        if blocked {
            // SAFETY: `before` was written by the successful call above.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
        }
        result
    }

    #[cfg(not(unix))]
    fn with_signals_blocked<R>(spawn: impl FnOnce() -> R) -> R {
        spawn()
    }

    /// The library's own pool in this process, which is another one in a forked child.
    pub(super) fn library_pool() -> Result<&'static Pool> {
        static LIBRARY: Slot<Pool> = Slot::new();
        LIBRARY.get(|pool| pool.check_process().is_ok(), || Pool::new(0))
    }

    /// The pool to use, or None where the calling thread is the place.
    pub(super) fn pool_for(executor: Executor<'_>, workers: usize) -> Result<Option<&rayon::ThreadPool>> {
        let pool = match executor {
            Executor::OnlyPool(pool) => pool.started.as_ref().map(|started| &*started.pool),
            Executor::OnlyRayon(pool) => Some(pool),
            Executor::Inline => None,
            // To wake a thread for it takes longer than many a small task.
            _ if workers <= 1 => None,
            Executor::Library => library_pool()?.started.as_ref().map(|started| &*started.pool),
            Executor::Pool(pool) => pool.started.as_ref().map(|started| &*started.pool),
            Executor::Rayon(pool) => Some(pool),
        };
        // From inside a task of that pool: waiting for its threads could wait for ourselves.
        Ok(pool.filter(|pool| pool.current_thread_index().is_none()))
    }

    /// Which tasks are to be taken, and by how many.
    struct Queue {
        /// The next task to take.
        next: u64,
        /// Tasks from here on are outside the window.
        limit: u64,
        /// Tasks from here on are not started any more.
        stop: u64,
        /// Workers that will look for a task again.
        working: usize,
    }

    impl Queue {
        /// The next run of tasks, or the end of a worker.
        fn take(&mut self, runs: &[u64]) -> Option<Range<u64>> {
            if self.next < self.limit.min(self.stop) {
                let start = self.next;
                self.next = runs.get(runs.partition_point(|end| *end <= start)).map_or(start + 1, |end| *end);
                return Some(start..self.next);
            }
            self.working -= 1;
            None
        }

        /// Moves the window on, and says how many workers are to be started for it.
        fn open(&mut self, limit: u64, workers: usize) -> usize {
            self.limit = limit;
            let open = self.limit.min(self.stop).saturating_sub(self.next);
            let wanted =
                usize::try_from(open).unwrap_or(usize::MAX).min(workers.saturating_sub(self.working));
            self.working += wanted;
            wanted
        }
    }

    /// How many results wait for the calling thread where nobody watches.
    const UNWATCHED_BATCH: usize = 64;

    /// Results on their way to the calling thread.
    struct Done<T> {
        results: Mutex<Vec<(u64, Result<T>)>>,
        arrived: Condvar,
        /// As many results are worth waking the calling thread for.
        batch: usize,
    }

    impl<T> Done<T> {
        fn send(&self, task: u64, result: Result<T>) {
            let failed = result.is_err();
            let mut results = lock(&self.results);
            results.push((task, result));
            if failed || results.len() == self.batch {
                self.arrived.notify_one();
            }
        }

        /// Moves what has come to `into`, which is empty: at least one result.
        fn receive(&self, into: &mut Vec<(u64, Result<T>)>) {
            let mut results = lock(&self.results);
            while results.is_empty() {
                results = self.arrived.wait(results).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut *results, into);
        }
    }

    /// Held by a worker: at its end, however it ends, what it did may be what the calling thread waits
    /// for.
    struct Flush<'d, T>(&'d Done<T>);

    impl<T> Drop for Flush<'_, T> {
        fn drop(&mut self) {
            // Under the lock, or the thread could miss it between its look and its sleep.
            let _results = lock(&self.0.results);
            self.0.arrived.notify_one();
        }
    }

    pub(super) fn run_on<S, T: Send>(
        pool: &rayon::ThreadPool,
        workers: usize,
        tasks: u64,
        order: Order<'_>,
        start: impl Fn() -> Result<S> + Sync,
        work: impl Fn(&mut S, u64) -> Result<T> + Sync,
        mut sink: impl FnMut(u64, T) -> Result<()>,
    ) -> Result<()> {
        let (workers, window) = (workers.max(1), order.window.unwrap_or(u64::MAX).max(1));
        let queue = Mutex::new(Queue { next: 0, limit: 0, stop: tasks, working: 0 });
        let locked = || lock(&queue);
        let done = Done {
            results: Mutex::new(Vec::new()),
            arrived: Condvar::new(),
            // Half a window, so that there is work while the calling thread opens the next.
            batch: if order.unwatched { usize::try_from(window / 2).unwrap_or(usize::MAX) } else { 1 }
                .clamp(1, UNWATCHED_BATCH),
        };
        let worker = || {
            let mut state = None;
            loop {
                let run = locked().take(order.runs);
                let Some(run) = run else { return };
                for task in run {
                    if task >= locked().stop {
                        break;
                    }
                    // Caught here, so that the result of every task that was taken arrives.
                    let result = catch_unwind(AssertUnwindSafe(|| {
                        if state.is_none() {
                            state = Some(start()?);
                        }
                        match &mut state {
                            Some(state) => work(state, task),
                            None => Err(AtlasError::internal("a worker has no state")),
                        }
                    }))
                    .unwrap_or_else(|payload| Err(panic_error(payload)));
                    if result.is_err() {
                        let mut queue = locked();
                        queue.stop = queue.stop.min(task);
                    }
                    done.send(task, result);
                }
            }
        };
        pool.in_place_scope(|scope| {
            let (mut early, mut arrived) = (BTreeMap::new(), Vec::new());
            let mut due = 0;
            let mut deliver = || {
                while due < tasks {
                    let starting = locked().open(due.saturating_add(window), workers);
                    for _ in 0..starting {
                        let (worker, done) = (&worker, &done);
                        scope.spawn(move |_| {
                            let _flush = Flush(done);
                            worker();
                        });
                    }
                    match early.remove(&due) {
                        Some(result) => {
                            sink(due, result?)?;
                            due += 1;
                        }
                        // What is due is inside the window and before every error: somebody has it.
                        None => {
                            done.receive(&mut arrived);
                            early.extend(arrived.drain(..));
                        }
                    }
                }
                Ok(())
            };
            let outcome = deliver();
            locked().stop = 0;
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn collect(executor: Executor<'_>, workers: usize, tasks: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        run(
            executor,
            workers,
            tasks,
            || Ok(()),
            |(), i| Ok(i * i),
            |i, square| {
                assert_eq!(square, i * i);
                seen.push(i);
                Ok(())
            },
        )
        .unwrap();
        seen
    }

    #[test]
    fn results_arrive_in_order_for_every_number_of_workers() {
        let pool = Pool::new(3).unwrap();
        for workers in [1, 2, 3, 8] {
            for executor in [Executor::Library, Executor::Inline, Executor::Pool(&pool)] {
                assert_eq!(collect(executor, workers, 1_000), (0..1_000).collect::<Vec<_>>());
                assert!(collect(executor, workers, 0).is_empty());
            }
        }
    }

    #[test]
    fn the_first_error_in_order_is_reported() {
        let pool = Pool::new(4).unwrap();
        for round in 0..200 {
            let error = run(
                Executor::Pool(&pool),
                4,
                100,
                || Ok(()),
                |(), i| if i >= 40 + round % 7 { Err(AtlasError::witness("x").at_index(i)) } else { Ok(()) },
                |_, ()| Ok(()),
            )
            .unwrap_err();
            assert_eq!(error.index(), Some(40 + round % 7));
        }
    }

    #[test]
    fn a_run_of_tasks_is_one_worker_s_and_its_results_arrive_one_by_one() {
        let pool = Pool::new(3).unwrap();
        let runs = [7, 8, 20, 50];
        let mut workers = Vec::new();
        run_within(
            Executor::Pool(&pool),
            3,
            50,
            Order { runs: &runs, ..Order::default() },
            || Ok(std::thread::current().id()),
            |worker, i| Ok((*worker, i)),
            |i, (worker, task)| {
                assert_eq!(i, task);
                workers.push(worker);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(workers.len(), 50);
        let mut start = 0;
        for end in runs {
            assert!(workers[start..end as usize].iter().all(|worker| *worker == workers[start]));
            start = end as usize;
        }
    }

    #[test]
    fn a_panic_in_a_task_is_an_error_of_that_task() {
        let pool = Pool::new(2).unwrap();
        let error = run(
            Executor::Pool(&pool),
            2,
            10,
            || Ok(()),
            |(), i| if i == 3 { std::panic::panic_any(format!("task {i}")) } else { Ok(i) },
            |_, _| Ok(()),
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains("task 3"));
    }

    #[test]
    fn an_error_of_the_sink_cancels_the_rest() {
        let pool = Pool::new(2).unwrap();
        let done = AtomicU64::new(0);
        let error = run(
            Executor::Pool(&pool),
            2,
            1_000_000,
            || Ok(()),
            |(), _| {
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            },
            |i, ()| if i == 5 { Err(AtlasError::cancelled("enough")) } else { Ok(()) },
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        // What was taken before the error came to be known, and not the rest.
        assert!(done.load(Ordering::Relaxed) < 500_000, "{done:?}");
    }

    #[test]
    fn what_nobody_watches_arrives_in_order_and_whole() {
        let pool = Pool::new(3).unwrap();
        for (tasks, window) in
            [(1, None), (63, None), (1_000, None), (500, Some(1)), (500, Some(7)), (500, Some(200))]
        {
            let mut seen = 0;
            let order = Order { window, unwatched: true, ..Order::default() };
            let sink = |i, task| {
                assert_eq!((i, task), (seen, seen));
                seen += 1;
                Ok(())
            };
            run_within(Executor::Pool(&pool), 3, tasks, order, || Ok(()), |(), i| Ok(i), sink).unwrap();
            assert_eq!(seen, tasks);
            let fail = |(): &mut (), i| if i == tasks / 2 { Err(AtlasError::witness("x")) } else { Ok(()) };
            let error = run_within(Executor::Pool(&pool), 3, tasks, order, || Ok(()), fail, |_, ()| Ok(()));
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Witness);
        }
    }

    #[test]
    fn workers_stay_inside_the_window() {
        let pool = Pool::new(3).unwrap();
        for window in [1, 2, 7, 1_000] {
            let delivered = AtomicU64::new(0);
            let mut seen = 0;
            run_within(
                Executor::Pool(&pool),
                3,
                500,
                Order { window: Some(window), ..Order::default() },
                || Ok(()),
                |(), i| Ok(i.saturating_sub(delivered.load(Ordering::SeqCst))),
                |i, ahead| {
                    assert_eq!(i, seen);
                    assert!(ahead < window, "{ahead} ahead in a window of {window}");
                    seen += 1;
                    delivered.store(seen, Ordering::SeqCst);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(seen, 500);
        }
    }

    #[test]
    fn the_sink_may_use_the_pool_while_the_window_is_full() {
        let pool = Pool::new(2).unwrap();
        let sink = |_, ()| {
            assert_eq!(collect(Executor::Pool(&pool), 2, 20).len(), 20);
            Ok(())
        };
        run_within(
            Executor::Pool(&pool),
            2,
            100,
            Order { window: Some(2), ..Order::default() },
            || Ok(()),
            |(), _| Ok(()),
            sink,
        )
        .unwrap();
    }

    #[test]
    fn a_call_from_inside_a_task_of_the_same_pool_runs_there() {
        let pool = Pool::new(2).unwrap();
        run(
            Executor::Pool(&pool),
            2,
            4,
            || Ok(()),
            |(), _| Ok(collect(Executor::Pool(&pool), 2, 50).len()),
            |_, count| {
                assert_eq!(count, 50);
                Ok(())
            },
        )
        .unwrap();
    }

    #[test]
    fn a_failing_start_is_an_error_of_the_first_task() {
        let pool = Pool::new(2).unwrap();
        let start = || -> Result<()> { Err(AtlasError::out_of_memory("no buffer")) };
        let error = run(Executor::Pool(&pool), 2, 9, start, |(), _| Ok(()), |_, ()| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }

    #[test]
    fn a_pool_of_one_thread_starts_none_and_too_many_are_refused() {
        assert_eq!(Pool::new(1).unwrap().threads(), 1);
        assert_eq!(Pool::new(5).unwrap().threads(), if cfg!(feature = "parallel") { 5 } else { 1 });
        let error = Pool::new(1025).unwrap_err();
        assert_eq!(error.message(), "threads 1025 is outside 0..=1024");
    }

    /// Everything else of rayon runs on its global pool, or may.
    #[test]
    fn nothing_of_rayon_is_used_but_its_pools() {
        fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    sources(&path, found);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    found.push(path);
                }
            }
        }
        let mut files = Vec::new();
        sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let name = concat!("ray", "on");
        let mut uses = 0;
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                for (at, _) in line.match_indices(name) {
                    let rest = &line[at + name.len()..];
                    let word = rest.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_')
                        || line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                    let pools = rest.starts_with("::ThreadPool");
                    assert!(word || pools || rest.starts_with(' '), "{}: {line}", file.display());
                    uses += usize::from(pools);
                }
                let imports = [concat!("use ray", "on "), concat!("crate ray", "on")];
                assert!(!imports.iter().any(|import| line.contains(import)), "{}: {line}", file.display());
            }
        }
        assert!(uses > 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn dropping_a_pool_joins_its_threads() {
        let names = || {
            std::fs::read_dir("/proc/self/task")
                .unwrap()
                .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
                .filter(|name| name.starts_with("atlas-6"))
                .count()
        };
        {
            let _pool = Pool::new(64).unwrap();
            assert_eq!(names() > 0, cfg!(feature = "parallel"));
        }
        // A thread is joined when it is through with its memory, and listed for a moment longer.
        let gone = (0..10_000).any(|_| {
            std::thread::yield_now();
            names() == 0
        });
        assert!(gone);
    }
}
