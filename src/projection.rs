//! Projections: an addressable, verifiable view of a domain.

#![forbid(unsafe_code)]

use crate::atomic_file::AtomicFile;
use crate::digest::Digest;
use crate::error::{AtlasError, Result, check_range};
use crate::geometry::{PAGE_BYTES, TILE_BYTES, to_u64, to_usize};
use crate::hashing::{self, Geometry};
use crate::incremental::Edits;
use crate::layer2::Residue;
use crate::merkle::{self, Head, Leaf, Merkle};
use crate::operation::Operation;
use crate::rehash::{self, Verified};
use crate::scheme::Scheme;
use crate::source::Source;
use crate::sync::lock;
use crate::transform::{self, Affine, Bounds, TransformParams};
use crate::tree::{Chains, Difference, TileAt, Trash, Tree};
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// How a tile's bytes become witnessed payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProjectionType {
    /// The bytes as they are.
    #[default]
    Linear,
    /// The exact Fourier transform over GF(12289), dealt out to 96 resonance classes of which any K
    /// rebuild the domain ([`ProjectionOptions::with_data_classes`]).
    R96Fourier,
}

impl ProjectionType {
    /// The number in the root, in shards and in the C API.
    pub(crate) fn code(self) -> u8 {
        match self {
            ProjectionType::Linear => 0,
            ProjectionType::R96Fourier => 1,
        }
    }

    /// The type with this number.
    pub(crate) fn from_code(code: u8) -> Option<ProjectionType> {
        match code {
            0 => Some(ProjectionType::Linear),
            1 => Some(ProjectionType::R96Fourier),
            _ => None,
        }
    }
}

/// What is asked of the sum of all bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConservationPolicy {
    /// Any bytes; residue and correction are recorded.
    #[default]
    Track,
    /// The sum must be 0 mod 96, and stay so.
    Strict,
}

/// Options of a new projection.
#[derive(Clone)]
pub struct ProjectionOptions {
    pub(crate) policy: ConservationPolicy,
    /// K of R96.
    pub(crate) data_classes: u8,
    pub(crate) key: Option<zeroize::Zeroizing<[u8; 32]>>,
}

impl Default for ProjectionOptions {
    fn default() -> Self {
        ProjectionOptions { policy: ConservationPolicy::Track, data_classes: 96, key: None }
    }
}

impl ProjectionOptions {
    /// TRACK, K = 96, without a key.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is asked of the sum of all bytes.
    #[must_use]
    pub fn with_conservation(mut self, policy: ConservationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// K, 1 to 96: so many of the 96 classes of an R96 projection rebuild it, and 96 − K may be lost.
    /// All of them together take about 14/13 · 96/K of the domain. LINEAR has none.
    #[must_use]
    pub fn with_data_classes(mut self, data_classes: u8) -> Self {
        self.data_classes = data_classes;
        self
    }

    /// Keyed witnesses: only who has the key can make or verify them.
    #[must_use]
    pub fn with_key(mut self, key: &[u8; 32]) -> Self {
        self.key = Some(zeroize::Zeroizing::new(*key));
        self
    }
}

/// What all states of a projection have in common.
pub(crate) struct Config {
    pub(crate) scheme: Scheme,
    pub(crate) policy: ConservationPolicy,
    pub(crate) chains: Chains,
    pub(crate) trash: Trash,
    /// The last digests that were computed, with their tiles: the next ones start from them.
    latest: Mutex<Option<(Tree, Arc<Merkle>)>>,
}

impl Config {
    /// INVALID_ARGUMENT for a K that there is not.
    pub(crate) fn new(kind: ProjectionType, options: &ProjectionOptions) -> Result<Arc<Config>> {
        Ok(Arc::new(Config {
            scheme: Scheme::new(kind, options)?,
            policy: options.policy,
            chains: Chains::default(),
            trash: Trash::default(),
            latest: Mutex::new(None),
        }))
    }
}

/// One state: tiles and their digests, which an edited state has when they are asked for. Immutable.
pub(crate) struct State {
    pub(crate) config: Arc<Config>,
    pub(crate) tree: Tree,
    merkle: OnceLock<Arc<Merkle>>,
}

impl State {
    /// Of fresh tiles, whose witnesses are known.
    pub(crate) fn new(config: Arc<Config>, tree: Tree) -> Result<State> {
        let mut failed = None;
        // One by one: a list of all leaves would be memory that no limit accounts for.
        let leaves =
            tree.iter_from_tile(0).map_while(|at| leaf(at).map_err(|error| failed = Some(error)).ok());
        let merkle = Merkle::new(&config.scheme, tree.tiles(), leaves)?;
        if let Some(error) = failed {
            return Err(error);
        }
        let merkle = Arc::new(merkle);
        *lock(&config.latest) = Some((tree.clone(), Arc::clone(&merkle)));
        Ok(State { config, tree, merkle: OnceLock::from(merkle) })
    }

