//! Tiles of a call that an accelerator hashes, and the checks of its results.
//!
//! Tiles in memory of the host are shared: the device gets its share in two batches, the calling thread hashes the
//! other tiles meanwhile, and the next share follows from the time that both took. A call with few such tiles, or with
//! a device that is too slow to pay, leaves them to the processor. Tiles in a buffer of the device are all hashed by
//! the device. The processor hashes the first tile of the device again, and every 1,024th after it, to check the
//! device. It therefore needs the bytes that the device had: a mapping, to which other processes can write, is copied
//! first.
//!
//! To share tiles, a worker needs several at a time. Calls whose tasks are single tiles have [`Runs`].

#![forbid(unsafe_code)]

use crate::accelerator::{Accelerator, Batch, DeviceBuffer, Hashed, Measured, RESIDUES, Running, Strings};
use crate::base::buffer::{Buffer, try_collect, try_push, try_vec};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::units::{GROUP_SIZE, TILE_SIZE, TileIndex, to_u64};
use crate::exec::pool::Executor;
use crate::hash::digest::{Digest, same};
use crate::hash::outboard::Outboard;
use crate::layer2::Residue;
use crate::source::Source;
use crate::tile::Tile;
use crate::tile::extent::GroupResidues;
use crate::tile::options::ProjectionType;
use crate::tile::scheme::{Scheme, Workspace};
use crate::tile::tree::{TileAt, Tree};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

mod runs;
pub(crate) use runs::{Ahead, Confirmed, Runs};

/// Number of tiles that the device hashes for each tile that the processor hashes again, to check the device.
const CHECKED: u64 = if cfg!(test) { 3 } else { 1024 };

/// Maximum number of tiles per task, if their bytes are in memory of the host: a thread then needs buffers of at
/// most 16 MiB.
pub(crate) const STRETCH: u64 = 16;

/// Minimum number of tiles in memory of the host for which a call uses the device. Fewer are hashed before a device
/// has begun.
const SHARED_MIN: u64 = 4;

/// A tile to hash: its index, and its bytes in memory of the host or on a device.
#[derive(Clone, Copy)]
pub(crate) struct BatchTile<'b> {
    /// Index of the tile in its tree, which errors name.
    pub(crate) index: u64,
    pub(crate) bytes: TileBytes<'b>,
}

/// Place of the bytes of a tile: memory of the host, or a buffer of a device.
#[derive(Clone, Copy)]
pub(crate) enum TileBytes<'b> {
    Host(&'b [u8]),
    Device(DeviceTile<'b>),
}

/// A tile whose bytes lie in a buffer of a device.
#[derive(Clone, Copy)]
pub(crate) struct DeviceTile<'b> {
    pub(crate) buffer: &'b DeviceBuffer,
    /// Offset of the tile's first byte in the range that `buffer` stands for.
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

impl<'b> BatchTile<'b> {
    /// Returns tile `index` with `bytes`, which are in memory of the host.
    pub(crate) fn host(index: u64, bytes: &'b [u8]) -> BatchTile<'b> {
        BatchTile { index, bytes: TileBytes::Host(bytes) }
    }
}

/// Result of hashing a tile: its residues, its witness and, on request, the chaining values of its groups.
pub(crate) struct TileHash {
    pub(crate) residues: GroupResidues,
    pub(crate) witness: Digest,
    /// Chaining values of the tile's groups of 16 KiB. Empty if they were not requested, or if the tile has a
    /// single group.
    pub(crate) groups: Vec<Digest>,
}

impl TileHash {
    /// Computes the residues and the witness of a tile on the processor, and with `with_groups` the chaining values
    /// of its groups.
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

/// The accelerator that a call uses to hash tiles, and the number of tiles that it has hashed for the call.
pub(crate) struct Offload<'a> {
    accelerator: &'a Arc<Accelerator>,
    /// True if the device also takes a share of the tiles whose bytes are in memory of the host.
    is_shared: bool,
    /// Number of tiles that the device has hashed for this call.
    hashed: AtomicU64,
}

/// A batch of tiles in a buffer of the device that the device hashes now.
struct InPlace<'t, 'a> {
    tiles: &'t [(u64, DeviceTile<'t>)],
    running: Running<'a>,
    /// Results of the processor for the tiles of the batch that are checked, each with the tile's position in the
    /// batch.
    expected: Vec<(usize, TileHash)>,
}

