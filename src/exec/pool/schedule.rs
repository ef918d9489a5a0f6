//! Distribution of tasks to workers, and delivery of the results in order.
//!
//! `make loom` runs the interleavings of small calls (tests/loom).

use super::threads::Team;
use super::ticket::Lent;
use super::{Order, panic_error};
use crate::base::error::{AtlasError, Result};
use crate::base::process::{Process, forked};
use crate::base::sync::lock;
use crate::base::units::{to_u64, to_usize};
#[cfg(loom)]
use loom::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// The tasks of a call that no worker has taken yet, and the number of workers.
struct Queue<'a> {
    /// Ends of the runs of tasks, see [`Order::runs`] and [`Order::cuts_runs`].
    runs: &'a [u64],
    cuts_runs: bool,
    /// Number of the next task to take.
    next: u64,
    /// First task that must wait until more results are delivered.
    limit: u64,
    /// First task that is not started any more: the number of tasks, or a smaller number after an error.
    stop: u64,
    /// Number of workers on the pool that will take a further run of tasks.
    working: usize,
}

impl Queue<'_> {
    /// Takes the next run of tasks. `None` if no task may be started now.
    fn take(&mut self) -> Option<Range<u64>> {
        // Outside the window, or after an error, nothing is taken.
        if self.next >= self.limit.min(self.stop) {
            return None;
        }
        let start = self.next;
        // The run that contains the next task. Without runs, each task is a run.
        let end = self.runs.partition_point(|end| *end <= start);
        let most = if self.cuts_runs { self.limit } else { u64::MAX };
        self.next = self.runs.get(end).map_or(start + 1, |end| (*end).min(most));
        Some(start..self.next)
    }

    /// Takes the next run of tasks for a worker on the pool. `None` if no task may be started now, or if `over` is
    /// set, because the worker's time is over. The worker must then exit.
    fn take_or_end(&mut self, over: bool) -> Option<Range<u64>> {
        let run = if over { None } else { self.take() };
        if run.is_none() {
            // This happens under the same lock as the search for a task, so that a later task sees that the
            // worker is gone and gets another worker.
            self.working -= 1;
        }
        run
    }

    /// Allows the tasks below number `limit`, and returns the number of workers to start for them on the pool.
    /// `workers` is the maximum number of workers of the call. `own` is 1 if the calling thread is one of these,
    /// and else 0.
    fn open(&mut self, limit: u64, workers: usize, own: usize) -> usize {
        self.limit = limit;
        // Open tasks that the calling thread does not take itself.
        let open = self.limit.min(self.stop).saturating_sub(self.next);
        let open = usize::try_from(open).unwrap_or(usize::MAX).saturating_sub(own);
        let wanted = open.min(workers.saturating_sub(own).saturating_sub(self.working));
        // The new workers count before they run, so that the next call does not start them again.
        self.working += wanted;
        wanted
    }
}

/// Maximum number of results that wait until the calling thread is woken, if no progress callback is set.
const UNWATCHED_BATCH: usize = 64;

/// Time after which a worker exits and is queued again behind the workers of other calls that share the pool.
/// Without it a call would wait until all of its own workers have started, even if little work is left.
const SHARE: Duration = Duration::from_millis(50);

/// Results on their way from the workers to the calling thread.
struct Finished<T> {
    inbox: Mutex<Inbox<T>>,
    arrived: Condvar,
    /// Number of waiting results at which the calling thread is woken.
    batch: usize,
}

struct Inbox<T> {
    results: Vec<(u64, Result<T>)>,
    /// True while the calling thread sleeps until a result arrives.
    awaited: bool,
    /// True if a worker has exited since the calling thread last waited, so that another worker may have to start.
    ended: bool,
    /// True if a result was lost because there was no memory for it. The call then fails.
    lost: bool,
}

impl<T> Finished<T> {
    fn send(&self, task: u64, result: Result<T>) {
        let failed = result.is_err();
        let mut inbox = lock(&self.inbox);
        // A result that cannot be kept fails the call, which would wait for it forever.
        match inbox.results.try_reserve(1) {
            Ok(()) => inbox.results.push((task, result)),
            Err(_) => inbox.lost = true,
        }
        // An error wakes the calling thread at once; results wait until waking it is worth while.
        if inbox.awaited && (failed || inbox.lost || inbox.results.len() >= self.batch) {
            self.arrived.notify_one();
        }
    }

