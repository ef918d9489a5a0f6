//! Import of a source into a container: hashes its tiles and stores them as a new generation, in one pass.
//!
//! ```text
//! workers    read a tile, sum and hash it, check if the newest generation has it, encode it
//! caller     lays the tiles out in order, 32 to a leaf, and the nodes above as they fill up
//! ```
//!
//! An import of regions reads only the tiles that the regions touch. All other tiles are taken from the newest
//! generation, node by node if possible, so that the cost depends on the changes and on one path from the top of the
//! tree. Tiles in holes of a sparse source are known to be zeros and are not read.

use super::batch::{self, NewCommit};
use super::body::{BODY_MEMORY, Body, Laid, Placed, PlacedTile, Stop};
use super::encoded::{EncodedRun, Encoder};
use super::filler::{Filled, Filler};
use super::records::MAX_TILES;
use super::seal::CHAINS;
use super::{CommitOptions, Container};
use crate::base::buffer::{Buffer, try_collect, try_grow, try_vec};
use crate::base::error::{AtlasError, Result, check_range};
use crate::base::ranges::{Ranges, Steps};
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, TILE_BYTES, TILE_SIZE, TileIndex, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::{Digest, Digests};
use crate::hash::outboard::Outboard;
use crate::layer2::Residue;
use crate::shard::AtlasBoundaryRegion;
use crate::source::Source;
use crate::tile::offload::{Ahead, BatchTile, Offload, Runs, TileHash};
use crate::tile::scheme::Workspace;
use crate::tile::stored::{Span, SpanKind, TileEntry, TilePlace};
use crate::tile::tree::{Children, Node, Tree};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Maximum number of tiles that workers hash ahead of the next tile to lay out.
const WINDOW: u64 = 16;

/// Tile of an import: its length, residue, witness and chaining values, and the payload to store for it.
struct Imported {
    len: u32,
    residue: Residue,
    witness: Digest,
    chaining_values: Vec<Digest>,
    payload: Payload,
}

enum Payload {
    /// The newest generation has an equal tile, stored at this place, to which the new generation refers.
    Before(TilePlace),
    /// The source is the base: the bytes stay there, at this offset, and are not stored.
    Base(u64),
    Zeros,
    Bytes(Buffer),
    Encoded(EncodedRun),
    /// The bytes to store are at this offset of the source, which is memory that does not change.
    InPlace(u64),
}

impl Container {
    /// Projects and stores `source` as the newest generation, in one pass, in memory bounded by the number of workers.
    ///
    /// If the source is the container's base, or another source of the same file, its bytes stay there and only digests
    /// are stored. A tile equal to the newest generation's tile of the same index is reused. Returns the generation's
    /// number. Fails as [`commit`](Self::commit) does, and with the errors of reading.
    pub fn import(
        &self,
        source: &Source,
        options: &CommitOptions,
        operation: &mut Operation<'_>,
    ) -> Result<u64> {
        self.import_some(source, None, options, operation)
    }

    /// Imports like [`import`](Self::import) a `source` that differs from the newest generation only in
    /// `regions` and, if the sizes differ, after the end of the shorter domain.
    ///
    /// Only tiles that a region touches are read, and the tail if the size differs; all other tiles are taken
    /// from the newest generation, unchecked. The regions may overlap and come in any order. Fails with
    /// INVALID_ARGUMENT if the newest generation has other tiles than an import makes, because an edit
    /// changed its length; with OUT_OF_RANGE for a region outside the source.
    pub fn import_regions(
        &self,
        source: &Source,
        regions: &[AtlasBoundaryRegion],
        options: &CommitOptions,
        operation: &mut Operation<'_>,
    ) -> Result<u64> {
        self.import_some(source, Some(regions), options, operation)
    }

