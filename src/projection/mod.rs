//! Projections: addressable, verifiable views of a domain.

#![forbid(unsafe_code)]

pub(crate) mod history;
pub(crate) mod plane;
pub(crate) mod state;

use crate::base::atomic_file::AtomicFile;
use crate::base::error::{AtlasError, Result, check_range};
use crate::base::out_bytes::OutBytes;
use crate::base::sync::lock;
use crate::base::units::{ByteOffset, PAGE_BYTES, TILE_BYTES, TileIndex, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::Digest;
use crate::layer2::Residue;
use crate::source::Source;
use crate::tile::check;
use crate::tile::context::Context;
use crate::tile::hash_tiles::{self, Geometry};
pub use crate::tile::options::{ConservationPolicy, ProjectionOptions, ProjectionType};
use crate::tile::rehash::{self, CheckedReader};
use crate::tile::tree::{READ_BUDGET, Tree};
use history::UpdateLog;
use plane::{Affine, Bounds, TransformParams};
use state::{State, leaf};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Properties of a projection's present state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectionInfo {
    /// Transformation from a tile's bytes to the payload that its witness covers.
    pub projection_type: ProjectionType,
    /// Number of bytes of the domain.
    pub domain_size: u64,
    /// Number of pages of 4,096 bytes. The last page may be shorter.
    pub page_count: u64,
    /// Number of tiles, each of at most 1 MiB.
    pub tile_count: u64,
    /// Sum of all bytes mod 96.
    pub residue: Residue,
    /// Number of tiles in a row of the tile plane, ceil(sqrt(tile_count)); the same as the number of rows.
    pub width: u64,
    /// K of R96, the number of classes that rebuild the domain. 0 for LINEAR.
    pub data_classes: u8,
    /// True if witnesses are keyed.
    pub keyed: bool,
    /// True if all tiles but the last are full, as in a fresh projection.
    pub canonical: bool,
}

/// Properties of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TileInfo {
    /// Offset of the tile's first byte in the domain.
    pub offset: u64,
    /// Number of bytes, 1 to 1,048,576.
    pub length: u64,
    /// Sum of the tile's bytes mod 96.
    pub residue: Residue,
    /// Digest of the tile, to which the root commits.
    pub witness: Digest,
}

/// A verifiable view of a domain.
///
/// All methods take `&self` and may run at the same time. A snapshot is a second projection on the
/// same state, made in O(1).
///
/// ```
/// use atlas_manifold::{AtlasProjection, Operation, Source};
///
/// let operation = &mut Operation::new();
/// let projection = AtlasProjection::linear(&Source::from_vec(vec![7; 3_000_000]))?;
/// let info = projection.info();
/// assert_eq!((info.domain_size, info.tile_count), (3_000_000, 3));
/// assert_eq!(projection.tile(2)?.length, 3_000_000 - 2 * (1 << 20));
///
/// // The same bytes have the same root, whatever their source.
/// let again = AtlasProjection::linear(&Source::copy(&vec![7; 3_000_000])?)?;
/// assert_eq!(projection.root(operation)?, again.root(operation)?);
/// projection.verify(operation)?;
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
pub struct AtlasProjection {
    state: Mutex<Arc<State>>,
    transform: Mutex<Affine>,
    pub(crate) updates: UpdateLog,
    /// True if [`read`](AtlasProjection::read) checks bytes against the witnesses.
    verifies_reads: bool,
}

