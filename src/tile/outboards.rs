//! A bounded cache of outboards: chaining values of the 16 KiB groups of tiles from which shards are extracted, or
//! which are edited.

use crate::base::sync::lock;
use crate::hash::outboard::Outboard;
use crate::tile::Tile;
use crate::tile::extent::Extent;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Maximum number of outboards in a cache, of about 4 KiB each: 64 MiB.
const KEPT: usize = if cfg!(test) { 64 } else { 16 * 1024 };

/// Number of outboards (chaining values of a tile) that a call may still add to the cache within its memory limit.
pub(crate) struct OutboardBudget(AtomicU64);

impl OutboardBudget {
    /// Returns a budget of as many outboards as fit in `bytes` of memory.
    pub(crate) fn new(bytes: u64) -> OutboardBudget {
        OutboardBudget(AtomicU64::new(bytes / Outboard::FOOTPRINT))
    }

    /// Takes one outboard from the budget. Returns false if none is left.
    pub(crate) fn take(&self) -> bool {
        // Relaxed, because the number is only a count.
        let mut left = self.0.load(Ordering::Relaxed);
        // A count of 0 stays 0. A plain subtraction would wrap around.
        while let Some(less) = left.checked_sub(1) {
            match self.0.compare_exchange_weak(left, less, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => left = now,
            }
        }
        false
    }
}

/// Cache of outboards, the chaining values of tiles. Shared by a projection and its snapshots.
pub(crate) struct OutboardCache {
    kept: Mutex<Holders>,
    /// Maximum number of outboards in the cache.
    capacity: usize,
}

impl Default for OutboardCache {
    fn default() -> Self {
        OutboardCache { kept: Mutex::default(), capacity: KEPT }
    }
}

#[derive(Default)]
struct Holders {
    /// Extents and tiles that keep an outboard, approximately in the order in which they got it.
    holders: VecDeque<Holder>,
    /// Index in `holders` at which the search for dropped extents and tiles continues.
    next: usize,
}

enum Holder {
    Extent(Weak<Extent>),
    Tile(Weak<Tile>),
}

impl Holder {
    fn is_gone(&self) -> bool {
        match self {
            Holder::Extent(extent) => extent.strong_count() == 0,
            Holder::Tile(tile) => tile.strong_count() == 0,
        }
    }

    fn drop_outboard(&self) {
        match self {
            // If the holder was dropped, its outboard was dropped with it.
            Holder::Extent(extent) => drop(extent.upgrade().and_then(|extent| extent.set_outboard(None))),
            Holder::Tile(tile) => {
                if let Some(tile) = tile.upgrade() {
                    tile.drop_outboard();
                }
            }
        }
    }
}

impl OutboardCache {
    /// Returns a cache of at most `bytes` bytes, and of at most the default number of outboards.
    pub(crate) fn within(bytes: u64) -> OutboardCache {
        // The capacity never exceeds that of the other caches, even if the memory allows more.
        let capacity = usize::try_from(bytes / Outboard::FOOTPRINT).unwrap_or(KEPT).min(KEPT);
        OutboardCache { kept: Mutex::default(), capacity }
    }

    /// Keeps the chaining values of a tile with the tile, and drops those of the oldest holder if the cache is full.
    pub(crate) fn keep(&self, tile: &Arc<Tile>, outboard: Arc<Outboard>) {
        // The outboard of a whole extent serves every tile that contains the extent.
        if let Some(extent) = tile.whole() {
            return self.keep_extent(extent, outboard);
        }
        tile.set_outboard(outboard);
        self.count(tile);
    }

    /// Keeps the chaining values of an extent with the extent. The caller has verified them, or the bytes from
    /// which they come.
    pub(crate) fn keep_extent(&self, extent: &Arc<Extent>, outboard: Arc<Outboard>) {
        // An extent that had an outboard before is in the list already.
        if extent.set_outboard(Some(outboard)).is_none() {
            self.add(Holder::Extent(Arc::downgrade(extent)));
        }
    }

    /// Counts the outboard that a tile may have inherited from another tile, so that the limit of the cache applies
    /// to it too.
    pub(crate) fn count(&self, tile: &Arc<Tile>) {
        if tile.count() {
            self.add(Holder::Tile(Arc::downgrade(tile)));
        }
    }