    fn import_some(
        &self,
        source: &Source,
        regions: Option<&[AtlasBoundaryRegion]>,
        options: &CommitOptions,
        operation: &mut Operation<'_>,
    ) -> Result<u64> {
        self.change(options, |log| {
            // The limits of the format are checked before anything is read.
            let size = source.size();
            if size >= 1 << 63 || size.div_ceil(TILE_BYTES) > MAX_TILES {
                return Err(AtlasError::limit(format!(
                    "a source of {size} bytes is too large: a container has at most 2^63 - 1 bytes in \
                     2^44 tiles"
                ))
                .into());
            }
            let file = Arc::clone(&log.file);
            let tip = log.located.tip.as_ref();
            let base = lock(&self.base).clone();
            // If the source reads the same file as the base, its bytes stay there, and only digests are
            // stored.
            let of_base = base.as_ref().is_some_and(|base| base.is_same(source));
            let old = match tip {
                // Tiles that are not read are taken from the newest generation, so that it must be readable.
                Some(tip) if regions.is_some() => {
                    self.check_commit(&file, tip)?;
                    self.state(&file, tip)?.tree.clone()
                }
                // If the newest generation cannot be read, a whole import still works, because it takes
                // nothing from it.
                Some(tip) if self.check_commit(&file, tip).is_ok() => self.state(&file, tip)?.tree.clone(),
                Some(_) | None => Tree::default(),
            };
            // The tiles that are taken from the source.
            let taken = match regions {
                None => std::iter::once(0..size.div_ceil(TILE_BYTES)).collect(),
                Some(regions) => touched(&old, size, regions)?,
            };
            // Tiles that lie wholly in holes are not read.
            let read = match source.data_map().filter(|_| !taken.is_empty()) {
                Some(map) => Steps::new(taken.iter().flat_map(|tiles| map.tiles_within(tiles)), 1)?,
                None => Steps::new(taken.iter().cloned(), 1)?,
            };
            let keeps_chains = file.ident.has(CHAINS);
            let import = Import {
                container: self,
                source,
                of_base,
                old: &old,
                keeps_chains,
                taken,
                read,
                zeros: OnceLock::new(),
            };
            // A large body is in the file already, so that a failure must cut it off.
            let (body, imported) = match import.lay_out(&file, &log.located, options.note.len(), operation) {
                Ok(done) => done,
                Err(error) => return Err(batch::undo(&file, &log.located, error)),
            };
            // The policy is checked now, because the sum is known only after the pass over the source.
            if let Err(error) = self.check_sum(imported.residue) {
                return Err(batch::undo(&file, &log.located, error));
            }
            // The address space must cover every BASE place of the new tree.
            let attached = base.as_ref().map(Source::size);
            let before = tip.map_or(0, |tip| tip.base_size);
            let base_size = match attached {
                Some(attached) if of_base => attached.max(size),
                Some(attached) => attached,
                None => before,
            };
            // Tiles that were not read may lie anywhere in the base of the newest generation.
            let base_size = if regions.is_some() { base_size.max(before) } else { base_size };
            let Filled { root, top, .. } = imported;
            let new = NewCommit { time: options.time, note: options.note.clone(), base_size, root, top };
            let commit = batch::commit(&file, &mut log.located, body, new, None)?;
            Ok(commit.generation)
        })
    }
}

/// Returns the indices of the tiles that an import of `regions` takes from a source of `size` bytes: the tiles that a
/// region touches and, if `old` has another size, the tiles from the end of the smaller domain on. Fails with
/// INVALID_ARGUMENT if a tile of `old` other than the last is shorter than 1 MiB.
fn touched(old: &Tree, size: u64, regions: &[AtlasBoundaryRegion]) -> Result<Vec<Range<u64>>> {
    // Tiles of the source and of the old tree have the same indices only if both are cut at each MiB.
    if !has_imported_tiles(old)? {
        return Err(AtlasError::invalid_argument(
            "regions can be imported only if all tiles of the newest generation but the last have 1 MiB, \
             and an edit made some shorter: import the whole source",
        ));
    }
    let mut touched = Ranges::default();
    // The regions are merged, because they may overlap and come in any order.
    for (index, region) in (0..).zip(regions) {
        check_range(region.offset, region.length, size, "region").map_err(|error| error.at_index(index))?;
        if region.length > 0 {
            touched.add(region.offset / TILE_BYTES..region.end().div_ceil(TILE_BYTES));
        }
    }
    // The last tile of the shorter domain changes too, unless it is full.
    if size != old.bytes() {
        touched.add(size.min(old.bytes()) / TILE_BYTES..size.div_ceil(TILE_BYTES));
    }
    try_collect(touched.iter())
}

