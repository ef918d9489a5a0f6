//! The chaining values of tiles that are extracted from or edited, kept within a bound.

use super::{Extent, Tile};
use crate::chain::Chain;
use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

/// Chains that are kept at a time: 4 KiB each, so that this is 64 MiB.
const KEPT: usize = 16 * 1024;

/// What has a chain now, oldest first. Shared by a projection and its snapshots.
#[derive(Default)]
pub(crate) struct Chains {
    kept: Mutex<VecDeque<Holder>>,
}

enum Holder {
    Extent(Weak<Extent>),
    Tile(Weak<Tile>),
}

impl Holder {
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
        if !tile.set_chain(chain) {
            self.add(Holder::Tile(Arc::downgrade(tile)));
        }
    }

    /// Keeps the chain of an extent, whose bytes were found to be those of its origin.
    pub(crate) fn keep_extent(&self, extent: &Arc<Extent>, chain: Arc<Chain>) {
        if extent.set_chain(Some(chain)).is_none() {
            self.add(Holder::Extent(Arc::downgrade(extent)));
        }
    }

    /// Counts a tile that took over a chain.
    pub(crate) fn keep_inherited(&self, tile: &Arc<Tile>) {
        if tile.common_groups().is_some() {
            self.add(Holder::Tile(Arc::downgrade(tile)));
        }
    }

    fn add(&self, holder: Holder) {
        let oldest = {
            let mut kept = lock(&self.kept);
            kept.push_back(holder);
            if kept.len() > KEPT { kept.pop_front() } else { None }
        };
        if let Some(oldest) = oldest {
            oldest.drop_chain();
        }
    }
}
