//! Witnesses of edited tiles, computed from the groups of 16 KiB that changed, and only from verified bytes.
//!
//! ```text
//! for each group of the tile, its chaining value:
//! shared with the tile before the edit, whose outboard is available:   the value in that outboard
//! a whole group of an extent of the source:                            the value in the extent's outboard
//! else:  copy the bytes of its pieces and hash them. Bytes of the source are checked in the same
//!        pass: against the outboard of their extent, or the whole extent against its witness.
//! ```
//!
//! The outboard of an extent (a range of a source) has the chaining values of its groups. It is made when the extent
//! is checked against its witness, so that it represents the projected bytes, even if the source has other bytes now.

#![forbid(unsafe_code)]

use crate::base::buffer::{Buffer, try_collect, try_push, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::units::{GROUP_SIZE, GROUPS, TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::pool::{self, Executor};
use crate::hash::digest::{Digest, same};
use crate::hash::outboard::{Outboard, group_value, source_changed};
use crate::layer2::Residue;
use crate::tile::Tile;
use crate::tile::context::Context;
use crate::tile::extent::{Extent, Trust};
use crate::tile::offload::{Ahead, BatchTile, Offload, Runs, TileHash};
use crate::tile::options::ProjectionType;
use crate::tile::outboards::{OutboardBudget, OutboardCache};
use crate::tile::piece::Piece;
use crate::tile::scheme::Workspace;
use crate::tile::tree::{TileAt, Tree};
use std::ops::Range;
use std::sync::Arc;

/// Minimum length of a tile's bytes for which two threads share the work. Each then has at least some 50 µs of
/// hashing.
const SHARED_MIN: usize = 256 * 1024;

/// Reads extents (ranges of sources) and verifies their bytes against the witness with which they were projected.
/// Bytes that another process could change are copied before they are verified.
pub(crate) struct CheckedReader<'c> {
    context: &'c Context,
    /// Threads that may share the work on a single tile.
    executor: Executor<'c>,
    /// Number of outboards that the reader may add to the cache. `None` means that only the cache's own limit holds.
    budget: Option<&'c OutboardBudget>,
    /// The extent that was verified as a whole last, and its outboard. `bytes` has a copy of its bytes if the
    /// source can change.
    held: Option<(Arc<Extent>, Arc<Outboard>)>,
    bytes: Option<Buffer>,
    group: Option<Buffer>,
    /// The extent and the index of the group of it that was verified last. `group` has a copy of the group's bytes,
    /// unless the source cannot change.
    checked: Option<(Arc<Extent>, usize)>,
    /// Buffer in which the bytes of a whole R96 tile are assembled. `workspace` has the buffers of its transform.
    tile: Option<Buffer>,
    workspace: Workspace,
    /// True if `workspace` has the transform of the bytes of the extent in `held`.
    transformed: bool,
}

#[cfg(test)]
impl CheckedReader<'static> {
    /// Returns a reader for LINEAR tiles without a key.
    pub(crate) fn of_linear() -> CheckedReader<'static> {
        static CONTEXT: std::sync::OnceLock<Arc<Context>> = std::sync::OnceLock::new();
        let options = crate::tile::options::ProjectionOptions::new();
        let context = || Context::new(ProjectionType::Linear, &options).unwrap();
        CheckedReader::new(CONTEXT.get_or_init(context))
    }
}

