//! The chaining values of tiles that are extracted from or edited, kept within a bound.

use super::Tile;
use crate::chain::Chain;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Tiles whose chain is kept at a time: 4 KiB each, so that this is 64 MiB.
const KEPT: usize = 16 * 1024;

/// The tiles that have a chain now, oldest first. Shared by a projection and its snapshots.
#[derive(Default)]
pub(crate) struct Chains {
    kept: Mutex<VecDeque<Weak<Tile>>>,
}

impl Chains {
    /// Keeps the chain of a tile, and drops the oldest where there are too many.
    pub(crate) fn keep(&self, tile: &Arc<Tile>, chain: Arc<Chain>) {
        if tile.set_chain(Some(chain)).is_some() {
            return;
        }
        let oldest = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(Arc::downgrade(tile));
            if kept.len() > KEPT { kept.pop_front() } else { None }
        };
        if let Some(tile) = oldest.and_then(|tile| tile.upgrade()) {
            tile.set_chain(None);
        }
    }
}
