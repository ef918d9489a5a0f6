//! Witnesses of edited tiles: from the parts that changed, and never from bytes that are not those
//! that were projected.
//!
//! ```text
//! for each group of 16 KiB of the tile:
//!     in common with the tile before the edit, whose chain is at hand:   its value
//!     the same group of an extent of the source:                         the value in the extent's chain
//!     else:  copy the bytes of its pieces and hash them. What comes from the source is checked in
//!            the same pass: against the chain of its extent, or the whole extent against its witness.
//! ```
//!
//! The chain of an extent is made when the extent is checked against its witness, so that it stands
//! for the bytes that were projected whatever the source holds now.

#![forbid(unsafe_code)]

use crate::buffer::Buffer;
use crate::chain::{Chain, group_value, source_changed};
use crate::digest::{Digest, same};
use crate::error::{AtlasError, Result};
use crate::geometry::{GROUP_SIZE, GROUPS, TILE_BYTES, TILE_SIZE, to_u64};
use crate::layer2::Residue;
use crate::operation::Operation;
use crate::pool;
use crate::projection::{Config, ProjectionType};
use crate::scheme::Workspace;
use crate::tree::{Chains, Extent, Piece, Tile, TileAt, group_residues};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of extents, checked against their origins.
pub(crate) struct Verified<'c> {
    config: &'c Config,
    /// The extent that was checked whole, and its bytes where they are not in memory.
    held: Option<Arc<Extent>>,
    bytes: Option<Buffer>,
    group: Option<Buffer>,
    /// A whole tile that was put together, and what its transform needs.
    tile: Option<Buffer>,
    workspace: Workspace,
}

impl<'c> Verified<'c> {
    pub(crate) fn new(config: &'c Config) -> Verified<'c> {
        Verified { config, held: None, bytes: None, group: None, tile: None, workspace: Workspace::default() }
    }

    pub(crate) fn chains(&self) -> &'c Chains {
        &self.config.chains
    }

    /// Fills `out` with the bytes of `extent` from `start` on, or WITNESS.
    pub(crate) fn copy(&mut self, extent: &Arc<Extent>, start: usize, out: &mut [u8]) -> Result<()> {
        if extent.origin().is_none() {
            return extent.read(start, out);
        }
        let range = start..start + out.len();
        if !self.holds(extent) {
            // A tile of one group has no chain.
            if let Some(chain) = extent.chain().filter(|_| extent.len() > GROUP_SIZE) {
                return self.copy_groups(extent, &chain, range, out);
            }
            self.hold(extent)?;
        }
        match extent.slice(&range) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => match &self.bytes {
                Some(bytes) => out.copy_from_slice(&bytes[range]),
                None => return Err(AtlasError::internal("a checked extent is not at hand")),
            },
        }
        Ok(())
    }

    /// The chain of an extent of more than one group.
    fn chain(&mut self, extent: &Arc<Extent>) -> Result<Arc<Chain>> {
        match extent.chain() {
            Some(chain) => Ok(chain),
            None => self.hold(extent),
        }
    }

    fn holds(&self, extent: &Arc<Extent>) -> bool {
        self.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, extent))
    }

    /// Checks a whole extent, and keeps its bytes and its chain.
    fn hold(&mut self, extent: &Arc<Extent>) -> Result<Arc<Chain>> {
        self.held = None;
        let len = extent.len();
        let bytes = match extent.slice(&(0..len)) {
            Some(bytes) => bytes,
            None => {
                let buffer = take(&mut self.bytes, TILE_SIZE)?;
                extent.read(0, &mut buffer[..len])?;
                &buffer[..len]
            }
        };
        // The sum brings the bytes into the cache.
        let residues = group_residues(bytes);
        // The chain stands for bytes whose witness it need not lead to.
        let scheme = &self.config.scheme;
        let (chain, digest, _) = Chain::of_tile(scheme.digests(), bytes, &[]);
        let witness = match scheme.kind() {
            ProjectionType::Linear => digest,
            ProjectionType::R96Fourier => scheme.witness(bytes, &mut self.workspace)?,
        };
        if extent.origin().is_none_or(|origin| !same(origin, &witness)) {
            return Err(source_changed());
        }
        if residues != *extent.residues() {
            return Err(AtlasError::conservation("the bytes of the source do not sum to what was projected"));
        }
        let chain = Arc::new(chain);
        if len > GROUP_SIZE {
            self.config.chains.keep_extent(extent, Arc::clone(&chain));
        }
        self.held = Some(Arc::clone(extent));
        Ok(chain)
    }

    fn copy_groups(
        &mut self,
        extent: &Arc<Extent>,
        chain: &Chain,
        range: Range<usize>,
        out: &mut [u8],
    ) -> Result<()> {
        for group in range.start / GROUP_SIZE..range.end.div_ceil(GROUP_SIZE) {
            let whole = group * GROUP_SIZE..((group + 1) * GROUP_SIZE).min(extent.len());
            let bytes = match extent.slice(&whole) {
                Some(bytes) => bytes,
                None => {
                    let buffer = take(&mut self.group, GROUP_SIZE)?;
                    extent.read(whole.start, &mut buffer[..whole.len()])?;
                    &buffer[..whole.len()]
                }
            };
            chain.check_group(self.config.scheme.digests(), extent.len(), group, bytes, false)?;
            let part = whole.start.max(range.start)..whole.end.min(range.end);
            out[part.start - range.start..part.end - range.start]
                .copy_from_slice(&bytes[part.start - whole.start..part.end - whole.start]);
        }
        Ok(())
    }

    /// Fills `out` with the bytes of `range` of the pieces.
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