/// Returns true if all tiles of a tree but the last have 1 MiB, as after an import. Loads only the right edge.
fn has_imported_tiles(tree: &Tree) -> Result<bool> {
    // Only the right edge is loaded: the sums of other nodes show that their tiles are full.
    let mut next = tree.top_node().cloned();
    while let Some(node) = next.take() {
        let children = node.children()?;
        match &*children {
            Children::Tiles(tiles) => {
                // The last tile of the domain may be shorter.
                let full = tiles.split_last().map_or(&[][..], |(_, full)| full);
                return Ok(full.iter().all(|tile| tile.len() == TILE_SIZE));
            }
            Children::Nodes(nodes) => {
                let Some((last, full)) = nodes.split_last() else { return Ok(true) };
                if !full.iter().all(has_full_tiles) {
                    return Ok(false);
                }
                // If the last node is full, all tiles below it are full, and the walk ends.
                next = (!has_full_tiles(last)).then(|| Arc::clone(last));
            }
        }
    }
    Ok(true)
}

/// Returns true if all tiles under a stored node have 1 MiB. Compares only the number of tiles and bytes in the node's
/// entry, because no tile is larger.
fn has_full_tiles(node: &Arc<Node>) -> bool {
    node.stored().is_some_and(|(_, place)| place.tiles.checked_mul(TILE_BYTES) == Some(place.bytes))
}

/// Import in progress: the source, the tree of the newest generation, and the choice of tiles from each.
struct Import<'i> {
    container: &'i Container,
    source: &'i Source,
    of_base: bool,
    /// Tree of the newest generation, empty if there is none that can be read.
    old: &'i Tree,
    keeps_chains: bool,
    /// Indices of the tiles taken from the source, ascending. All others are taken from the newest generation.
    taken: Vec<Range<u64>>,
    /// Tiles of `taken` that are read, one per step. The other tiles of `taken` lie in holes of the source.
    read: Steps,
    /// Witness and chaining values of 1 MiB of zeros, computed at first use.
    zeros: OnceLock<(Digest, Vec<Digest>)>,
}

/// Called with index and length of each tile of the source that is laid out. Its error cancels the import.
type TileDone<'d> = dyn FnMut(u64, u32) -> Result<()> + 'd;

/// Tile hashed ahead by an accelerator: its bytes (`None` if they are fixed memory of the source), and its digests.
type Known = (Option<Buffer>, TileHash);

#[derive(Default)]
struct Worker {
    workspace: Workspace,
    encoder: Option<Encoder>,
}

