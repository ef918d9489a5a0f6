//! History of a projection: the states before each delta, and the statistics of updates.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use crate::base::units::to_u64;
use crate::hash::digest::Digest;
use crate::tile::tree::Tree;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Settings of incremental updates: validation, and the length of the history.
///
/// ```
/// use atlas_manifold::{AtlasProjection, IncrementalConfig, ProjectionDelta, Source};
///
/// let projection = AtlasProjection::linear(&Source::copy(b"abc")?)?;
/// projection.configure_incremental(&IncrementalConfig { max_deltas: 2, ..IncrementalConfig::default() });
/// for _ in 0..5 {
///     projection.apply_incremental_update(ProjectionDelta::insert(0, b"x"))?;
/// }
/// assert_eq!(projection.history_len(), 2);
/// assert_eq!(projection.incremental_stats().insert_operations, 5);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncrementalConfig {
    /// If set, an update fails unless the new residue of the domain is the old residue plus that of the change.
    pub validate_conservation: bool,
    /// If set, a history is kept, so that deltas can be rolled back.
    pub enable_rollback: bool,
    /// Maximum number of deltas in the history; the oldest are dropped beyond it.
    pub max_deltas: u64,
}

impl Default for IncrementalConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl IncrementalConfig {
    pub(crate) const DEFAULT: Self =
        IncrementalConfig { validate_conservation: true, enable_rollback: true, max_deltas: 1_000 };

    /// Returns the maximum number of deltas in the history, 0 if rollback is disabled.
    fn capacity(&self) -> u64 {
        if self.enable_rollback { self.max_deltas } else { 0 }
    }
}

/// Statistics of the applied deltas. A rollback does not reduce them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IncrementalStats {
    /// Number of applied deltas of all kinds.
    pub total_updates: u64,
    /// Number of deltas that insert.
    pub insert_operations: u64,
    /// Number of deltas that replace.
    pub update_operations: u64,
    /// Number of deltas that delete.
    pub delete_operations: u64,
    /// Number of deltas that move.
    pub move_operations: u64,
    /// Number of successful calls of rollback.
    pub rollbacks: u64,
    /// Number of bytes inserted, deleted and moved. An update counts the longer of the old and the new
    /// bytes.
    pub bytes_modified: u64,
    /// Number of calls refused because of the sum of bytes mod 96.
    pub conservation_violations: u64,
    /// Mean time per delta in nanoseconds.
    pub avg_update_time_ns: u64,
}

impl IncrementalStats {
    /// Adds the counts of `other`, except rollbacks, violations and times, which are counted when they happen.
    pub(crate) fn add(&mut self, other: &IncrementalStats) {
        self.total_updates += other.total_updates;
        self.insert_operations += other.insert_operations;
        self.update_operations += other.update_operations;
        self.delete_operations += other.delete_operations;
        self.move_operations += other.move_operations;
        self.bytes_modified = self.bytes_modified.saturating_add(other.bytes_modified);
    }
}

/// State before a delta: its tiles, and its root if it was computed.
#[derive(Clone)]
pub(crate) struct PastState {
    pub(crate) tree: Tree,
    pub(crate) root: Option<Digest>,
}

/// States to which a projection can be rolled back, one per delta.
#[derive(Default)]
pub(crate) struct History {
    config: IncrementalConfig,
    /// States before each delta in the history, oldest first.
    past: VecDeque<PastState>,
}

impl History {
    /// Returns an empty history with this configuration.
    fn new(config: IncrementalConfig) -> History {
        History { config, past: VecDeque::new() }
    }

    pub(crate) fn config(&self) -> &IncrementalConfig {
        &self.config
    }

    /// Returns the number of deltas that can be undone.
    pub(crate) fn len(&self) -> u64 {
        to_u64(self.past.len())
    }

    /// Iterates over the states, from the state before the last delta back to the oldest.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &PastState> {
        self.past.iter().rev()
    }

    /// Reserves room for `deltas` more states, so that [`extend`](Self::extend) cannot fail.
    pub(crate) fn reserve(&mut self, deltas: usize) -> Result<()> {
        self.past.try_reserve(deltas).map_err(|_| {
            AtlasError::out_of_memory(format!(
                "no memory for {deltas} more deltas in the history of the projection"
            ))
        })
    }

    /// Adds `states`, oldest first, each from before one delta. Removes the oldest states beyond the configured
    /// maximum and returns their trees.
    pub(crate) fn extend(&mut self, states: impl IntoIterator<Item = PastState>) -> Vec<Tree> {
        self.past.extend(states);
        self.evict()
    }

    /// Removes the states of the last `deltas` deltas and returns their trees, oldest first.
    pub(crate) fn truncate(&mut self, deltas: usize) -> Vec<Tree> {
        // The newest states are at the end.
        let kept = self.past.len().saturating_sub(deltas);
        self.past.drain(kept..).map(|state| state.tree).collect()
    }

    /// Removes all states and returns their trees, oldest first.
    pub(crate) fn clear(&mut self) -> Vec<Tree> {
        self.truncate(self.past.len())
    }

    /// Sets the configuration. Removes the oldest states beyond its maximum and returns their trees.
    fn configure(&mut self, config: IncrementalConfig) -> Vec<Tree> {
        self.config = config;
        self.evict()
    }

    /// Removes the oldest states beyond the configured maximum and returns their trees.
    fn evict(&mut self) -> Vec<Tree> {
        // A capacity above the address space is no bound.
        let capacity = usize::try_from(self.config.capacity()).unwrap_or(usize::MAX);
        let surplus = self.past.len().saturating_sub(capacity);
        self.past.drain(..surplus).map(|state| state.tree).collect()
    }
}

