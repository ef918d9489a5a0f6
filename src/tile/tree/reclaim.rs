//! Trees of dropped states, freed a little at a time.
//!
//! Dropping a state takes time proportional to its size. Dropped states are therefore queued here, and each later
//! call frees a part of the queue, the oldest first, with no lock held. A change frees at least twice the objects
//! that it allocates, so that the queue cannot grow without bound.

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

/// Estimated time in nanoseconds to drop a reference that is not the last. `OWN` is that of the last reference, and
/// `BYTES_A_NANOSECOND` the speed at which library memory returns to the system (some 50 µs per MiB).
const SHARED: u64 = 20;
const OWN: u64 = 150;
const BYTES_A_NANOSECOND: u64 = 20;
/// Estimated time in nanoseconds to free the objects that one change allocates besides its data: a few tiles, and
/// the nodes above them.
const CHANGE: u64 = 30_000;
/// Nanoseconds that each changing call spends on freeing at least, so that the states of a rollback are freed after
/// some calls.
const CALL: u64 = 100_000;

/// Nanoseconds that each read-only call spends on freeing, so that the queue drains even without further changes.
pub(crate) const READ_BUDGET: u64 = 20_000;

enum Garbage {
    Node(Arc<Node>),
    Tile(Arc<Tile>),
    Piece(Piece),
}

impl Garbage {
    /// Drops the object. If this was the last reference, moves its parts to `open`, the objects to free next. Returns
    /// the estimated cost in nanoseconds.
    fn free(self, open: &mut Vec<Garbage>) -> u64 {
        // `into_inner` hands the object to its last owner alone, so that its parts are freed once.
        match self {
            Garbage::Node(node) => match Arc::into_inner(node).map(Node::into_children) {
                None => return SHARED,
                // The cache holds the loaded children of a stored node, within a bound.
                Some(None) => {}
                Some(Some(Children::Nodes(nodes))) => put(open, nodes.into_iter().map(Garbage::Node)),
                Some(Some(Children::Tiles(tiles))) => put(open, tiles.into_iter().map(Garbage::Tile)),
            },
            Garbage::Tile(tile) => match Arc::into_inner(tile) {
                None => return SHARED,
                Some(tile) => {
                    let (one, many) = tile.into_pieces();
                    put(open, one.into_iter().map(Garbage::Piece));
                    put(open, many.into_iter().map(Garbage::Piece));
                }
            },
            Garbage::Piece(piece) => match Arc::into_inner(piece.into_extent()) {
                None => return SHARED,
                // Memory of the caller is freed with its source, whose size is not known here.
                Some(extent) if extent.trust() != Trust::Memory => {}
                Some(extent) => return OWN + to_u64(extent.len()) / BYTES_A_NANOSECOND,
            },
        }
        OWN
    }
}

/// Adds parts of a freed object to `open`. Frees them at once if there is no memory to queue them.
fn put(open: &mut Vec<Garbage>, parts: impl ExactSizeIterator<Item = Garbage>) {
    if open.try_reserve(parts.len()).is_ok() {
        open.extend(parts);
    } else {
        parts.for_each(drop);
    }
}

/// Queue of the trees of dropped states of one projection handle.
#[derive(Default)]
pub(crate) struct Reclaimer {
    items: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Top nodes of the dropped trees, oldest first.
    trees: VecDeque<Arc<Node>>,
    /// Parts of the tree that is being freed.
    open: Vec<Garbage>,
}

impl Reclaimer {
    /// Returns the nanoseconds that a call with this number of changes and of new bytes spends on freeing dropped
    /// states.
    pub(crate) fn budget(changes: usize, bytes: u64) -> u64 {
        // Twice the estimate of the change's allocations, so that a long queue shrinks.
        let made = to_u64(changes).saturating_mul(CHANGE).saturating_add(bytes / BYTES_A_NANOSECOND);
        made.saturating_mul(2).saturating_add(CALL)
    }

    /// Queues trees that are no longer needed. Frees them now if there is no memory for the queue.
    pub(crate) fn put(&self, trees: impl IntoIterator<Item = Tree>) {
        for tree in trees {
            let mut items = lock(&self.items);
            // The root is tested only here: the compiler would merge a test before the lock with the test of
            // the iterator, and valgrind reports the uninitialised bits of a missing tree.
            let Some(root) = tree.root else { continue };
            if items.trees.try_reserve(1).is_ok() {
                items.trees.push_back(root);
            } else {
                // Dropped with no lock held, because the last owner of a source runs its release.
                drop(items);
                drop(root);
            }
        }
    }

    /// Frees objects until their estimated cost reaches `budget` nanoseconds. Call it with no lock held: the
    /// last owner of a source runs its release.
    pub(crate) fn free(&self, budget: u64) {
        // The queue is taken out, so that other calls add to it without waiting for this call.
        let mut items = std::mem::take(&mut *lock(&self.items));
        let mut spent = 0;
        while spent < budget {
            // Parts of the tree in work come first, then the oldest tree.
            let next = items.open.pop().or_else(|| items.trees.pop_front().map(Garbage::Node));
            let Some(item) = next else { return };
            spent += item.free(&mut items.open);
        }
        // The remaining trees go back to the queue, before the trees that were queued meanwhile, because the
        // queued trees are newer.
        let mut later = lock(&self.items);
        let (trees, open) = (later.trees.len(), later.open.len());
        if items.trees.try_reserve(trees).is_ok() && items.open.try_reserve(open).is_ok() {
            items.trees.append(&mut later.trees);
            items.open.append(&mut later.open);
            *later = items;
        } else {
            // If there is no memory for the queue, all parts are freed now, with no lock held.
            drop(later);
            drop(items);
        }
    }

    /// Returns the number of queued objects.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        let items = lock(&self.items);
        items.trees.len() + items.open.len()
    }
}
