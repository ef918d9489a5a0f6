//! Incremental updates: insert, update, delete and move at any byte, in batches, with undo.
//!
//! An update makes a new state that shares all but a path of the tile tree with the old one, and puts
//! it in place last. So its cost follows the change and not the domain, a reader sees the state before
//! or after it, and undoing it is putting an old state back. Edited tiles are hashed when a root, a
//! witness or a shard is asked for; what an edit leaves of the source is checked against the witness
//! that it was projected with before it becomes part of a new one.
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

pub use delta::ProjectionDelta;

use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::sync::lock;
use crate::base::units::to_u64;
use crate::exec::operation::Operation;
use crate::hash::digest::Digest;
use crate::layer2::Residue;
use crate::projection::{AtlasProjection, State};
use crate::tile::options::ConservationPolicy;
use crate::tile::rehash::CheckedReader;
use crate::tile::tree::{Reclaimer, Tree};
use delta::Change;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// How a projection is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncrementalConfig {
    /// Whether the residue after an update is checked against the residue of what changed.
    pub validate_conservation: bool,
    /// Whether a history is kept.
    pub enable_rollback: bool,
    /// Deltas that the history holds; where there are more, the oldest are forgotten.
    pub max_deltas: u64,
}

impl Default for IncrementalConfig {
    fn default() -> Self {
        IncrementalConfig { validate_conservation: true, enable_rollback: true, max_deltas: 1_000 }
    }
}

impl IncrementalConfig {
    fn kept(&self) -> u64 {
        if self.enable_rollback { self.max_deltas } else { 0 }
    }
}

/// What was applied. Rolling back takes nothing away from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IncrementalStats {
    /// Deltas of all kinds.
    pub total_updates: u64,
    /// Deltas that insert.
    pub insert_operations: u64,
    /// Deltas that replace.
    pub update_operations: u64,
    /// Deltas that delete.
    pub delete_operations: u64,
    /// Deltas that move.
    pub move_operations: u64,
    /// Calls that rolled back.
    pub rollbacks: u64,
    /// Bytes inserted, deleted and moved; of an update the longer of what went and what came.
    pub bytes_modified: u64,
    /// Calls that were refused, as the sum of bytes mod 96 would not have been as it must be.
    pub conservation_violations: u64,
    /// Nanoseconds a delta.
    pub avg_update_time_ns: u64,
}

impl IncrementalStats {
    fn count(&mut self, delta: &ProjectionDelta) {
        self.total_updates += 1;
        let kind = match delta.change {
            Change::Insert => &mut self.insert_operations,
            Change::Update => &mut self.update_operations,
            Change::Delete => &mut self.delete_operations,
            Change::Move { .. } => &mut self.move_operations,
        };
        *kind += 1;
        self.bytes_modified = self.bytes_modified.saturating_add(delta.bytes_modified());
    }

    fn add(&mut self, other: &IncrementalStats) {
        self.total_updates += other.total_updates;
        self.insert_operations += other.insert_operations;
        self.update_operations += other.update_operations;
        self.delete_operations += other.delete_operations;
        self.move_operations += other.move_operations;
        self.bytes_modified = self.bytes_modified.saturating_add(other.bytes_modified);
    }
}

/// What a projection knows of its updates. Its first lock serialises them.
#[derive(Default)]
pub(crate) struct Edits {
    history: Mutex<History>,
    /// As `history` has them; readers do not wait for an update.
    config: Mutex<IncrementalConfig>,
    held: AtomicU64,
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct History {
    config: IncrementalConfig,
    /// The state before each delta, oldest first, with its root where that was asked for.
    before: VecDeque<(Tree, Option<Digest>)>,
}

#[derive(Default, Clone, Copy)]
struct Totals {
    stats: IncrementalStats,
    nanoseconds: u64,
}

impl Edits {
    /// For a snapshot: the same configuration, no history.
    pub(crate) fn successor(&self) -> Edits {
        let config = *lock(&self.config);
        let history = History { config, ..History::default() };
        Edits { history: Mutex::new(history), config: Mutex::new(config), ..Edits::default() }
    }
}

impl History {
    /// Takes the oldest states out that are too many.
    fn surplus(&mut self) -> Vec<Tree> {
        let kept = usize::try_from(self.config.kept()).unwrap_or(usize::MAX);
        self.before.drain(..self.before.len().saturating_sub(kept)).map(|(tree, _)| tree).collect()
    }
}

impl AtlasProjection {
    /// How the projection is updated from now on. A shorter history forgets the oldest at once.
    /// What nothing needs any more is freed within the call.
    pub fn configure_incremental(&self, config: &IncrementalConfig) {
        self.changing(0, |history| {
            history.config = *config;
            *lock(&self.edits.config) = *config;
            Ok(history.surplus())
        })
        .unwrap_or_default();
        let state = self.state();
        state.cache.clear(&state.tree);
    }