impl<'c> CheckedReader<'c> {
    pub(crate) fn new(context: &'c Context) -> CheckedReader<'c> {
        CheckedReader {
            context,
            executor: Executor::Inline,
            budget: None,
            held: None,
            bytes: None,
            group: None,
            checked: None,
            tile: None,
            workspace: Workspace::default(),
            transformed: false,
        }
    }

    /// Lets the threads of `executor` share the hashing of one tile. Only useful for a single tile, because several
    /// tiles use all threads anyway.
    fn shared(self, executor: Executor<'c>) -> CheckedReader<'c> {
        CheckedReader { executor, ..self }
    }

    /// Limits the number of outboards that the reader adds to the cache.
    fn within(self, budget: &'c OutboardBudget) -> CheckedReader<'c> {
        CheckedReader { budget: Some(budget), ..self }
    }

    /// Returns the executor for work on `len` bytes of a tile: the calling thread alone if they are too few to share.
    fn executor(&self, len: usize) -> Executor<'c> {
        if len < SHARED_MIN { Executor::Inline } else { self.executor }
    }

    fn may_keep_an_outboard(&self) -> bool {
        self.budget.is_none_or(OutboardBudget::take)
    }

    pub(crate) fn outboards(&self) -> &'c OutboardCache {
        &self.context.outboards
    }

    /// Fills `out` with the bytes of `extent` from `start` on, after verifying them. Fails with WITNESS if the
    /// source has other bytes now.
    pub(crate) fn copy(&mut self, extent: &Arc<Extent>, start: usize, out: &mut [u8]) -> Result<()> {
        // Library memory cannot change, so that it needs no check.
        if extent.trust() == Trust::Memory {
            return extent.read(start, out);
        }
        let range = start..start + out.len();
        if !self.holds(extent) {
            // A tile of one group has no outboard.
            if let Some(outboard) = extent.outboard().filter(|_| extent.len() > GROUP_SIZE) {
                return self.copy_groups(extent, &outboard, range, out);
            }
            // Without an outboard only the witness of the whole extent can confirm a part of it.
            self.hold(extent)?;
        }
        // The extent is checked: its bytes are fixed in the source, or in the copy that was hashed.
        match extent.fixed_slice(&range) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => match &self.bytes {
                Some(bytes) => out.copy_from_slice(&bytes[range]),
                None => {
                    return Err(AtlasError::internal(
                        "a defect of the library, please report it: the bytes of a checked extent are \
                         missing",
                    ));
                }
            },
        }
        Ok(())
    }

    /// Returns the chaining values of an extent of more than one group, computed from its verified bytes if they
    /// are not cached. `None` for library memory that was not hashed.
    fn outboard(&mut self, extent: &Arc<Extent>) -> Result<Option<Arc<Outboard>>> {
        if let Some((held, outboard)) = &self.held
            && Arc::ptr_eq(held, extent)
        {
            return Ok(Some(Arc::clone(outboard)));
        }
        match extent.outboard() {
            // An outboard that was evicted is computed again, from bytes that its witness confirms.
            None if extent.trust() != Trust::Memory => self.hold(extent).map(Some),
            outboard => Ok(outboard),
        }
    }

    fn holds(&self, extent: &Arc<Extent>) -> bool {
        self.held.as_ref().is_some_and(|(held, _)| Arc::ptr_eq(held, extent))
    }

    /// Verifies a whole extent against its witness and returns its outboard. The reader keeps the outboard, and a
    /// copy of the bytes if the source can change, for later calls.
    pub(crate) fn hold(&mut self, extent: &Arc<Extent>) -> Result<Arc<Outboard>> {
        // If this call fails, nothing is held: the buffer has lost the bytes of the previous extent.
        self.held = None;
        // The whole extent is read, because only its witness can confirm it.
        let len = extent.len();
        let executor = self.executor(len);
        let bytes = match extent.fixed_slice(&(0..len)) {
            Some(bytes) => bytes,
            None => {
                let buffer = Buffer::or_new(&mut self.bytes, TILE_SIZE)?;
                extent.read(0, &mut buffer[..len])?;
                &buffer[..len]
            }
        };
        // Outboard, residues and witness in one pass.
        let scheme = &self.context.scheme;
        let outboard = || Outboard::with_residues(scheme.digests(), bytes);
        // From here on the workspace has the transform of this extent, which `whole_witness` reuses.
        self.transformed = scheme.kind() == ProjectionType::R96Fourier;
        let (outboard, residues, witness) = match scheme.kind() {
            ProjectionType::Linear => {
                let (outboard, witness, residues) = outboard()?;
                (outboard, residues, witness)
            }
            // The witness of R96 is not the top of the outboard, so that both are computed.
            ProjectionType::R96Fourier => {
                let workspace = &mut self.workspace;
                // Transform and outboard need the same bytes, and can run on two threads.
                let beside = |transform: &mut (dyn FnMut() + Send)| {
                    let transform = || {
                        transform();
                        Ok(())
                    };
                    pool::both(executor, transform, outboard).map(|((), outboard)| outboard)
                };
                let (witness, (outboard, _, residues)) =
                    scheme.witness_beside(bytes, workspace, executor, beside)?;
                (outboard, residues, witness)
            }
        };
        // The projected witness confirms the bytes.
        if extent.witness().is_none_or(|projected| !same(&projected, &witness)) {
            return Err(source_changed(&**extent));
        }
        extent.check_residues(residues)?;
        // The outboard is kept for the next edits of these tiles, as memory allows.
        let outboard = Arc::new(outboard);
        if len > GROUP_SIZE && self.may_keep_an_outboard() {
            self.context.outboards.keep_extent(extent, Arc::clone(&outboard));
        }
        self.held = Some((Arc::clone(extent), Arc::clone(&outboard)));
        Ok(outboard)
    }

