//! Execution of a long call: its threads, its progress, its memory.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::exec::pool::{Executor, Pool};
use crate::exec::progress::{Progress, ProgressFn, Tracker};
use crate::exec::workers::Workers;
use std::num::NonZeroUsize;

/// Pool, progress, cancellation and memory limit of a long call.
///
/// The default runs on the library's own pool (one thread per core, made at the first parallel call),
/// reports nothing and has no limit.
///
/// ```
/// use atlas_manifold::{
///     AtlasProjection, ErrorKind, Operation, Progress, ProjectionOptions, ProjectionType, Source,
/// };
///
/// let source = Source::from_vec(vec![7; 8_000_000]);
/// let mut calls = 0;
/// let mut progress = |_: &Progress| {
///     calls += 1;
///     calls < 3 // false cancels
/// };
/// let mut operation = Operation::new().with_progress(&mut progress).with_memory_limit(64 << 20);
/// let options = ProjectionOptions::new();
/// let result = AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut operation);
/// assert_eq!(result.err().map(|error| error.kind()), Some(ErrorKind::Cancelled));
/// ```
#[derive(Default)]
pub struct Operation<'a> {
    pub(crate) executor: Executor<'a>,
    progress: Option<&'a mut ProgressFn<'a>>,
    memory_limit: Option<u64>,
    /// Maximum number of tasks in flight. `None` means the number of threads.
    max_threads: Option<NonZeroUsize>,
    /// Totals of bytes and chunks of the later work for which [`before`](Self::before) prepares. Set only during
    /// that call.
    announced: Option<(u64, u64)>,
    /// Bytes of memory that every step counts besides its own, see [`beside`](Self::beside).
    held: u64,
}

impl<'a> Operation<'a> {
    /// Returns an operation on the library's own pool, without progress and without a memory limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an operation that runs all work on the calling thread.
    pub fn sequential() -> Self {
        Operation { executor: Executor::Inline, ..Self::default() }
    }

    /// Runs on the calling thread and on threads of `pool`, together at most as many as the pool has, and
    /// on no other. Work too small for a second thread runs on the calling thread, because waking another
    /// thread would take longer. [`ParallelStrategy::Pool`](crate::ParallelStrategy::Pool) excludes the
    /// calling thread.
    #[must_use]
    pub fn with_pool(mut self, pool: &'a Pool) -> Self {
        self.executor = Executor::Pool(pool);
        self
    }

    /// Runs on a rayon pool of the caller, as on a pool of [`with_pool`](Self::with_pool). rayon does not notice a
    /// fork: in the child, a rayon pool from before the fork hangs, while a [`Pool`] is refused.
    #[cfg(feature = "parallel")]
    #[must_use]
    pub fn with_rayon_pool(mut self, pool: &'a rayon::ThreadPool) -> Self {
        self.executor = Executor::Rayon(pool);
        self
    }