    /// Moves the results that have arrived to `into`, which is empty, without waiting for further results.
    fn look(&self, into: &mut Vec<(u64, Result<T>)>) -> Result<()> {
        let mut inbox = lock(&self.inbox);
        std::mem::swap(&mut inbox.results, into);
        if inbox.lost { Err(no_memory()) } else { Ok(()) }
    }

    /// Waits until a result has arrived or a worker has exited. Then moves the results like [`Finished::look`].
    fn wait(&self, into: &mut Vec<(u64, Result<T>)>) -> Result<()> {
        let mut inbox = lock(&self.inbox);
        while inbox.results.is_empty() && !inbox.ended && !inbox.lost {
            inbox.awaited = true;
            inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        (inbox.awaited, inbox.ended) = (false, false);
        std::mem::swap(&mut inbox.results, into);
        if inbox.lost { Err(no_memory()) } else { Ok(()) }
    }
}

#[cold]
fn no_memory() -> AtlasError {
    AtlasError::out_of_memory("no memory for results of tasks that wait for the result of an earlier task")
}

/// Results that arrived before their turn, with a place for each task from `due` on. `due` is the task whose result
/// is delivered next.
struct Early<T> {
    due: u64,
    results: VecDeque<Option<Result<T>>>,
}

impl<T> Early<T> {
    fn put(&mut self, task: u64, result: Result<T>) -> Result<()> {
        // Results come in any order, at most a window ahead of the task that is due.
        let place = to_usize(task - self.due);
        let more = (place + 1).saturating_sub(self.results.len());
        self.results.try_reserve(more).map_err(|_| no_memory())?;
        self.results.extend((0..more).map(|_| None));
        self.results[place] = Some(result);
        Ok(())
    }

    /// Removes and returns the result of task `due`, if it has arrived, and makes the next task due.
    fn take(&mut self) -> Option<Result<T>> {
        let result = self.results.front_mut()?.take()?;
        self.results.pop_front();
        self.due += 1;
        Some(result)
    }
}

/// Guard of a worker. On exit, normal or not, it wakes the calling thread, which may wait for a result of the
/// worker or have to start another worker.
struct Flush<'d, T>(&'d Finished<T>);

impl<T> Drop for Flush<'_, T> {
    fn drop(&mut self) {
        // The lock is held, so that the calling thread cannot miss the wake-up between its check and its
        // sleep.
        let mut inbox = lock(&self.0.inbox);
        inbox.ended = true;
        if inbox.awaited {
            self.0.arrived.notify_one();
        }
    }
}

/// Guard of the calling thread. When it is dropped, also after a panic of the sink, no further task of the call
/// starts.
struct StopGuard<'q, 'a>(&'q Mutex<Queue<'a>>, Process);

impl Drop for StopGuard<'_, '_> {
    fn drop(&mut self) {
        // A forked child has no thread to stop, and the lock may stay locked forever.
        if self.1.is_current() {
            lock(self.0).stop = 0;
        }
    }
}

/// Guard that counts a call on a pool until it is dropped. Workers of other calls see the count and share the
/// pool.
struct Present<'c>(Option<&'c AtomicUsize>);

