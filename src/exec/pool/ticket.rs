//! Work that a call lends to the threads of a pool for as long as the call lasts.
//!
//! The work borrows from the stack of the call. A thread that comes for it after the call has closed the
//! ticket finds nothing. The call therefore waits only for the threads that run the work, and for no other
//! thread of the pool: these may all be inside callbacks of the program. The call waits on a lock and does
//! not take other work meanwhile, because that work could be a callback that needs a lock held further down
//! on the same stack.
//!
//! `make loom` runs all interleavings of a call and its threads (tests/loom).

use crate::base::process::Process;
use crate::base::stack;
use crate::base::sync::lock;
#[cfg(loom)]
use loom::sync::{Arc, Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{Arc, Condvar, Mutex};

/// Pointer to the work of a call, without its lifetime. [`Lent`] ensures that the work outlives its use.
#[derive(Clone, Copy)]
struct Job(*const (dyn Fn() + Sync));

// SAFETY: the pointer is a reference to a Sync value. The ticket stops its use, under its lock, before the
// value ends.
unsafe impl Send for Job {}

struct State {
    /// The work of the call. `None` once the call has closed the ticket.
    job: Option<Job>,
    running: usize,
}

pub(super) struct Ticket {
    state: Mutex<State>,
    ended: Condvar,
}

impl Ticket {
    /// Runs the work, unless the call has closed the ticket.
    pub(super) fn run(&self) {
        let job = {
            let mut state = lock(&self.state);
            let Some(job) = state.job else { return };
            // The thread is counted under the lock, so that the call either closes the ticket before this
            // point or waits for this thread.
            state.running += 1;
            job
        };
        // SAFETY: `Lent` waits for `running` to be 0 before the borrowed value ends.
        let ran = catch_unwind(AssertUnwindSafe(|| stack::wiping(|| unsafe { (*job.0)() })));
        // From here on the call may end, so that the lent work is not touched any more.
        lock(&self.state).running -= 1;
        self.ended.notify_all();
        // The drop of a payload could panic again.
        if let Err(payload) = ran {
            std::mem::forget(payload);
        }
    }
}

/// A call's handle to the ticket for its work. Dropping it closes the ticket, and waits for the threads that
/// run the work.
pub(super) struct Lent<'w> {
    ticket: Arc<Ticket>,
    process: Process,
    work: std::marker::PhantomData<&'w ()>,
}

impl<'w> Lent<'w> {
    /// Makes a ticket for `work`, and returns the call's handle to it.
    ///
    /// # Safety
    /// The caller drops the handle before `work` ends, and never passes it to `mem::forget`.
    pub(super) unsafe fn new(work: &'w (dyn Fn() + Sync), process: Process) -> Lent<'w> {
        let job: *const (dyn Fn() + Sync + 'w) = work;
        // SAFETY: only the lifetime differs, and by the caller's promise `work` outlives the result.
        let job = Job(unsafe {
            std::mem::transmute::<*const (dyn Fn() + Sync + 'w), *const (dyn Fn() + Sync)>(job)
        });
        let state = Mutex::new(State { job: Some(job), running: 0 });
        let ticket = Arc::new(Ticket { state, ended: Condvar::new() });
        Lent { ticket, process, work: std::marker::PhantomData }
    }

    pub(super) fn ticket(&self) -> Arc<Ticket> {
        Arc::clone(&self.ticket)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // The threads are in the parent process, and one may have held the lock at the fork.
        if !self.process.is_current() {
            return;
        }
        let mut state = lock(&self.ticket.state);
        // Closed first, so that threads which come later find nothing.
        state.job = None;
        while state.running > 0 {
            state = self.ticket.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