    /// Of tiles some of which were edited.
    pub(crate) fn edited(config: Arc<Config>, tree: Tree) -> State {
        State { config, tree, merkle: OnceLock::new() }
    }

    /// The digests. The first call after an edit hashes what was edited, and may find that the
    /// source changed; it reports once a tile.
    pub(crate) fn merkle(&self, operation: &mut Operation<'_>) -> Result<&Merkle> {
        self.merkle_reporting(operation, false)
    }

    /// Hashes what was edited, with progress.
    pub(crate) fn hash(&self, operation: &mut Operation<'_>) -> Result<()> {
        self.merkle_reporting(operation, true).map(|_| ())
    }

    fn merkle_reporting(&self, operation: &mut Operation<'_>, report: bool) -> Result<&Merkle> {
        operation.executor.check()?;
        if let Some(merkle) = self.merkle.get() {
            return Ok(merkle);
        }
        let merkle = self.compute_merkle(operation, report)?;
        Ok(self.merkle.get_or_init(|| merkle))
    }

    fn compute_merkle(&self, operation: &mut Operation<'_>, report: bool) -> Result<Arc<Merkle>> {
        let scheme = &self.config.scheme;
        let result = self.tree.tiles() * merkle::FOOTPRINT;
        // Taken away while it is worked on, so that nobody waits: who finds nothing starts anew.
        let Some((old, mut merkle)) = lock(&self.config.latest).take() else {
            let tiles: Vec<_> = self.tree.iter_from_tile(0).collect();
            rehash::witnesses(&self.config, &tiles, operation, result, report)?;
            let leaves = tiles.into_iter().map(leaf).collect::<Result<Vec<Leaf>>>()?;
            let merkle = Merkle::new(scheme, self.tree.tiles(), leaves.into_iter())?;
            return Ok(self.keep_latest(Arc::new(merkle)));
        };
        let difference = self.tree.difference(&old);
        let tiles = match &difference {
            Difference::Replaced(tiles) | Difference::Spliced { inserted: tiles, .. } => tiles,
        };
        if let Err(error) = rehash::witnesses(&self.config, tiles, operation, result, report) {
            lock(&self.config.latest).get_or_insert((old, merkle));
            return Err(error);
        }
        let leaves = tiles.iter().map(|at| leaf(*at)).collect::<Result<Vec<Leaf>>>()?;
        // In place, where no state has these digests any more.
        let changed = Arc::make_mut(&mut merkle);
        match &difference {
            Difference::Replaced(tiles) => {
                let leaves: Vec<_> = tiles.iter().map(|at| at.index).zip(leaves).collect();
                changed.replace(scheme, &leaves);
            }
            Difference::Spliced { before, removed, .. } => {
                let place = (to_usize(*before), to_usize(*removed));
                changed.splice(scheme, place, &leaves);
            }
        }
        self.config.trash.put([old]);
        Ok(self.keep_latest(merkle))
    }

    fn keep_latest(&self, merkle: Arc<Merkle>) -> Arc<Merkle> {
        let before = lock(&self.config.latest).replace((self.tree.clone(), Arc::clone(&merkle)));
        self.config.trash.put(before.map(|(tree, _)| tree));
        merkle
    }

    pub(crate) fn head(&self) -> Head {
        self.config.scheme.head(self.tree.bytes(), self.tree.tiles())
    }
}

/// What the root commits to of a tile.
pub(crate) fn leaf(at: TileAt<'_>) -> Result<Leaf> {
    let witness = *at.tile.witness().ok_or_else(|| AtlasError::internal("a tile has no witness"))?;
    // A tile has at most 1 MiB.
    let len = u32::try_from(at.tile.len()).unwrap_or(u32::MAX);
    Ok(Leaf { len, residue: at.tile.residue(), witness })
}

/// Properties of a projection's present state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectionInfo {
    /// How tiles become payload.
    pub projection_type: ProjectionType,
    /// Bytes of the domain.
    pub domain_size: u64,
    /// Pages of 4,096 bytes that the domain fills, the last one perhaps in part.
    pub page_count: u64,
    /// Tiles of at most 1 MiB.
    pub tile_count: u64,
    /// The sum of all bytes mod 96.
    pub residue: Residue,
    /// Tiles in a row of the plane: ceil(sqrt(tile_count)), as are the rows.
    pub width: u64,
    /// K of R96: so many of the 96 classes rebuild it; 0 for LINEAR.
    pub data_classes: u8,
    /// Whether witnesses are keyed.
    pub keyed: bool,
    /// Whether tiles are full from offset 0 on, as when fresh.
    pub canonical: bool,
}