impl<'c> Present<'c> {
    fn new(calls: Option<&'c AtomicUsize>) -> Present<'c> {
        // Relaxed: a worker that sees the change late only exits one task later.
        if let Some(calls) = calls {
            calls.fetch_add(1, Ordering::Relaxed);
        }
        Present(calls)
    }

    fn is_alone(&self) -> bool {
        self.0.is_none_or(|calls| calls.load(Ordering::Relaxed) < 2)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        if let Some(calls) = self.0 {
            calls.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Runs tasks on the threads of `team`, see [`run_within`](super::run_within).
///
/// The calling thread runs tasks too, because it is already awake and has a core. In a measurement, Linux
/// 6.18 woke both threads of a pool on the same of two cores, and the other core stayed idle for 4 to 16 ms.
pub(super) fn run_on<S, T: Send>(
    team: Team<'_>,
    workers: usize,
    tasks: u64,
    order: Order<'_>,
    start: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, u64) -> Result<T> + Sync,
    mut sink: impl FnMut(u64, T) -> Result<()>,
) -> Result<()> {
    let workers = workers.max(1);
    let window = match order.window {
        Some(window) => window.max(1),
        None if order.unwatched => u64::MAX,
        None => 2 * to_u64(workers),
    };
    let process = Process::current();
    let queue = Mutex::new(Queue {
        runs: order.runs,
        cuts_runs: order.cuts_runs,
        next: 0,
        limit: 0,
        stop: tasks,
        working: 0,
    });
    let locked = || lock(&queue);
    let present = Present::new(team.calls());
    let done = Finished {
        inbox: Mutex::new(Inbox { results: Vec::new(), awaited: false, ended: false, lost: false }),
        arrived: Condvar::new(),
        // Half a window, so that workers stay busy while the calling thread opens the next half.
        batch: if order.unwatched { usize::try_from(window / 2).unwrap_or(usize::MAX) } else { 1 }
            .clamp(1, UNWATCHED_BATCH),
    };
    // `None` means that an earlier task failed.
    let perform = |state: &mut Option<S>, task: u64| {
        // The stop is checked before each task, because another worker may have failed meanwhile.
        if task >= locked().stop {
            return None;
        }
        // A panic is caught here, so that the result of every taken task arrives.
        let result = catch_unwind(AssertUnwindSafe(|| {
            if state.is_none() {
                *state = Some(start()?);
            }
            match state {
                Some(state) => work(state, task),
                None => Err(AtlasError::internal(
                    "a defect of the library, please report it: a worker has no state",
                )),
            }
        }))
        .unwrap_or_else(|payload| Err(panic_error(payload)));
        // An error stops all later tasks; earlier ones still run, so that the first error in order is found. In the
        // child of a fork in a callback no other thread is there, and one may have had the lock.
        if result.is_err() && process.is_current() {
            let mut queue = locked();
            queue.stop = queue.stop.min(task);
        }
        Some(result)
    };
    // The loop of a worker on the pool: take a run, perform its tasks, send the results.
    let worker = || {
        let _flush = Flush(&done);
        let (begin, mut state) = (Instant::now(), None);
        loop {
            let over = begin.elapsed() >= SHARE && !present.is_alone();
            if over {
                // The scratch is freed first, so that the worker and its replacement never hold two.
                state = None;
            }
            let run = locked().take_or_end(over);
            let Some(run) = run else { return };
            for task in run {
                // The remaining tasks of the run come after the failed task too.
                let Some(result) = perform(&mut state, task) else { break };
                done.send(task, result);
            }
        }
    };
    // SAFETY: `lent` is dropped at the end of this function, before the values that `worker` borrows.
    let lent = unsafe { Lent::new(&worker, process) };
    let _stop = StopGuard(&queue, process);
    let (mut state, mut run) = (None, 0..0);
    let (mut early, mut arrived) = (Early { due: 0, results: VecDeque::new() }, Vec::new());
    // The calling thread delivers in order, starts workers and performs tasks in between.
    while early.due < tasks {
        // Each delivered result moves the window, which may need further workers.
        let limit = early.due.saturating_add(window);
        let starting = locked().open(limit, workers, usize::from(team.caller_works));
        let started = (0..starting).filter(|_| team.start(&lent)).count();
        // Workers that could not be started do not count as working.
        if started < starting {
            locked().working -= starting - started;
        }
        // The next result in order is there: deliver it.
        let due = early.due;
        if let Some(result) = early.take() {
            sink(due, result?)?;
            // In the child of a fork in a callback, the threads that run tasks do not exist.
            if !process.is_current() {
                return Err(forked());
            }
            continue;
        }
        // Otherwise the calling thread performs a task itself, unless the executor excludes it.
        if team.caller_works && run.is_empty() {
            run = locked().take().unwrap_or(0..0);
        }
        match run.next() {
            Some(task) => {
                let result = perform(&mut state, task);
                // A callback that the task called may have forked. The other threads may have had the locks.
                if !process.is_current() {
                    return Err(forked());
                }
                if let Some(result) = result {
                    early.put(task, result)?;
                }
                done.look(&mut arrived)?;
            }
            // The next result is inside the window and before every error, so that a worker has its task.
            None => done.wait(&mut arrived)?,
        }
        arrived.drain(..).try_for_each(|(task, result)| early.put(task, result))?;
    }
    Ok(())
}