impl AtlasProjection {
    /// Hashes all of `source`, so that the projection commits to its present bytes.
    ///
    /// Costs about one BLAKE3 of the bytes (R96: also their transform), on as many threads as `operation`
    /// allows, and at most 448 bytes of memory per tile. Fails with the errors of reading, with
    /// INVALID_ARGUMENT for R96 with a K outside 1..=96, and with CONSERVATION if the policy is STRICT and
    /// the sum is not 0 mod 96.
    pub fn create(
        projection_type: ProjectionType,
        source: &Source,
        options: &ProjectionOptions,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasProjection> {
        let context = Context::new(projection_type, options)?;
        let geometry = Geometry::Canonical { size: source.size() };
        let tree = hash_tiles::project(&context.scheme, source, geometry, operation)?;
        Self::from_fresh(context, tree)
    }

    /// Returns a projection of fresh tiles. Fails with CONSERVATION if the policy of `context` is STRICT and the sum
    /// of their bytes is not 0 mod 96.
    pub(crate) fn from_fresh(context: Arc<Context>, tree: Tree) -> Result<AtlasProjection> {
        // The policy is checked once for all bytes. Later changes are checked by their own sums.
        let residue = tree.residue();
        if context.policy == ConservationPolicy::Strict && residue != Residue::ZERO {
            return Err(AtlasError::conservation(format!(
                "the domain sums to {residue} mod 96 and STRICT requires 0: add bytes that sum to {}",
                residue.correction()
            )));
        }
        Ok(Self::from_state(State::new(context, tree)?))
    }

    /// Creates a LINEAR projection with default options, on the library's pool.
    pub fn linear(source: &Source) -> Result<AtlasProjection> {
        Self::create(ProjectionType::Linear, source, &ProjectionOptions::new(), &mut Operation::new())
    }

    pub(crate) fn from_state(state: State) -> AtlasProjection {
        Self::of(Arc::new(state), Affine::IDENTITY, UpdateLog::default())
    }

    /// Returns a projection on a state that was loaded from a container. `verifies_reads` is true if `read` checks
    /// bytes.
    pub(crate) fn from_stored(state: State, verifies_reads: bool) -> AtlasProjection {
        AtlasProjection { verifies_reads, ..Self::from_state(state) }
    }

    fn of(state: Arc<State>, transform: Affine, updates: UpdateLog) -> AtlasProjection {
        let state = Mutex::new(state);
        AtlasProjection { state, transform: Mutex::new(transform), updates, verifies_reads: false }
    }

    /// Replaces the present state. The caller must hold the lock of the history, which serialises edits.
    pub(crate) fn set_state(&self, state: State) {
        // The old state is dropped after the lock is released, so that readers do not wait.
        let before = std::mem::replace(&mut *lock(&self.state), Arc::new(state));
        drop(before);
    }

    /// Returns the present state, which later edits of the projection do not change.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&lock(&self.state))
    }

    /// Returns the properties of the present state.
    pub fn info(&self) -> ProjectionInfo {
        let state = self.state();
        let tree = &state.tree;
        let (size, tiles) = (tree.bytes(), tree.tiles());
        // No tile has more than TILE_BYTES, so that the offset of the last tile shows if all tiles before it
        // are full.
        let last = tree.tile(TileIndex(tiles.saturating_sub(1)));
        let canonical = last.is_ok_and(|at| at.is_none_or(|at| at.offset.0 == at.index.0 * TILE_BYTES));
        ProjectionInfo {
            projection_type: state.context.scheme.kind(),
            domain_size: size,
            page_count: size.div_ceil(PAGE_BYTES),
            tile_count: tiles,
            residue: tree.residue(),
            width: plane::width(tiles),
            data_classes: state.context.scheme.data_classes(),
            keyed: state.context.scheme.digests().keyed(),
            canonical,
        }
    }

    /// Returns the witness root: the digest to which the proof of every shard of this state leads.
    ///
    /// After an edit the first call hashes the edited tiles. Fails with WITNESS if the source no longer has
    /// the projected bytes of an edited tile.
    pub fn root(&self, operation: &mut Operation<'_>) -> Result<Digest> {
        let state = self.state();
        state.cache.tidy(&state.tree, READ_BUDGET);
        state.hash(operation, 0)
    }

    /// Returns the properties of tile `tile`. An edited tile is hashed first. Fails with OUT_OF_RANGE if
    /// there is no such tile.
    pub fn tile(&self, tile: u64) -> Result<TileInfo> {
        let state = self.state();
        let at = state.tree.tile(TileIndex(tile))?.ok_or_else(|| {
            let tiles = state.tree.tiles();
            AtlasError::out_of_range(format!(
                "tile {tile} is outside 0..{tiles}, the tiles of the projection"
            ))
            .at_index(tile)
        })?;
        // An edited tile gets its witness now; errors name the tile.
        rehash::witness(&state.context, &at.tile, &mut CheckedReader::new(&state.context))
            .map_err(|error| error.at_index(tile).at_range(at.offset.0, to_u64(at.tile.len())))?;
        let leaf = leaf(&at)?;
        Ok(TileInfo {
            offset: at.offset.0,
            length: u64::from(leaf.len),
            residue: leaf.residue,
            witness: leaf.witness,
        })
    }

    /// Creates a second projection on the present state, in O(1). It has no history and its own statistics.
    #[must_use]
    pub fn snapshot(&self) -> AtlasProjection {
        let state = Arc::new(self.state().snapshot());
        // Maps and configuration are copied; the history starts empty and the statistics start at 0.
        let snapshot = Self::of(state, *lock(&self.transform), self.updates.successor());
        AtlasProjection { verifies_reads: self.verifies_reads, ..snapshot }
    }