    fn add(&self, holder: Holder) {
        // The list is unlocked before an outboard is dropped, which takes the lock of its tile.
        let oldest = {
            let mut kept = lock(&self.kept);
            let Holders { holders, next } = &mut *kept;
            // Two holders are examined for each new holder, so that dropped holders do not take the place of
            // live holders.
            for _ in 0..2 {
                match holders.get(*next) {
                    // The newest holder fills the gap, which is why the order is only nearly by age.
                    Some(holder) if holder.is_gone() => drop(holders.swap_remove_back(*next)),
                    Some(_) => *next += 1,
                    None => *next = 0,
                }
            }
            if holders.try_reserve(1).is_err() {
                // A holder that is not in the list would keep its outboard outside of the limit.
                Some(holder)
            } else {
                holders.push_back(holder);
                if holders.len() > self.capacity { holders.pop_front() } else { None }
            }
        };
        if let Some(oldest) = oldest {
            oldest.drop_outboard();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::GROUP_SIZE;
    use crate::hash::digest::Digests;
    use crate::layer2::Residue;
    use crate::source::Source;
    use crate::tile::piece::Piece;
    use crate::tile::rehash::CheckedReader;

    fn edited_tile(salt: u8) -> (Arc<Tile>, Arc<Outboard>) {
        let bytes = vec![salt; 3 * GROUP_SIZE];
        let extent = Extent::in_memory(Source::from_vec(bytes.clone()), 0, &bytes).unwrap();
        let whole = Tile::of_pieces(vec![Piece::whole(extent)]).unwrap();
        let (left, _) = whole.split(3 * GROUP_SIZE - 1, &mut CheckedReader::of_linear()).unwrap();
        let digests = Digests::new(None);
        let groups = vec![[salt; 32]; 3];
        let (outboard, _) =
            Outboard::of_groups(&digests, groups, Some(Box::new(Residue::of_groups(&bytes, GROUP_SIZE))))
                .unwrap();
        (Arc::new(left), Arc::new(outboard))
    }

    fn has_one(tile: &Tile) -> bool {
        tile.outboard().is_some() || tile.common_groups().is_some()
    }

    #[test]
    fn a_budget_is_for_whole_chains() {
        for (bytes, outboards) in [(0, 0), (Outboard::FOOTPRINT - 1, 0), (3 * Outboard::FOOTPRINT + 1, 3)] {
            let budget = OutboardBudget::new(bytes);
            assert_eq!((0..10).filter(|_| budget.take()).count(), outboards);
        }
    }

    #[test]
    fn chains_are_bounded_and_those_that_were_taken_over_count() {
        let outboards = OutboardCache::default();
        let mut tiles = Vec::new();
        for _ in 0..2 * KEPT {
            let (tile, outboard) = edited_tile(7);
            outboards.keep(&tile, outboard);
            let (left, _) = tile.split(2 * GROUP_SIZE, &mut CheckedReader::of_linear()).unwrap();
            let left = Arc::new(left);
            assert!(left.common_groups().is_some());
            outboards.count(&left);
            outboards.count(&left);
            tiles.extend([tile, left]);
        }
        assert_eq!(tiles.iter().filter(|tile| has_one(tile)).count(), KEPT);
        // A tile that replaces the outboard of another tile by its own counts once.
        let (left, outboard) = (tiles.pop().unwrap(), edited_tile(7).1);
        let before = lock(&outboards.kept).holders.len();
        outboards.keep(&left, outboard);
        assert_eq!(lock(&outboards.kept).holders.len(), before);
    }

    #[test]
    fn those_of_tiles_that_are_gone_take_nobodys_place() {
        let outboards = OutboardCache::default();
        let living: Vec<_> = (0..KEPT / 4)
            .map(|_| {
                let (tile, outboard) = edited_tile(1);
                outboards.keep(&tile, outboard);
                tile
            })
            .collect();
        for _ in 0..100 * KEPT {
            let (tile, outboard) = edited_tile(2);
            outboards.keep(&tile, outboard);
        }
        assert!(living.iter().all(|tile| has_one(tile)));
    }

    #[test]
    fn a_chain_with_residues_is_not_replaced_by_one_without() {
        let outboards = OutboardCache::default();
        let (tile, outboard) = edited_tile(3);
        outboards.keep(&tile, Arc::clone(&outboard));
        let (plain, _) = Outboard::of_groups(&Digests::new(None), vec![[3; 32]; 3], None).unwrap();
        outboards.keep(&tile, Arc::new(plain));
        assert!(Arc::ptr_eq(&tile.outboard().unwrap(), &outboard));
    }
}