    fn copy_groups(
        &mut self,
        extent: &Arc<Extent>,
        outboard: &Outboard,
        range: Range<usize>,
        out: &mut [u8],
    ) -> Result<()> {
        for group in range.start / GROUP_SIZE..range.end.div_ceil(GROUP_SIZE) {
            // A group is read and checked as a whole, even if only a part is needed.
            let whole = group * GROUP_SIZE..((group + 1) * GROUP_SIZE).min(extent.len());
            // Two neighbouring groups of an edited tile may both contain a part of this group, which is then
            // checked once.
            let again = self.checked.take().filter(|(last, at)| Arc::ptr_eq(last, extent) && *at == group);
            let bytes = match extent.fixed_slice(&whole) {
                Some(bytes) => bytes,
                None => {
                    let buffer = Buffer::or_new(&mut self.group, GROUP_SIZE)?;
                    if again.is_none() {
                        extent.read(whole.start, &mut buffer[..whole.len()])?;
                    }
                    &buffer[..whole.len()]
                }
            };
            if again.is_none() {
                let digests = self.context.scheme.digests();
                outboard.check_group(digests, extent.len(), group, bytes, false, &**extent)?;
            }
            self.checked = Some((Arc::clone(extent), group));
            // Copy the requested part of the group.
            let part = whole.start.max(range.start)..whole.end.min(range.end);
            out[part.start - range.start..part.end - range.start]
                .copy_from_slice(&bytes[part.start - whole.start..part.end - whole.start]);
        }
        Ok(())
    }

    /// Fills `out` with the verified bytes of `parts`, one after the other. Each part is a range of the extent to
    /// which its piece belongs.
    fn assemble(&mut self, parts: &[(Piece, Range<usize>)], out: &mut [u8]) -> Result<()> {
        let mut rest = out;
        for (piece, range) in parts {
            let (now, later) = rest.split_at_mut(range.len());
            self.copy(piece.extent(), range.start, now)?;
            rest = later;
        }
        Ok(())
    }
}

/// Fills `out` with the bytes of a tile from `start` on, each checked against the witness with which it was
/// projected or stored.
pub(crate) fn read_checked(
    tile: &Tile,
    start: usize,
    out: OutBytes<'_>,
    reader: &mut CheckedReader<'_>,
) -> Result<()> {
    // The reader fills slices, which are initialised memory.
    let mut rest = out.into_initialised();
    let mut skip = start;
    for piece in tile.pieces() {
        if rest.is_empty() {
            break;
        }
        if skip >= piece.len() {
            skip -= piece.len();
            continue;
        }
        let (now, later) = rest.split_at_mut((piece.len() - skip).min(rest.len()));
        reader.copy(piece.extent(), piece.start() + skip, now)?;
        (rest, skip) = (later, 0);
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(AtlasError::internal(
            "a defect of the library, please report it: a read ends after the end of its tile",
        ))
    }
}

/// Walk over the pieces of a tile, which divides the tile's bytes into consecutive ranges.
struct PieceCursor<'t> {
    pieces: &'t [Piece],
    /// Number of bytes of the first piece that earlier ranges took.
    used: usize,
}

impl PieceCursor<'_> {
    fn next(&mut self, len: usize) -> Result<Vec<(Piece, Range<usize>)>> {
        // Most ranges lie in a single piece, and a range with a cut in two.
        let mut parts = try_vec(2)?;
        let mut rest = len;
        while rest > 0
            && let Some(piece) = self.pieces.first()
        {
            let take = rest.min(piece.len() - self.used);
            let start = piece.start() + self.used;
            try_push(&mut parts, (piece.clone(), start..start + take))?;
            rest -= take;
            self.used += take;
            // The next range continues inside a piece that is not used up.
            if self.used == piece.len() {
                (self.pieces, self.used) = (&self.pieces[1..], 0);
            }
        }
        Ok(parts)
    }
}

