//! Streams of pushed bytes: pieces of any size that are kept in a spool file, kept in memory, or dropped.
//!
//! Pieces are gathered into tiles. Several tiles are hashed at a time, in parallel, and written or kept; a
//! piece that has several tiles is hashed in the caller's memory, without a copy. The source of the
//! projection does not exist before the end, so that hashed tiles wait as sums and digests.

use super::pipeline::{ChunkTracker, SharedProgress, StreamPlan};
use crate::base::atomic_file::AtomicFile;
use crate::base::buffer::{Buffer, try_collect, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::progress::Progress;
use crate::hash::digest::Digest;
use crate::projection::AtlasProjection;
use crate::source::{ReadAt, Source};
use crate::tile::Tile;
use crate::tile::extent::{Extent, GroupResidues, Trust};
use crate::tile::hash_tiles::tile_footprint;
use crate::tile::offload::{Ahead, BatchTile, Offload, Runs};
use crate::tile::scheme::Workspace;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Number of tiles gathered for each worker before they are hashed.
const TILES_A_WORKER: u64 = 4;

enum Store {
    /// Hashed tiles that are kept in memory, one buffer each. The last tile may be shorter.
    Memory(Vec<Buffer>),
    Spool(AtomicFile),
    /// Bytes are hashed and dropped.
    Nothing,
}

/// Destination of the bytes of a push stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep<'k> {
    Memory,
    File(&'k Path),
    Nothing,
}

/// Source of a projection whose stream kept no bytes. Reads of it fail.
struct NotKept;

impl ReadAt for NotKept {
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the stream was only hashed, and its bytes were not kept",
        ))
    }
}

/// Residues, length and witness of a hashed tile, kept until the source of the projection exists.
struct Hashed {
    residues: GroupResidues,
    len: usize,
    witness: Digest,
}

/// Returns the number of bytes of bookkeeping for one tile that was gathered or hashed. The lists of tiles have
/// room for half as much again.
fn footprint() -> u64 {
    tile_footprint() + 2 * to_u64(size_of::<Hashed>() + size_of::<Buffer>())
}

pub(super) struct Push {
    store: Store,
    hashed: Vec<Hashed>,
    /// Whole tiles that wait to be hashed. The next field is the tile that is being filled.
    gathered: Vec<Buffer>,
    filling: Option<Buffer>,
    /// Number of bytes in `filling`.
    filled: usize,
    /// Number of bytes pushed so far.
    size: u64,
}

impl Push {
    pub(super) fn open(setup: &StreamPlan, keep: Keep<'_>, operation: &Operation<'_>) -> Result<Push> {
        let workspace = setup.projection.scheme.workspace();
        // One worker and one tile must fit the memory limit.
        let store = match keep {
            Keep::Memory => {
                operation.reserve(workspace)?;
                Store::Memory(Vec::new())
            }
            Keep::File(path) => {
                operation.workers(1, TILE_BYTES + workspace, 2 * footprint())?;
                Store::Spool(AtomicFile::create(path)?)
            }
            Keep::Nothing => {
                operation.workers(1, TILE_BYTES + workspace, 2 * footprint())?;
                Store::Nothing
            }
        };
        Ok(Push { store, hashed: Vec::new(), gathered: Vec::new(), filling: None, filled: 0, size: 0 })
    }

