//! Common parts of all kinds of streams: the settings, the progress, and the hashing of the remaining bytes.

use super::config::StreamingConfig;
use crate::base::error::Result;
use crate::base::sync::lock;
use crate::base::units::{TILE_BYTES, to_u64};
use crate::exec::operation::Operation;
use crate::exec::progress::{Progress, Tracker};
use crate::projection::AtlasProjection;
use crate::source::Source;
use crate::tile::Tile;
use crate::tile::context::Context;
use crate::tile::hash_tiles::{Geometry, HashJob, Pace};
use crate::tile::options::{ProjectionOptions, ProjectionType};
use crate::tile::tree::Tree;
use std::sync::{Arc, Mutex};

/// Settings of a stream: the properties of its projection, and its configuration.
pub(super) struct StreamPlan {
    pub(super) config: StreamingConfig,
    /// Limits for bytes in flight, read-ahead and reads, if the chunks are not returned to the caller.
    pub(super) pace: Pace,
    pub(super) projection: Arc<Context>,
}

impl StreamPlan {
    pub(super) fn new(
        kind: ProjectionType,
        options: &ProjectionOptions,
        config: StreamingConfig,
    ) -> Result<StreamPlan> {
        let projection = Context::new(kind, options)?;
        Ok(StreamPlan { pace: config.pace(), config, projection })
    }

    /// Returns the job that hashes the tiles of `source`, from the tile number `first` on.
    pub(super) fn job<'a>(&'a self, source: &'a Source, first: u64) -> HashJob<'a> {
        let geometry = Geometry::Canonical { size: source.size() };
        HashJob { scheme: &self.projection.scheme, source, geometry, first, pace: &self.pace }
    }

    pub(super) fn finish(&self, tiles: Vec<Arc<Tile>>) -> Result<AtlasProjection> {
        // The policy concerns the sum of all bytes, which is known only now.
        AtlasProjection::from_fresh(Arc::clone(&self.projection), Tree::from_tiles(tiles)?)
    }
}

/// Progress of a stream, readable by any thread while it works.
#[derive(Default)]
pub(super) struct SharedProgress {
    progress: Mutex<Progress>,
}

impl SharedProgress {
    pub(super) fn progress(&self) -> Progress {
        // The value is replaced as a whole, so that a panic elsewhere leaves it intact.
        *lock(&self.progress)
    }

    pub(super) fn set(&self, progress: Progress) {
        *lock(&self.progress) = progress;
    }
}

/// Reporter of a stream's progress: once per chunk, although bytes are completed in steps of any size.
pub(super) struct ChunkTracker<'t, 'o, 's> {
    tracker: Tracker<'t, 'o>,
    chunk_size: u64,
    status: &'s SharedProgress,
}

impl<'t, 'o, 's> ChunkTracker<'t, 'o, 's> {
    /// Returns a reporter that continues from the progress in `status`.
    pub(super) fn new(operation: &'t mut Operation<'o>, chunk_size: u64, status: &'s SharedProgress) -> Self {
        let progress = status.progress();
        // If the end was reported already, it is not reported again.
        let finished = progress.chunks_done > 0 && progress.bytes_done == progress.bytes_total;
        ChunkTracker { tracker: operation.resume(progress, finished), chunk_size, status }
    }

    /// Notes that the first `bytes` bytes of the domain are done. Reports each chunk that lies within these bytes
    /// and was not reported yet.
    pub(super) fn reach(&mut self, bytes: u64) -> Result<()> {
        loop {
            // Several chunks may end at once, each with a report of its own.
            let now = self.tracker.progress();
            // The next chunk ends at its full size, or with the domain.
            let mut end = (now.chunks_done + 1).saturating_mul(self.chunk_size);
            if now.bytes_total > 0 {
                end = end.min(now.bytes_total);
            }
            if now.bytes_done >= end || end > bytes {
                return Ok(());
            }
            // The status is set first, so that the callback finds the same values there.
            self.status.set(Progress { bytes_done: end, chunks_done: now.chunks_done + 1, ..now });
            self.tracker.advance(end - now.bytes_done, 1)?;
        }
    }

