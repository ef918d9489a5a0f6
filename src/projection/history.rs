//! History of a projection: the states before each delta, and the statistics of updates.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use crate::base::units::to_u64;
use crate::hash::digest::Digest;
use crate::tile::tree::Tree;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

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

/// Number of dropped trees that are taken out of a history at a time.
const TAKEN: usize = 64;

/// States to which a projection can be rolled back, one per delta.
///
/// Dropping states needs no memory: dropped states stay in the list until [`take_dropped`](Self::take_dropped)
/// returns their trees, a few at a time.
#[derive(Default)]
pub(crate) struct History {
    config: IncrementalConfig,
    /// States before each delta in the history, oldest first. Dropped states are at both ends.
    past: VecDeque<PastState>,
    /// Number of dropped states at the start of `past`.
    evicted: usize,
    /// Number of dropped states at the end of `past`.
    undone: usize,
}

impl History {
    /// Returns an empty history with this configuration.
    fn new(config: IncrementalConfig) -> History {
        History { config, ..History::default() }
    }

    pub(crate) fn config(&self) -> &IncrementalConfig {
        &self.config
    }

    /// Returns the number of deltas that can be undone.
    pub(crate) fn len(&self) -> u64 {
        to_u64(self.kept().len())
    }

    /// Returns the indices in `past` of the states that were not dropped.
    fn kept(&self) -> Range<usize> {
        self.evicted..self.past.len() - self.undone
    }

    /// Iterates over the states, from the state before the last delta back to the oldest.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &PastState> {
        self.past.range(self.kept()).rev()
    }

    /// Reserves room for `deltas` more states, so that [`extend`](Self::extend) cannot fail.
    pub(crate) fn reserve(&mut self, deltas: usize) -> Result<()> {
        self.past.try_reserve(deltas).map_err(|_| {
            AtlasError::out_of_memory(format!(
                "no memory for {deltas} more deltas in the history of the projection"
            ))
        })
    }

    /// Adds `states`, oldest first, each from before one delta. Drops the oldest states beyond the configured maximum.
    /// The trees of undone states must have been taken.
    pub(crate) fn extend(&mut self, states: impl IntoIterator<Item = PastState>) {
        debug_assert_eq!(self.undone, 0);
        self.past.extend(states);
        self.evict();
    }

    /// Drops the states of the last `deltas` deltas.
    pub(crate) fn truncate(&mut self, deltas: usize) {
        // The newest states are at the end.
        self.undone += deltas.min(self.kept().len());
    }

    /// Drops all states.
    pub(crate) fn clear(&mut self) {
        self.truncate(usize::MAX);
    }

    /// Sets the configuration. Drops the oldest states beyond its maximum.
    fn configure(&mut self, config: IncrementalConfig) {
        self.config = config;
        self.evict();
    }

    /// Drops the oldest states beyond the configured maximum.
    fn evict(&mut self) {
        // A capacity above the address space is no bound.
        let capacity = usize::try_from(self.config.capacity()).unwrap_or(usize::MAX);
        self.evicted += self.kept().len().saturating_sub(capacity);
    }

    /// Removes dropped states and returns their trees, at most [`TAKEN`], followed by empty trees. `None` if there are
    /// no dropped states.
    fn take_dropped(&mut self) -> Option<[Tree; TAKEN]> {
        self.has_dropped().then(|| std::array::from_fn(|_| self.pop_dropped().unwrap_or_default()))
    }

    fn has_dropped(&self) -> bool {
        self.evicted + self.undone > 0
    }

    fn pop_dropped(&mut self) -> Option<Tree> {
        let state = if self.evicted > 0 {
            self.evicted -= 1;
            self.past.pop_front()
        } else if self.undone > 0 {
            self.undone -= 1;
            self.past.pop_back()
        } else {
            None
        };
        state.map(|state| state.tree)
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

    /// Runs `call`, one update, with the history locked. Other updates wait. Then passes the trees of dropped states to
    /// `free`, with no lock held.
    pub(crate) fn update<R>(&self, free: impl Fn([Tree; TAKEN]), call: impl FnOnce(&mut History) -> R) -> R {
        // Another thread may not have taken all states that its update dropped.
        let mut history = self.without_dropped(&free);
        let result = call(&mut history);
        // Still under the lock, so that lengths are published in the order of the updates.
        self.len.store(history.len(), Ordering::Release);
        // An update that drops few states need not wait for another one to free them.
        let dropped = history.take_dropped();
        let are_more = history.has_dropped();
        drop(history);
        dropped.into_iter().for_each(&free);
        if are_more {
            drop(self.without_dropped(&free));
        }
        result
    }

    /// Passes the trees of dropped states to `free`, with no lock held, and returns the locked history, which has no
    /// dropped states.
    fn without_dropped(&self, free: impl Fn([Tree; TAKEN])) -> MutexGuard<'_, History> {
        loop {
            let mut history = lock(&self.history);
            let Some(trees) = history.take_dropped() else { return history };
            // A tree may be the last owner of a source, whose release may take long.
            drop(history);
            free(trees);
        }
    }

    /// Sets the configuration of `history`, the locked history of this log. Drops the oldest states beyond its maximum.
    pub(crate) fn configure(&self, history: &mut History, config: &IncrementalConfig) {
        // Readers take the lock of this copy alone.
        *lock(&self.config) = *config;
        history.configure(*config);
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

    /// Takes all dropped trees, and returns the number of states that the history then has in memory.
    fn left(history: &mut History) -> usize {
        while history.take_dropped().is_some() {}
        history.past.len()
    }

    #[test]
    fn a_history_forgets_the_oldest_and_goes_back_from_the_newest() {
        let mut history = History::new(IncrementalConfig { max_deltas: 3, ..IncrementalConfig::default() });
        history.reserve(5).unwrap();
        history.extend((1..=5).map(past));
        assert_eq!((history.len(), roots(&history)), (3, vec![5, 4, 3]));
        history.truncate(2);
        assert_eq!((history.len(), roots(&history)), (1, vec![3]));
        assert_eq!((left(&mut history), roots(&history)), (1, vec![3]));
        let off = IncrementalConfig { enable_rollback: false, ..IncrementalConfig::default() };
        history.configure(off);
        assert_eq!((history.len(), left(&mut history)), (0, 0));
        history.extend([past(6)]);
        assert_eq!((history.len(), left(&mut history)), (0, 0));
        history.clear();
        assert!(history.take_dropped().is_none());
    }

    #[test]
    fn dropped_states_stay_in_place_until_they_are_taken() {
        let many = 3 * TAKEN as u64 + 1;
        let mut history =
            History::new(IncrementalConfig { max_deltas: many, ..IncrementalConfig::default() });
        history.extend((0..many).map(|_| past(1)));
        history.extend([past(2)]);
        history.truncate(many as usize - 1);
        assert_eq!((history.len(), history.past.len() as u64), (1, many + 1));
        assert_eq!(left(&mut history), 1);
        history.clear();
        assert_eq!((history.len(), left(&mut history)), (0, 0));
    }

    #[test]
    fn a_log_reports_the_length_without_its_lock() {
        let log = UpdateLog::default();
        let none = |_| panic!("nothing was dropped");
        log.update(none, |history| {
            history.extend([past(1), past(2)]);
            assert_eq!(log.len(), 0, "an update is seen when it is done");
        });
        assert_eq!((log.len(), log.successor().len()), (2, 0));
    }
}