    /// Applies one delta, or changes nothing.
    ///
    /// Fails with OUT_OF_RANGE outside the domain, INVALID_ARGUMENT where a range is moved into
    /// itself, CONSERVATION where a STRICT projection would not sum to 0 mod 96 any more (the message
    /// names what is missing), and with what reading the source fails with. A cut inside a
    /// tile reads 16 KiB of the source, and an update of the same size reads all that it replaces where
    /// conservation is validated.
    pub fn apply_incremental_update(&self, delta: ProjectionDelta) -> Result<()> {
        self.apply(vec![delta], false).map(|_| ())
    }

    /// Applies deltas in order, each to the result of the one before: all of them or none. Gives what
    /// this batch did; the index of an error is that of the delta.
    ///
    /// A STRICT projection looks at the net residue of the batch.
    pub fn apply_incremental_batch(&self, deltas: Vec<ProjectionDelta>) -> Result<IncrementalStats> {
        self.apply(deltas, true)
    }

    fn apply(&self, deltas: Vec<ProjectionDelta>, batch: bool) -> Result<IncrementalStats> {
        let mut stats = IncrementalStats::default();
        let bytes = deltas.iter().map(ProjectionDelta::data_size).sum();
        self.changing(Reclaimer::budget(deltas.len(), bytes), |history| {
            let start = Instant::now();
            let before = self.state();
            let config = &before.context;
            let mut reader = CheckedReader::new(config);
            let mut tree = before.tree.clone();
            let mut steps = try_vec(deltas.len())?;
            for (index, delta) in (0..).zip(deltas) {
                stats.count(&delta);
                let next = delta
                    .applied(&tree, history.config.validate_conservation, &mut reader)
                    .map_err(|error| if batch { error.at_index(index) } else { error })?;
                steps.push((std::mem::replace(&mut tree, next), None));
            }
            if let Some((_, root)) = steps.first_mut() {
                *root = before.known_root();
            }
            let net = tree.residue() - before.tree.residue();
            if config.policy == ConservationPolicy::Strict && net != Residue::ZERO {
                return Err(AtlasError::conservation(format!(
                    "the change adds {net} mod 96 to the sum where STRICT asks for 0: {} is missing",
                    net.correction()
                )));
            }
            history.before.try_reserve(steps.len()).map_err(|_| {
                AtlasError::out_of_memory(format!("a history of {} more deltas", steps.len()))
            })?;
            self.set_state(before.successor(tree, None));
            history.before.extend(steps);
            let dropped = history.surplus();
            let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            stats.avg_update_time_ns = nanoseconds.checked_div(stats.total_updates).unwrap_or(0);
            let mut totals = lock(&self.edits.totals);
            totals.stats.add(&stats);
            totals.nanoseconds = totals.nanoseconds.saturating_add(nanoseconds);
            Ok(dropped)
        })?;
        Ok(stats)
    }

    /// Undoes the last `count` deltas; a batch counts as its deltas. Bytes, size, residue, geometry
    /// and root come back exactly.
    ///
    /// OUT_OF_RANGE where the history holds fewer, and CONSERVATION where that would take a STRICT
    /// projection back into the middle of a batch whose parts do not sum to 0 mod 96: then nothing
    /// changes. The cost does not depend on how much data the deltas touched.
    pub fn rollback(&self, count: u64) -> Result<()> {
        self.changing(Reclaimer::budget(1, 0), |history| {
            let held = to_u64(history.before.len());
            let keep = held.checked_sub(count).ok_or_else(|| {
                AtlasError::out_of_range(format!("rollback of {count} deltas where the history holds {held}"))
            })?;
            let keep = crate::base::units::to_usize(keep);
            let mut dropped = Vec::new();
            if let Some((target, root)) = history.before.get(keep) {
                let state = self.state();
                let residue = target.residue();
                if state.context.policy == ConservationPolicy::Strict && residue != Residue::ZERO {
                    return Err(AtlasError::conservation(format!(
                        "rollback of {count} deltas leads into a batch, to a sum of {residue} mod 96 where \
                         STRICT asks for 0"
                    )));
                }
                self.set_state(state.successor(target.clone(), *root));
                dropped.extend(history.before.drain(keep..).map(|(tree, _)| tree));
            }
            lock(&self.edits.totals).stats.rollbacks += 1;
            Ok(dropped)
        })
    }

    /// How many deltas can be undone.
    pub fn history_len(&self) -> u64 {
        self.edits.held.load(Ordering::Acquire)
    }

    /// What was applied so far.
    pub fn incremental_stats(&self) -> IncrementalStats {
        let totals = *lock(&self.edits.totals);
        let average = totals.nanoseconds.checked_div(totals.stats.total_updates).unwrap_or(0);
        IncrementalStats { avg_update_time_ns: average, ..totals.stats }
    }