/// Properties of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TileInfo {
    /// Of its first byte, in the domain.
    pub offset: u64,
    /// 1 to 1,048,576 bytes.
    pub length: u64,
    /// The sum of its bytes mod 96.
    pub residue: Residue,
    /// Its digest.
    pub witness: Digest,
}

/// A verifiable view of a domain.
///
/// All methods take `&self` and may run at the same time. A snapshot is a second projection on the
/// same state, made in O(1).
pub struct AtlasProjection {
    state: Mutex<Arc<State>>,
    transform: Mutex<Affine>,
    pub(crate) edits: Edits,
}

impl AtlasProjection {
    /// Hashes all of `source`: the projection commits to what it holds now.
    ///
    /// INVALID_ARGUMENT for R96 with a K outside 1..=96. Costs about one BLAKE3 of the bytes (R96: also their transform), on as many threads as `operation` allows, and at most
    /// 448 bytes of memory a tile. Fails with what reading fails with, and with CONSERVATION where
    /// the policy is STRICT and the sum is not 0 mod 96.
    pub fn create(
        projection_type: ProjectionType,
        source: &Source,
        options: &ProjectionOptions,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasProjection> {
        let config = Config::new(projection_type, options)?;
        let geometry = Geometry::Canonical { size: source.size() };
        let tree = hashing::project(&config.scheme, source, geometry, operation)?;
        Self::from_fresh(config, options.policy, tree)
    }

    /// The projection of fresh tiles, if the policy accepts them.
    pub(crate) fn from_fresh(
        config: Arc<Config>,
        policy: ConservationPolicy,
        tree: Tree,
    ) -> Result<AtlasProjection> {
        let residue = tree.residue();
        if policy == ConservationPolicy::Strict && residue != Residue::ZERO {
            return Err(AtlasError::conservation(format!(
                "the domain sums to {residue} mod 96 where STRICT asks for 0: {} is missing",
                residue.correction()
            )));
        }
        Ok(Self::from_state(State::new(config, tree)?))
    }

    /// A LINEAR projection with default options, on the library's pool.
    pub fn linear(source: &Source) -> Result<AtlasProjection> {
        Self::create(ProjectionType::Linear, source, &ProjectionOptions::new(), &mut Operation::new())
    }

    pub(crate) fn from_state(state: State) -> AtlasProjection {
        Self::of(Arc::new(state), Affine::IDENTITY, Edits::default())
    }

    fn of(state: Arc<State>, transform: Affine, edits: Edits) -> AtlasProjection {
        AtlasProjection { state: Mutex::new(state), transform: Mutex::new(transform), edits }
    }

    /// Puts another state in place. Only who holds the lock of the edits does.
    pub(crate) fn set_state(&self, state: State) -> Arc<State> {
        std::mem::replace(&mut *lock(&self.state), Arc::new(state))
    }

    /// The present state, which stays as it is whatever happens to the projection.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&lock(&self.state))
    }

    /// Properties of the present state.
    pub fn info(&self) -> ProjectionInfo {
        let state = self.state();
        let tree = &state.tree;
        let (size, tiles) = (tree.bytes(), tree.tiles());
        let canonical = tiles == size.div_ceil(TILE_BYTES)
            && tree.iter_from_tile(0).all(|at| at.offset == at.index * TILE_BYTES);
        ProjectionInfo {
            projection_type: state.config.scheme.kind(),
            domain_size: size,
            page_count: size.div_ceil(PAGE_BYTES),
            tile_count: tiles,
            residue: tree.residue(),
            width: transform::width(tiles),
            data_classes: state.config.scheme.data_classes(),
            keyed: state.config.scheme.digests().keyed(),
            canonical,
        }
    }

