//! Incremental updates: insert, update, delete and move at any byte, in batches, with undo.
//!
//! An update makes a new state that shares all but one path of the tile tree with the old state. The last step of the
//! update makes the new state the present state. Its cost therefore depends on the change and not on the size of the
//! domain, a reader sees the state before or after the update, and a rollback restores an old state. Edited tiles are
//! hashed when a root, a witness or a shard is requested. Before bytes of the source become part of a new witness,
//! they are checked against the witness with which they were projected.
//!
//! ```
//! use atlas_manifold::{AtlasProjection, Operation, ProjectionDelta, Source};
//!
//! let projection = AtlasProjection::linear(&Source::from_vec(vec![7; 3 << 20]))?;
//! let root = projection.root(&mut Operation::new())?;
//!
//! projection.apply_incremental_update(ProjectionDelta::insert(100, vec![1, 2, 3]))?;
//! let stats = projection.apply_incremental_batch(vec![
//!     ProjectionDelta::insert(200, vec![4, 5]),
//!     ProjectionDelta::update(300, 310, vec![6, 7]),
//! ])?;
//! println!("Applied {} updates", stats.total_updates);
//! assert_eq!(projection.info().domain_size, (3 << 20) + 3 + 2 - 8);
//!
//! projection.rollback(3)?;
//! assert_eq!(projection.root(&mut Operation::new())?, root);
//! # Ok::<(), atlas_manifold::AtlasError>(())
//! ```

#![forbid(unsafe_code)]

mod delta;
pub(crate) mod new_bytes;
mod splice;

pub use crate::projection::history::{IncrementalConfig, IncrementalStats};
pub use delta::ProjectionDelta;

use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::units::{ByteOffset, TILE_BYTES, to_usize};
use crate::exec::operation::Operation;
use crate::layer2::Residue;
use crate::projection::AtlasProjection;
use crate::projection::history::{History, PastState};
use crate::projection::state::State;
use crate::source::Source;
use crate::tile::hash_tiles::{self, Geometry};
use crate::tile::options::ConservationPolicy;
use crate::tile::rehash::CheckedReader;
use crate::tile::tree::{Reclaimer, Tree};
use crate::tile::tree_footprint;
use std::sync::Arc;
use std::time::Instant;

impl AtlasProjection {
    /// Sets the configuration of later updates. A shorter history drops the oldest deltas at once, and the
    /// call frees the memory that only they needed.
    pub fn configure_incremental(&self, config: &IncrementalConfig) {
        let configure = |history: &mut History| {
            self.updates.configure(history, config);
            Ok(())
        };
        // This change is never refused.
        self.changing(0, configure).unwrap_or_default();
        let state = self.state();
        // The dropped trees are in the queue now, and `clear` frees them at once.
        state.cache.clear(&state.tree);
    }

    /// Applies one delta, or changes nothing.
    ///
    /// Fails with OUT_OF_RANGE outside the domain, INVALID_ARGUMENT if a range is moved into itself,
    /// CONSERVATION if a STRICT projection would no longer sum to 0 mod 96 (the message names the missing
    /// sum), and with the errors of reading the source. A cut inside a tile reads 16 KiB of the source; an
    /// update of the same size reads all bytes that it replaces if conservation is validated.
    pub fn apply_incremental_update(&self, delta: ProjectionDelta) -> Result<()> {
        self.apply(vec![delta], false).map(|_| ())
    }

    /// Applies deltas in order, each to the result of the delta before it. Either all deltas are applied, or
    /// none. Returns the statistics of this batch. The index of an error is the number of the delta.
    ///
    /// A STRICT projection checks the net residue of the batch.
    pub fn apply_incremental_batch(&self, deltas: Vec<ProjectionDelta>) -> Result<IncrementalStats> {
        self.apply(deltas, true)
    }