    /// Cuts the domain into full tiles from offset 0 on: the root then equals a fresh projection's of
    /// the same bytes. Forgets the history.
    ///
    /// Hashes the tiles that change, and checks what is left of the source in them. Other changes may
    /// go on meanwhile; what they change is hashed once more at the end, and that is not reported. What
    /// nothing needs any more is freed within the call.
    pub fn optimize(&self, operation: &mut Operation<'_>) -> Result<()> {
        operation.executor.check()?;
        // With no lock held: the callback may use other handles, and so may who waits for this one.
        let before = self.state();
        let mut optimized = Self::optimized(&before, None, operation)?;
        self.changing(0, |history| {
            let now = self.state();
            if !Arc::ptr_eq(&before, &now) {
                optimized = Self::optimized(&now, Some(&optimized.tree), &mut operation.silent())?;
            }
            self.set_state(optimized);
            Ok(history.before.drain(..).map(|(tree, _)| tree).collect())
        })?;
        drop(before);
        let state = self.state();
        state.cache.clear(&state.tree);
        Ok(())
    }

    /// A state with the bytes of `state` in full tiles, hashed. `earlier` has some of them.
    fn optimized(state: &State, earlier: Option<&Tree>, operation: &mut Operation<'_>) -> Result<State> {
        let mut taken = 0;
        let tree = state.tree.retiled(earlier, |bytes| {
            taken = bytes;
            operation.workers(1, 0, taken).map(|_| ())
        })?;
        if tree.residue() != state.tree.residue() || tree.bytes() != state.tree.bytes() {
            return Err(AtlasError::internal("cutting tiles anew changed the sum or the size"));
        }
        let state = state.successor(tree, None);
        state.hash(operation, taken)?;
        Ok(state)
    }

    /// Runs one changing call, which frees what takes `budget` nanoseconds of what earlier ones dropped.
    fn changing(&self, budget: u64, change: impl FnOnce(&mut History) -> Result<Vec<Tree>>) -> Result<()> {
        let state = self.state();
        let cache = Arc::clone(&state.cache);
        // Before the change, so that what this call drops is left to later ones.
        cache.tidy(&state.tree, budget);
        drop(state);
        let mut history = lock(&self.edits.history);
        let outcome = change(&mut history);
        self.edits.held.store(to_u64(history.before.len()), Ordering::Release);
        drop(history);
        match outcome {
            Ok(dropped) => {
                cache.reclaimer.put(dropped);
                Ok(())
            }
            Err(error) => {
                if error.kind() == ErrorKind::Conservation {
                    lock(&self.edits.totals).stats.conservation_violations += 1;
                }
                Err(error)
            }
        }
    }
}

/// A series of updates of one projection, with statistics of its own.
#[derive(Debug)]
pub struct IncrementalUpdateContext<'p> {
    projection: &'p AtlasProjection,
    stats: IncrementalStats,
    nanoseconds: u64,
}

impl<'p> IncrementalUpdateContext<'p> {
    /// Configures the projection and begins a series.
    pub fn new(projection: &'p AtlasProjection, config: &IncrementalConfig) -> Self {
        projection.configure_incremental(config);
        IncrementalUpdateContext { projection, stats: IncrementalStats::default(), nanoseconds: 0 }
    }

    /// [`AtlasProjection::apply_incremental_update`].
    pub fn apply(&mut self, delta: ProjectionDelta) -> Result<()> {
        self.counted(|projection| projection.apply(vec![delta], false))
    }

    /// [`AtlasProjection::apply_incremental_batch`].
    pub fn apply_batch(&mut self, deltas: Vec<ProjectionDelta>) -> Result<()> {
        self.counted(|projection| projection.apply(deltas, true))
    }

    /// [`AtlasProjection::rollback`].
    pub fn rollback(&mut self, count: u64) -> Result<()> {
        self.counted(|projection| projection.rollback(count).map(|()| IncrementalStats::default()))?;
        self.stats.rollbacks += 1;
        Ok(())
    }

    fn counted(&mut self, call: impl FnOnce(&AtlasProjection) -> Result<IncrementalStats>) -> Result<()> {
        match call(self.projection) {
            Ok(stats) => {
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

    /// What this series did.
    pub fn stats(&self) -> IncrementalStats {
        let average = self.nanoseconds.checked_div(self.stats.total_updates).unwrap_or(0);
        IncrementalStats { avg_update_time_ns: average, ..self.stats }
    }

    /// The projection that is updated.
    pub fn projection(&self) -> &'p AtlasProjection {
        self.projection
    }
}

#[cfg(test)]
pub(crate) mod tests;
