//! One call on a parity file: its threads, its memory, and one progress over all of its steps.

#![forbid(unsafe_code)]

use crate::base::error::Result;
use crate::exec::operation::Operation;
use crate::exec::progress::{Progress, Tracker};
use crate::exec::workers::Workers;

/// Number of tasks that a worker may be ahead of the last progress report.
const AHEAD: u64 = 2;

pub(super) struct Call<'t, 'a> {
    /// Executor and memory limit of the call, without its progress callback.
    pub(super) run: Operation<'a>,
    unwatched: bool,
    tracker: Tracker<'t, 'a>,
}

impl<'t, 'a> Call<'t, 'a> {
    /// Returns a call that runs on `operation` and whose progress totals begin with `bytes` and `tasks`.
    pub(super) fn new(operation: &'t mut Operation<'a>, bytes: u64, tasks: u64) -> Call<'t, 'a> {
        // The steps report through the tracker of the call, and not by themselves.
        let (run, unwatched) = (operation.silent(), operation.unwatched());
        Call { run, unwatched, tracker: operation.tracker(bytes, tasks) }
    }

    /// Adds the bytes and tasks of a further step to the totals of progress.
    pub(super) fn expect(&mut self, bytes: u64, tasks: u64) {
        let progress = self.tracker.progress();
        // Totals of a hostile geometry must not overflow.
        let sum = |a: u64, b: u64| a.saturating_add(b);
        self.tracker.set_totals(sum(progress.bytes_total, bytes), sum(progress.chunks_total, tasks));
    }

    pub(super) fn advance(&mut self, bytes: u64, tasks: u64) -> Result<()> {
        self.tracker.advance(bytes, tasks)
    }

    pub(super) fn finish(self) -> Result<()> {
        self.tracker.finish()
    }

    /// Returns the workers of a step as [`Operation::workers`] does. A worker may be at most [`AHEAD`] tasks
    /// ahead of the last progress report.
    pub(super) fn workers(&self, tasks: u64, per_worker: u64, fixed: u64) -> Result<Workers<'a>> {
        let workers = self.run.workers(tasks, per_worker, fixed)?.ahead(AHEAD);
        // `run` has no callback, but the tracker of the call may have a callback.
        Ok(if self.unwatched { workers } else { workers.watched() })
    }

    /// Runs another call of the library inside this one, and counts its progress as progress of this call.
    pub(super) fn inner<R>(&mut self, call: impl FnOnce(&mut Operation<'_>) -> Result<R>) -> Result<R> {
        let (mut bytes, mut tasks) = (0, 0);
        let tracker = &mut self.tracker;
        // The inner call counts from zero; only its increments are passed on.
        let mut forward = |progress: &Progress| {
            let more =
                (progress.bytes_done.saturating_sub(bytes), progress.chunks_done.saturating_sub(tasks));
            (bytes, tasks) = (progress.bytes_done.max(bytes), progress.chunks_done.max(tasks));
            // Calls without an increment are not passed on.
            more == (0, 0) || tracker.advance(more.0, more.1).is_ok()
        };
        // The inner call uses the threads and the memory limit of the outer call.
        let mut inner = self.run.silent();
        if !self.unwatched {
            inner = inner.with_progress(&mut forward);
        }
        call(&mut inner)
    }
}
