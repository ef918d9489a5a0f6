//! Runs of tasks, of one tile each: a worker takes a run, and hashes all its tiles on an accelerator at the first
//! task.

#![forbid(unsafe_code)]

use super::{BatchTile, Offload, TileHash};
use crate::base::buffer::{Buffer, try_collect};
use crate::base::error::Result;
use crate::base::units::{TILE_BYTES, to_u64, to_usize};
use crate::tile::scheme::{Scheme, Workspace};
use crate::tile::tree::TileAt;
use std::collections::VecDeque;
use std::ops::Range;

/// Division of the tasks of a call, of one tile each, into runs. A worker hashes the tiles of a run together. Empty
/// without an accelerator.
#[derive(Default)]
pub(crate) struct Runs<'a> {
    offload: Option<Offload<'a>>,
    stretch: u64,
    buffers: u64,
    /// End of each run, given as the number of the task after it. See
    /// [`Order::runs`](crate::exec::pool::Order::runs).
    pub(crate) ends: Vec<u64>,
}

impl<'a> Runs<'a> {
    /// Divides `count` tasks of a call into runs. Without an accelerator there are none.
    ///
    /// `memory` is the number of bytes that the buffers of all threads may have together, for tiles that are read.
    /// `None` means that no tile is read into a buffer.
    pub(crate) fn new(
        offload: Option<Offload<'a>>,
        count: u64,
        threads: usize,
        memory: Option<u64>,
    ) -> Result<Runs<'a>> {
        // Tiles of the device need no buffers.
        let memory = memory.filter(|_| offload.as_ref().is_some_and(Offload::is_shared));
        // Each thread has its part of the memory, so that none stands still.
        let most = memory.map_or(u64::MAX, |memory| memory / TILE_BYTES / to_u64(threads.max(1)));
        // Without memory for a run the processor works tile by tile, as without an accelerator.
        let Some(offload) = offload.filter(|_| most > 0) else { return Ok(Runs::default()) };
        let stretch = offload.stretch(count, threads, most);
        let ends = try_collect((1..=count.div_ceil(stretch)).map(|run| (run * stretch).min(count)))?;
        let buffers = if memory.is_some() { stretch * TILE_BYTES } else { 0 };
        Ok(Runs { offload: Some(offload), stretch, buffers, ends })
    }

    /// Returns the number of bytes of the buffers of one worker.
    pub(crate) fn buffers(&self) -> u64 {
        self.buffers
    }

    /// Returns the tasks from `task` to the end of its run.
    fn rest(&self, task: u64) -> Range<u64> {
        let run = task.checked_div(self.stretch).map_or(usize::MAX, to_usize);
        task..self.ends.get(run).map_or(task, |end| *end)
    }
}

/// Results for the tasks of a run, which a worker computes together at the first task.
pub(crate) struct Ahead<T> {
    /// Task to which the first result in `ready` belongs.
    next: u64,
    ready: VecDeque<T>,
}

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Ahead { next: 0, ready: VecDeque::new() }
    }
}

impl<T> Ahead<T> {
    /// Returns the result for `task`. If it is not ready, calls `make` to compute the results from `task` to the
    /// end of its run. `None` without an accelerator.
    pub(crate) fn take(
        &mut self,
        runs: &Runs<'_>,
        task: u64,
        make: impl FnOnce(&Offload<'_>, Range<u64>) -> Result<Vec<T>>,
    ) -> Result<Option<T>> {
        let Some(offload) = &runs.offload else { return Ok(None) };
        // The first task of a run, also of one after a run that ended early.
        if self.ready.is_empty() || self.next != task {
            self.ready.clear();
            (self.ready, self.next) = (make(offload, runs.rest(task))?.into(), task);
        }
        self.next += 1;
        Ok(self.ready.pop_front())
    }
}

impl Ahead<TileHash> {
    /// Returns the residues and the witness of the tile of `task`, with chaining values if `with_groups` is set.
    /// `tile` returns the tile of a task. `None` without an accelerator.
    pub(crate) fn hash<'b>(
        &mut self,
        runs: &Runs<'_>,
        task: u64,
        (scheme, workspace, with_groups): (&Scheme, &mut Workspace, bool),
        tile: impl Fn(u64) -> BatchTile<'b>,
    ) -> Result<Option<TileHash>> {
        self.take(runs, task, |offload, tasks| {
            offload.hash(scheme, &try_collect(tasks.map(tile))?, with_groups, workspace)
        })
    }
}

/// Tiles of a run that were compared with their witnesses at its first task, and the buffers for that.
#[derive(Default)]
pub(crate) struct Confirmed {
    ahead: Ahead<Result<bool>>,
    buffers: Vec<Buffer>,
}

impl Confirmed {
    /// Returns true if an accelerator confirmed the bytes of the tile of `task`, false if the caller must check
    /// them, or the error of their read. `tile` returns the tile of a task; `None` leaves it to the caller. The
    /// outer error is a failure of the device.
    pub(crate) fn take(
        &mut self,
        runs: &Runs<'_>,
        task: u64,
        (scheme, workspace): (&Scheme, &mut Workspace),
        tile: impl Fn(u64) -> Option<TileAt>,
    ) -> Result<Result<bool>> {
        let buffers = &mut self.buffers;
        let found = self.ahead.take(runs, task, |offload, tasks| {
            offload.confirm(scheme, &try_collect(tasks.map(tile))?, buffers, workspace)
        })?;
        Ok(found.unwrap_or(Ok(false)))
    }
}
