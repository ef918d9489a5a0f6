//! Tiles of a call that an accelerator hashes, and the checks of what it returns.
//!
//! Tiles in memory of the host are shared: the device gets its part in two batches, the calling thread hashes the
//! others meanwhile, and the next share follows from the time that both took. Tiles in a buffer of the device are all
//! hashed there. The processor hashes the first tile of the device again, and every 1,024th after it.
//!
//! A worker of a call needs several tiles for that. Calls whose tasks are single tiles let a worker take a run of
//! them, and hash all of it at the first task ([`Ahead`]).

#![forbid(unsafe_code)]

use crate::accelerator::{Accelerator, Batch, DeviceBuffer, Hashed, Measured, RESIDUES, Running, Strings};
use crate::base::buffer::{Buffer, try_collect, try_filled, try_push, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::units::{GROUP_SIZE, TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::pool::Executor;
use crate::hash::digest::{Digest, same};
use crate::hash::outboard::Outboard;
use crate::layer2::Residue;
use crate::tile::Tile;
use crate::tile::extent::GroupResidues;
use crate::tile::options::ProjectionType;
use crate::tile::scheme::{Scheme, Workspace};
use crate::tile::tree::TileAt;
use std::collections::VecDeque;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Distance of the tiles of the device that are hashed again.
const CHECKED: u64 = 1024;

/// Maximum number of tiles of a task whose bytes are in memory of the host: two batches of the device, and as much
/// for the processor.
const STRETCH: u64 = 16;

/// A tile to hash.
#[derive(Clone, Copy)]
pub(crate) struct BatchTile<'b> {
    /// Number of the tile for errors.
    pub(crate) index: u64,
    pub(crate) bytes: TileBytes<'b>,
}

/// The bytes of a tile.
#[derive(Clone, Copy)]
pub(crate) enum TileBytes<'b> {
    Host(&'b [u8]),
    Device(DeviceTile<'b>),
}

/// A tile in a buffer of a device.
#[derive(Clone, Copy)]
pub(crate) struct DeviceTile<'b> {
    pub(crate) buffer: &'b DeviceBuffer,
    /// Its first byte in the range of the buffer.
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

impl<'b> BatchTile<'b> {
    /// Tile `index` with bytes in memory of the host.
    pub(crate) fn host(index: u64, bytes: &'b [u8]) -> BatchTile<'b> {
        BatchTile { index, bytes: TileBytes::Host(bytes) }
    }
}

/// Digest and sums of a tile.
pub(crate) struct TileHash {
    pub(crate) residues: GroupResidues,
    pub(crate) witness: Digest,
    /// Chaining values of the groups of a tile of several, if they were wanted.
    pub(crate) groups: Vec<Digest>,
}

impl TileHash {
    /// Hashes a tile on the processor.
    fn of(scheme: &Scheme, bytes: &[u8], with_groups: bool, workspace: &mut Workspace) -> Result<TileHash> {
        if !with_groups || bytes.len() <= GROUP_SIZE {
            let (residues, witness) = scheme.sum_and_witness(bytes, workspace)?;
            return Ok(TileHash { residues, witness, groups: Vec::new() });
        }
        let (outboard, witness, residues) = Outboard::with_residues(scheme.digests(), bytes)?;
        let groups = try_collect((0..bytes.len().div_ceil(GROUP_SIZE)).map(|group| outboard.group(group)))?;
        Ok(TileHash { residues: GroupResidues::from_groups(residues.into_iter()), witness, groups })
    }
}

/// The accelerator of a call.
pub(crate) struct Offload<'a> {
    accelerator: &'a Arc<Accelerator>,
    /// Number of tiles that the device has hashed for this call.
    hashed: AtomicU64,
}

impl<'a> Offload<'a> {
    /// Returns the accelerator of `executor`, if there is one and if it computes the witnesses of `scheme`.
    pub(crate) fn of(executor: Executor<'a>, scheme: &Scheme) -> Option<Offload<'a>> {
        let accelerator = executor.accelerator()?;
        // The transform of R96 stays on the processor.
        let is_linear = scheme.kind() == ProjectionType::Linear;
        is_linear.then(|| Offload { accelerator, hashed: AtomicU64::new(0) })
    }

    pub(crate) fn accelerator(&self) -> &'a Arc<Accelerator> {
        self.accelerator
    }

    /// Returns the number of tiles of a task, of `count` tiles for `threads` threads. `most` bounds it.
    pub(crate) fn stretch(&self, count: u64, threads: usize, most: u64) -> u64 {
        // Two tasks per thread at least, so that all threads end at about the same time.
        let wanted = count / (2 * to_u64(threads.max(1)));
        // The device takes two batches at a time, and the processor a tile at least.
        wanted.min(STRETCH).min(2 * to_u64(self.accelerator.batch()) + 1).min(most).max(1)
    }

    /// Hashes tiles. The results are in order.
    pub(crate) fn hash(
        &self,
        scheme: &Scheme,
        tiles: &[BatchTile<'_>],
        with_groups: bool,
        workspace: &mut Workspace,
    ) -> Result<Vec<TileHash>> {
        let mut found = try_vec(tiles.len())?;
        while let Some(first) = tiles.get(found.len()) {
            let rest = &tiles[found.len()..];
            match first.bytes {
                TileBytes::Host(_) => {
                    // All that follow in memory of the host.
                    let run = try_collect(rest.iter().map_while(|tile| match tile.bytes {
                        TileBytes::Host(bytes) => Some((tile.index, bytes)),
                        TileBytes::Device(_) => None,
                    }))?;
                    self.host(scheme, &run, with_groups, workspace, &mut found)?;
                }
                TileBytes::Device(first) => {
                    // All that follow in the same buffer.
                    let run = try_collect(rest.iter().map_while(|tile| match tile.bytes {
                        TileBytes::Device(at) if std::ptr::eq(at.buffer, first.buffer) => {
                            Some((tile.index, at))
                        }
                        _ => None,
                    }))?;
                    self.device(scheme, &run, with_groups, workspace, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    /// Hashes tiles in memory of the host, some of them on the device.
    fn host(
        &self,
        scheme: &Scheme,
        tiles: &[(u64, &[u8])],
        with_groups: bool,
        workspace: &mut Workspace,
        found: &mut Vec<TileHash>,
    ) -> Result<()> {
        let accelerator = self.accelerator;
        let (share, key) = (accelerator.share(tiles.len()), scheme.digests().tile_key());
        // Two batches, so that the second one is copied while the kernels of the first one run.
        let half = share.div_ceil(2).min(accelerator.batch());
        let (mut taken, mut batches): (usize, [Option<Running<'_>>; 2]) = (0, [None, None]);
        for (batch, len) in batches.iter_mut().zip([half, (share - half).min(half)]) {
            if len > 0 {
                let strings = try_collect(tiles[taken..taken + len].iter().map(|(_, bytes)| *bytes))?;
                let strings = Strings::Host(&strings);
                // All lanes may be busy with the batches of other threads.
                *batch = accelerator.start(&Batch { key, strings, with_groups }, false)?;
                taken += if batch.is_some() { len } else { 0 };
            }
        }
        // The processor hashes the rest meanwhile.
        let begin = Instant::now();
        let mut rest = try_vec(tiles.len() - taken)?;
        for (_, bytes) in &tiles[taken..] {
            rest.push(TileHash::of(scheme, bytes, with_groups, workspace)?);
        }
        let processor_time = begin.elapsed().as_secs_f64();
        let was_done = batches.iter().flatten().all(Running::is_done);
        // Results in order: those of the device come first.
        let mut of_device = tiles.iter();
        for batch in batches.into_iter().flatten() {
            for (hashed, (index, bytes)) in batch.wait()?.into_iter().zip(&mut of_device) {
                found.push(self.accept(scheme, *index, hashed, with_groups, || Ok(*bytes), workspace)?);
            }
        }
        if taken > 0 && !rest.is_empty() {
            let (processor, time) = (rest.len(), begin.elapsed().as_secs_f64());
            accelerator.learn(Measured { device: taken, processor, processor_time, time, was_done });
        }
        found.extend(rest);
        Ok(())
    }

    /// Hashes tiles in one buffer of the device.
    fn device(
        &self,
        scheme: &Scheme,
        tiles: &[(u64, DeviceTile<'_>)],
        with_groups: bool,
        workspace: &mut Workspace,
        found: &mut Vec<TileHash>,
    ) -> Result<()> {
        let start = |tiles: &[(u64, DeviceTile<'_>)], patiently| {
            let Some((_, first)) = tiles.first() else { return Ok(None) };
            let places = tiles.iter().map(|(_, tile)| (tile.buffer.place(tile.offset), tile.len));
            let ranges: &[(u64, usize)] = &try_collect(places)?;
            let (key, strings) =
                (scheme.digests().tile_key(), Strings::Device { buffer: first.buffer, ranges });
            self.accelerator.start(&Batch { key, strings, with_groups }, patiently)
        };
        // Two batches at a time, as far as there is a second lane.
        for part in tiles.chunks(2 * self.accelerator.batch()) {
            let (first, second) = part.split_at(part.len().div_ceil(2));
            let (running, beside) = (start(first, true)?, start(second, false)?);
            let mut done = try_vec(part.len())?;
            done.extend(running.map(Running::wait).transpose()?.into_iter().flatten());
            // Without a second lane the rest follows when the first one is free.
            let beside = match beside {
                None => start(second, true)?,
                started => started,
            };
            done.extend(beside.map(Running::wait).transpose()?.into_iter().flatten());
            for ((index, tile), hashed) in part.iter().zip(done) {
                // The processor gets a copy of the tiles that it checks.
                let read = || {
                    let mut copy = Buffer::new(tile.len)?;
                    tile.buffer.read(tile.offset, OutBytes::new(&mut copy))?;
                    Ok(copy)
                };
                found.push(self.accept(scheme, *index, hashed, with_groups, read, workspace)?);
            }
        }
        Ok(())
    }

    /// Converts the result of a tile, which the processor computes again for some of the tiles.
    fn accept<B: Deref<Target = [u8]>>(
        &self,
        scheme: &Scheme,
        index: u64,
        hashed: Hashed,
        with_groups: bool,
        bytes: impl FnOnce() -> Result<B>,
        workspace: &mut Workspace,
    ) -> Result<TileHash> {
        // A sum above 95 is none, on whatever tile.
        let mut residues = [Residue::ZERO; RESIDUES];
        for (residue, value) in residues.iter_mut().zip(hashed.residues) {
            *residue = Residue::new(value).ok_or_else(|| self.wrong(index))?;
        }
        if self.hashed.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKED) {
            let expected = TileHash::of(scheme, &bytes()?, with_groups, workspace)?;
            let is_right = same(&expected.witness, &hashed.digest)
                && expected.residues.is_same(&residues)
                && expected.groups == hashed.groups;
            if !is_right {
                return Err(self.wrong(index));
            }
        }
        let residues = GroupResidues::from_groups(residues.into_iter());
        Ok(TileHash { residues, witness: hashed.digest, groups: hashed.groups })
    }

    /// Returns the error for a wrong result, and refuses all later work.
    #[cold]
    fn wrong(&self, index: u64) -> AtlasError {
        self.accelerator.refuse();
        AtlasError::internal(format!(
            "the OpenCL device {} computed a wrong digest or sum of tile {index}",
            self.accelerator.info().name
        ))
        .at_index(index)
    }

    /// Hashes those of `tiles` that can be read, and returns for each whether its bytes are those that it commits to.
    ///
    /// A tile that is not confirmed is the caller's to check. `buffers` are those of the worker.
    fn confirm(
        &self,
        scheme: &Scheme,
        tiles: &[Option<TileAt>],
        buffers: &mut Vec<Buffer>,
        workspace: &mut Workspace,
    ) -> Result<Vec<bool>> {
        let (mut batch, mut places) = (try_vec(tiles.len())?, try_vec(tiles.len())?);
        // Buffers for those that are neither in memory nor on the device.
        let is_read = |at: &&TileAt| at.tile.slice().is_none() && self.place_of(&at.tile).is_none();
        let count = tiles.iter().flatten().filter(is_read).count();
        while buffers.len() < count {
            try_push(buffers, Buffer::new(TILE_SIZE)?)?;
        }
        let mut buffers = buffers.iter_mut();
        for (place, at) in tiles.iter().enumerate() {
            // Neither a tile without a witness nor one that cannot be read is confirmed.
            let Some(at) = at.as_ref().filter(|at| at.tile.witness().is_some()) else { continue };
            let bytes = match (at.tile.slice(), self.place_of(&at.tile)) {
                (Some(bytes), _) => TileBytes::Host(bytes),
                (None, Some(tile)) => TileBytes::Device(tile),
                (None, None) => {
                    let Some(buffer) = buffers.next() else { continue };
                    let bytes = &mut buffer[..at.tile.len()];
                    match at.tile.read(0, bytes) {
                        Ok(()) => TileBytes::Host(bytes),
                        Err(_) => continue,
                    }
                }
            };
            batch.push(BatchTile { index: at.index.0, bytes });
            places.push(place);
        }
        let mut confirmed = try_filled(false, tiles.len())?;
        for (place, hash) in places.into_iter().zip(self.hash(scheme, &batch, false, workspace)?) {
            if let Some(at) = &tiles[place] {
                let is_right = at.tile.witness().is_some_and(|expected| same(expected, &hash.witness));
                confirmed[place] = is_right && hash.residues.total() == at.tile.residue();
            }
        }
        Ok(confirmed)
    }

    /// Returns the place of a tile that lies in a buffer of the device.
    fn place_of<'t>(&self, tile: &'t Tile) -> Option<DeviceTile<'t>> {
        let (source, offset) = tile.whole()?.place();
        let (buffer, offset) = source.device_range(self.accelerator, offset, tile.len())?;
        Some(DeviceTile { buffer, offset, len: tile.len() })
    }
}

impl Scheme {
    /// Computes the residues and the witness of each of `tiles`, and passes them to `each` in order, whose error ends
    /// the batch. Without an accelerator each tile is passed on before the next one is hashed.
    pub(crate) fn witness_batch(
        &self,
        tiles: &[BatchTile<'_>],
        workspace: &mut Workspace,
        offload: Option<&Offload<'_>>,
        mut each: impl FnMut(GroupResidues, Digest) -> Result<()>,
    ) -> Result<()> {
        if let Some(offload) = offload {
            let found = offload.hash(self, tiles, false, workspace)?;
            return found.into_iter().try_for_each(|hash| each(hash.residues, hash.witness));
        }
        for tile in tiles {
            let TileBytes::Host(bytes) = tile.bytes else {
                return Err(AtlasError::internal("a tile of a device has no accelerator"));
            };
            let (residues, witness) = self.sum_and_witness(bytes, workspace)?;
            each(residues, witness)?;
        }
        Ok(())
    }
}

/// Runs of tasks of a tile each, in which a worker hashes several tiles at once. Empty without an accelerator.
#[derive(Default)]
pub(crate) struct Runs<'a> {
    offload: Option<Offload<'a>>,
    stretch: u64,
    /// See [`Order::runs`](crate::exec::pool::Order::runs).
    pub(crate) ends: Vec<u64>,
}

impl<'a> Runs<'a> {
    /// Returns the runs of `count` tasks on `threads` threads, or none without an accelerator. A run has at most as
    /// many tiles as there are in `memory` bytes.
    pub(crate) fn new(
        offload: Option<Offload<'a>>,
        count: u64,
        threads: usize,
        memory: u64,
    ) -> Result<Runs<'a>> {
        let Some(offload) = offload else { return Ok(Runs::default()) };
        let stretch = offload.stretch(count, threads, memory / TILE_BYTES);
        let ends = try_collect((1..=count.div_ceil(stretch)).map(|run| (run * stretch).min(count)))?;
        Ok(Runs { offload: Some(offload), stretch, ends })
    }

    /// Returns the size of the buffers of a worker for a run of tiles that are read.
    pub(crate) fn buffers(&self) -> u64 {
        self.stretch * TILE_BYTES
    }

    /// The rest of the run of a task.
    fn rest(&self, task: u64) -> Range<u64> {
        let run = task.checked_div(self.stretch).map_or(usize::MAX, to_usize);
        task..self.ends.get(run).map_or(task, |end| *end)
    }
}

/// Results for a run, which a worker makes at the first of its tasks.
pub(crate) struct Ahead<T> {
    /// Task of the first result.
    next: u64,
    ready: VecDeque<T>,
}

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Ahead { next: 0, ready: VecDeque::new() }
    }
}

impl<T> Ahead<T> {
    /// Returns the result for a task. `make` makes those of a range of tasks. `None` without an accelerator.
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
    /// Returns the hash of the tile of a task, with its chaining values if they are wanted. `tile` returns the tile
    /// of a task. `None` without an accelerator.
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

/// Tiles of a run that were confirmed at its first task.
#[derive(Default)]
pub(crate) struct Confirmed {
    ahead: Ahead<bool>,
    buffers: Vec<Buffer>,
}

impl Confirmed {
    /// Returns true if the tile of a task has the bytes that it commits to. False leaves the check to the caller, as
    /// does a `tile` without a tile for a task.
    pub(crate) fn take(
        &mut self,
        runs: &Runs<'_>,
        task: u64,
        (scheme, workspace): (&Scheme, &mut Workspace),
        tile: impl Fn(u64) -> Option<TileAt>,
    ) -> Result<bool> {
        let buffers = &mut self.buffers;
        let found = self.ahead.take(runs, task, |offload, tasks| {
            offload.confirm(scheme, &try_collect(tasks.map(tile))?, buffers, workspace)
        })?;
        Ok(found.unwrap_or(false))
    }
}