    /// Sets the size of the domain, which was unknown until now, as the total of progress.
    pub(super) fn end_at(&mut self, bytes: u64) {
        self.tracker.set_totals(bytes, bytes.div_ceil(self.chunk_size));
    }

    /// Reports the end of the stream's progress, unless the last report was the end.
    pub(super) fn finish(self) -> Result<()> {
        let now = self.tracker.progress();
        // The status is set first, like in `reach`.
        self.status.set(Progress { bytes_done: now.bytes_total, chunks_done: now.chunks_total, ..now });
        self.tracker.finish()
    }
}

/// Pages of a mapped file are released in multiples of this number of bytes, because large pages have up to 2
/// MiB, and every release interrupts the other cores.
const STRIDE: u64 = 2 * 1024 * 1024;

/// Sequential read of a source. If the source is a mapped file, the system is advised of the order, and pages
/// are released after they were read.
pub(super) struct Pass {
    source: Source,
    released: u64,
    stride: u64,
}

impl Pass {
    /// Begins a sequential read of `source` at the offset `start`.
    pub(super) fn new(source: &Source, start: u64, config: &StreamingConfig) -> Pass {
        source.advise_sequential(false);
        // Releases in steps of about a chunk, 2 to 16 MiB, so that there are few system calls.
        let stride = (config.chunk_size() / STRIDE).clamp(1, 8) * STRIDE;
        Pass { source: source.clone(), released: start / STRIDE * STRIDE, stride }
    }

    /// Releases those pages of a mapped file that lie before `offset`, in steps of about a chunk.
    pub(super) fn leave_behind(&mut self, offset: u64) {
        // Only whole steps are released, because pages at the edge may still be read.
        let offset = offset / self.stride * self.stride;
        if offset > self.released {
            self.source.release(self.released, offset - self.released);
            self.released = offset;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // All remaining pages are released, also if the pass ended early.
        self.source.release(self.released, u64::MAX);
        self.source.advise_sequential(true);
    }
}

/// Reads and hashes the bytes of `source` after the hashed tiles `tiles`, and returns the projection of all
/// bytes. Each worker reads into a buffer of its own, one read at a time.
pub(super) fn project_rest(
    setup: &StreamPlan,
    source: &Source,
    mut tiles: Vec<Arc<Tile>>,
    status: &SharedProgress,
    operation: &mut Operation<'_>,
) -> Result<AtlasProjection> {
    let job = setup.job(source, to_u64(tiles.len()));
    let plan = job.plan(operation)?;
    // Memory is reserved before the first read, so that a lack of memory costs no work.
    reserve_tiles(&mut tiles, source.size())?;
    let mut tracker = ChunkTracker::new(operation, setup.config.chunk_size(), status);
    // Tiles of earlier chunks are full, unless the domain ends with them.
    let mut done = (to_u64(tiles.len()) * TILE_BYTES).min(source.size());
    let mut pass = Pass::new(source, done, &setup.config);
    // Tiles arrive in order; mapped pages behind them are released.
    job.run(&plan, |tile| {
        done += to_u64(tile.len());
        pass.leave_behind(done);
        tiles.push(tile);
        tracker.reach(done)
    })?;
    tracker.finish()?;
    setup.finish(tiles)
}

/// Reserves room in the list for all tiles of a domain of `size` bytes.
pub(super) fn reserve_tiles(tiles: &mut Vec<Arc<Tile>>, size: u64) -> Result<()> {
    let count = usize::try_from(size.div_ceil(TILE_BYTES)).unwrap_or(usize::MAX);
    // The room is reserved at once, because a list that doubles takes more memory than was counted.
    if count > tiles.capacity() {
        let mut all = crate::base::buffer::try_vec(count)?;
        all.append(tiles);
        *tiles = all;
    }
    Ok(())
}
