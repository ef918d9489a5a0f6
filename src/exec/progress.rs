//! Progress of a long call: counting, reporting, cancelling.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};
use crate::base::process::in_one_process;

/// Progress of a long call. Its values never decrease within a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of work done.
    pub bytes_done: u64,
    /// Total bytes of work. 0 means unknown.
    pub bytes_total: u64,
    /// Tiles, chunks, regions or shards done.
    pub chunks_done: u64,
    /// Total number of tiles, chunks, regions or shards.
    pub chunks_total: u64,
}

/// A progress callback; `false` cancels the call.
pub type ProgressFn<'a> = dyn FnMut(&Progress) -> bool + 'a;

/// The progress of one call: counts, reports, and fails with CANCELLED if the callback returned `false`.
pub(crate) struct Tracker<'t, 'a> {
    callback: Option<&'t mut &'a mut ProgressFn<'a>>,
    progress: Progress,
    finished: bool,
}

impl<'t, 'a> Tracker<'t, 'a> {
    /// Returns a tracker that continues from `progress`. `finished` is true if the callback has already got its
    /// last report.
    pub(super) fn new(
        callback: Option<&'t mut &'a mut ProgressFn<'a>>,
        progress: Progress,
        finished: bool,
    ) -> Tracker<'t, 'a> {
        Tracker { callback, progress, finished }
    }

    /// Returns the present progress.
    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Sets the totals of bytes and of chunks once they are known.
    pub(crate) fn set_totals(&mut self, bytes: u64, chunks: u64) {
        (self.progress.bytes_total, self.progress.chunks_total) = (bytes, chunks);
        // New totals need a last report of their own.
        self.finished = false;
    }

    /// Adds bytes and chunks of work done, and calls the callback. Fails with CANCELLED if it returns `false`, and
    /// with STATE in a child that it forked.
    pub(crate) fn advance(&mut self, bytes: u64, chunks: u64) -> Result<()> {
        self.progress.bytes_done = self.progress.bytes_done.saturating_add(bytes);
        self.progress.chunks_done = self.progress.chunks_done.saturating_add(chunks);
        self.report()
    }

    /// Adds work done like [`advance`](Self::advance), but never more than the totals, which may be an
    /// estimate.
    pub(crate) fn advance_towards(&mut self, bytes: u64, chunks: u64) -> Result<()> {
        let Progress { bytes_done, bytes_total, chunks_done, chunks_total } = self.progress;
        let most = |done, total: u64, more: u64| more.min(total.saturating_sub(done));
        self.advance(most(bytes_done, bytes_total, bytes), most(chunks_done, chunks_total, chunks))
    }

    /// Reports all work as done, unless the latest report had these values already. Fails with CANCELLED if the
    /// callback returns `false`.
    pub(crate) fn finish(mut self) -> Result<()> {
        // Totals that were an estimate may not have been reached.
        self.progress.bytes_done = self.progress.bytes_total;
        self.progress.chunks_done = self.progress.chunks_total;
        if self.finished { Ok(()) } else { self.report() }
    }

    // Without a callback only the counts are kept.
    fn report(&mut self) -> Result<()> {
        let progress = &self.progress;
        self.finished =
            progress.bytes_done == progress.bytes_total && progress.chunks_done == progress.chunks_total;
        let Some(callback) = &mut self.callback else { return Ok(()) };
        let answer = in_one_process(|| callback(progress));
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        // A callback that cancelled is not called again.
        self.callback = None;
        answer?;
        Err(AtlasError::cancelled(format!(
            "the progress callback cancelled after {} of {} bytes",
            progress.bytes_done, progress.bytes_total
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::exec::operation::Operation;

    #[test]
    fn the_end_is_reported_once() {
        let mut seen = Vec::new();
        let mut record = |p: &Progress| {
            seen.push((p.bytes_done, p.chunks_done));
            true
        };
        let mut operation = Operation::new().with_progress(&mut record);
        let mut tracker = operation.tracker(10, 2);
        tracker.advance(4, 1).unwrap();
        tracker.advance(6, 1).unwrap();
        tracker.finish().unwrap();
        operation.tracker(0, 0).finish().unwrap();
        assert_eq!(seen, [(4, 1), (10, 2), (0, 0)]);
    }

    #[test]
    fn after_false_the_callback_is_not_called_again() {
        let mut calls = 0;
        let mut stop = |_: &Progress| {
            calls += 1;
            false
        };
        let mut operation = Operation::new().with_progress(&mut stop);
        let mut tracker = operation.tracker(10, 2);
        assert_eq!(tracker.advance(4, 1).unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(tracker.advance(4, 1).is_ok());
        assert!(tracker.finish().is_ok());
        assert_eq!(calls, 1);
    }
}