    fn apply(&self, deltas: Vec<ProjectionDelta>, batch: bool) -> Result<IncrementalStats> {
        let mut stats = IncrementalStats::default();
        let bytes = deltas.iter().map(ProjectionDelta::data_size).sum();
        self.changing(Reclaimer::budget(deltas.len(), bytes), |history| {
            let start = Instant::now();
            // Each delta applies to the tree that the delta before it made; only the last tree becomes the
            // state.
            let before = self.state();
            let config = &before.context;
            let mut reader = CheckedReader::new(config);
            let mut tree = before.tree.clone();
            let mut steps = try_vec(deltas.len())?;
            for (index, delta) in (0..).zip(deltas) {
                delta.count(&mut stats);
                let next = delta
                    .applied(&tree, history.config().validate_conservation, &mut reader)
                    .map_err(|error| if batch { error.at_index(index) } else { error })?;
                // The roots inside a batch are never requested, so that they are not kept.
                steps.push(PastState { tree: std::mem::replace(&mut tree, next), root: None });
            }
            // The history keeps the root of the first state, if it was computed.
            if let Some(first) = steps.first_mut() {
                first.root = before.known_root();
            }
            // A STRICT projection is checked once for the whole batch.
            let net = tree.residue() - before.tree.residue();
            if config.policy == ConservationPolicy::Strict && net != Residue::ZERO {
                return Err(AtlasError::conservation(format!(
                    "the change adds {net} mod 96 to the sum of the domain, and STRICT requires 0: add \
                     bytes that sum to {}",
                    net.correction()
                )));
            }
            // Reserve room in the history first, because nothing may fail once the state is set.
            history.reserve(steps.len())?;
            self.set_state(before.successor(tree, None));
            history.extend(steps);
            let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            stats.avg_update_time_ns = nanoseconds.checked_div(stats.total_updates).unwrap_or(0);
            self.updates.count(&stats, nanoseconds);
            Ok(())
        })?;
        Ok(stats)
    }