/// Returns the witness of a tile. If it is not known yet, computes it from verified bytes and checks the tile's
/// residue against their sum.
pub(crate) fn witness(context: &Context, tile: &Arc<Tile>, reader: &mut CheckedReader<'_>) -> Result<Digest> {
    match tile.witness() {
        Some(witness) => Ok(*witness),
        None => match context.scheme.kind() {
            ProjectionType::Linear => linear_witness(context, tile, reader),
            ProjectionType::R96Fourier => whole_witness(context, tile, reader),
        },
    }
}

/// Computes the witness of an R96 tile from the whole tile, because every class depends on every byte.
fn whole_witness(context: &Context, tile: &Arc<Tile>, reader: &mut CheckedReader<'_>) -> Result<Digest> {
    // The buffer is taken out of the reader while the reader fills it.
    let mut buffer = reader.tile.take();
    let bytes = &mut Buffer::or_new(&mut buffer, TILE_SIZE)?[..tile.len()];
    // The residue was computed from the residues of the parts; the bytes must confirm it.
    reader.assemble(&PieceCursor { pieces: tile.pieces(), used: 0 }.next(tile.len())?, bytes)?;
    check_residue(tile, Residue::of(bytes))?;
    // The transform in the workspace serves once, because the next witness overwrites it.
    let before = if std::mem::take(&mut reader.transformed) { reader.held.as_ref() } else { None };
    // The bytes that were transformed. A mapping may have other bytes by now, and is represented by the copy.
    let before = before.and_then(|(held, _)| match held.fixed_slice(&(0..held.len())) {
        Some(bytes) => Some(bytes),
        None => reader.bytes.as_ref().map(|bytes| &bytes[..held.len()]),
    });
    let executor = reader.executor(bytes.len());
    let witness = match before {
        Some(before) => context.scheme.witness_after(before, bytes, &mut reader.workspace, executor)?,
        None => context.scheme.witness(bytes, &mut reader.workspace, executor)?,
    };
    reader.tile = buffer;
    Ok(tile.set_witness(witness))
}

fn linear_witness(context: &Context, tile: &Arc<Tile>, reader: &mut CheckedReader<'_>) -> Result<Digest> {
    let digests = context.scheme.digests();
    let len = tile.len();
    let mut buffer = Buffer::aligned(len.min(GROUP_SIZE))?;
    let mut parts = PieceCursor { pieces: tile.pieces(), used: 0 };
    // A tile of one group has no chaining values.
    if len <= GROUP_SIZE {
        reader.assemble(&parts.next(len)?, &mut buffer)?;
        check_residue(tile, Residue::of(&buffer))?;
        return Ok(tile.set_witness(digests.tile(&buffer)));
    }
    // Groups that did not change since the last outboard keep their values.
    let common = tile.common_groups();
    let mut values = try_vec(len.div_ceil(GROUP_SIZE))?;
    let mut residues = Box::new([Residue::ZERO; GROUPS]);
    for group in 0..len.div_ceil(GROUP_SIZE) {
        let range = group * GROUP_SIZE..((group + 1) * GROUP_SIZE).min(len);
        // The cursor moves with every group, also past groups whose value is known.
        let parts = parts.next(range.len())?;
        if let Some((outboard, groups)) = &common
            && groups & (1 << group) != 0
            && let Some(known) = outboard.residues()
        {
            values.push(outboard.group(group));
            residues[group] = known[group];
            continue;
        }
        // A whole group of a verified extent has its value in the extent's outboard.
        if let [(piece, within)] = &parts[..]
            && let extent = piece.extent()
            && extent.len() > GROUP_SIZE
            && *within == range
            && (range.len() == GROUP_SIZE || range.end == extent.len())
            && let Some(outboard) = reader.outboard(extent)?
        {
            values.push(outboard.group(group));
            residues[group] = extent.residues()?[group];
            continue;
        }
        // All other groups are assembled, summed and hashed.
        let bytes = &mut buffer[..range.len()];
        reader.assemble(&parts, bytes)?;
        residues[group] = Residue::of(bytes);
        values.push(group_value(digests, group, bytes));
    }
    // The sum of the groups must be that of the tile.
    check_residue(tile, residues.iter().copied().sum())?;
    let (outboard, witness) = Outboard::of_groups(digests, values, Some(residues))?;
    // With an outboard, the next small edit of this tile hashes only the groups that it changes.
    if reader.may_keep_an_outboard() {
        context.outboards.keep(tile, Arc::new(outboard));
    }
    Ok(tile.set_witness(witness))
}

