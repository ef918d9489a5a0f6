//! Calls on a pool: the ticket that lends work to threads, and the delivery of results in order.

use super::Order;
use super::schedule::run_on;
use super::threads::Team;
use super::ticket::Lent;
use crate::base::error::{AtlasError, Result};
use crate::base::process::Process;
use loom::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs a model with at most `preemptions` switches of threads that could go on.
fn model(preemptions: usize, call: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(call);
}

/// A result whose contents must be seen by the thread that it is delivered to. loom fails if the write in a
/// worker and the read in the call are not ordered.
struct Made(UnsafeCell<u64>);

// SAFETY: written before it is sent, and read after that only; loom checks the order.
unsafe impl Send for Made {}

impl Made {
    fn of(task: u64) -> Made {
        let made = Made(UnsafeCell::new(u64::MAX));
        // SAFETY: the value belongs to this thread.
        made.0.with_mut(|value| unsafe { *value = task });
        made
    }

    fn task(&self) -> u64 {
        // SAFETY: nothing writes it any more.
        self.0.with(|value| unsafe { *value })
    }
}

#[test]
fn a_call_waits_for_the_threads_that_took_its_ticket_and_for_no_other() {
    for threads in [1, 2] {
        model(3, move || {
            // Outlives the call, so that a late thread could be seen to run the work.
            let (is_over, ran) = (Arc::new(AtomicBool::new(false)), UnsafeCell::new(0));
            let shared = Arc::new((ran, loom::sync::Mutex::new(())));
            let (over, writes) = (Arc::clone(&is_over), Arc::clone(&shared));
            let work = Box::new(move || {
                assert!(!over.load(Ordering::Relaxed), "the work was touched after the call");
                let _one_at_a_time = writes.1.lock().expect("no panic");
                // SAFETY: under the lock.
                writes.0.with_mut(|ran| unsafe { *ran += 1 });
                assert!(!over.load(Ordering::Relaxed), "the call ended before the work");
            });
            // SAFETY: dropped before `work`.
            let lent = unsafe { Lent::new(&*work, Process::current()) };
            let started = (0..threads).map(|_| {
                let ticket = lent.ticket();
                loom::thread::spawn(move || ticket.run())
            });
            let started: Vec<_> = started.collect();
            drop(lent);
            is_over.store(true, Ordering::Relaxed);
            // SAFETY: all who took the ticket are done; loom fails if their writes are not ordered before this.
            let ran = shared.0.with(|ran| unsafe { *ran });
            assert!(ran <= threads);
            started.into_iter().for_each(|thread| thread.join().expect("no panic"));
            drop(work);
        });
    }
}

/// A call of `tasks` tasks, of which `fails` returns an error in the task and `refuses` in the sink.
#[derive(Clone, Copy)]
struct Call {
    workers: usize,
    tasks: u64,
    window: Option<u64>,
    caller_works: bool,
    fails: Option<u64>,
    refuses: Option<u64>,
}

const CALL: Call =
    Call { workers: 2, tasks: 2, window: None, caller_works: false, fails: None, refuses: None };

impl Call {
    /// Checks in each interleaving that tasks run once, that results come in order up to the first error, that the
    /// window is kept, and that nothing of the call is touched after it.
    fn check(self, preemptions: usize) {
        model(preemptions, move || self.run());
    }

    fn run(self) {
        let runs: Arc<Vec<AtomicUsize>> = Arc::new((0..self.tasks).map(|_| AtomicUsize::new(0)).collect());
        let (is_over, delivered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let team = Team { caller_works: self.caller_works, pool: std::marker::PhantomData };
        let order = Order { window: self.window, ..Order::default() };
        let window = self.window.unwrap_or(2 * self.workers as u64);
        let work = |(): &mut (), task: u64| {
            assert!(!is_over.load(Ordering::Relaxed), "a task ran after the call");
            assert_eq!(runs[task as usize].fetch_add(1, Ordering::Relaxed), 0, "task {task} ran twice");
            assert!(
                task < delivered.load(Ordering::Relaxed) as u64 + window,
                "task {task} is beyond the window"
            );
            if self.fails == Some(task) { Err(failure(task)) } else { Ok(Made::of(task)) }
        };
        let sink = |task: u64, made: Made| {
            assert_eq!((task, made.task()), (delivered.load(Ordering::Relaxed) as u64, task), "out of order");
            if self.refuses == Some(task) {
                return Err(failure(task));
            }
            delivered.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let result = run_on(team, self.workers, self.tasks, order, || Ok(()), work, sink);
        is_over.store(true, Ordering::Relaxed);
        let wanted = self.fails.into_iter().chain(self.refuses).min();
        assert_eq!(result, wanted.map_or(Ok(()), |task| Err(failure(task))));
        assert_eq!(delivered.load(Ordering::Relaxed) as u64, wanted.unwrap_or(self.tasks));
    }
}

fn failure(task: u64) -> AtlasError {
    AtlasError(format!("task {task}"))
}

#[test]
fn results_come_in_order_from_two_workers() {
    CALL.check(2);
    Call { tasks: 3, ..CALL }.check(2);
}

#[test]
fn the_calling_thread_works_beside_the_others() {
    Call { caller_works: true, ..CALL }.check(2);
    Call { caller_works: true, tasks: 3, ..CALL }.check(2);
}

#[test]
fn a_worker_that_ended_at_the_window_is_started_again() {
    for caller_works in [false, true] {
        Call { window: Some(1), tasks: 3, caller_works, ..CALL }.check(2);
    }
}

#[test]
fn the_first_error_in_order_ends_the_call() {
    for caller_works in [false, true] {
        for task in 0..2 {
            Call { fails: Some(task), caller_works, ..CALL }.check(2);
            Call { refuses: Some(task), caller_works, ..CALL }.check(2);
        }
        Call { fails: Some(1), refuses: Some(0), caller_works, ..CALL }.check(2);
    }
}
