//! Projection of a source on many threads: its parts are read, summed and hashed, and become fresh tiles.
//!
//! Tiles in holes of sparse files are known to be zeros, and are not read.

#![forbid(unsafe_code)]

use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::ranges::Steps;
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::workers::Workers;
use crate::hash::digest::Digest;
use crate::source::Source;
use crate::tile::Tile;
use crate::tile::extent::{Extent, GroupResidues, Trust};
use crate::tile::offload::{BatchTile, DeviceTile, Offload, STRETCH, TileBytes};
use crate::tile::scheme::{Scheme, Workspace};
use crate::tile::tree::Tree;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Returns the size of the memory that a fresh tile uses in a projection, besides its bytes.
pub(crate) fn tile_footprint() -> u64 {
    crate::tile::fresh_footprint() + crate::hash::tile_tree::FOOTPRINT
}

/// Sums and hashes `bytes`, which lie at `offset` of `source`, and returns them as a fresh tile.
pub(crate) fn fresh_tile(
    scheme: &Scheme,
    workspace: &mut Workspace,
    source: &Source,
    offset: u64,
    bytes: &[u8],
) -> Result<Arc<Tile>> {
    let (residues, witness) = scheme.sum_and_witness(bytes, workspace)?;
    projected_tile(source, offset, bytes.len(), residues, witness)
}

/// Returns the tile of the `len` bytes at `offset` of `source`. `residues` and `witness` were computed from these
/// bytes.
fn projected_tile(
    source: &Source,
    offset: u64,
    len: usize,
    residues: GroupResidues,
    witness: Digest,
) -> Result<Arc<Tile>> {
    let extent = Extent::new(source.clone(), offset, len, residues, Trust::Witnessed(witness))?;
    Ok(Arc::new(Tile::whole_of(extent)))
}

/// Limits of a parallel projection: bytes in flight, bytes to prefetch, and bytes per read.
pub(crate) struct Pace {
    /// Maximum number of bytes that are being hashed, or hashed and not yet delivered. `None` means two tasks for each
    /// worker if a progress callback is set, and no limit without one.
    pub(crate) window: Option<u64>,
    /// Distance in bytes from a read to the later bytes that the system is asked to prefetch at the same time. 0
    /// means no request.
    pub(crate) ahead: u64,
    /// Maximum number of bytes per read, at least 1. A read of more than one tile is a whole number of tiles.
    pub(crate) read: usize,
}

impl Pace {
    /// No limit of the bytes in flight, no prefetching, and reads of at most one tile.
    pub(crate) const FREE: Pace = Pace { window: None, ahead: 0, read: TILE_SIZE };

    /// Returns the maximum number of tiles in flight.
    pub(crate) fn tiles(&self) -> Option<u64> {
        self.window.map(|window| window.div_ceil(TILE_BYTES))
    }
}

/// The tiles of a source that are to be read and hashed.
pub(crate) struct HashJob<'a> {
    pub(crate) scheme: &'a Scheme,
    pub(crate) source: &'a Source,
    pub(crate) geometry: Geometry<'a>,
    /// Index of the first tile to hash. The tiles before it are hashed already.
    pub(crate) first: u64,
    pub(crate) pace: &'a Pace,
}

/// Resources for a [`HashJob`] in one call: the accelerator if one is used, the workers, and the tiles of each task.
pub(crate) struct HashPlan<'a> {
    offload: Option<Offload<'a>>,
    workers: Workers<'a>,
    /// Tiles to read, as many per step as a task takes. The tiles between two steps lie in holes and are zeros.
    reads: Steps,
}