/// History and statistics of the updates of one projection handle. Readers of the configuration, of the length and
/// of the totals do not wait for an update.
#[derive(Default)]
pub(crate) struct UpdateLog {
    /// History of the projection. Its lock serialises updates.
    history: Mutex<History>,
    /// Copy of the configuration of `history`, to be read during an update.
    config: Mutex<IncrementalConfig>,
    /// Copy of the length of `history`, to be read during an update.
    len: AtomicU64,
    totals: Mutex<Totals>,
}

#[derive(Default, Clone, Copy)]
struct Totals {
    stats: IncrementalStats,
    nanoseconds: u64,
}

impl UpdateLog {
    /// Returns the log of a snapshot: the same configuration, no history, no totals.
    pub(crate) fn successor(&self) -> UpdateLog {
        // A copy, because a long update may hold the lock of the history.
        let config = *lock(&self.config);
        UpdateLog {
            history: Mutex::new(History::new(config)),
            config: Mutex::new(config),
            ..UpdateLog::default()
        }
    }

    /// Runs `call`, one update, with the history locked. Other updates wait.
    pub(crate) fn update<R>(&self, call: impl FnOnce(&mut History) -> R) -> R {
        let mut history = lock(&self.history);
        let result = call(&mut history);
        // Still under the lock, so that lengths are published in the order of the updates.
        self.len.store(history.len(), Ordering::Release);
        result
    }

    /// Sets the configuration of `history`, the locked history of this log. Removes the oldest states beyond its
    /// maximum and returns their trees.
    pub(crate) fn configure(&self, history: &mut History, config: &IncrementalConfig) -> Vec<Tree> {
        // Readers take the lock of this copy alone.
        *lock(&self.config) = *config;
        history.configure(*config)
    }

    /// Returns the number of deltas that can be undone.
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Adds the counts of a call, and the time that it took, to the totals.
    pub(crate) fn count(&self, stats: &IncrementalStats, nanoseconds: u64) {
        // Counts and time change under the same lock, so that a mean fits its count.
        let mut totals = lock(&self.totals);
        totals.stats.add(stats);
        totals.nanoseconds = totals.nanoseconds.saturating_add(nanoseconds);
    }

    /// Counts a call that rolled back.
    pub(crate) fn count_rollback(&self) {
        lock(&self.totals).stats.rollbacks += 1;
    }

    /// Counts a call that was refused because of the sum of bytes.
    pub(crate) fn count_violation(&self) {
        lock(&self.totals).stats.conservation_violations += 1;
    }

    /// Returns the statistics so far.
    pub(crate) fn stats(&self) -> IncrementalStats {
        let totals = *lock(&self.totals);
        // Without updates there is no mean.
        let average = totals.nanoseconds.checked_div(totals.stats.total_updates).unwrap_or(0);
        IncrementalStats { avg_update_time_ns: average, ..totals.stats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(root: u8) -> PastState {
        PastState { tree: Tree::default(), root: Some([root; 32]) }
    }

    fn roots(history: &History) -> Vec<u8> {
        history.newest_first().map(|state| state.root.map_or(0, |root| root[0])).collect()
    }

    #[test]
    fn a_history_forgets_the_oldest_and_goes_back_from_the_newest() {
        let mut history = History::new(IncrementalConfig { max_deltas: 3, ..IncrementalConfig::default() });
        history.reserve(5).unwrap();
        assert_eq!(history.extend((1..=5).map(past)).len(), 2);
        assert_eq!((history.len(), roots(&history)), (3, vec![5, 4, 3]));
        assert_eq!(history.truncate(2).len(), 2);
        assert_eq!(roots(&history), [3]);
        let off = IncrementalConfig { enable_rollback: false, ..IncrementalConfig::default() };
        assert_eq!(history.configure(off).len(), 1);
        assert_eq!(history.extend([past(6)]).len(), 1);
        assert!(history.clear().is_empty());
    }

    #[test]
    fn a_log_reports_the_length_without_its_lock() {
        let log = UpdateLog::default();
        log.update(|history| {
            history.extend([past(1), past(2)]);
            assert_eq!(log.len(), 0, "an update is seen when it is done");
        });
        assert_eq!((log.len(), log.successor().len()), (2, 0));
    }
}