    /// Inserts all bytes of a source before the byte at `offset`. If `offset` is the size of the domain, they
    /// are appended.
    ///
    /// The source is projected first, on as many threads as `operation` allows, and its bytes are not copied.
    /// The insertion is one delta of the history. Fails as
    /// [`apply_incremental_update`](Self::apply_incremental_update) does, and with the errors of reading the
    /// source.
    pub fn insert_source(&self, offset: u64, source: &Source, operation: &mut Operation<'_>) -> Result<()> {
        let context = Arc::clone(&self.state().context);
        let size = source.size();
        let check = |bytes: u64| {
            if offset > bytes {
                return Err(AtlasError::out_of_range(format!(
                    "insert of {size} bytes at offset {offset}: the offset is outside 0..={bytes}"
                ))
                .at_range(offset, size));
            }
            if bytes.checked_add(size).is_none() {
                return Err(AtlasError::out_of_range(format!(
                    "insert of {size} bytes into a domain of {bytes} would exceed the limit of 2^64 - 1 bytes"
                ))
                .at_range(offset, size));
            }
            Ok(())
        };
        // The range is checked before the work, and again under the lock.
        check(self.state().tree.bytes())?;
        // No lock is held here: projecting takes long, and other calls continue meanwhile.
        let geometry = Geometry::Canonical { size };
        let inserted = hash_tiles::project(&context.scheme, source, geometry, operation)?;
        self.changing(Reclaimer::budget(1, 0), |history| {
            let before = self.state();
            check(before.tree.bytes())?;
            // The sum of a STRICT domain is 0 mod 96 already, so that the sum of the insertion must be 0 mod
            // 96 too.
            let residue = inserted.residue();
            if before.context.policy == ConservationPolicy::Strict && residue != Residue::ZERO {
                return Err(AtlasError::conservation(format!(
                    "the source to insert sums to {residue} mod 96, and STRICT requires 0: add bytes that \
                     sum to {}",
                    residue.correction()
                )));
            }
            let start = Instant::now();
            let mut reader = CheckedReader::new(&before.context);
            // At both ends of the inserted tiles, the joins merge tiles that have become too small.
            let (left, right) = before.tree.split(ByteOffset(offset), &mut reader)?;
            let tree = Tree::join(&left, &inserted, &mut reader)?;
            let tree = Tree::join(&tree, &right, &mut reader)?;
            // Reserve room in the history first, because nothing may fail once the state is set.
            history.reserve(1)?;
            self.set_state(before.successor(tree, None));
            let step = PastState { tree: before.tree.clone(), root: before.known_root() };
            history.extend([step]);
            let stats = IncrementalStats {
                total_updates: 1,
                insert_operations: 1,
                bytes_modified: size,
                ..IncrementalStats::default()
            };
            self.updates.count(&stats, u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
            Ok(())
        })
    }

    /// Undoes the last `count` deltas. A batch counts as its deltas. Bytes, size, residue, geometry and root
    /// are restored exactly.
    ///
    /// Fails with OUT_OF_RANGE if the history has fewer than `count` deltas, and with CONSERVATION if a STRICT
    /// projection would end in the middle of a batch whose parts do not sum to 0 mod 96. A failed call changes
    /// nothing. The cost does not depend on the amount of data that the deltas touched.
    pub fn rollback(&self, count: u64) -> Result<()> {
        self.changing(Reclaimer::budget(1, 0), |history| {
            let held = history.len();
            if count > held {
                return Err(AtlasError::out_of_range(format!(
                    "rollback of {count} deltas, and the history of the projection holds only {held}"
                )));
            }
            // A rollback of 0 deltas changes nothing, and counts as a call.
            let back = to_usize(count);
            if let Some(target) = back.checked_sub(1).and_then(|last| history.newest_first().nth(last)) {
                let state = self.state();
                // A batch may sum to 0 mod 96 only as a whole, so that the state inside it is checked.
                let residue = target.tree.residue();
                if state.context.policy == ConservationPolicy::Strict && residue != Residue::ZERO {
                    return Err(AtlasError::conservation(format!(
                        "rollback of {count} deltas ends inside a batch, where the domain sums to \
                         {residue} mod 96 and STRICT requires 0: roll back the whole batch"
                    )));
                }
                // The old tree comes back with its root, so that nothing is hashed again.
                self.set_state(state.successor(target.tree.clone(), target.root));
                history.truncate(back);
            }
            self.updates.count_rollback();
            Ok(())
        })
    }

    /// Returns the number of deltas that can be undone.
    pub fn history_len(&self) -> u64 {
        self.updates.len()
    }

    /// Returns the statistics of the deltas applied so far.
    pub fn incremental_stats(&self) -> IncrementalStats {
        self.updates.stats()
    }

    /// Restores full tiles from offset 0 on, so that the root equals that of a fresh projection of the same
    /// bytes. Drops the history.
    ///
    /// Hashes the tiles that change, and checks the bytes of the source in these tiles. Other changes may continue
    /// during the call; the tiles that they change are hashed at the end, without progress reports. The call frees
    /// the memory that only the history needed.
    pub fn optimize(&self, operation: &mut Operation<'_>) -> Result<()> {
        operation.executor.check()?;
        // The first pass runs with no lock held, because the callback may use other handles and must not wait
        // for calls that wait for this handle.
        let before = self.state();
        let mut optimized = Self::optimized(&before, None, operation)?;
        self.changing(0, |history| {
            let now = self.state();
            // Other calls changed the domain meanwhile. Most tiles are equal to the tiles of the first pass.
            if !Arc::ptr_eq(&before, &now) {
                optimized = Self::optimized(&now, Some(&optimized.tree), &mut operation.silent())?;
            }
            self.set_state(optimized);
            history.clear();
            Ok(())
        })?;
        // The queue gets the old state first, and `clear` frees the queue.
        drop(before);
        let state = self.state();
        state.cache.clear(&state.tree);
        Ok(())
    }

    /// Returns a hashed state with the bytes of `state` in full tiles. Tiles that equal those of `earlier`, the
    /// result of an earlier call, are reused.
    fn optimized(state: &State, earlier: Option<&Tree>, operation: &mut Operation<'_>) -> Result<State> {
        // The list of the tiles, and the nodes above them.
        let lists = state.tree.bytes().div_ceil(TILE_BYTES).saturating_mul(tree_footprint());
        operation.reserve(lists)?;
        let mut taken = lists;
        let tree = state.tree.retiled(earlier, &mut CheckedReader::new(&state.context), |bytes| {
            taken = lists.saturating_add(bytes);
            // The memory limit is checked tile by tile, before the memory is used.
            operation.reserve(taken.saturating_add(state.context.reading()))
        })?;
        if tree.residue() != state.tree.residue() || tree.bytes() != state.tree.bytes() {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: cutting the tiles again changed the sum or the \
                 size",
            ));
        }
        let state = state.successor(tree, None);
        // Hashed before it becomes the state, so that a failure leaves the old state in place.
        state.hash(operation, taken)?;
        Ok(state)
    }

    /// Runs `change`, one call that changes the projection, with the history locked, and queues the trees of the
    /// states that it drops for freeing. First spends about `budget` nanoseconds on freeing states that earlier calls
    /// dropped.
    fn changing(&self, budget: u64, change: impl FnOnce(&mut History) -> Result<()>) -> Result<()> {
        let state = self.state();
        let cache = Arc::clone(&state.cache);
        // Clean up before the change, so that later calls free the states that this call drops.
        cache.tidy(&state.tree, budget);
        drop(state);
        self.updates.update(|dropped| cache.reclaimer.put(dropped), change).inspect_err(|error| {
            // A refused call changes nothing, and only this counter records it.
            if error.kind() == ErrorKind::Conservation {
                self.updates.count_violation();
            }
        })
    }
}

