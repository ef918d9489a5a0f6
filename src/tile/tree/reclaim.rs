//! States that were dropped, freed a little at a time.
//!
//! Freeing a state takes as long as it is large. So whoever drops one puts it here, and each later
//! call frees a part, the oldest first, with no lock held. A call that changes something frees at
//! least twice what it makes, so that what waits here does not grow: whatever is dropped was made once.

#![forbid(unsafe_code)]

use super::Tree;
use super::node::{Children, Node};
use crate::base::sync::lock;
use crate::base::units::to_u64;
use crate::tile::Tile;
use crate::tile::extent::Trust;
use crate::tile::piece::Piece;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What freeing costs, in nanoseconds: an object that somebody else still holds, one that nobody
/// does, and memory of ours (some 50 µs a MiB, where it goes back to the system).
const SHARED: u64 = 20;
const OWN: u64 = 150;
const BYTES_A_NANOSECOND: u64 = 20;
/// At least what one change makes beside its data: a few tiles, and the nodes above them.
const CHANGE: u64 = 30_000;
/// What every change frees, so that the states of a rollback are gone after some calls.
const CALL: u64 = 100_000;

/// What a call that reads frees, so that nothing waits for a change that never comes.
pub(crate) const READ_BUDGET: u64 = 20_000;

enum Garbage {
    Node(Arc<Node>),
    Tile(Arc<Tile>),
    Piece(Piece),
}

impl Garbage {
    /// Drops it, where it was the last of its kind puts its parts into `open`, and gives the cost.
    fn free(self, open: &mut Vec<Garbage>) -> u64 {
        match self {
            Garbage::Node(node) => match Arc::into_inner(node).map(Node::into_children) {
                None => return SHARED,
                // What is loaded of it is in the cache, and is bounded.
                Some(None) => {}
                Some(Some(Children::Nodes(nodes))) => open.extend(nodes.into_iter().map(Garbage::Node)),
                Some(Some(Children::Tiles(tiles))) => open.extend(tiles.into_iter().map(Garbage::Tile)),
            },
            Garbage::Tile(tile) => match Arc::into_inner(tile) {
                None => return SHARED,
                Some(tile) => open.extend(tile.into_pieces().into_iter().map(Garbage::Piece)),
            },
            Garbage::Piece(piece) => match Arc::into_inner(piece.into_extent()) {
                None => return SHARED,
                // What is not ours goes with its source, whose size is not known here.
                Some(extent) if extent.trust() != Trust::Memory => {}
                Some(extent) => return OWN + to_u64(extent.len()) / BYTES_A_NANOSECOND,
            },
        }
        OWN
    }
}

/// Dropped states of one handle.
#[derive(Default)]
pub(crate) struct Reclaimer {
    items: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Oldest first.
    trees: VecDeque<Arc<Node>>,
    /// Parts of the tree that is being freed.
    open: Vec<Garbage>,
}

impl Reclaimer {
    /// What a call frees that makes so many changes and brings so many bytes.
    pub(crate) fn budget(changes: usize, bytes: u64) -> u64 {
        let made = to_u64(changes).saturating_mul(CHANGE).saturating_add(bytes / BYTES_A_NANOSECOND);
        made.saturating_mul(2).saturating_add(CALL)
    }

    /// Takes trees that are not needed any more, oldest first.
    pub(crate) fn put(&self, trees: impl IntoIterator<Item = Tree>) {
        let mut items = lock(&self.items);
        items.trees.extend(trees.into_iter().filter_map(|tree| tree.root));
    }

    /// Frees what takes `budget` nanoseconds and one object more. Call it with no lock held: the last
    /// owner of a source runs its release.
    pub(crate) fn free(&self, budget: u64) {
        let mut items = std::mem::take(&mut *lock(&self.items));
        let mut spent = 0;
        while spent < budget {
            let next = items.open.pop().or_else(|| items.trees.pop_front().map(Garbage::Node));
            let Some(item) = next else { return };
            spent += item.free(&mut items.open);
        }
        let mut later = lock(&self.items);
        items.trees.append(&mut later.trees);
        items.open.append(&mut later.open);
        *later = items;
    }

    /// How many things wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        let items = lock(&self.items);
        items.trees.len() + items.open.len()
    }
}