    /// Fills `buffer` with the source's present bytes from `offset` on. They are verified only if the projection is a
    /// snapshot of a container, made with `verify_reads`.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read_raw(offset, OutBytes::new(buffer))
    }

    pub(crate) fn read_raw(&self, offset: u64, buffer: OutBytes<'_>) -> Result<()> {
        let state = self.state();
        // Reads do a small share of the pending clean-up.
        state.cache.tidy(&state.tree, READ_BUDGET);
        check_range(offset, to_u64(buffer.len()), state.tree.bytes(), "read")?;
        let (mut at, mut rest) = (ByteOffset(offset), buffer);
        // One reader serves the whole call, because neighbouring tiles may share an extent, which is then
        // checked once.
        let mut checked = self.verifies_reads.then(|| CheckedReader::new(&state.context));
        // One tile per round.
        while !rest.is_empty() {
            // After edits tiles have any length, so that each tile is looked up.
            let tile = state.tree.tile_of_byte(at)?;
            let tile = tile.ok_or_else(|| {
                AtlasError::internal(
                    "a defect of the library, please report it: no tile holds the next byte of a read",
                )
            })?;
            let start = to_usize(at - tile.offset);
            let take = rest.len().min(tile.tile.len() - start);
            let part = rest.split_off_front(take);
            // Verified reads check the witness, plain reads go directly to the source.
            let read = match &mut checked {
                Some(reader) => rehash::read_checked(&tile.tile, start, part, reader),
                None => tile.tile.read_raw(start, part),
            };
            read.map_err(|error| {
                error.at_index(tile.index.0).at_range(tile.offset.0, tile.tile.len() as u64)
            })?;
            at = at + to_u64(take);
        }
        Ok(())
    }

    /// Reads and hashes every byte again, and compares with the witnesses and residues. An error of WITNESS or
    /// CONSERVATION names the first tile that differs.
    pub fn verify(&self, operation: &mut Operation<'_>) -> Result<()> {
        let state = self.state();
        // Edited tiles get their witnesses first, with which their bytes are compared.
        let (_, made) = state.levels(operation, 0)?;
        operation.beside(made, |operation| {
            check::for_each_checked_tile(&state.context, &state.tree, operation, true, |_, _| Ok(()))
        })
    }

    /// Writes all bytes to a file, each verified before it is written.
    ///
    /// The bytes go to a temporary file beside `path`, which is flushed to the disk and renamed at the end:
    /// on failure there is no new file, and an older file stays, unless only the flush of the folder failed. A tile of
    /// zeros becomes a hole.
    pub fn write_file(&self, path: impl AsRef<Path>, operation: &mut Operation<'_>) -> Result<()> {
        let state = self.state();
        let (_, made) = state.levels(operation, 0)?;
        // The file is begun once all witnesses are known, because each tile is checked before it is
        // written.
        let file = AtomicFile::create(path.as_ref())?;
        // The file gets its full length at once, because tiles of zeros are never written.
        file.set_len(state.tree.bytes())?;
        // The tiles are never hashed in place, so that exactly the hashed copy is written.
        operation.beside(made, |operation| {
            check::for_each_checked_tile(&state.context, &state.tree, operation, false, |at, bytes| {
                file.write_sparse_at(at.offset.0, bytes)
            })
        })?;
        file.persist().map_err(|failed| failed.1)
    }

    /// Applies the map `params` to the tile plane, in which each tile is a unit square, in addition to all maps
    /// applied by earlier calls. The bytes stay as they are.
    pub fn transform(&self, params: &TransformParams) -> Result<()> {
        let mut transform = lock(&self.transform);
        *transform = transform.then(params)?;
        Ok(())
    }

    /// Returns the axis-aligned bounds of a tile on the transformed plane. Fails with OUT_OF_RANGE if there is no
    /// such tile.
    pub fn tile_bounds(&self, tile: u64) -> Result<Bounds> {
        // A copy of the map, so that the lock is not held for longer.
        let map = *lock(&self.transform);
        plane::tile_bounds(&map, tile, self.state().tree.tiles())
    }

    /// Returns the tile at a point of the transformed plane. Fails with OUT_OF_RANGE if there is none, with
    /// INVALID_ARGUMENT if a coordinate is not finite.
    pub fn tile_at(&self, x: f64, y: f64) -> Result<u64> {
        let map = *lock(&self.transform);
        plane::tile_at(&map, x, y, self.state().tree.tiles())
    }
}

impl std::fmt::Debug for AtlasProjection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AtlasProjection").field(&self.info()).finish()
    }
}