    /// Reports progress, in order and on the calling thread. `false` cancels, and the callback is then not
    /// called again.
    #[must_use]
    pub fn with_progress(mut self, progress: &'a mut ProgressFn<'a>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Sets the maximum number of bytes that the call may allocate, including its result. If the limit is too low
    /// for all workers, the call uses fewer; it fails with LIMIT if the limit is too low for one worker and the result.
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Returns an operation with the same threads and the same limits, but without the progress callback.
    pub(crate) fn silent<'b>(&self) -> Operation<'b>
    where
        'a: 'b,
    {
        Operation {
            executor: self.executor,
            max_threads: self.max_threads,
            memory_limit: self.memory_limit,
            held: self.held,
            ..Operation::default()
        }
    }

    /// Runs `call` with this operation on the threads of `executor`, with at most `max_threads` tasks in
    /// flight. When `call` returns, the operation gets back its earlier executor and maximum.
    pub(crate) fn within<R>(
        &mut self,
        executor: Executor<'a>,
        max_threads: Option<NonZeroUsize>,
        call: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let before = (self.executor, self.max_threads);
        (self.executor, self.max_threads) = (executor, max_threads);
        let result = call(self);
        // The caller goes on with the same operation.
        (self.executor, self.max_threads) = before;
        result
    }

    /// Runs `call`, the steps of a call after one that allocated `bytes` bytes, which stay meanwhile. They count against
    /// the memory limit of each of these steps.
    pub(crate) fn beside<R>(&mut self, bytes: u64, call: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.held;
        self.held = before.saturating_add(bytes);
        let result = call(self);
        self.held = before;
        result
    }

    /// Returns the maximum number of tasks in flight.
    pub(crate) fn threads(&self) -> usize {
        self.executor.threads().min(self.max_threads.map_or(usize::MAX, NonZeroUsize::get))
    }

    /// Returns the workers for a step of `tasks` tasks: at least one, and as many as the threads and the memory
    /// limit allow. Each worker needs `per_worker` bytes of buffers, and the result needs `fixed` bytes. Fails
    /// with LIMIT if the memory limit does not allow one worker.
    pub(crate) fn workers(&self, tasks: u64, per_worker: u64, fixed: u64) -> Result<Workers<'a>> {
        let threads = if tasks <= 1 { 1 } else { self.threads() };
        let wanted = usize::try_from(tasks).unwrap_or(usize::MAX).clamp(1, threads);
        // Without a limit the threads alone decide.
        let Some(limit) = self.memory_limit else { return Ok(Workers::new(self, wanted)) };
        let fixed = fixed.saturating_add(self.held);
        let least = fixed.saturating_add(per_worker);
        if least > limit {
            return Err(AtlasError::limit(format!(
                "memory_limit {limit} is less than the {least} bytes that one worker and the result need"
            )));
        }
        // With a limit, as many workers as fit the memory that the limit leaves.
        let affordable = (limit - fixed).checked_div(per_worker).unwrap_or(u64::MAX);
        let workers = wanted.min(usize::try_from(affordable).unwrap_or(usize::MAX)).max(1);
        // Cached buffers of earlier calls count as memory too, even if they are not needed now.
        crate::base::recycle::shrink(
            (limit - fixed).saturating_sub(to_u64(workers).saturating_mul(per_worker)),
        );
        Ok(Workers::new(self, workers))
    }

    /// Fails with LIMIT if `bytes` is more than the memory limit of the call.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        self.workers(1, 0, bytes).map(drop)
    }

    /// Returns true if the call has a memory limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.memory_limit.is_some()
    }

    /// Returns true if no progress callback is set.
    pub(crate) fn unwatched(&self) -> bool {
        self.progress.is_none()
    }

    pub(crate) fn tracker(&mut self, bytes_total: u64, chunks_total: u64) -> Tracker<'_, 'a> {
        self.resume(Progress { bytes_total, chunks_total, ..Progress::default() }, false)
    }

    /// Runs `call`, which prepares later work of the same operation. If `call` hashes edited tiles, their progress
    /// is reported with the totals `bytes` and `chunks` of that later work.
    pub(crate) fn before<R>(&mut self, bytes: u64, chunks: u64, call: impl FnOnce(&mut Self) -> R) -> R {
        self.announced = Some((bytes, chunks));
        let result = call(self);
        self.announced = None;
        result
    }

    /// Returns a tracker for the hashing of edited tiles. Its totals are those that [`before`](Self::before) was
    /// given, or `bytes` and `chunks` outside of `before`.
    pub(crate) fn tracker_before(&mut self, bytes: u64, chunks: u64) -> Tracker<'_, 'a> {
        // Totals of 0 too, because no value of progress may decrease.
        let (bytes, chunks) = self.announced.unwrap_or((bytes, chunks));
        self.tracker(bytes, chunks)
    }

    /// Returns a tracker that continues from `progress`. `finished` is true if the callback has already got its
    /// last report.
    pub(crate) fn resume(&mut self, progress: Progress, finished: bool) -> Tracker<'_, 'a> {
        Tracker::new(self.progress.as_mut(), progress, finished)
    }

    /// Returns the memory limit less `taken` bytes, or `u64::MAX` without a limit.
    pub(crate) fn memory_left(&self, taken: u64) -> u64 {
        self.memory_limit.map_or(u64::MAX, |limit| limit.saturating_sub(taken.saturating_add(self.held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_memory_limit_costs_workers_before_it_refuses() {
        let pool = Pool::new(1).unwrap();
        let one = Operation::new().with_pool(&pool).with_memory_limit(100);
        assert_eq!(one.workers(1_000, 50, 50).unwrap().count(), 1);
        let error = one.workers(1_000, 50, 51).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.message().contains("memory_limit 100") && error.message().contains("101 bytes"));
        one.reserve(100).unwrap();
    }
}