impl HashJob<'_> {
    /// Returns the accelerator to use, the tiles of each task, and as many workers as the memory limit allows. Fails
    /// with LIMIT if the limit has no room for one worker besides the memory of the projection's tiles.
    pub(crate) fn plan<'a>(&self, operation: &Operation<'a>) -> Result<HashPlan<'a>> {
        let count = self.geometry.tiles();
        // Every tile takes memory in the projection, also a tile in a hole.
        let fixed = count.saturating_mul(tile_footprint());
        // A mapping is copied for a device, as far as there is memory for that.
        let has_memory = self.source.is_fixed() || operation.memory_left(fixed) >= TILE_BYTES;
        let offload = Offload::of_source(operation.executor, self.scheme, self.source, count)
            .filter(|offload| has_memory || !offload.is_shared());
        // Tiles with given ends may cross the pieces of memory, so that each tile is checked.
        let is_shared = offload.as_ref().is_some_and(Offload::is_shared);
        let in_place = match self.geometry {
            Geometry::Canonical { .. } => self.source.in_memory() && (self.source.is_fixed() || !is_shared),
            Geometry::Ends(_) => (0..count).all(|tile| {
                let (start, len) = self.geometry.tile(tile);
                Offload::slice(offload.as_ref(), self.source, start, len).is_some()
            }),
        };
        // A task is a single tile in memory, or the tiles of a whole read. A tile that crosses two pieces of memory is
        // copied, and so is a tile of a mapping for a device, but neither is a read.
        let (mut tiles_a_task, mut per_worker) = if in_place || self.source.in_memory() {
            (1, if in_place { 0 } else { TILE_BYTES })
        } else {
            let tiles = self.tiles_a_read();
            (tiles, tiles * TILE_BYTES)
        };
        // An accelerator needs several tiles at a time, as far as window and memory allow.
        if let Some(offload) = &offload {
            let threads = operation.threads();
            let on_device = offload.has_all(self.source);
            let affordable = match in_place || on_device {
                true => u64::MAX,
                // Each thread has its part of the memory, so that none stands still.
                false => (operation.memory_left(fixed) / TILE_BYTES / to_u64(threads.max(1))).min(STRETCH),
            };
            let most = affordable.min(self.pace.tiles().unwrap_or(u64::MAX) / to_u64(threads));
            // Reads of several tiles stay whole.
            tiles_a_task = tiles_a_task.max(offload.stretch(count, threads, most));
            // The processor gets copies of the tiles that it checks, one at a time.
            per_worker = match (in_place, on_device) {
                (true, _) => 0,
                (false, true) => TILE_BYTES,
                (false, false) => tiles_a_task * TILE_BYTES,
            };
        }
        // Holes are no tasks. The sink gets the tiles of holes between the tiles of the tasks.
        let reads = self.reads(tiles_a_task)?;
        // The window counts tasks, of which at least a single task is always admitted.
        let window = self.pace.tiles().map(|tiles| (tiles / tiles_a_task).max(1));
        let per_worker = per_worker + self.scheme.workspace();
        let tasks = reads.len().min(window.unwrap_or(u64::MAX));
        let workers = operation.workers(tasks, per_worker, fixed)?;
        let workers = window.map_or(workers, |window| workers.within(window));
        Ok(HashPlan { offload, workers, reads })
    }

    /// Returns the tiles to read, divided into tasks of `step` tiles. These are the tiles from `first` on, except
    /// those that are known to be zeros.
    fn reads(&self, step: u64) -> Result<Steps> {
        let count = self.geometry.tiles();
        let tiles = self.first.min(count)..count;
        // Without a map of holes every tile is read.
        let Some(map) = self.source.data_map().filter(|_| !tiles.is_empty()) else {
            return Steps::new([tiles], step);
        };
        match self.geometry {
            // The map counts in full tiles from offset 0, like this geometry.
            Geometry::Canonical { .. } => Steps::new(map.tiles_within(&tiles), step),
            // Tiles with given ends do not match the tiles of the map: a tile is left out if the whole tile
            // is a hole.
            Geometry::Ends(_) => {
                let is_read = |tile: &u64| {
                    let (start, len) = self.geometry.tile(*tile);
                    !map.is_hole(start, to_u64(len))
                };
                Steps::new(tiles.filter(is_read).map(|tile| tile..tile + 1), step)
            }
        }
    }

    /// Hashes the tiles in parallel and passes them to `sink` in order, on the calling thread.
    ///
    /// Every byte is read once. After an error of the sink each worker stops after its present read or tile.
    pub(crate) fn run(
        &self,
        plan: &HashPlan<'_>,
        mut sink: impl FnMut(Arc<Tile>) -> Result<()>,
    ) -> Result<()> {
        let (count, stop) = (self.geometry.tiles(), StopFlag::default());
        let reads = &plan.reads;
        // Announce the first bytes here; each task announces the bytes of a later task.
        if self.pace.ahead > 0 && reads.len() > 0 {
            self.source.will_need(self.geometry.tile(reads.nth(0).start).0, self.pace.ahead);
        }
        // Next tile that the sink expects.
        let mut due = self.first.min(count);
        plan.workers.run(
            reads.len(),
            || Ok((None, Workspace::default())),
            |(buffer, workspace), task| {
                self.task(buffer, workspace, reads.nth(task), plan.offload.as_ref(), &stop)
            },
            |task, tiles| {
                let read = reads.nth(task);
                // Tiles between two reads are holes. The sink gets them at their place in the order.
                let before = std::mem::replace(&mut due, read.end)..read.start;
                // A failed sink needs no more tiles, so that the workers stop.
                let zeros = self.zeros(before, &mut sink);
                zeros.and_then(|()| tiles.into_iter().try_for_each(&mut sink)).inspect_err(|_| stop.set())
            },
        )?;
        // Holes after the last read.
        self.zeros(due..count, &mut sink)
    }

    /// Makes the tiles with the indices `tiles`, which lie in holes, without a read, and passes them to `sink`.
    fn zeros(&self, tiles: Range<u64>, sink: &mut impl FnMut(Arc<Tile>) -> Result<()>) -> Result<()> {
        let mut workspace = Workspace::default();
        for tile in tiles {
            let (offset, len) = self.geometry.tile(tile);
            let witness = self.scheme.witness_of_zeros(len, &mut workspace)?;
            // Zeros have residue 0 in every group.
            let residues = GroupResidues::from_groups(std::iter::empty());
            // The extent lies in the source, so that bytes which come into the hole later are found.
            sink(projected_tile(self.source, offset, len, residues, witness)?)?;
        }
        Ok(())
    }

    /// Returns the number of tiles that a single read fetches.
    fn tiles_a_read(&self) -> u64 {
        match self.geometry {
            Geometry::Canonical { .. } => {
                // A read is never larger than the window, which bounds the bytes in flight.
                let window = self.pace.window.unwrap_or(u64::MAX).max(TILE_BYTES);
                (to_u64(self.pace.read).min(window) / TILE_BYTES).max(1)
            }
            // Tiles of any length are read one by one.
            Geometry::Ends(_) => 1,
        }
    }

    fn task(
        &self,
        buffer: &mut Option<Buffer>,
        workspace: &mut Workspace,
        tiles: Range<u64>,
        offload: Option<&Offload<'_>>,
        stop: &StopFlag,
    ) -> Result<Vec<Arc<Tile>>> {
        let mut done = try_vec(to_usize(tiles.end - tiles.start))?;
        // The tiles of a task follow each other, so that a single range holds all these tiles.
        let (start, end) = (self.geometry.tile(tiles.start).0, self.geometry.end(tiles.end - 1));
        let len = to_usize(end - start);
        // Ask the system for the bytes of later tasks.
        if self.pace.ahead > 0 {
            self.source.will_need(start.saturating_add(self.pace.ahead), end - start);
        }
        // A buffer of the device is hashed in place.
        let on_device =
            offload.and_then(|offload| self.source.device_range(offload.accelerator(), start, len));
        // A single tile from a file is hashed part by part, while each part is in the cache.
        if tiles.end - tiles.start == 1
            && !offload.is_some_and(Offload::is_shared)
            && on_device.is_none()
            && self.source.is_read_by_position(start, end - start)
        {
            // Errors name the tile: the index of a task has no meaning for the caller.
            let read = |at: usize, part: &mut [u8]| {
                read_in_steps(self.source, start + to_u64(at), part, self.pace.read, stop)
                    .map_err(|error| error.at_index(tiles.start))
            };
            if let Some((residues, witness)) = self.scheme.sum_and_witness_of_parts(len, buffer, read)? {
                done.push(projected_tile(self.source, start, len, residues, witness)?);
                return Ok(done);
            }
        }
        // Otherwise all tiles of the task are in memory before they are hashed.
        let in_place = |index: u64| {
            let (offset, len) = self.geometry.tile(index);
            Offload::slice(offload, self.source, offset, len)
        };
        let whole = Offload::slice(offload, self.source, start, len);
        // Several tiles, each of which lies in a piece of memory of its own.
        let in_pieces = whole.is_none()
            && on_device.is_none()
            && tiles.end - tiles.start > 1
            && tiles.clone().all(|index| in_place(index).is_some());
        let bytes = match whole {
            Some(bytes) => bytes,
            None if on_device.is_some() || in_pieces => &[],
            None => {
                // The buffer of this worker's previous task serves again if it is large enough.
                let whole = match buffer.take().filter(|buffer| buffer.len() >= len) {
                    Some(buffer) => buffer,
                    None => Buffer::new(len.max(TILE_SIZE))?,
                };
                let bytes = &mut buffer.insert(whole)[..len];
                // A task of several tiles for an accelerator has the reads of as many tasks, so that an error has
                // the same index.
                let mut first = tiles.start;
                while first < tiles.end {
                    let next = tiles.end.min(first + self.tiles_a_read());
                    let (from, to) = (self.geometry.tile(first).0, self.geometry.end(next - 1));
                    let part = &mut bytes[to_usize(from - start)..to_usize(to - start)];
                    read_in_steps(self.source, from, part, self.pace.read, stop)
                        .map_err(|error| error.at_index(first))?;
                    first = next;
                }
                bytes
            }
        };
        // One batch for the scheme, which an accelerator may share.
        let mut batch = try_vec(done.capacity())?;
        for index in tiles.clone() {
            let (offset, len) = self.geometry.tile(index);
            let at = offset - start;
            batch.push(match on_device {
                Some((buffer, first)) => BatchTile {
                    index,
                    bytes: TileBytes::Device(DeviceTile { buffer, offset: first + at, len }),
                },
                None if in_pieces => BatchTile::host(index, in_place(index).unwrap_or_default()),
                None => BatchTile::host(index, &bytes[to_usize(at)..][..len]),
            });
        }
        // A batch can take long, so that the flag is read before it begins and after each tile.
        stop.check()?;
        self.scheme.witness_batch(&batch, workspace, offload, |residues, witness| {
            let (offset, len) = self.geometry.tile(tiles.start + to_u64(done.len()));
            done.push(projected_tile(self.source, offset, len, residues, witness)?);
            stop.check()
        })?;
        Ok(done)
    }
}

