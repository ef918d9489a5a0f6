//! The chaining values of tiles that are extracted from or edited, kept within a bound.

use crate::base::sync::lock;
use crate::hash::outboard::Chain;
use crate::tile::{Extent, Tile};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Chains that are kept at a time: 4 KiB each, so that this is 64 MiB.
const KEPT: usize = if cfg!(test) { 64 } else { 16 * 1024 };

/// How many chains a call may keep beside what its memory limit is needed for.
pub(crate) struct ChainBudget(AtomicU64);

impl ChainBudget {
    /// For `bytes` of memory.
    pub(crate) fn new(bytes: u64) -> ChainBudget {
        ChainBudget(AtomicU64::new(bytes / Chain::FOOTPRINT))
    }

    /// Whether one more may be kept, which is counted.
    pub(crate) fn take(&self) -> bool {
        // It orders nothing: a count.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// What has a chain now. Shared by a projection and its snapshots.
#[derive(Default)]
pub(crate) struct Chains {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Oldest first, nearly.
    holders: VecDeque<Holder>,
    /// Where to look next for holders that are gone.
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

    fn drop_chain(&self) {
        match self {
            Holder::Extent(extent) => drop(extent.upgrade().and_then(|extent| extent.set_chain(None))),
            Holder::Tile(tile) => {
                if let Some(tile) = tile.upgrade() {
                    tile.drop_chain();
                }
            }
        }
    }
}

impl Chains {
    /// Keeps the chain of a tile, and drops the oldest where there are too many.
    pub(crate) fn keep(&self, tile: &Arc<Tile>, chain: Arc<Chain>) {
        if let Some(extent) = tile.whole() {
            return self.keep_extent(extent, chain);
        }
        tile.set_chain(chain);
        self.count(tile);
    }

    /// Keeps the chain of an extent, whose bytes were found to be those of its origin.
    pub(crate) fn keep_extent(&self, extent: &Arc<Extent>, chain: Arc<Chain>) {
        if extent.set_chain(Some(chain)).is_none() {
            self.add(Holder::Extent(Arc::downgrade(extent)));
        }
    }

    /// Counts a tile that may have taken over a chain.
    pub(crate) fn count(&self, tile: &Arc<Tile>) {
        if tile.count() {
            self.add(Holder::Tile(Arc::downgrade(tile)));
        }
    }

    fn add(&self, holder: Holder) {
        let oldest = {
            let mut kept = lock(&self.kept);
            let Kept { holders, next } = &mut *kept;
            // Two are looked at for one that comes, so that those that are gone do not take the place of
            // those that are not.
            for _ in 0..2 {
                match holders.get(*next) {
                    Some(holder) if holder.is_gone() => drop(holders.swap_remove_back(*next)),
                    Some(_) => *next += 1,
                    None => *next = 0,
                }
            }
            holders.push_back(holder);
            if holders.len() > KEPT { holders.pop_front() } else { None }
        };
        if let Some(oldest) = oldest {
            oldest.drop_chain();
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
    use crate::tile::Piece;

    fn edited_tile(salt: u8) -> (Arc<Tile>, Arc<Chain>) {
        let bytes = vec![salt; 3 * GROUP_SIZE];
        let extent = Extent::new(Source::from_vec(bytes.clone()), 0, &bytes).unwrap();
        let (left, _) =
            Tile::of_pieces(vec![Piece::whole(extent)]).unwrap().split(3 * GROUP_SIZE - 1).unwrap();
        let digests = Digests::new(None);
        let groups = vec![[salt; 32]; 3];
        let (chain, _) =
            Chain::of_groups(&digests, groups, Some(Box::new(Residue::of_groups(&bytes, GROUP_SIZE))))
                .unwrap();
        (Arc::new(left), Arc::new(chain))
    }

    fn has_one(tile: &Tile) -> bool {
        tile.chain().is_some() || tile.common_groups().is_some()
    }

    #[test]
    fn a_budget_is_for_whole_chains() {
        for (bytes, chains) in [(0, 0), (Chain::FOOTPRINT - 1, 0), (3 * Chain::FOOTPRINT + 1, 3)] {
            let budget = ChainBudget::new(bytes);
            assert_eq!((0..10).filter(|_| budget.take()).count(), chains);
        }
    }

    #[test]
    fn chains_are_bounded_and_those_that_were_taken_over_count() {
        let chains = Chains::default();
        let mut tiles = Vec::new();
        for _ in 0..2 * KEPT {
            let (tile, chain) = edited_tile(7);
            chains.keep(&tile, chain);
            let (left, _) = tile.split(2 * GROUP_SIZE).unwrap();
            let left = Arc::new(left);
            assert!(left.common_groups().is_some());
            chains.count(&left);
            chains.count(&left);
            tiles.extend([tile, left]);
        }
        assert_eq!(tiles.iter().filter(|tile| has_one(tile)).count(), KEPT);
        // A tile that takes its own in place of another's counts once.
        let (left, chain) = (tiles.pop().unwrap(), edited_tile(7).1);
        let before = lock(&chains.kept).holders.len();
        chains.keep(&left, chain);
        assert_eq!(lock(&chains.kept).holders.len(), before);
    }

    #[test]
    fn those_of_tiles_that_are_gone_take_nobodys_place() {
        let chains = Chains::default();
        let living: Vec<_> = (0..KEPT / 4)
            .map(|_| {
                let (tile, chain) = edited_tile(1);
                chains.keep(&tile, chain);
                tile
            })
            .collect();
        for _ in 0..100 * KEPT {
            let (tile, chain) = edited_tile(2);
            chains.keep(&tile, chain);
        }
        assert!(living.iter().all(|tile| has_one(tile)));
    }

    #[test]
    fn a_chain_with_residues_is_not_replaced_by_one_without() {
        let chains = Chains::default();
        let (tile, chain) = edited_tile(3);
        chains.keep(&tile, Arc::clone(&chain));
        let (plain, _) = Chain::of_groups(&Digests::new(None), vec![[3; 32]; 3], None).unwrap();
        chains.keep(&tile, Arc::new(plain));
        assert!(Arc::ptr_eq(&tile.chain().unwrap(), &chain));
    }
}
