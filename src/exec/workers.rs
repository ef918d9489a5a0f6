//! Workers of one step of a call: the threads on which they run, their number, and how many tasks they may be
//! ahead of the delivered results.

#![forbid(unsafe_code)]

use crate::base::error::Result;
use crate::base::units::to_u64;
use crate::exec::operation::Operation;
use crate::exec::pool::{self, Executor, Order};

/// Workers of one step of a call, as many as the threads, the tasks and the memory limit of the call allow.
#[derive(Clone, Copy)]
pub(crate) struct Workers<'a> {
    executor: Executor<'a>,
    count: usize,
    order: Order<'a>,
}

impl<'a> Workers<'a> {
    /// Returns `count` workers on the threads of `operation`. The caller has checked the memory limit for this
    /// number.
    pub(crate) fn new(operation: &Operation<'a>, count: usize) -> Workers<'a> {
        let order = Order { unwatched: operation.unwatched(), ..Order::default() };
        Workers { executor: operation.executor, count, order }
    }

    /// Returns the number of workers.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Limits the number of workers to `count`, but to at least one.
    #[must_use]
    pub(crate) fn at_most(self, count: usize) -> Self {
        Workers { count: self.count.min(count).max(1), ..self }
    }

    /// Starts no task that is `window` tasks or more ahead of the next result to deliver. This bounds the
    /// number of results that wait while a callback sleeps.
    #[must_use]
    pub(crate) fn within(self, window: u64) -> Self {
        Workers { order: Order { window: Some(window), ..self.order }, ..self }
    }

    /// Limits the distance from the next result to deliver like [`within`](Self::within), to `tasks` tasks per
    /// worker.
    #[must_use]
    pub(crate) fn ahead(self, tasks: u64) -> Self {
        self.within(tasks.saturating_mul(to_u64(self.count)))
    }

    /// Delivers each result without delay, as with a progress callback, for a caller that reports the results
    /// by itself.
    #[must_use]
    pub(crate) fn watched(self) -> Self {
        Workers { order: Order { unwatched: false, ..self.order }, ..self }
    }

    /// Gives each worker a run of neighbouring tasks at a time. `ends` has the ends of the runs, see
    /// [`Order::runs`].
    #[must_use]
    pub(crate) fn in_runs(self, ends: &'a [u64]) -> Self {
        Workers { order: Order { runs: ends, ..self.order }, ..self }
    }

    /// Gives each worker a run of neighbouring tasks at a time like [`in_runs`](Self::in_runs), as far as the window
    /// allows.
    #[must_use]
    pub(crate) fn in_parts_of_runs(self, ends: &'a [u64]) -> Self {
        Workers { order: Order { runs: ends, cuts_runs: true, ..self.order }, ..self }
    }

    /// Runs `work` for each of `tasks` tasks and passes the results to `sink` in order, see
    /// [`pool::run_within`].
    pub(crate) fn run<S, T: Send>(
        &self,
        tasks: u64,
        start: impl Fn() -> Result<S> + Sync,
        work: impl Fn(&mut S, u64) -> Result<T> + Sync,
        sink: impl FnMut(u64, T) -> Result<()>,
    ) -> Result<()> {
        pool::run_within(self.executor, self.count, tasks, self.order, start, work, sink)
    }
}