/// Flag that makes workers stop, because the result is no longer needed.
#[derive(Default)]
pub(crate) struct StopFlag(AtomicBool);

impl StopFlag {
    fn set(&self) {
        // The flag carries no data; a thread that sees it late only does a little unused work.
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            Err(AtlasError::cancelled("the call that needed the result has ended"))
        } else {
            Ok(())
        }
    }
}

/// Fills `out` with the bytes of `source` from `offset` on, by reads of at most `step` bytes. Fails with CANCELLED
/// once `stop` is set.
pub(crate) fn read_in_steps(
    source: &Source,
    offset: u64,
    out: &mut [u8],
    step: usize,
    stop: &StopFlag,
) -> Result<()> {
    let mut at = offset;
    // The flag is read before each part, so that an abandoned call ends after a part, not after the tile.
    for part in out.chunks_mut(step) {
        stop.check()?;
        source.read(at, part)?;
        at += to_u64(part.len());
    }
    Ok(())
}

/// Reads and hashes all tiles of `source` in parallel, and returns the tree of them. Reports progress once per tile.
pub(crate) fn project(
    scheme: &Scheme,
    source: &Source,
    geometry: Geometry<'_>,
    operation: &mut Operation<'_>,
) -> Result<Tree> {
    let count = geometry.tiles();
    let job = HashJob { scheme, source, geometry, first: 0, pace: &Pace::FREE };
    let plan = job.plan(operation)?;
    // A count above the address space fails with OUT_OF_MEMORY, like any count that is too large.
    let mut tiles = try_vec(usize::try_from(count).unwrap_or(usize::MAX))?;
    let mut tracker = operation.tracker(source.size(), count);
    job.run(&plan, |tile| {
        let len = to_u64(tile.len());
        tiles.push(tile);
        tracker.advance(len, 1)
    })?;
    tracker.finish()?;
    Tree::from_tiles(tiles)
}