/// The buffer, made when it is first needed.
fn take(buffer: &mut Option<Buffer>, len: usize) -> Result<&mut Buffer> {
    Ok(match buffer {
        Some(buffer) => buffer,
        None => buffer.insert(Buffer::new(len)?),
    })
}

/// The parts of the pieces of a tile in one range after the other, as ranges of their extents.
struct Parts<'t> {
    pieces: &'t [Piece],
    /// Bytes of the first piece that are behind us.
    used: usize,
}

impl Parts<'_> {
    fn next(&mut self, len: usize) -> Vec<(Piece, Range<usize>)> {
        let mut parts = Vec::with_capacity(2);
        let mut rest = len;
        while rest > 0
            && let Some(piece) = self.pieces.first()
        {
            let take = rest.min(piece.len() - self.used);
            let start = piece.start() + self.used;
            parts.push((piece.clone(), start..start + take));
            rest -= take;
            self.used += take;
            if self.used == piece.len() {
                (self.pieces, self.used) = (&self.pieces[1..], 0);
            }
        }
        parts
    }
}

/// The witness of a tile, computed where it is not known yet, with its residue summed anew.
pub(crate) fn witness(config: &Config, tile: &Arc<Tile>, verified: &mut Verified<'_>) -> Result<Digest> {
    match tile.witness() {
        Some(witness) => Ok(*witness),
        None => match config.scheme.kind() {
            ProjectionType::Linear => linear_witness(config, tile, verified),
            ProjectionType::R96Fourier => whole_witness(config, tile, verified),
        },
    }
}

/// Where every class has a part of every byte: from the whole tile.
fn whole_witness(config: &Config, tile: &Arc<Tile>, verified: &mut Verified<'_>) -> Result<Digest> {
    let mut buffer = verified.tile.take();
    let bytes = &mut take(&mut buffer, TILE_SIZE)?[..tile.len()];
    verified.assemble(&Parts { pieces: tile.pieces(), used: 0 }.next(tile.len()), bytes)?;
    check_residue(tile, Residue::of(bytes))?;
    let witness = config.scheme.witness(bytes, &mut verified.workspace)?;
    verified.tile = buffer;
    Ok(tile.set_witness(witness))
}