impl<'a> Offload<'a> {
    /// Returns the accelerator of `executor` for a call of `count` tiles. `None` if there is none, or if it cannot
    /// compute the witnesses of `scheme`, as for R96.
    pub(crate) fn of(executor: Executor<'a>, scheme: &Scheme, count: u64) -> Option<Offload<'a>> {
        // Nothing of this module is in a library without the feature.
        if !cfg!(feature = "opencl") {
            return None;
        }
        let accelerator = executor.accelerator()?;
        // The transform of R96 stays on the processor.
        let is_linear = scheme.kind() == ProjectionType::Linear;
        let is_shared = is_linear && count >= SHARED_MIN && accelerator.pays(STRETCH);
        is_linear.then(|| Offload { accelerator, is_shared, hashed: AtomicU64::new(0) })
    }

    /// Returns the accelerator for a projection of `source` with `count` tiles. `None` if it would hash none of them.
    pub(crate) fn of_source(
        executor: Executor<'a>,
        scheme: &Scheme,
        source: &Source,
        count: u64,
    ) -> Option<Offload<'a>> {
        let offload = Self::of(executor, scheme, count)?;
        // Tiles on the device take larger batches, and no memory.
        let is_shared = offload.is_shared && !offload.has_all(source);
        let takes_any = is_shared || source.lies_on(offload.accelerator);
        takes_any.then_some(Offload { is_shared, ..offload })
    }

    /// Returns the accelerator for the tiles of `tree`. `None` if it would hash none of them. The first tile
    /// decides whether the tiles count as lying on the device.
    pub(crate) fn of_tree(executor: Executor<'a>, scheme: &Scheme, tree: &Tree) -> Option<Offload<'a>> {
        let offload = Self::of(executor, scheme, tree.tiles())?;
        // A tree that cannot be loaded fails later.
        let first = tree.tile(TileIndex(0)).ok().flatten();
        let is_on_device = first.is_some_and(|at| offload.place_of(&at.tile).is_some());
        // Tiles on the device take larger batches, and no memory. Edited tiles between them are the processor's.
        let is_shared = offload.is_shared && !is_on_device;
        (is_shared || is_on_device).then_some(Offload { is_shared, ..offload })
    }

    /// True if all bytes of `source` lie in one buffer of the device.
    pub(crate) fn has_all(&self, source: &Source) -> bool {
        let size = usize::try_from(source.size()).unwrap_or(usize::MAX);
        source.device_range(self.accelerator, 0, size).is_some()
    }

    pub(crate) fn accelerator(&self) -> &'a Arc<Accelerator> {
        self.accelerator
    }

    /// True if the device takes a share of the tiles whose bytes are in memory of the host.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Returns the number of tiles per task if `threads` threads hash `count` tiles: at most `most`, but at least 1.
    pub(crate) fn stretch(&self, count: u64, threads: usize, most: u64) -> u64 {
        // Two tasks per thread at least, so that all threads end at about the same time.
        let wanted = count / (2 * to_u64(threads.max(1)));
        let batches = 2 * to_u64(self.accelerator.batch());
        // Tiles of the device go there in two batches. Those of a small task would leave most of the device idle.
        if !self.is_shared {
            let in_place = 2 * to_u64(self.accelerator.batch_in_place());
            return wanted.clamp(batches.min(in_place), in_place).min(most).max(1);
        }
        // The device takes two batches at a time, and the processor a tile at least.
        wanted.min(STRETCH).min(batches + 1).min(most).max(1)
    }