/// Division of a domain into tiles.
pub(crate) enum Geometry<'a> {
    /// Full tiles from offset 0, and a last tile that may be shorter.
    Canonical { size: u64 },
    /// Tiles that end at these offsets, ascending. The first tile begins at offset 0.
    Ends(&'a [u64]),
}

impl Geometry<'_> {
    fn tiles(&self) -> u64 {
        match self {
            Geometry::Canonical { size } => size.div_ceil(TILE_BYTES),
            Geometry::Ends(ends) => ends.len() as u64,
        }
    }

    /// Returns the offset in the domain and the length of tile `index`.
    fn tile(&self, index: u64) -> (u64, usize) {
        let (start, end) = match self {
            // The end of a full last tile could pass 2^64.
            Geometry::Canonical { size } => {
                (index * TILE_BYTES, (index + 1).saturating_mul(TILE_BYTES).min(*size))
            }
            // A tile begins where its predecessor ends, and tile 0 at offset 0.
            Geometry::Ends(ends) => {
                let index = to_usize(index);
                (index.checked_sub(1).map_or(0, |before| ends[before]), ends[index])
            }
        };
        (start, to_usize(end - start))
    }

    /// Returns the offset after the last byte of tile `index`.
    fn end(&self, index: u64) -> u64 {
        let (start, len) = self.tile(index);
        start + to_u64(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;
    use crate::tile::options::{ProjectionOptions, ProjectionType};

    #[test]
    fn a_tile_across_two_pieces_of_memory_counts_a_buffer() {
        let piece = || Arc::new(Buffer::new(TILE_SIZE).unwrap());
        let source = Source::from_pieces(vec![(0, piece()), (TILE_BYTES, piece())]);
        let scheme = Scheme::new(ProjectionType::Linear, &ProjectionOptions::new()).unwrap();
        let plan = |ends: &[u64], memory: u64| {
            let (geometry, pace) = (Geometry::Ends(ends), &Pace::FREE);
            let job = HashJob { scheme: &scheme, source: &source, geometry, first: 0, pace };
            let operation =
                Operation::new().with_memory_limit(to_u64(ends.len()) * tile_footprint() + memory);
            job.plan(&operation).map(drop)
        };
        let crossing = [700_000, 1_700_000, 2 * TILE_BYTES];
        assert_eq!(plan(&crossing, TILE_BYTES / 2).unwrap_err().kind(), ErrorKind::Limit);
        plan(&crossing, 2 * TILE_BYTES).unwrap();
        // Tiles that lie in one piece each need none.
        plan(&[TILE_BYTES, 2 * TILE_BYTES], TILE_BYTES / 2).unwrap();
    }
}