    /// The witness root: the digest that all shards of this state prove themselves against.
    ///
    /// After an edit the first call hashes what was edited. WITNESS where the source does not hold
    /// any more what was projected, of the tiles that were edited.
    pub fn root(&self, operation: &mut Operation<'_>) -> Result<Digest> {
        let state = self.state();
        if state.merkle.get().is_some() {
            // Nothing is left to do, which is a report too.
            operation.tracker(0, 0).finish()?;
        }
        Ok(*state.merkle_reporting(operation, true)?.root())
    }

    /// Properties of tile `tile`, which is hashed first where it was edited. OUT_OF_RANGE where
    /// there is none.
    pub fn tile(&self, tile: u64) -> Result<TileInfo> {
        let state = self.state();
        let at = state.tree.iter_from_tile(tile).next().ok_or_else(|| {
            let tiles = state.tree.tiles();
            AtlasError::out_of_range(format!("tile {tile} is outside 0..{tiles}")).at_index(tile)
        })?;
        rehash::witness(&state.config, at.tile, &mut Verified::new(&state.config))
            .map_err(|error| error.at_index(tile).at_range(at.offset, to_u64(at.tile.len())))?;
        let leaf = leaf(at)?;
        Ok(TileInfo {
            offset: at.offset,
            length: u64::from(leaf.len),
            residue: leaf.residue,
            witness: leaf.witness,
        })
    }

    /// A second projection on the present state, O(1). It has no history and counts anew.
    #[must_use]
    pub fn snapshot(&self) -> AtlasProjection {
        Self::of(self.state(), *lock(&self.transform), self.edits.successor())
    }

    /// Fills `buffer` with the bytes from `offset` on, as the source holds them now: not verified.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read_raw(offset, crate::source::as_uninit(buffer))
    }

    pub(crate) fn read_raw(&self, offset: u64, buffer: &mut [MaybeUninit<u8>]) -> Result<()> {
        let state = self.state();
        check_range(offset, to_u64(buffer.len()), state.tree.bytes(), "read")?;
        let (mut at, mut rest) = (offset, buffer);
        for tile in state.tree.iter_from_byte(offset) {
            if rest.is_empty() {
                break;
            }
            let start = to_usize(at - tile.offset);
            let take = rest.len().min(tile.tile.len() - start);
            let (now, later) = rest.split_at_mut(take);
            tile.tile.read_raw(start, now).map_err(|error| error.at_index(tile.index))?;
            (at, rest) = (at + to_u64(take), later);
        }
        Ok(())
    }

    /// Reads and hashes every byte again. WITNESS or CONSERVATION names the first tile that differs.
    pub fn verify(&self, operation: &mut Operation<'_>) -> Result<()> {
        let state = self.state();
        state.merkle(operation)?;
        hashing::for_each_checked_tile(&state.config.scheme, &state.tree, operation, true, |_, _| Ok(()))
    }

    /// Writes all bytes to a file, each verified before it is written.
    ///
    /// They go to a temporary file beside `path`, which is flushed to the disk and renamed at the
    /// end: on failure there is no file, and an older one stays.
    pub fn write_file(&self, path: impl AsRef<Path>, operation: &mut Operation<'_>) -> Result<()> {
        let state = self.state();
        state.merkle(operation)?;
        let file = AtomicFile::create(path.as_ref())?;
        file.set_len(state.tree.bytes())?;
        hashing::for_each_checked_tile(&state.config.scheme, &state.tree, operation, false, |at, bytes| {
            file.write_at(at.offset, bytes)
        })?;
        file.persist().map_err(|failed| failed.1)
    }

    /// Maps the tile plane by `params`, after the earlier maps. The bytes stay as they are.
    pub fn transform(&self, params: &TransformParams) -> Result<()> {
        let mut transform = lock(&self.transform);
        *transform = transform.then(params)?;
        Ok(())
    }

    /// The axis-aligned bounds of a transformed tile.
    pub fn tile_bounds(&self, tile: u64) -> Result<Bounds> {
        let map = *lock(&self.transform);
        transform::tile_bounds(&map, tile, self.state().tree.tiles())
    }

    /// The tile at a point of the transformed plane. OUT_OF_RANGE where there is none.
    pub fn tile_at(&self, x: f64, y: f64) -> Result<u64> {
        let map = *lock(&self.transform);
        transform::tile_at(&map, x, y, self.state().tree.tiles())
    }
}

impl std::fmt::Debug for AtlasProjection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AtlasProjection").field(&self.info()).finish()
    }
}
