//! Calls on a pool: the ticket that lends work to threads, and the delivery of results in order.

use super::Order;
use super::schedule::run_on;
use super::threads::Team;
use super::ticket::Lent;
use crate::base::error::AtlasError;
use crate::base::process::Process;
use loom::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Claims that did not hold. A panic would not do, since the code under test catches those of work.
#[derive(Clone, Default)]
struct Claims(Arc<std::sync::Mutex<Vec<&'static str>>>);

impl Claims {
    fn hold(&self, holds: bool, claim: &'static str) {
        if !holds {
            self.0.lock().expect("no panic").push(claim);
        }
    }
}

/// Runs a model with at most `preemptions` switches away from a thread that could go on.
fn model(preemptions: usize, call: impl Fn(&Claims) + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    let claims = Claims::default();
    let checked = claims.clone();
    builder.check(move || call(&checked));
    assert_eq!(*claims.0.lock().expect("no panic"), [""; 0], "claims that did not hold");
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

/// Number of runs of some work, each under the lock. The call reads it without, once the work is over.
struct Runs(loom::sync::Mutex<()>, UnsafeCell<usize>);

// SAFETY: written under the lock, and read after all writes; loom checks the order.
unsafe impl Sync for Runs {}

#[test]
fn a_call_waits_for_the_threads_that_took_its_ticket_and_for_no_other() {
    for threads in [1, 2] {
        model(5, move |claims| {
            // Both outlive the call, so that a late thread is seen to run the work.
            let runs = Arc::new(Runs(loom::sync::Mutex::new(()), UnsafeCell::new(0)));
            let is_over = Arc::new(AtomicBool::new(false));
            let (counted, over, claims) = (Arc::clone(&runs), Arc::clone(&is_over), claims.clone());
            let work = move || {
                claims.hold(!over.load(Ordering::Relaxed), "no work begins after the call");
                let _one_at_a_time = counted.0.lock().expect("no panic");
                // SAFETY: under the lock.
                counted.1.with_mut(|runs| unsafe { *runs += 1 });
                claims.hold(!over.load(Ordering::Relaxed), "the call ends after the work");
            };
            // SAFETY: dropped before `work`.
            let lent = unsafe { Lent::new(&work, Process::current()) };
            let start = |_| {
                let ticket = lent.ticket();
                loom::thread::spawn(move || ticket.run())
            };
            let started: Vec<_> = (0..threads).map(start).collect();
            drop(lent);
            is_over.store(true, Ordering::Relaxed);
            // SAFETY: the threads that took the ticket are done.
            assert!(runs.1.with(|runs| unsafe { *runs }) <= threads);
            started.into_iter().for_each(|thread| thread.join().expect("no panic"));
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
        model(preemptions, move |claims| self.run(claims));
    }

    fn run(self, claims: &Claims) {
        let runs: Arc<Vec<AtomicUsize>> = Arc::new((0..self.tasks).map(|_| AtomicUsize::new(0)).collect());
        let (is_over, delivered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let team = Team { caller_works: self.caller_works, pool: std::marker::PhantomData };
        let order = Order { window: self.window, ..Order::default() };
        let window = self.window.unwrap_or(2 * self.workers as u64);
        let work = |(): &mut (), task: u64| {
            claims.hold(!is_over.load(Ordering::Relaxed), "no task runs after the call");
            let again = runs[task as usize].fetch_add(1, Ordering::Relaxed);
            claims.hold(again == 0, "a task runs once");
            let limit = delivered.load(Ordering::Relaxed) as u64 + window;
            claims.hold(task < limit, "no task starts beyond the window");
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
    CALL.check(3);
    Call { tasks: 3, ..CALL }.check(2);
}

#[test]
fn the_calling_thread_works_beside_the_others() {
    Call { caller_works: true, ..CALL }.check(5);
    Call { caller_works: true, tasks: 3, ..CALL }.check(3);
    Call { caller_works: true, tasks: 3, workers: 3, ..CALL }.check(2);
}

#[test]
fn a_worker_that_ended_at_the_window_is_started_again() {
    Call { window: Some(1), ..CALL }.check(3);
    // The only worker may end between the opening of the window and the wait of the call.
    Call { window: Some(1), workers: 1, ..CALL }.check(3);
    Call { window: Some(2), tasks: 3, caller_works: true, ..CALL }.check(3);
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