/// A series of updates of one projection, with statistics of its own.
///
/// ```
/// use atlas_manifold::{
///     AtlasProjection, IncrementalConfig, IncrementalUpdateContext, ProjectionDelta, Source,
/// };
///
/// let projection = AtlasProjection::linear(&Source::copy(b"abc")?)?;
/// let mut context = IncrementalUpdateContext::new(&projection, &IncrementalConfig::default());
/// context.apply(ProjectionDelta::insert(1, b"--"))?;
/// context.apply(ProjectionDelta::delete(0, 1))?;
/// assert_eq!(context.stats().total_updates, 2);
/// context.rollback(2)?;
/// assert_eq!(projection.info().domain_size, 3);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug)]
pub struct IncrementalUpdateContext<'p> {
    projection: &'p AtlasProjection,
    stats: IncrementalStats,
    nanoseconds: u64,
}

impl<'p> IncrementalUpdateContext<'p> {
    /// Sets the projection's configuration of updates, and begins a series with empty statistics.
    pub fn new(projection: &'p AtlasProjection, config: &IncrementalConfig) -> Self {
        projection.configure_incremental(config);
        IncrementalUpdateContext { projection, stats: IncrementalStats::default(), nanoseconds: 0 }
    }

    /// Applies a delta like [`AtlasProjection::apply_incremental_update`].
    pub fn apply(&mut self, delta: ProjectionDelta) -> Result<()> {
        self.counted(|projection| projection.apply(vec![delta], false))
    }

    /// Applies a batch like [`AtlasProjection::apply_incremental_batch`].
    pub fn apply_batch(&mut self, deltas: Vec<ProjectionDelta>) -> Result<()> {
        self.counted(|projection| projection.apply(deltas, true))
    }

    /// Undoes deltas like [`AtlasProjection::rollback`].
    pub fn rollback(&mut self, count: u64) -> Result<()> {
        self.counted(|projection| projection.rollback(count).map(|()| IncrementalStats::default()))?;
        self.stats.rollbacks += 1;
        Ok(())
    }

    fn counted(&mut self, call: impl FnOnce(&AtlasProjection) -> Result<IncrementalStats>) -> Result<()> {
        match call(self.projection) {
            Ok(stats) => {
                // The mean times the number of deltas is the time of the call, up to rounding.
                self.nanoseconds += stats.avg_update_time_ns * stats.total_updates;
                self.stats.add(&stats);
                Ok(())
            }
            Err(error) => {
                self.stats.conservation_violations += u64::from(error.kind() == ErrorKind::Conservation);
                Err(error)
            }
        }
    }

    /// Returns the statistics of this series.
    pub fn stats(&self) -> IncrementalStats {
        let average = self.nanoseconds.checked_div(self.stats.total_updates).unwrap_or(0);
        IncrementalStats { avg_update_time_ns: average, ..self.stats }
    }

    /// Returns the projection that is updated.
    pub fn projection(&self) -> &'p AtlasProjection {
        self.projection
    }
}

#[cfg(test)]
pub(crate) mod tests;