impl Import<'_> {
    fn lay_out(
        &self,
        file: &super::ContainerFile,
        located: &super::Located,
        note: usize,
        operation: &mut Operation<'_>,
    ) -> Result<(super::body::Finished, Filled)> {
        let scheme = &self.container.context.scheme;
        let count = self.read.len();
        // Memory that does not change is hashed and written without a copy.
        let in_place = self.source.is_fixed() && self.source.in_memory();
        // Memory of a worker: the buffer of a tile, and an encoder.
        let encoding = match &self.container.options.compression {
            Some(config) => Encoder::footprint(config)?,
            None => 0,
        };
        let per_worker = if in_place { 0 } else { TILE_BYTES } + scheme.workspace() + encoding;
        // The batch, the tiles of a small batch that may be laid out again, and an encoded record.
        let fixed = BODY_MEMORY
            + if in_place { 0 } else { 2 * TILE_BYTES }
            + if encoding == 0 { 0 } else { 2 * TILE_BYTES };
        let (executor, threads) = (operation.executor, operation.threads());
        // With an accelerator a worker reads several tiles and hashes them at once, within its part of the window.
        let part = (WINDOW / to_u64(threads)).max(1) * TILE_BYTES;
        let left = operation.memory_left(per_worker + fixed).min(part * to_u64(threads));
        // Bytes on a device are copied for the file anyway.
        let offload = Offload::of(executor, scheme, count).filter(Offload::is_shared);
        let runs = Runs::new(offload, count, threads, (!in_place).then_some(left))?;
        let per_worker = per_worker + runs.buffers();
        let workers = operation.workers(count, per_worker, fixed)?;
        // The window bounds the finished tiles that wait for an earlier tile, each with its bytes.
        let taken = fixed.saturating_add(per_worker.saturating_mul(to_u64(workers.count())));
        let spare = match (in_place, encoding) {
            (true, 0) => WINDOW,
            _ => operation.memory_left(taken) / TILE_BYTES,
        };
        let window = WINDOW.min(spare.saturating_add(to_u64(workers.count())));
        let workers = workers.within(window).in_runs(&runs.ends);
        let (bytes, tiles) = self.taken_in_all();
        let mut tracker = operation.tracker(bytes, tiles);
        // Tiles that are laid out again in a large batch are reported once.
        let mut next = 0;
        let mut done = |index: u64, len: u32| {
            if index < next {
                return Ok(());
            }
            next = index + 1;
            tracker.advance(u64::from(len), 1)
        };
        let (commit, record) = (located.end(file), super::records::commit_size(note));
        let new_filler = |is_large| Filler::new(self.old, Body::new(file, commit, record, is_large));
        // A small batch is tried first, because its size is known only at the end.
        let mut filler = new_filler(false);
        // Tiles of a small batch so far, until it turns out to be too large.
        let mut retained: Option<Vec<(u64, Imported)>> = Some(Vec::new());
        // Workers read, hash and encode; this thread lays out the tiles in order.
        workers.run(
            count,
            || {
                let worker = Worker { workspace: Workspace::default(), encoder: self.container.encoder()? };
                Ok((worker, Ahead::default()))
            },
            |(worker, ahead), task| {
                let index = self.read.nth(task).start;
                // Tasks are the tiles that are read, in ascending order.
                let known = ahead.take(&runs, task, |offload, tasks| {
                    self.hash_ahead(offload, tasks, &mut worker.workspace)
                })?;
                let tile = known.transpose().and_then(|known| self.tile(index, worker, known));
                tile.map_err(|error| error.at_index(index))
            },
            |task, tile| {
                let index = self.read.nth(task).start;
                // A batch that turns out too large is laid out again from its first tile on.
                match self.push(&mut filler, index, &tile, &mut done) {
                    // While the batch is small its tiles are retained for a second layout, at most 1 MiB of payload.
                    Ok(()) => {
                        if let Some(retained) = &mut retained {
                            try_grow(retained, 1)?;
                            retained.push((index, tile));
                        }
                    }
                    Err(Stop::Failed(error)) => return Err(error),
                    Err(Stop::Large) => {
                        filler = new_filler(true);
                        for (index, tile) in retained.take().iter().flatten() {
                            self.push(&mut filler, *index, tile, &mut done).map_err(only_failed)?;
                        }
                        self.push(&mut filler, index, &tile, &mut done).map_err(only_failed)?;
                    }
                }
                Ok(())
            },
        )?;
        // The last nodes too may make the batch too large.
        let finished = match self.finish(filler, &mut done) {
            Ok(finished) => finished,
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Large) => {
                let mut filler = new_filler(true);
                for (index, tile) in retained.take().iter().flatten() {
                    self.push(&mut filler, *index, tile, &mut done).map_err(only_failed)?;
                }
                self.finish(filler, &mut done).map_err(only_failed)?
            }
        };
        tracker.finish()?;
        Ok(finished)
    }

    /// Returns the number of bytes and the number of tiles that are taken from the source.
    fn taken_in_all(&self) -> (u64, u64) {
        // The last tile ends with the source.
        let end = |tile: u64| tile.saturating_mul(TILE_BYTES).min(self.source.size());
        let bytes = self.taken.iter().map(|tiles| end(tiles.end) - end(tiles.start)).sum();
        (bytes, self.taken.iter().map(|tiles| tiles.end - tiles.start).sum())
    }

    /// Adds to the tree all tiles before `index` that need no read, and then `tile`, which has this index.
    fn push(
        &self,
        filler: &mut Filler<'_, '_>,
        index: u64,
        tile: &Imported,
        done: &mut TileDone<'_>,
    ) -> Laid<()> {
        // The filler takes tiles strictly in order.
        self.fill_until(filler, index, done)?;
        self.push_tile(filler, tile)?;
        Ok(done(index, tile.len)?)
    }

    fn push_tile(&self, filler: &mut Filler<'_, '_>, tile: &Imported) -> Laid<()> {
        let place = match tile.span(&mut filler.body, self.source)? {
            Ok(span) => Placed::Now(vec![span], tile.chaining_values.clone()),
            // A place in the newest generation may be a record, which a span cannot express.
            Err(before) => Placed::Before(before),
        };
        let Imported { len, residue, witness, .. } = *tile;
        filler.push(self.digests(), PlacedTile { len, residue, witness, place })
    }

    /// Adds to the tree the tiles before tile `end` that need no read: zeros for holes of the source, and tiles of the
    /// newest generation.
    fn fill_until(&self, filler: &mut Filler<'_, '_>, end: u64, done: &mut TileDone<'_>) -> Laid<()> {
        while filler.tiles() < end {
            let at = filler.tiles();
            // The next range of tiles that are taken from the source, or an empty range at `end`.
            let taken = self.taken.partition_point(|tiles| tiles.end <= at);
            let taken =
                self.taken.get(taken).map_or(end..end, |tiles| tiles.start.min(end)..tiles.end.min(end));
            // Before that range lie tiles of the newest generation.
            self.keep_until(filler, taken.start)?;
            // Within the range a tile that is not read lies in a hole.
            for index in filler.tiles()..taken.end {
                let tile = self.zeros(index)?;
                self.push_tile(filler, &tile)?;
                done(index, tile.len)?;
            }
        }
        Ok(())
    }

    /// Returns tile `index` of the source, which lies in a hole, as zeros without a read.
    fn zeros(&self, index: u64) -> Result<Imported> {
        let (offset, len) = self.place_of(index);
        // The digests of a full tile of zeros are computed once; only the last tile has another length.
        let (witness, chaining_values) = match self.zeros.get().filter(|_| len == TILE_SIZE) {
            Some(known) => known.clone(),
            None => {
                let scheme = &self.container.context.scheme;
                let witness = scheme.witness_of_zeros(len, &mut Workspace::default())?;
                let values = if self.keeps_chains && len > GROUP_SIZE {
                    chaining_values(&Outboard::with_residues(self.digests(), &Buffer::zeros(len)?)?.0, len)
                } else {
                    Vec::new()
                };
                if len == TILE_SIZE {
                    self.zeros.get_or_init(|| (witness, values.clone()));
                }
                (witness, values)
            }
        };
        // A tile has at most 1 MiB.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        // A tile in a hole of the base refers to the base like any other tile of the base.
        let payload = match self.place_before(index, offset, (len, Residue::ZERO, &witness))? {
            Some(place) => Payload::Before(place),
            None if self.of_base => Payload::Base(offset),
            None => Payload::Zeros,
        };
        Ok(Imported { len, residue: Residue::ZERO, witness, chaining_values, payload })
    }

    /// Returns the offset in the source and the length of tile `index`.
    fn place_of(&self, index: u64) -> (u64, usize) {
        let offset = index * TILE_BYTES;
        (offset, to_usize(TILE_BYTES.min(self.source.size() - offset)))
    }

    /// Adds to the tree the tiles of the newest generation before tile `end`, whole nodes if possible.
    fn keep_until(&self, filler: &mut Filler<'_, '_>, end: u64) -> Laid<()> {
        while filler.tiles() < end {
            // Whole nodes are added first, so that the cost depends on the changes.
            if filler.push_old(self.digests(), end)? {
                continue;
            }
            // At the edges of a change the tiles are taken over singly, and their leaf is written again.
            let index = TileIndex(filler.tiles());
            let old = self.old.tile(index)?;
            let entry = old.as_ref().and_then(|old| old.tile.stored());
            let entry = entry.ok_or_else(|| {
                AtlasError::internal(format!(
                    "a defect of the library, please report it: tile {index} is not stored"
                ))
            })?;
            let TileEntry { len, residue, place, witness } = *entry;
            let place = Placed::Before(place);
            filler.push(self.digests(), PlacedTile { len, residue, witness, place })?;
        }
        Ok(())
    }

    fn finish(
        &self,
        mut filler: Filler<'_, '_>,
        done: &mut TileDone<'_>,
    ) -> Laid<(super::body::Finished, Filled)> {
        // Tiles after the last tile that was read.
        self.fill_until(&mut filler, self.source.size().div_ceil(TILE_BYTES), done)?;
        let (body, filled) = filler.finish(self.digests(), self.container.context.scheme.root_kind())?;
        Ok((body.finish()?, filled))
    }

    fn digests(&self) -> &Digests {
        self.container.context.scheme.digests()
    }

    /// Reads the tiles of these tasks from the source, and hashes them together on an accelerator. The result of a tile
    /// that cannot be read is the error.
    fn hash_ahead(
        &self,
        offload: &Offload<'_>,
        tasks: Range<u64>,
        workspace: &mut Workspace,
    ) -> Result<Vec<Result<Known>>> {
        let indices = try_collect(tasks.map(|task| self.read.nth(task).start))?;
        // Nothing is read of fixed memory.
        let mut read = try_vec(indices.len())?;
        for index in &indices {
            let (offset, len) = self.place_of(*index);
            read.push(match self.source.fixed_slice(offset, len) {
                Some(_) => Ok(None),
                None => {
                    let mut buffer = Buffer::new(TILE_SIZE)?.truncated(len);
                    self.source.read(offset, &mut buffer).map(|()| Some(buffer))
                }
            });
        }
        let mut batch = try_vec(indices.len())?;
        for (index, buffer) in indices.iter().zip(&read) {
            let (offset, len) = self.place_of(*index);
            let bytes = match buffer {
                Err(_) => continue,
                Ok(Some(buffer)) => &buffer[..],
                Ok(None) => self.source.fixed_slice(offset, len).unwrap_or_default(),
            };
            batch.push(BatchTile::host(*index, bytes));
        }
        let scheme = &self.container.context.scheme;
        let mut hashes = offload.hash(scheme, &batch, self.keeps_chains, workspace)?.into_iter();
        let missing =
            || AtlasError::internal("a defect of the library, please report it: a tile was not hashed");
        let known = read.into_iter().map(|buffer| Ok((buffer?, hashes.next().ok_or_else(missing)?)));
        try_collect(known)
    }

    /// Reads, sums and hashes tile `index` of the source, unless `known` has its bytes and digests already. Also
    /// chooses its payload: stored before, in the base, zeros, compressed or plain.
    fn tile(&self, index: u64, worker: &mut Worker, known: Option<Known>) -> Result<Imported> {
        let (offset, len) = self.place_of(index);
        let (mut buffer, hash) = known.map_or((None, None), |(buffer, hash)| (buffer, Some(hash)));
        // Fixed memory is hashed in place; other sources are read into a buffer.
        let bytes = match (&mut buffer, self.source.fixed_slice(offset, len)) {
            (Some(buffer), _) => &buffer[..],
            (None, Some(bytes)) => bytes,
            (place @ None, None) => {
                let buffer = place.insert(Buffer::new(TILE_SIZE)?.truncated(len));
                self.source.read(offset, buffer)?;
                &buffer[..]
            }
        };
        let scheme = &self.container.context.scheme;
        // Chaining values come from the same pass as the witness.
        let is_chained = self.keeps_chains && len > GROUP_SIZE;
        let (residue, witness, chaining_values) = if let Some(hash) = hash {
            (hash.residues.total(), hash.witness, hash.groups)
        } else if is_chained {
            let (outboard, witness, residues) = Outboard::with_residues(scheme.digests(), bytes)?;
            (residues.iter().copied().sum(), witness, chaining_values(&outboard, len))
        } else {
            let (residues, witness) = scheme.sum_and_witness(bytes, &mut worker.workspace)?;
            (residues.total(), witness, Vec::new())
        };
        // A tile has at most 1 MiB.
        let len32 = u32::try_from(len).unwrap_or(u32::MAX);
        let done = |payload| Imported { len: len32, residue, witness, chaining_values, payload };
        // The cheapest payload comes first: a known place, the base, zeros, encoded bytes.
        if let Some(place) = self.place_before(index, offset, (len32, residue, &witness))? {
            return Ok(done(Payload::Before(place)));
        }
        if self.of_base {
            return Ok(done(Payload::Base(offset)));
        }
        if residue == Residue::ZERO && bytes.iter().all(|byte| *byte == 0) {
            return Ok(done(Payload::Zeros));
        }
        if let Some(encoder) = &mut worker.encoder
            && let Some(run) = encoder.encode(bytes)?
        {
            return Ok(done(Payload::Encoded(run)));
        }
        // Bytes that do not compress are written unencoded.
        Ok(done(match buffer {
            Some(buffer) => Payload::Bytes(buffer),
            None => Payload::InPlace(offset),
        }))
    }

    /// Returns the place of tile `index` in the newest generation if length, residue and witness are equal. `None`
    /// otherwise. Also `None` if stored bytes lie in the base, unless the source is the base and has these bytes at the
    /// same offset.
    fn place_before(
        &self,
        index: u64,
        offset: u64,
        (len, residue, witness): (u32, Residue, &Digest),
    ) -> Result<Option<TilePlace>> {
        // The domain grew: there is no old tile to compare with.
        if index >= self.old.tiles() {
            return Ok(None);
        }
        let Some(old) = self.old.tile(TileIndex(index))? else { return Ok(None) };
        // The digests decide: the bytes of the old tile are not read.
        let Some(stored) = old.tile.whole().and_then(|extent| extent.stored_tile()) else { return Ok(None) };
        let entry = &stored.entry;
        // Length and residue are compared too, because the witness alone does not prove the residue.
        if (entry.len, entry.residue, &entry.witness) != (len, residue, witness) {
            return Ok(None);
        }
        let spans = stored.spans()?;
        // A place in the base is kept only if the source is the base and the bytes lie at the same offset.
        let mut at = offset;
        for span in &spans.spans {
            if span.kind == SpanKind::Base && !(self.of_base && span.place == at) {
                return Ok(None);
            }
            at += u64::from(span.len);
        }
        Ok(Some(entry.place))
    }
}

