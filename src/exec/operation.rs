//! How a long call runs: on which threads, with what progress, within what memory.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::exec::pool::{Executor, Pool};
use crate::exec::progress::{Progress, ProgressFn, Tracker};
use std::num::NonZeroUsize;

/// Pool, progress, cancellation and memory limit of a long call.
///
/// The default runs on the library's own pool (one thread a core, made at the first parallel call),
/// reports nothing and has no limit.
#[derive(Default)]
pub struct Operation<'a> {
    pub(crate) executor: Executor<'a>,
    progress: Option<&'a mut ProgressFn<'a>>,
    memory_limit: Option<u64>,
    /// The most tasks at work at a time; None: as many as there are threads.
    max_threads: Option<NonZeroUsize>,
    /// Bytes and parts of the work that comes after what is hashed first.
    announced: Option<(u64, u64)>,
}

impl<'a> Operation<'a> {
    /// What [`Default`] gives.
    pub fn new() -> Self {
        Self::default()
    }

    /// All work on the calling thread.
    pub fn sequential() -> Self {
        Operation { executor: Executor::Inline, ..Self::default() }
    }

    /// Runs on the calling thread and on threads of `pool`, together at most as many as that has, and on
    /// no other. Work too small for a second thread is the calling one's, which takes less time than to
    /// wake another. [`ParallelStrategy::Pool`](crate::ParallelStrategy::Pool) leaves the calling thread out.
    #[must_use]
    pub fn with_pool(mut self, pool: &'a Pool) -> Self {
        self.executor = Executor::Pool(pool);
        self
    }

    /// Runs on a rayon pool of the host, as on one of [`with_pool`](Self::with_pool). rayon does not notice
    /// a fork: in the child a pool from before it hangs, where a [`Pool`] is refused.
    #[cfg(feature = "parallel")]
    #[must_use]
    pub fn with_rayon_pool(mut self, pool: &'a rayon::ThreadPool) -> Self {
        self.executor = Executor::Rayon(pool);
        self
    }

    /// Reports progress, in order and on the calling thread. `false` cancels, and it is not called
    /// again then.
    #[must_use]
    pub fn with_progress(mut self, progress: &'a mut ProgressFn<'a>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The most bytes that the call may allocate, its result included. It uses fewer workers before
    /// it answers LIMIT.
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// The same, with nothing to report.
    pub(crate) fn silent<'b>(&self) -> Operation<'b>
    where
        'a: 'b,
    {
        Operation {
            executor: self.executor,
            max_threads: self.max_threads,
            memory_limit: self.memory_limit,
            ..Operation::default()
        }
    }

    /// Runs `call` elsewhere, with at most so many tasks at work.
    pub(crate) fn within<R>(
        &mut self,
        executor: Executor<'a>,
        max_threads: Option<NonZeroUsize>,
        call: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let before = (self.executor, self.max_threads);
        (self.executor, self.max_threads) = (executor, max_threads);
        let result = call(self);
        (self.executor, self.max_threads) = before;
        result
    }

    /// How many tasks may be at work at a time.
    pub(crate) fn threads(&self) -> usize {
        self.executor.threads().min(self.max_threads.map_or(usize::MAX, NonZeroUsize::get))
    }

    /// How many workers a call of `tasks` tasks may use, each with `per_worker` bytes of buffers,
    /// beside `fixed` bytes for the result. At least one, or LIMIT.
    pub(crate) fn workers(&self, tasks: u64, per_worker: u64, fixed: u64) -> Result<usize> {
        let threads = if tasks <= 1 { 1 } else { self.threads() };
        let wanted = usize::try_from(tasks).unwrap_or(usize::MAX).clamp(1, threads);
        let Some(limit) = self.memory_limit else { return Ok(wanted) };
        let least = fixed.saturating_add(per_worker);
        if least > limit {
            return Err(AtlasError::limit(format!(
                "memory_limit {limit} is less than the {least} bytes that one worker and the result need"
            )));
        }
        let affordable = (limit - fixed).checked_div(per_worker).unwrap_or(u64::MAX);
        let workers = wanted.min(usize::try_from(affordable).unwrap_or(usize::MAX)).max(1);
        // Buffers of what went before, of a size that is not needed now, are memory too.
        crate::base::recycle::shrink(
            (limit - fixed).saturating_sub(to_u64(workers).saturating_mul(per_worker)),
        );
        Ok(workers)
    }

    /// Whether memory is counted.
    pub(crate) fn is_limited(&self) -> bool {
        self.memory_limit.is_some()
    }

    /// Whether nobody is told of progress, nor can cancel.
    pub(crate) fn unwatched(&self) -> bool {
        self.progress.is_none()
    }

    pub(crate) fn tracker(&mut self, bytes_total: u64, chunks_total: u64) -> Tracker<'_, 'a> {
        self.resume(Progress { bytes_total, chunks_total, ..Progress::default() }, false)
    }

    /// Runs `call`, whose witnesses of edited tiles come before work of so many bytes and chunks.
    pub(crate) fn before<R>(&mut self, bytes: u64, chunks: u64, call: impl FnOnce(&mut Self) -> R) -> R {
        self.announced = Some((bytes, chunks));
        let result = call(self);
        self.announced = None;
        result
    }

    /// Reports that work goes on before what was announced, or else before `bytes` and `chunks`, of which
    /// nothing is done yet.
    pub(crate) fn tracker_before(&mut self, bytes: u64, chunks: u64) -> Tracker<'_, 'a> {
        let (bytes, chunks) = self.announced.filter(|announced| announced.0 > 0).unwrap_or((bytes, chunks));
        self.tracker(bytes, chunks)
    }

    /// Goes on from `progress`, whose end may have been reported.
    pub(crate) fn resume(&mut self, progress: Progress, finished: bool) -> Tracker<'_, 'a> {
        Tracker::new(self.progress.as_mut(), progress, finished)
    }

    /// What is left of the memory limit beside `taken` bytes; all there is without a limit.
    pub(crate) fn memory_left(&self, taken: u64) -> u64 {
        self.memory_limit.map_or(u64::MAX, |limit| limit.saturating_sub(taken))
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
        assert_eq!(one.workers(1_000, 50, 50).unwrap(), 1);
        let error = one.workers(1_000, 50, 51).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.message().contains("memory_limit 100") && error.message().contains("101 bytes"));
        assert_eq!(one.workers(1, 0, 100).unwrap(), 1);
    }
}