    /// Adds `data` to the end of the domain: gathers bytes into tiles, and hashes tiles once there are enough.
    pub(super) fn push(
        &mut self,
        data: &[u8],
        setup: &StreamPlan,
        status: &SharedProgress,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            // Hash when enough tiles for all workers are gathered.
            let batch = self.batch(setup, operation)?;
            if to_u64(self.gathered.len()) >= batch {
                self.hash_gathered(setup, operation)?;
            }
            // A large piece is hashed from the caller's memory, without a copy.
            let none_waits = self.filled == 0 && self.gathered.is_empty();
            let taken = if none_waits && to_u64(rest.len()) >= batch.saturating_mul(TILE_BYTES) {
                self.take_whole(rest, batch, setup, operation)?
            } else {
                self.gather(rest, setup, operation)?
            };
            rest = &rest[taken..];
            self.size += to_u64(taken);
            // Progress is reported after each step, so that the callback can cancel the push of a large
            // piece.
            self.report(setup, status, operation)?;
        }
        Ok(())
    }

    /// Reports the number of bytes pushed so far: to the callback once per chunk, to `status` at every call.
    fn report(
        &self,
        setup: &StreamPlan,
        status: &SharedProgress,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        ChunkTracker::new(operation, setup.config.chunk_size(), status).reach(self.size)?;
        // The status counts the bytes between two reports too.
        status.set(Progress { bytes_done: self.size, ..status.progress() });
        Ok(())
    }

    /// Returns the number of tiles to hash together, within the memory limit.
    pub(super) fn batch(&self, setup: &StreamPlan, operation: &Operation<'_>) -> Result<u64> {
        let window = setup.pace.tiles().unwrap_or(u64::MAX);
        let workspace = setup.projection.scheme.workspace();
        match self.store {
            Store::Memory(_) => {
                // If the tiles stay in memory anyway, only the workers add memory.
                let workers = to_u64(operation.workers(window, workspace, self.account(0))?.count());
                // A single worker gains nothing from a batch.
                Ok(if workers > 1 { window.min(workers * TILES_A_WORKER) } else { 1 })
            }
            Store::Spool(_) | Store::Nothing => {
                // Otherwise the gathered tiles are buffers that the limit must cover.
                let records = self.records(1).saturating_mul(footprint());
                let workers = to_u64(operation.workers(window, TILE_BYTES + workspace, records)?.count());
                let buffers = operation.memory_left(records + workers * workspace) / TILE_BYTES;
                Ok(if workers > 1 { window.min(workers * TILES_A_WORKER).min(buffers) } else { 1 })
            }
        }
    }

    /// Returns the number of tiles hashed or gathered so far, plus `more`.
    fn records(&self, more: u64) -> u64 {
        to_u64(self.hashed.len() + self.gathered.len()) + more
    }

    /// Returns the number of bytes of memory that the stream uses now, including the result, plus `more`.
    fn account(&self, more: u64) -> u64 {
        // Gathered tiles of a file, or of nothing, are dropped once they are hashed.
        let kept = match &self.store {
            Store::Memory(tiles) => tiles.len(),
            Store::Spool(_) | Store::Nothing => 0,
        };
        let whole = to_u64(kept + self.gathered.len()) * TILE_BYTES;
        let filling = self.filling.as_ref().map_or(0, |buffer| to_u64(buffer.len()));
        let held = whole + filling + self.records(1) * footprint();
        held.saturating_add(more)
    }

    fn check_memory(&self, more: u64, operation: &Operation<'_>) -> Result<()> {
        operation.reserve(self.account(more))
    }

    /// Copies the first bytes of `data` into the tile that is being filled, up to the end of this tile or of
    /// the chunk. Returns the number of bytes copied.
    fn gather(&mut self, data: &[u8], setup: &StreamPlan, operation: &Operation<'_>) -> Result<usize> {
        // The copy stops at the end of a chunk, so that the chunk is reported before more bytes are copied.
        let chunk = setup.config.chunk_size();
        let chunk_left = usize::try_from(chunk - self.size % chunk).unwrap_or(usize::MAX);
        let len = data.len().min(TILE_SIZE - self.filled).min(chunk_left);
        let end = self.filled + len;
        // The list gets its room first, so that a tile that becomes full can be added to it.
        reserve(&mut self.gathered, 1)?;
        let buffer = self.room(end, setup, operation)?;
        buffer[end - len..end].copy_from_slice(&data[..len]);
        self.filled = end;
        // A full tile is added to the gathered tiles.
        if end == TILE_SIZE {
            self.gathered.extend(self.filling.take());
            self.filled = 0;
        }
        Ok(len)
    }

    /// Returns the buffer of the tile that is being filled, with room for `len` bytes, or for a whole tile if
    /// the memory limit allows it.
    fn room(&mut self, len: usize, setup: &StreamPlan, operation: &Operation<'_>) -> Result<&mut Buffer> {
        let small = self.filling.as_ref().is_none_or(|buffer| buffer.len() < len);
        if small {
            // Memory of a worker is left free, so that the tile can be hashed at the end.
            let beside = footprint() + setup.projection.scheme.workspace();
            let whole = self.check_memory(TILE_BYTES + beside, operation).is_ok();
            // Under a small limit the buffer grows by powers of two.
            let size = if whole { TILE_SIZE } else { len.next_power_of_two().clamp(4_096, TILE_SIZE) };
            self.check_memory(to_u64(size) + beside, operation)?;
            let mut larger = Buffer::new(size)?;
            if let Some(filling) = &self.filling {
                larger[..self.filled].copy_from_slice(&filling[..self.filled]);
            }
            self.filling = Some(larger);
        }
        self.filling.as_mut().ok_or_else(|| {
            AtlasError::internal(
                "a defect of the library, please report it: the tile that is being filled has no buffer",
            )
        })
    }

    fn hash_gathered(&mut self, setup: &StreamPlan, operation: &Operation<'_>) -> Result<()> {
        // The memory is counted before the tiles leave the list.
        let held = self.account(0);
        let gathered = std::mem::take(&mut self.gathered);
        let tiles: Vec<&[u8]> = try_collect(gathered.iter().map(|buffer| &**buffer))?;
        self.hash(&tiles, false, held, setup, operation)?;
        // The memory store keeps the buffers themselves.
        if let Store::Memory(kept) = &mut self.store {
            reserve(kept, gathered.len())?;
            kept.extend(gathered);
        }
        Ok(())
    }

    /// Hashes whole tiles at the start of `data`, in the caller's memory: up to the end of a chunk, but at
    /// least `batch` tiles. Hashes fewer if the memory limit requires it. Returns the number of bytes hashed.
    fn take_whole(
        &mut self,
        data: &[u8],
        batch: u64,
        setup: &StreamPlan,
        operation: &Operation<'_>,
    ) -> Result<usize> {
        let chunk = setup.config.chunk_size();
        // Gather at most up to the end of a chunk, so that this end is reported, but at least a batch.
        let chunk_left = (chunk - self.size % chunk).div_ceil(TILE_BYTES);
        let mut count = to_usize(chunk_left.max(batch).min(to_u64(data.len() / TILE_SIZE)));
        // Fewer tiles if the memory limit does not cover their copies and a worker.
        let copied = if matches!(self.store, Store::Memory(_)) { TILE_BYTES } else { 0 };
        let held = |count: usize| self.account(to_u64(count) * (copied + footprint()));
        while count > 1 && operation.memory_left(held(count)) < setup.projection.scheme.workspace() {
            count -= 1;
        }
        let (held, taken) = (held(count), count * TILE_SIZE);
        let tiles: Vec<&[u8]> =
            try_collect(data[..taken].as_chunks::<TILE_SIZE>().0.iter().map(|tile| &tile[..]))?;
        self.hash(&tiles, true, held, setup, operation)?;
        Ok(taken)
    }

    /// Hashes `tiles` in parallel and writes them to the spool file, if there is one. Keeps copies of them if
    /// `copy` is true and the stream keeps its bytes in memory. `held` is the number of bytes of memory in use
    /// besides those of the workers.
    fn hash(
        &mut self,
        tiles: &[&[u8]],
        copy: bool,
        held: u64,
        setup: &StreamPlan,
        operation: &Operation<'_>,
    ) -> Result<()> {
        // All tiles so far are full, because only the last tile of a stream may be shorter.
        let (count, start) = (to_u64(tiles.len()), to_u64(self.hashed.len()) * TILE_BYTES);
        // Room is reserved first, so that the sink cannot fail for lack of memory.
        reserve(&mut self.hashed, tiles.len())?;
        // Only the memory store keeps copies, and only of tiles in the caller's memory.
        let (spool, kept) = match &mut self.store {
            Store::Memory(kept) => (None, copy.then_some(kept)),
            Store::Spool(file) => (Some(&*file), None),
            Store::Nothing => (None, None),
        };
        let (copy, mut kept) = (kept.is_some(), kept);
        let (scheme, hashed) = (&setup.projection.scheme, &mut self.hashed);
        let first = start / TILE_BYTES;
        // With an accelerator a worker takes several tiles, which are in memory anyway.
        let offload = Offload::of(operation.executor, scheme, count).filter(Offload::is_shared);
        let runs = Runs::new(offload, count, operation.threads(), None)?;
        operation.workers(count, scheme.workspace(), held)?.in_runs(&runs.ends).run(
            count,
            || Ok((Workspace::default(), Ahead::default())),
            |(workspace, ahead), index| {
                // A worker sums, hashes and stores its tile.
                let bytes = tiles[to_usize(index)];
                let tile = |task| BatchTile::host(first + task, tiles[to_usize(task)]);
                let (residues, witness) = match ahead.hash(&runs, index, (scheme, workspace, false), tile)? {
                    Some(hash) => (hash.residues, hash.witness),
                    None => scheme.sum_and_witness(bytes, workspace)?,
                };
                let tile = Hashed { residues, len: bytes.len(), witness };
                if let Some(file) = spool {
                    // The worker writes the bytes while they are in its cache.
                    file.write_at(start + index * TILE_BYTES, bytes)?;
                }
                Ok((tile, if copy { Some(Buffer::copy_of(bytes)?) } else { None }))
            },
            |_, (tile, copied)| {
                // The sink keeps the tiles in order.
                hashed.push(tile);
                if let (Some(kept), Some(copied)) = (&mut kept, copied) {
                    reserve(kept, 1)?;
                    kept.push(copied);
                }
                Ok(())
            },
        )
    }

    /// Hashes the remaining bytes and makes the projection. The spool file gets its name last.
    pub(super) fn finish(
        mut self,
        setup: &StreamPlan,
        status: &SharedProgress,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasProjection> {
        self.hash_gathered(setup, operation)?;
        let held = self.account(0);
        // The last tile may be short.
        if let Some(filling) = self.filling.take().filter(|_| self.filled > 0) {
            let bytes = &filling[..self.filled];
            self.hash(&[bytes], false, held, setup, operation)?;
            if matches!(self.store, Store::Memory(_)) {
                let last = self.trimmed(filling, operation)?;
                if let Store::Memory(kept) = &mut self.store {
                    reserve(kept, 1)?;
                    kept.push(last);
                }
            }
        }
        // The total size is known only now.
        let mut tracker = ChunkTracker::new(operation, setup.config.chunk_size(), status);
        tracker.end_at(self.size);
        tracker.finish()?;

        // The stored bytes become the source of the projection.
        let (source, spool) = match self.store {
            Store::Memory(tiles) => (Source::from_tiles(tiles)?, None),
            Store::Spool(file) => (Source::from_storage(file.storage()?, file.target())?, Some(file)),
            Store::Nothing => (Source::from_reader(self.size, NotKept), None),
        };
        // The hashed tiles become extents of this source, with their known witnesses.
        let mut tiles = try_vec(self.hashed.len())?;
        let mut offset = 0;
        for hashed in self.hashed {
            let trust = Trust::Witnessed(hashed.witness);
            let extent = Extent::new(source.clone(), offset, hashed.len, hashed.residues, trust)?;
            offset += to_u64(hashed.len);
            tiles.push(Arc::new(Tile::whole_of(extent)));
        }
        let projection = setup.finish(tiles)?;
        // Nothing can fail after the rename.
        if let Some(file) = spool {
            file.persist().map_err(|failed| failed.1)?;
        }
        Ok(projection)
    }

    /// Returns the last tile, whose buffer is `filling`, without spare room if the memory allows a copy.
    fn trimmed(&self, filling: Buffer, operation: &Operation<'_>) -> Result<Buffer> {
        // Both buffers exist during the copy.
        let more = to_u64(filling.len() + self.filled);
        if self.filled == filling.len() || self.check_memory(more, operation).is_err() {
            return Ok(filling.truncated(self.filled));
        }
        Buffer::copy_of(&filling[..self.filled])
    }
}

