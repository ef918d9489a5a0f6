//! From bytes to residues and witnesses: what is done once for every tile.

#![forbid(unsafe_code)]

use crate::buffer::Buffer;
use crate::chain::source_changed;
use crate::digest::{Digests, same};
use crate::error::{AtlasError, Result};
use crate::geometry::{TILE_BYTES, TILE_SIZE, to_usize};
use crate::layer2::Residue;
use crate::operation::Operation;
use crate::pool;
use crate::source::Source;
use crate::tree::{Extent, Tile, TileAt, Tree};
use std::sync::Arc;

/// A buffer of one tile, taken when it is first needed.
#[derive(Default)]
pub(crate) struct Scratch {
    buffer: Option<Buffer>,
}

impl Scratch {
    /// `len` bytes of unspecified contents, at most a tile's.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&mut [u8]> {
        let buffer = match self.buffer.take() {
            Some(buffer) => buffer,
            None => Buffer::new(TILE_SIZE)?,
        };
        Ok(&mut self.buffer.insert(buffer)[..len])
    }
}

/// Hashes `lengths` tiles of `source` from `offset` on, in parallel: a fresh tree over it.
///
/// Every byte is read once. Sums a tile first and hashes it then: the sum brings it into the cache.
pub(crate) fn project(
    digests: &Digests,
    source: &Source,
    geometry: &Geometry<'_>,
    operation: &mut Operation<'_>,
) -> Result<Tree> {
    let count = geometry.tiles();
    let per_worker = if source.in_memory() { 0 } else { TILE_BYTES };
    let result = count.saturating_mul(crate::tree::fresh_footprint() + crate::merkle::FOOTPRINT);
    let workers = operation.workers(count, per_worker, result)?;
    let mut tiles = crate::buffer::try_vec(usize::try_from(count).unwrap_or(usize::MAX))?;
    let executor = operation.executor;
    let mut tracker = operation.tracker(source.size(), count);
    pool::run(
        executor,
        workers,
        count,
        || Ok(Scratch::default()),
        |scratch, index| {
            let (offset, len) = geometry.tile(index);
            let bytes = match source.slice(offset, len) {
                Some(bytes) => bytes,
                None => {
                    let bytes = scratch.bytes(len)?;
                    source.read(offset, bytes).map_err(|error| error.at_index(index))?;
                    bytes
                }
            };
            let extent = Extent::new(source.clone(), offset, bytes)?;
            Ok(Tile::fresh(extent, digests.tile(bytes)))
        },
        |_, tile| {
            let len = tile.len() as u64;
            tiles.push(Arc::new(tile));
            tracker.advance(len, 1)
        },
    )?;
    tracker.finish()?;
    Ok(Tree::from_tiles(tiles))
}

/// How a domain is cut into tiles.
pub(crate) enum Geometry<'a> {
    /// Full tiles from offset 0 and one shorter last one.
    Canonical { size: u64 },
    /// Where each tile ends.
    Ends(&'a [u64]),
}

impl Geometry<'_> {
    fn tiles(&self) -> u64 {
        match self {
            Geometry::Canonical { size } => size.div_ceil(TILE_BYTES),
            Geometry::Ends(ends) => ends.len() as u64,
        }
    }

    /// Offset and length of tile `index`.
    fn tile(&self, index: u64) -> (u64, usize) {
        let (start, end) = match self {
            Geometry::Canonical { size } => {
                (index * TILE_BYTES, (index + 1).saturating_mul(TILE_BYTES).min(*size))
            }
            Geometry::Ends(ends) => {
                let index = to_usize(index);
                (index.checked_sub(1).map_or(0, |before| ends[before]), ends[index])
            }
        };
        (start, to_usize(end - start))
    }
}

/// Refuses the bytes of a tile that are not those that it commits to: WITNESS before CONSERVATION.
pub(crate) fn check_tile(digests: &Digests, at: &TileAt<'_>, bytes: &[u8]) -> Result<()> {
    let residue = Residue::of(bytes);
    let place = |error: AtlasError| error.at_index(at.index).at_range(at.offset, bytes.len() as u64);
    match at.tile.witness() {
        Some(witness) if same(witness, &digests.tile(bytes)) => {}
        Some(_) => return Err(place(source_changed())),
        None => return Err(AtlasError::internal("a tile without a witness is checked")),
    }
    if residue != at.tile.residue() {
        return Err(place(AtlasError::conservation(format!(
            "tile {} sums to {residue} mod 96 where {} was projected",
            at.index,
            at.tile.residue()
        ))));
    }
    Ok(())
}

/// Reads and checks every tile in parallel, and gives the bytes of each to `then`, from any thread.
pub(crate) fn for_each_checked_tile(
    digests: &Digests,
    tree: &Tree,
    operation: &mut Operation<'_>,
    in_place: bool,
    then: impl Fn(&TileAt<'_>, &[u8]) -> Result<()> + Sync,
) -> Result<()> {
    let in_memory = in_place && tree.iter_from_tile(0).all(|at| at.tile.slice().is_some());
    let workers = operation.workers(tree.tiles(), if in_memory { 0 } else { TILE_BYTES }, 0)?;
    let executor = operation.executor;
    let mut tracker = operation.tracker(tree.bytes(), tree.tiles());
    pool::run(
        executor,
        workers,
        tree.tiles(),
        || Ok(Scratch::default()),
        |scratch, index| {
            let Some(at) = tree.iter_from_tile(index).next() else {
                return Err(AtlasError::internal(format!("tile {index} is not in the tree")));
            };
            let len = at.tile.len();
            let bytes = match at.tile.slice().filter(|_| in_place) {
                Some(bytes) => bytes,
                None => {
                    let bytes = scratch.bytes(len)?;
                    at.tile.read(0, bytes).map_err(|error| error.at_index(index))?;
                    bytes
                }
            };
            check_tile(digests, &at, bytes)?;
            then(&at, bytes)?;
            Ok(len as u64)
        },
        |_, len| tracker.advance(len, 1),
    )?;
    tracker.finish()
}