fn chaining_values(outboard: &Outboard, len: usize) -> Vec<Digest> {
    (0..len.div_ceil(GROUP_SIZE)).map(|group| outboard.group(group)).collect()
}

impl Imported {
    /// Appends the payload of the tile to the body of the batch, and returns the tile's span. `Err` holds the place of
    /// a tile that the newest generation has.
    fn span(&self, body: &mut Body<'_>, source: &Source) -> Laid<std::result::Result<Span, TilePlace>> {
        let span = |kind, place| Ok(Span { kind, place, start: 0, len: self.len });
        Ok(match &self.payload {
            Payload::Before(place) => Err(*place),
            Payload::Base(place) => span(SpanKind::Base, *place),
            Payload::Zeros => span(SpanKind::Zeros, 0),
            Payload::Bytes(bytes) => span(SpanKind::Raw, body.run(bytes)?),
            Payload::Encoded(run) => span(SpanKind::Encoded, run.lay_out(body)?),
            // Memory of the source is copied to the file only here.
            Payload::InPlace(offset) => {
                let bytes = source.fixed_slice(*offset, to_usize(u64::from(self.len)));
                let bytes = bytes.ok_or_else(|| {
                    AtlasError::internal(
                        "a defect of the library, please report it: the bytes of a source are no longer in \
                         memory",
                    )
                })?;
                span(SpanKind::Raw, body.run(bytes)?)
            }
        })
    }
}

fn only_failed(stop: Stop) -> AtlasError {
    match stop {
        Stop::Failed(error) => error,
        Stop::Large => AtlasError::internal(
            "a defect of the library, please report it: the body of a large batch was refused as too large",
        ),
    }
}