/// Reserves room in a list for `more` items. A list that must grow grows by at least half.
fn reserve<T>(items: &mut Vec<T>, more: usize) -> Result<()> {
    if items.capacity() - items.len() >= more {
        return Ok(());
    }
    // Growth by half bounds both the number of copies and the spare room.
    let mut larger = try_vec(items.len() + more.max(items.len() / 2).max(8))?;
    larger.append(items);
    *items = larger;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::StreamingConfig;
    use super::*;
    use crate::exec::pool::Pool;
    use crate::tile::options::{ProjectionOptions, ProjectionType};

    /// Tiles are gathered first, because otherwise they would be hashed one after the other.
    #[test]
    fn pieces_of_a_tile_are_gathered_for_all_workers() {
        let pool = Pool::new(2).unwrap();
        let (threads, piece, status) = (pool.threads(), vec![3; TILE_SIZE], SharedProgress::default());
        let mut operation = Operation::new().with_pool(&pool);
        let options = ProjectionOptions::new();
        // With chunks smaller than a tile, four tiles are in flight.
        for (chunk, wanted) in [(16 << 20, 8), (64 << 10, 4)] {
            let config = StreamingConfig::new(chunk, 4).unwrap();
            let setup = StreamPlan::new(ProjectionType::Linear, &options, config).unwrap();
            let mut push = Push::open(&setup, Keep::Memory, &operation).unwrap();
            let wanted = if threads > 1 { wanted } else { 1 };
            assert_eq!(push.batch(&setup, &operation).unwrap(), wanted as u64);
            for count in 1..=wanted {
                push.push(&piece, &setup, &status, &mut operation).unwrap();
                let waiting = if threads > 1 { count } else { 0 };
                assert_eq!((push.gathered.len(), push.hashed.len()), (waiting, count - waiting));
            }
            push.push(&piece, &setup, &status, &mut operation).unwrap();
            assert_eq!(push.hashed.len(), if threads > 1 { wanted } else { 2 });
            let many = vec![3; TILE_SIZE * 2 * wanted];
            push.push(&many, &setup, &status, &mut operation).unwrap();
            let made = push.finish(&setup, &status, &mut operation).unwrap();
            assert_eq!(made.info().tile_count, 3 * wanted as u64 + 1);
            status.set(Progress::default());
        }
    }
}