    /// Returns the `len` bytes at `offset` of `source` without a copy, if they are in memory. If the device takes a
    /// share of the tiles in memory, returns them only if no other process can change them.
    pub(crate) fn slice<'s>(
        offload: Option<&Offload<'_>>,
        source: &'s Source,
        offset: u64,
        len: usize,
    ) -> Option<&'s [u8]> {
        match offload {
            Some(offload) if offload.is_shared => source.fixed_slice(offset, len),
            _ => source.slice(offset, len),
        }
    }

    /// Hashes `tiles` on the device and the processor, and returns the results in order. `with_groups` requests the
    /// chaining values of their groups too.
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

    /// Hashes tiles in memory of the host, a share of them on the device, and appends the results to `found` in
    /// order.
    fn host(
        &self,
        scheme: &Scheme,
        tiles: &[(u64, &[u8])],
        with_groups: bool,
        workspace: &mut Workspace,
        found: &mut Vec<TileHash>,
    ) -> Result<()> {
        let accelerator = self.accelerator;
        let share = if self.is_shared { accelerator.share(tiles.len()) } else { 0 };
        let key = scheme.digests().tile_key();
        // Two batches, so that the second one is copied while the kernels of the first one run.
        let half = share.div_ceil(2).min(accelerator.batch());
        let copying = Instant::now();
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
        let hashing = Instant::now();
        let mut rest = try_vec(tiles.len() - taken)?;
        for (_, bytes) in &tiles[taken..] {
            rest.push(TileHash::of(scheme, bytes, with_groups, workspace)?);
        }
        let (copy_time, processor_time) =
            ((hashing - copying).as_secs_f64(), hashing.elapsed().as_secs_f64());
        let was_done = !rest.is_empty() && batches.iter().flatten().all(Running::is_done);
        let is_typical = batches.iter().flatten().all(Running::is_typical);
        let copied = |index: usize| Ok(tiles[index].1);
        let mut expected =
            self.expected(scheme, taken, with_groups, copied, workspace)?.into_iter().peekable();
        let mut of_device = try_vec(taken)?;
        for batch in batches.into_iter().flatten() {
            of_device.extend(batch.wait()?);
        }
        if self.is_shared && is_typical {
            let (device, processor, time) = (taken, rest.len(), copying.elapsed().as_secs_f64());
            accelerator.learn(Measured { device, processor, copy_time, processor_time, time, was_done });
        }
        // Results in order: those of the device come first.
        for (place, (hashed, (index, _))) in of_device.into_iter().zip(tiles).enumerate() {
            let expected = expected.next_if(|(checked, _)| *checked == place).map(|(_, hash)| hash);
            found.push(self.accept(*index, hashed, expected)?);
        }
        found.extend(rest);
        Ok(())
    }

    /// Hashes tiles in one buffer of the device on the device, and appends the results to `found` in order.
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
        let len = tiles.len().div_ceil(2).clamp(1, self.accelerator.batch_in_place());
        let mut before: Option<InPlace<'_, '_>> = None;
        for part in tiles.chunks(len) {
            let mut running = start(part, before.is_none())?;
            if let Some(before) = before.take() {
                self.finish(before, found)?;
            }
            // Without a second lane it follows when the first one is free.
            if running.is_none() {
                running = start(part, true)?;
            }
            if let Some(running) = running {
                // The processor gets a copy of the tiles that it checks.
                let copy = |place: usize| self.copy_of(part[place].1);
                let expected = self.expected(scheme, part.len(), with_groups, copy, workspace)?;
                before = Some(InPlace { tiles: part, running, expected });
            }
        }
        before.map_or(Ok(()), |before| self.finish(before, found))
    }

    /// Waits for a batch in a buffer of the device, and appends its checked results to `found`.
    fn finish(&self, batch: InPlace<'_, '_>, found: &mut Vec<TileHash>) -> Result<()> {
        let mut expected = batch.expected.into_iter().peekable();
        for (place, (hashed, (index, _))) in batch.running.wait()?.into_iter().zip(batch.tiles).enumerate() {
            let expected = expected.next_if(|(checked, _)| *checked == place).map(|(_, hash)| hash);
            found.push(self.accept(*index, hashed, expected)?);
        }
        Ok(())
    }

    /// Copies the bytes of a tile from a buffer of the device to memory of the host.
    fn copy_of(&self, tile: DeviceTile<'_>) -> Result<Buffer> {
        let mut copy = Buffer::new(tile.len)?;
        // A device that cannot be read has failed, as one that cannot hash.
        tile.buffer.read(tile.offset, OutBytes::new(&mut copy)).inspect_err(|error| {
            if error.kind() == ErrorKind::Io {
                self.accelerator.refuse();
            }
        })?;
        Ok(copy)
    }

    /// Hashes on the processor some of the next `count` tiles of the device, while the device hashes them all: the
    /// first tile of the call and every [`CHECKED`]th after it. `bytes` returns the bytes of a tile by its
    /// position. Returns positions and results.
    fn expected<B: Deref<Target = [u8]>>(
        &self,
        scheme: &Scheme,
        count: usize,
        with_groups: bool,
        bytes: impl Fn(usize) -> Result<B>,
        workspace: &mut Workspace,
    ) -> Result<Vec<(usize, TileHash)>> {
        let before = self.hashed.fetch_add(to_u64(count), Ordering::Relaxed);
        let mut expected = Vec::new();
        for place in (0..count).filter(|place| (before + to_u64(*place)).is_multiple_of(CHECKED)) {
            let hash = TileHash::of(scheme, &bytes(place)?, with_groups, workspace)?;
            try_push(&mut expected, (place, hash))?;
        }
        Ok(expected)
    }

    /// Converts the device's result for tile `index`. Fails with INTERNAL if it is invalid, or is not `expected`,
    /// the result of the processor for the same tile.
    fn accept(&self, index: u64, hashed: Hashed, expected: Option<TileHash>) -> Result<TileHash> {
        // A sum above 95 is none, on whatever tile.
        let mut residues = [Residue::ZERO; RESIDUES];
        for (residue, value) in residues.iter_mut().zip(hashed.residues) {
            *residue = Residue::new(value).ok_or_else(|| self.wrong(index))?;
        }
        let is_right = expected.is_none_or(|expected| {
            same(&expected.witness, &hashed.digest)
                && expected.residues.is_same(&residues)
                && expected.groups == hashed.groups
        });
        if !is_right {
            return Err(self.wrong(index));
        }
        let residues = GroupResidues::from_groups(residues.into_iter());
        Ok(TileHash { residues, witness: hashed.digest, groups: hashed.groups })
    }

    /// Returns the error for a wrong result of the device for tile `index`, and makes the accelerator refuse all
    /// later work.
    #[cold]
    fn wrong(&self, index: u64) -> AtlasError {
        self.accelerator.refuse();
        AtlasError::internal(format!(
            "the OpenCL device {} computed a wrong digest or sum of tile {index}: do not use this device",
            self.accelerator.info().name
        ))
        .at_index(index)
    }

    /// Hashes the tiles that lie on the device, and also the other tiles if the device takes a share of them. Returns
    /// for each tile true if its bytes match its witness and residue, or the error of its read.
    ///
    /// False means not confirmed: the caller must check the tile. `buffers` are reused by all calls of a worker.
    fn confirm(
        &self,
        scheme: &Scheme,
        tiles: &[Option<TileAt>],
        buffers: &mut Vec<Buffer>,
        workspace: &mut Workspace,
    ) -> Result<Vec<Result<bool>>> {
        let (mut batch, mut places) = (try_vec(tiles.len())?, try_vec(tiles.len())?);
        let mut confirmed: Vec<Result<bool>> = try_vec(tiles.len())?;
        confirmed.extend(tiles.iter().map(|_| Ok(false)));
        // Buffers for those that are neither in fixed memory nor on the device.
        let is_read = |at: &&TileAt| {
            self.is_shared && fixed_bytes(&at.tile).is_none() && self.place_of(&at.tile).is_none()
        };
        let count = tiles.iter().flatten().filter(is_read).count();
        while buffers.len() < count {
            try_push(buffers, Buffer::new(TILE_SIZE)?)?;
        }
        let mut buffers = buffers.iter_mut();
        for (place, at) in tiles.iter().enumerate() {
            // A tile without a witness is not confirmed.
            let Some(at) = at.as_ref().filter(|at| at.tile.witness().is_some()) else { continue };
            let bytes = match (self.place_of(&at.tile), fixed_bytes(&at.tile)) {
                (Some(tile), _) => TileBytes::Device(tile),
                // The processor checks it as without an accelerator.
                (None, _) if !self.is_shared => continue,
                (None, Some(bytes)) => TileBytes::Host(bytes),
                (None, None) => {
                    let Some(buffer) = buffers.next() else { continue };
                    let bytes = &mut buffer[..at.tile.len()];
                    match at.tile.read(0, bytes) {
                        Ok(()) => TileBytes::Host(bytes),
                        Err(error) => {
                            confirmed[place] = Err(error);
                            continue;
                        }
                    }
                }
            };
            batch.push(BatchTile { index: at.index.0, bytes });
            places.push(place);
        }
        for (place, hash) in places.into_iter().zip(self.hash(scheme, &batch, false, workspace)?) {
            if let Some(at) = &tiles[place] {
                let is_right = at.tile.witness().is_some_and(|expected| same(expected, &hash.witness));
                confirmed[place] = Ok(is_right && hash.residues.total() == at.tile.residue());
            }
        }
        Ok(confirmed)
    }

    /// Returns the range of a device's buffer in which a tile lies, or `None` if it does not lie in one.
    fn place_of<'t>(&self, tile: &'t Tile) -> Option<DeviceTile<'t>> {
        let (source, offset) = tile.whole()?.place();
        let (buffer, offset) = source.device_range(self.accelerator, offset, tile.len())?;
        Some(DeviceTile { buffer, offset, len: tile.len() })
    }
}

/// Returns the bytes of a tile without a copy, if it is one extent in memory that nothing else can change after a
/// check.
fn fixed_bytes(tile: &Tile) -> Option<&[u8]> {
    tile.whole()?.fixed_slice(&(0..tile.len()))
}

impl Scheme {
    /// Computes the residues and the witness of each of `tiles`, and passes them to `each` in order. An error of
    /// `each` ends the batch. Without an accelerator each tile is passed on before the next tile is hashed.
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
                return Err(AtlasError::internal(
                    "a defect of the library, please report it: a tile of a device has no accelerator",
                ));
            };
            let (residues, witness) = self.sum_and_witness(bytes, workspace)?;
            each(residues, witness)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "opencl")]
mod tests;