fn linear_witness(config: &Config, tile: &Arc<Tile>, verified: &mut Verified<'_>) -> Result<Digest> {
    let digests = config.scheme.digests();
    let len = tile.len();
    let mut buffer = Buffer::new(len.min(GROUP_SIZE))?;
    let mut parts = Parts { pieces: tile.pieces(), used: 0 };
    if len <= GROUP_SIZE {
        verified.assemble(&parts.next(len), &mut buffer)?;
        check_residue(tile, Residue::of(&buffer))?;
        return Ok(tile.set_witness(digests.tile(&buffer)));
    }
    let common = tile.common_groups();
    let mut values = Vec::with_capacity(len.div_ceil(GROUP_SIZE));
    let mut residues = Box::new([Residue::ZERO; GROUPS]);
    for group in 0..len.div_ceil(GROUP_SIZE) {
        let range = group * GROUP_SIZE..((group + 1) * GROUP_SIZE).min(len);
        let parts = parts.next(range.len());
        if let Some((chain, groups)) = &common
            && groups & (1 << group) != 0
            && let Some(known) = chain.residues()
        {
            values.push(chain.group(group));
            residues[group] = known[group];
            continue;
        }
        if let [(piece, within)] = &parts[..]
            && let extent = piece.extent()
            && extent.origin().is_some()
            && extent.len() > GROUP_SIZE
            && *within == range
            && (range.len() == GROUP_SIZE || range.end == extent.len())
        {
            values.push(verified.chain(extent)?.group(group));
            residues[group] = extent.residues()[group];
            continue;
        }
        let bytes = &mut buffer[..range.len()];
        verified.assemble(&parts, bytes)?;
        residues[group] = Residue::of(bytes);
        values.push(group_value(digests, group, bytes));
    }
    check_residue(tile, residues.iter().copied().sum())?;
    let (chain, witness) = Chain::of_groups(digests, values, Some(residues));
    config.chains.keep(tile, Arc::new(chain));
    Ok(tile.set_witness(witness))
}

fn check_residue(tile: &Tile, residue: Residue) -> Result<()> {
    if residue == tile.residue() {
        return Ok(());
    }
    Err(AtlasError::conservation(format!(
        "an edited tile sums to {residue} mod 96 where {} was kept",
        tile.residue()
    )))
}

/// Computes the witnesses of those of `tiles` that have none, in parallel. Reports once a tile: what is
/// done with `report`, else that nothing is done yet of what follows.
pub(crate) fn witnesses(
    config: &Config,
    tiles: &[TileAt<'_>],
    operation: &mut Operation<'_>,
    result: u64,
    report: bool,
) -> Result<()> {
    let pending: Vec<_> = tiles.iter().filter(|at| at.tile.witness().is_none()).collect();
    let count = to_u64(pending.len());
    if count == 0 {
        return Ok(());
    }
    let bytes: u64 = pending.iter().map(|at| to_u64(at.tile.len())).sum();
    let whole = match config.scheme.kind() {
        ProjectionType::Linear => 0,
        ProjectionType::R96Fourier => TILE_BYTES + config.scheme.workspace(),
    };
    let workers = operation.workers(count, TILE_BYTES + 2 * to_u64(GROUP_SIZE) + whole, result)?;
    let executor = operation.executor;
    // Before work that reports by itself this is no part of the count, and a sign of life only.
    let mut tracker =
        if report { operation.tracker(bytes, count) } else { operation.tracker_before(bytes, count) };
    pool::run(
        executor,
        workers,
        count,
        || Ok(Verified::new(config)),
        |verified, index| {
            let at = pending[crate::geometry::to_usize(index)];
            let len = to_u64(at.tile.len());
            match witness(config, at.tile, verified) {
                Ok(_) => Ok(len),
                Err(error) => Err(error.at_index(at.index).at_range(at.offset, len)),
            }
        },
        |_, len| if report { tracker.advance(len, 1) } else { tracker.advance(0, 0) },
    )?;
    if report { tracker.finish() } else { Ok(()) }
}