/// Returns the bytes of a tile that is one extent of new bytes of an edit. `None` for any other tile.
fn new_bytes(tile: &Tile) -> Option<&[u8]> {
    let extent = tile.whole().filter(|extent| extent.trust() == Trust::Memory)?;
    extent.fixed_slice(&(0..tile.len()))
}

/// Hashes of the tiles of a worker's run, computed together so that an accelerator can share them. `None` for tiles
/// that are not one extent of new bytes.
type NewTiles = Ahead<Option<TileHash>>;

/// Returns the hash of the tile of `task` if it is one extent of new bytes; the first task of a run hashes all such
/// tiles of the run. `None` leaves the tile to the caller.
fn hash_new(
    context: &Context,
    ahead: &mut NewTiles,
    (runs, task): (&Runs<'_>, u64),
    pending: &[&TileAt],
    workspace: &mut Workspace,
) -> Result<Option<TileHash>> {
    let found = ahead.take(runs, task, |offload, tasks| {
        let tiles = &pending[to_usize(tasks.start)..to_usize(tasks.end)];
        let mut batch = try_vec(tiles.len())?;
        let new = tiles.iter().filter_map(|at| Some(BatchTile::host(at.index.0, new_bytes(&at.tile)?)));
        batch.extend(new);
        let mut hashes = offload.hash(&context.scheme, &batch, true, workspace)?.into_iter();
        try_collect(tiles.iter().map(|at| new_bytes(&at.tile).and_then(|_| hashes.next())))
    })?;
    Ok(found.flatten())
}

/// Sets the witness of a tile from `hash`, which was computed from all its bytes, and caches its chaining values.
/// Fails with CONSERVATION if the tile has another residue.
fn set_hash(
    context: &Context,
    tile: &Arc<Tile>,
    hash: TileHash,
    reader: &CheckedReader<'_>,
) -> Result<Digest> {
    check_residue(tile, hash.residues.total())?;
    // A tile of one group has no chaining values.
    if !hash.groups.is_empty() && reader.may_keep_an_outboard() {
        let residues = Some(Box::new(hash.residues.into_groups()));
        let (outboard, _) = Outboard::of_groups(context.scheme.digests(), hash.groups, residues)?;
        context.outboards.keep(tile, Arc::new(outboard));
    }
    Ok(tile.set_witness(hash.witness))
}

fn check_residue(tile: &Tile, residue: Residue) -> Result<()> {
    if residue == tile.residue() {
        return Ok(());
    }
    Err(AtlasError::conservation(format!(
        "the bytes of an edited tile changed: its {} bytes sum to {residue} mod 96 instead of the \
         projected {}; verify the projection",
        tile.len(),
        tile.residue()
    )))
}

/// Divides the tiles in `pending` into runs, one worker each, and returns the end of each run. Neighbours in a run
/// share an extent, which is then verified once. With many tiles the runs are short enough to occupy all threads.
fn runs(pending: &[&TileAt], threads: usize) -> Result<Vec<u64>> {
    // About four runs per thread keep all threads busy. At least two tiles are needed to share an extent.
    let longest = (pending.len() / (4 * threads.max(1))).clamp(2, 16);
    let mut ends = try_vec(pending.len())?;
    let mut start = 0;
    for (index, at) in pending.iter().enumerate() {
        let witnessed = |piece: &&Piece| piece.extent().trust() != Trust::Memory;
        // Tiles share an extent if it is the last of a source in this tile and the first in the next tile.
        let mut of_source = at.tile.pieces().iter().rev().filter(witnessed);
        let goes_on = index + 1 - start < longest
            && of_source.next().is_some_and(|last| {
                let next = pending.get(index + 1).map(|next| next.tile.pieces()).unwrap_or_default();
                let first = next.iter().find(witnessed);
                first.is_some_and(|first| Arc::ptr_eq(first.extent(), last.extent()))
            });
        if !goes_on {
            ends.push(to_u64(index + 1));
            start = index + 1;
        }
    }
    Ok(ends)
}

/// Returns the memory that lists of `count` tiles to hash take, also those that [`witnesses`] makes.
pub(crate) fn listed(count: u64) -> u64 {
    count.saturating_mul(to_u64(size_of::<TileAt>() + size_of::<&TileAt>() + size_of::<u64>()))
}

/// Computes the missing witnesses of the tiles of `tree` like [`witnesses`].
pub(crate) fn unhashed(
    context: &Context,
    tree: &Tree,
    operation: &mut Operation<'_>,
    result: u64,
    report: bool,
) -> Result<()> {
    let tiles = tree.unhashed(|count| operation.reserve(result.saturating_add(listed(count))))?;
    let result = result.saturating_add(listed(to_u64(tiles.len())));
    witnesses(context, &tiles, operation, result, report)
}

/// Computes the missing witnesses of `tiles` in parallel. With `report`, each tile counts as progress. Without it,
/// the progress callback can only cancel. `result` bytes count against the memory limit already.
pub(crate) fn witnesses(
    context: &Context,
    tiles: &[TileAt],
    operation: &mut Operation<'_>,
    result: u64,
    report: bool,
) -> Result<()> {
    let mut pending: Vec<&TileAt> = try_vec(tiles.iter().filter(|at| at.tile.witness().is_none()).count())?;
    // Other threads may be hashing these tiles too.
    pending.extend(tiles.iter().filter(|at| at.tile.witness().is_none()).take(pending.capacity()));
    let count = to_u64(pending.len());
    if count == 0 {
        // Nothing is left to do. The progress still gets its last report.
        return if report { operation.tracker(0, 0).finish() } else { Ok(()) };
    }
    let bytes: u64 = pending.iter().map(|at| to_u64(at.tile.len())).sum();
    // R96 needs a buffer for the whole tile and a workspace; LINEAR works group by group.
    let whole = match context.scheme.kind() {
        ProjectionType::Linear => 0,
        ProjectionType::R96Fourier => TILE_BYTES + context.scheme.workspace(),
    };
    // A run goes to a single worker, which checks the extent of neighbouring tiles once, and shares new tiles with an
    // accelerator.
    let new = pending.iter().filter(|at| new_bytes(&at.tile).is_some()).count();
    let offload = Offload::of(operation.executor, &context.scheme, to_u64(new)).filter(Offload::is_shared);
    let shared = Runs::new(offload, count, operation.threads(), None)?;
    let own = if shared.ends.is_empty() { runs(&pending, operation.threads())? } else { Vec::new() };
    let is_shared = !shared.ends.is_empty();
    let runs = if is_shared { &shared.ends } else { &own };
    // Each worker holds a checked extent, a checked group and an assembled group.
    let per_worker = TILE_BYTES + 2 * to_u64(GROUP_SIZE) + whole + context.reading();
    let workers = operation.workers(to_u64(runs.len()), per_worker, result)?;
    // The threads share the work on a single tile; several tiles occupy them anyway.
    let alone = if count == 1 && operation.threads() > 1 { operation.executor } else { Executor::Inline };
    // The next step of the call needs memory too.
    let outboards = OutboardBudget::new(
        operation.memory_left(result.saturating_add(to_u64(workers.count()) * per_worker)) / 8,
    );
    // Before work that has a count of its own, these tiles are not counted, and the reports only show that
    // the call is alive.
    let mut tracker =
        if report { operation.tracker(bytes, count) } else { operation.tracker_before(bytes, count) };
    // Only an accelerator needs its tiles together.
    let workers = if is_shared { workers.in_runs(runs) } else { workers.in_parts_of_runs(runs) };
    workers.run(
        count,
        || {
            let reader = CheckedReader::new(context).shared(alone).within(&outboards);
            Ok((reader, NewTiles::default(), Workspace::default()))
        },
        |(reader, ahead, workspace), index| {
            let at = pending[to_usize(index)];
            let len = to_u64(at.tile.len());
            let done = match hash_new(context, ahead, (&shared, index), &pending, workspace)? {
                Some(hash) => set_hash(context, &at.tile, hash, reader),
                None => witness(context, &at.tile, reader),
            };
            match done {
                Ok(_) => Ok(len),
                Err(error) => Err(error.at_index(at.index.0).at_range(at.offset.0, len)),
            }
        },
        |_, len| if report { tracker.advance(len, 1) } else { tracker.advance(0, 0) },
    )?;
    if report { tracker.finish() } else { Ok(()) }
}
