//! Reconstruction of a domain from its shards, in any order.
//!
//! Every shard is verified before one of its bytes is accepted. The new bytes go to a spool file, or to
//! memory piece by piece. The size that a shard claims for the domain never determines an allocation. Classes
//! of R96 wait (`classes`) until a tile has K of them, and are then decoded. `finish` hashes the whole domain
//! again and compares the root.

#![forbid(unsafe_code)]

mod classes;

use crate::base::atomic_file::{AtomicFile, tiles_of};
use crate::base::buffer::{Buffer, try_collect, try_grow, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::ranges::Ranges;
use crate::base::sync::lock;
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::progress::Tracker;
use crate::exec::workers::Workers;
use crate::hash::digest::{Digest, hex, same};
use crate::hash::tile_tree::RootHeader;
use crate::projection::AtlasProjection;
use crate::projection::state::State;
use crate::shard::{AtlasBoundaryRegion, AtlasShard, Proof, TileShape, VerifyOptions};
use crate::source::Source;
use crate::tile::context::Context;
use crate::tile::hash_tiles::{self, Geometry};
use crate::tile::options::{ProjectionOptions, ProjectionType};
use classes::Waiting;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Number of bytes of bookkeeping counted for each tile of an added shard. Waiting classes need more.
const ADDED_TILE: u64 = 512;

/// Number of bytes of memory for a range that a shard adds, besides its bytes: its places in lists, a buffer with its
/// counter, and an entry of a map.
const ADDED_GAP: u64 = 256;

/// Number of bytes of memory for a tile in the lists of a rebuilt domain, and for a piece of it.
const LISTED_TILE: usize = 4 * size_of::<u64>();
const LISTED_PIECE: usize = 6 * size_of::<u64>();

/// Options of a reconstruction.
#[derive(Clone, Default)]
pub struct ReconstructionOptions {
    trust: VerifyOptions,
    spool_path: Option<PathBuf>,
    max_domain_size: Option<u64>,
}

impl ReconstructionOptions {
    /// Returns the defaults: the root of the first shard that verifies, no key, a domain of any size,
    /// collected in memory and not in a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the root that every shard must have.
    #[must_use]
    pub fn with_root(mut self, root: Digest) -> Self {
        self.trust = self.trust.with_root(root);
        self
    }

    /// Sets the key of the projection.
    #[must_use]
    pub fn with_key(mut self, key: &[u8; 32]) -> Self {
        self.trust = self.trust.with_key(key);
        self
    }

    /// Sends the bytes to a temporary file beside `path`, which `finish` renames to `path`.
    #[must_use]
    pub fn with_spool(mut self, path: impl AsRef<Path>) -> Self {
        self.spool_path = Some(path.as_ref().to_owned());
        self
    }

    /// Sets the maximum size of the domain. A shard that claims a larger one fails with LIMIT.
    #[must_use]
    pub fn with_max_domain_size(mut self, size: u64) -> Self {
        self.max_domain_size = Some(size);
        self
    }
}

/// Files of a reconstruction: the spool file and the file of waiting classes. Both exist only with a spool
/// path.
///
/// Every change locks the files and no getter does, so that bytes are written without the lock of the
/// collected state. Bytes of a failed change stay in the file, at places that do not count as present.
#[derive(Default)]
struct Files {
    spool: Option<AtomicFile>,
    /// File of the classes of R96 that wait until their tile has K, and the offset after the last valid class
    /// in it.
    waiting: Option<(AtomicFile, u64)>,
}

/// Properties of the domain that the first shard claimed.
struct ClaimedDomain {
    root: Digest,
    header: RootHeader,
    keyed: bool,
}

/// Collector of the shards of one projection state until the domain is complete.
///
/// All methods take `&self`. Changes are serialised; getters run at the same time, also during a progress
/// callback of a change.
///
/// ```
/// use atlas_manifold::{
///     AtlasBoundaryRegion, AtlasProjection, AtlasReconstruction, Operation, ReconstructionOptions, Source,
/// };
///
/// let operation = &mut Operation::new();
/// let projection = AtlasProjection::linear(&Source::from_vec(vec![7; 3_000_000]))?;
/// let options = ReconstructionOptions::new().with_root(projection.root(operation)?);
/// let reconstruction = AtlasReconstruction::new(&options)?;
/// for offset in [2_000_000, 0] {
///     let region = AtlasBoundaryRegion::new(offset, 1_000_000);
///     reconstruction.add(&projection.extract_shard(&region, operation)?, operation)?;
/// }
/// assert!(!reconstruction.is_complete());
/// for missing in reconstruction.missing() {
///     reconstruction.add(&projection.extract_shard(&missing, operation)?, operation)?;
/// }
/// let rebuilt = reconstruction.finish(operation)?;
/// assert_eq!(rebuilt.root(operation)?, projection.root(operation)?);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
pub struct AtlasReconstruction {
    trust: VerifyOptions,
    max_domain_size: Option<u64>,
    /// Files of the reconstruction. Locked during each call that changes it, so that these calls run one at a
    /// time.
    turn: Mutex<Files>,
    collected: Mutex<Collected>,
}

/// Domain of which every byte was added, and the root that the shards claim for it. The bytes are not yet compared
/// with this root.
struct Whole {
    root: Digest,
    header: RootHeader,
    /// Offset in the domain of the end of each tile, ascending.
    ends: Vec<u64>,
    source: Source,
}

/// Bytes, tiles and waiting classes that a reconstruction has collected so far.
struct Collected {
    domain: Option<ClaimedDomain>,
    /// Offset and shape of each tile that a shard described, by the tile's index.
    tiles: BTreeMap<u64, (u64, TileShape)>,
    have: Ranges,
    /// Total number of bytes of the ranges in `have`, which are the parts of the domain that were added.
    present: u64,
    /// Bytes of the ranges in `have`, by their offset in the domain. Empty if there is a spool file.
    pieces: BTreeMap<u64, Arc<Buffer>>,
    waiting: Waiting,
    /// True once `finish` returned the domain.
    finished: bool,
}

impl AtlasReconstruction {
    /// Returns an empty reconstruction. With a spool path the temporary file is made now.
    pub fn new(options: &ReconstructionOptions) -> Result<AtlasReconstruction> {
        let spool = options.spool_path.as_deref().map(AtomicFile::create).transpose()?;
        let collected = Collected {
            domain: None,
            tiles: BTreeMap::new(),
            have: Ranges::default(),
            present: 0,
            pieces: BTreeMap::new(),
            waiting: Waiting::default(),
            finished: false,
        };
        Ok(AtlasReconstruction {
            trust: options.trust.clone(),
            max_domain_size: options.max_domain_size,
            turn: Mutex::new(Files { spool, waiting: None }),
            collected: Mutex::new(collected),
        })
    }

    /// Verifies `shard` and keeps the bytes that it adds.
    ///
    /// Duplicates and overlaps are harmless. Fails with WITNESS for another root, type, K or size, with
    /// CONFLICT for another tile geometry under the same root, with LIMIT for a larger domain than allowed,
    /// and with STATE after a successful `finish`; nothing changes then.
    ///
    /// R96: a shard that completes K classes of a tile makes the call decode the tile. Fails with FORMAT,
    /// WITNESS or CONSERVATION if K classes verify but do not decode to a tile with its witness and residue,
    /// which only the maker of the root can cause.
    pub fn add(&self, shard: &AtlasShard, operation: &mut Operation<'_>) -> Result<()> {
        let mut files = lock(&self.turn);
        let proof = shard.proof();
        // The state is locked for short steps only, because getters run during a change.
        lock(&self.collected).check_fits(proof)?;
        // A hostile size is refused before any work.
        if let Some(limit) = self.max_domain_size
            && proof.header.size > limit
        {
            return Err(AtlasError::limit(format!(
                "the shard belongs to a domain of {} bytes, more than the limit max_domain_size of {limit}",
                proof.header.size
            )));
        }
        if let Some(spool) = &files.spool {
            spool.check_process()?;
            // If the first shard failed, its bytes may still be in the file. The file is emptied now, because
            // zeros are not written over them.
            if lock(&self.collected).domain.is_none() {
                spool.set_len(0)?;
            }
        }
        match proof.kind() {
            ProjectionType::Linear => self.add_linear(shard, files.spool.as_ref(), operation),
            ProjectionType::R96Fourier => self.add_classes(shard, &mut files, operation),
        }
    }

    /// Verifies a LINEAR shard and keeps the bytes that it adds.
    fn add_linear(
        &self,
        shard: &AtlasShard,
        spool: Option<&AtomicFile>,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        let (proof, (_, payload)) = (shard.proof(), shard.payload());
        // Plan first: the memory, the layout, and the bytes that are new.
        proof.check_trust(&self.trust)?;
        let added = to_u64(proof.tiles.len()).saturating_mul(ADDED_TILE);
        let added = added.saturating_add(self.count_gaps(shard).saturating_mul(ADDED_GAP));
        operation.reserve(added)?;
        let (parts, payload_offset) = proof.layout(payload.len())?;
        // Changes are serialised, so that no other call fills the gaps meanwhile.
        let gaps = self.gaps(shard)?;
        let fresh: u64 = gaps.iter().map(|gap| gap.end - gap.start).sum();
        let len = to_u64(payload.len());

        // A shared payload counts too, because it stays after its shard is destroyed.
        let held = if spool.is_some() { 0 } else { fresh };
        let kept = held.saturating_add(added);
        let verifiers = operation.beside(kept, |operation| proof.verifiers(payload.len(), operation))?;
        // Writing to the file is counted in the totals besides verifying.
        let steps = |gap: &Range<u64>| (gap.end - gap.start).div_ceil(TILE_BYTES);
        let (written, writes) = if spool.is_some() { (fresh, gaps.iter().map(steps).sum()) } else { (0, 0) };
        let mut tracker = operation.tracker(len.saturating_add(written), to_u64(parts.len()) + writes);
        let layout = (&parts[..], payload_offset);
        // Verify, and only then keep.
        proof.verify_parts(payload, layout, &self.trust, verifiers, &mut tracker)?;
        self.take_bytes(shard, gaps, spool, verifiers, tracker)
    }

    fn count_gaps(&self, shard: &AtlasShard) -> u64 {
        let (start, payload) = shard.payload();
        to_u64(lock(&self.collected).have.gaps(start..start + to_u64(payload.len())).count())
    }

    /// Returns the ranges of the domain that a LINEAR shard has and that were not added yet.
    fn gaps(&self, shard: &AtlasShard) -> Result<Vec<Range<u64>>> {
        let (start, payload) = shard.payload();
        try_collect(lock(&self.collected).have.gaps(start..start + to_u64(payload.len())))
    }

    /// Keeps the ranges `gaps` of a verified LINEAR shard: in memory, or, if there is a spool file, in this
    /// file, to which `workers` write the bytes. Records the tiles that the shard described.
    fn take_bytes(
        &self,
        shard: &AtlasShard,
        gaps: Vec<Range<u64>>,
        spool: Option<&AtomicFile>,
        workers: Workers<'_>,
        mut tracker: Tracker<'_, '_>,
    ) -> Result<()> {
        let (proof, (start, payload)) = (shard.proof(), shard.payload());
        // A conflict is found before anything is written.
        let told = lock(&self.collected).new_tiles(proof)?;
        let mut pieces = try_vec(if spool.is_none() { gaps.len() } else { 0 })?;
        let mut steps = Vec::new();
        for gap in &gaps {
            let bytes = &payload[to_usize(gap.start - start)..to_usize(gap.end - start)];
            // Keep the bytes in the file, in steps of a tile, or in memory, shared with the shard if its
            // whole payload is new.
            match spool {
                Some(_) => {
                    try_grow(&mut steps, bytes.len().div_ceil(TILE_SIZE))?;
                    steps.extend(tiles_of(gap.start, bytes));
                }
                None if bytes.len() == payload.len() => pieces.push((gap.start, shard.shared_payload())),
                None => pieces.push((gap.start, Arc::new(Buffer::copy_of(bytes)?))),
            }
        }
        if let Some(file) = spool {
            // Several threads write, each a tile's length at a time.
            let write = |(): &mut (), step: u64| {
                let (at, bytes) = steps[to_usize(step)];
                // Zeros are left out, because the file began empty.
                file.write_sparse_at(at, bytes)?;
                Ok(to_u64(bytes.len()))
            };
            let count = to_u64(steps.len());
            workers.run(count, || Ok(()), write, |_, len| tracker.advance(len, 1))?;
        }
        tracker.finish()?;
        lock(&self.collected).has_come(proof, told, gaps, pieces);
        Ok(())
    }

    /// Returns the number of further classes needed, the maximum over all tiles. 0 for LINEAR, and before
    /// the first shard.
    pub fn classes_needed(&self) -> u32 {
        lock(&self.collected).classes_needed()
    }

    /// Returns true if every byte of the domain was added.
    pub fn is_complete(&self) -> bool {
        let collected = lock(&self.collected);
        collected.domain.as_ref().is_some_and(|domain| domain.header.size == collected.present)
    }

    /// Returns the missing regions, ascending and merged. Empty before the first shard.
    pub fn missing(&self) -> Vec<AtlasBoundaryRegion> {
        lock(&self.collected).missing().collect()
    }

    /// Calls `each` with each of the [`missing`](Self::missing) regions, and needs no memory for a list of them.
    pub(crate) fn each_missing(&self, each: impl FnMut(AtlasBoundaryRegion)) {
        lock(&self.collected).missing().for_each(each);
    }

    /// Returns the rebuilt domain as a projection of the same geometry and root.
    ///
    /// Hashes every byte again. A spool file gets its final name. On failure everything stays as it was;
    /// after success only getters work. Fails with WITNESS if the root differs, with INCOMPLETE and the
    /// missing amount if bytes are missing.
    pub fn finish(&self, operation: &mut Operation<'_>) -> Result<AtlasProjection> {
        let mut files = lock(&self.turn);
        // After a failed flush the bytes are copied to another file. All of them are hashed below.
        if let Some(spool) = &mut files.spool {
            spool.renew()?;
        }
        let listed = lock(&self.collected).listed();
        operation.reserve(listed)?;
        let Whole { root, header, ends, source } = lock(&self.collected).whole(files.spool.as_ref())?;
        // The options of the projection are those that the shards claimed.
        let kind = ProjectionType::from_code(header.kind).ok_or_else(|| {
            AtlasError::internal(format!(
                "a defect of the library, please report it: the projection type {} of the shards is \
                 unknown",
                header.kind
            ))
        })?;
        let mut options = ProjectionOptions::new();
        if kind == ProjectionType::R96Fourier {
            options.data_classes = header.classes;
        }
        options.key.clone_from(&self.trust.key);
        let config = Context::new(kind, &options)?;
        // Hash all bytes with the collected tile geometry, and compare the root.
        let state = operation.beside(listed, |operation| {
            let tree = hash_tiles::project(&config.scheme, &source, Geometry::Ends(&ends), operation)?;
            let state = State::new(config, tree)?;
            state.merkle(operation)?;
            Ok::<State, AtlasError>(state)
        })?;
        if !same(state.merkle(operation)?.root(), &root) {
            return Err(AtlasError::witness(
                "the rebuilt bytes do not have the root that the shards state: verify each shard against \
                 its root",
            ));
        }
        // The file gets its name last; a failure keeps it for another attempt.
        if let Some(spool) = files.spool.take() {
            spool.persist().map_err(|failed| {
                files.spool = Some(failed.0);
                failed.1
            })?;
        }
        // The collected memory belongs to the projection now.
        files.waiting = None;
        let mut collected = lock(&self.collected);
        collected.finished = true;
        collected.pieces = BTreeMap::new();
        collected.waiting = Waiting::default();
        drop(collected);
        Ok(AtlasProjection::from_state(state))
    }
}

impl Collected {
    /// Fails with WITNESS if a shard belongs to another domain than the first shard, and with STATE after
    /// `finish`.
    fn check_fits(&self, proof: &Proof) -> Result<()> {
        if self.finished {
            return Err(finished());
        }
        // A hostile shard may claim the same root with another header, which its proof refutes only later.
        let Some(domain) = &self.domain else { return Ok(()) };
        let (known, found) = (&domain.header, &proof.header);
        let key_use = |keyed| if keyed { "a key" } else { "no key" };
        // Names the first property that differs. The root is compared last, because it depends on all other
        // properties.
        let (what, found, known) = if found.kind != known.kind {
            ("projection type", found.kind.to_string(), known.kind.to_string())
        } else if found.classes != known.classes {
            ("K", found.classes.to_string(), known.classes.to_string())
        } else if found.size != known.size {
            ("domain size", found.size.to_string(), known.size.to_string())
        } else if found.tiles != known.tiles {
            ("number of tiles", found.tiles.to_string(), known.tiles.to_string())
        } else if proof.keyed != domain.keyed {
            ("key use", key_use(proof.keyed).to_owned(), key_use(domain.keyed).to_owned())
        } else if !same(&domain.root, &proof.root) {
            ("root", hex(&proof.root), hex(&domain.root))
        } else {
            return Ok(());
        };
        Err(AtlasError::witness(format!(
            "the shard has the {what} {found}, and the shards added before it have {known}: add it to a \
             reconstruction of its own"
        )))
    }

    /// Records the tiles `told` that a verified shard described, the `ranges` of the domain that it added, and
    /// their bytes `pieces` unless these are in the spool file.
    fn has_come(
        &mut self,
        proof: &Proof,
        told: Vec<(u64, (u64, TileShape))>,
        ranges: Vec<Range<u64>>,
        pieces: Vec<(u64, Arc<Buffer>)>,
    ) {
        for range in ranges {
            self.present += range.end - range.start;
            // The plan has no bytes that are present already, so that no ranges overlap.
            self.have.insert(range);
        }
        self.pieces.extend(pieces);
        self.tiles.extend(told);
        // The first shard that verified determines the domain.
        self.domain.get_or_insert(ClaimedDomain {
            root: proof.root,
            header: proof.header,
            keyed: proof.keyed,
        });
    }

    /// Returns index, offset and shape of each tile that a shard describes. Fails with CONFLICT if a tile
    /// differs from the same tile of an earlier shard.
    fn new_tiles(&self, proof: &Proof) -> Result<Vec<(u64, (u64, TileShape))>> {
        let mut told = try_vec(proof.tiles.len())?;
        let mut offset = proof.claimed_start()?;
        for (index, tile) in (proof.first_tile..).zip(&proof.tiles) {
            // Only the maker of a root can make two geometries with the same root.
            let known = self.tiles.get(&index);
            if let Some((start, other)) = known.filter(|known| **known != (offset, *tile)) {
                return Err(AtlasError::conflict(format!(
                    "tile {index} has {} bytes at offset {offset} with the residue {} in this shard, and {} \
                     bytes at offset {start} with the residue {} in an earlier shard",
                    tile.len, tile.residue, other.len, other.residue
                ))
                .at_index(index));
            }
            told.push((index, (offset, *tile)));
            offset += u64::from(tile.len);
        }
        Ok(told)
    }

    /// Returns the memory of the lists of tiles and pieces that make up the rebuilt domain.
    fn listed(&self) -> u64 {
        let tiles = self.tiles.len().saturating_mul(LISTED_TILE);
        to_u64(tiles.saturating_add(self.pieces.len().saturating_mul(LISTED_PIECE)))
    }

    fn missing(&self) -> impl Iterator<Item = AtlasBoundaryRegion> + '_ {
        let size = self.domain.as_ref().map_or(0, |domain| domain.header.size);
        self.have.gaps(0..size).map(|gap| AtlasBoundaryRegion::new(gap.start, gap.end - gap.start))
    }

    /// Returns the complete domain, with the spool file or the pieces in memory as its source. Fails with
    /// INCOMPLETE if bytes are missing, and with STATE after `finish`.
    fn whole(&self, spool: Option<&AtomicFile>) -> Result<Whole> {
        if self.finished {
            return Err(finished());
        }
        let Some(domain) = &self.domain else {
            return Err(AtlasError::incomplete(
                "nothing can be rebuilt, because no shard was added: add shards first",
            ));
        };
        // Name the amount and the first gap, so that the caller can fetch it.
        if let Some(first) = self.missing().next() {
            let regions = self.missing().count();
            let bytes: u64 = self.missing().map(|region| region.length).sum();
            let classes = match self.classes_needed() {
                0 => String::new(),
                needed => format!(": {needed} more of the {} classes are needed", domain.header.classes),
            };
            return Err(AtlasError::incomplete(format!(
                "{bytes} of {} bytes are missing in {regions} regions, the first at offset {}{classes}",
                domain.header.size, first.offset
            ))
            .at_range(first.offset, first.length));
        }
        // The pieces or the file become the source of the projection. All bytes were added, so that all tiles
        // are known, in the order of the domain.
        let mut ends = try_vec(self.tiles.len())?;
        ends.extend(self.tiles.values().map(|(offset, tile)| offset + u64::from(tile.len)));
        let source = match spool {
            None => {
                let mut pieces = try_vec(self.pieces.len())?;
                pieces.extend(self.pieces.iter().map(|(offset, bytes)| (*offset, Arc::clone(bytes))));
                Source::from_pieces(pieces)
            }
            Some(file) => {
                // Zeros at the end were not written.
                file.set_len(domain.header.size)?;
                Source::from_storage(file.storage()?, file.target())?
            }
        };
        Ok(Whole { root: domain.root, header: domain.header, ends, source })
    }
}

fn finished() -> AtlasError {
    AtlasError::state("the reconstruction is finished: begin a new one")
}

impl std::fmt::Debug for AtlasReconstruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtlasReconstruction").field("missing", &self.missing()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
