//! States that were dropped, freed a little at a time.
//!
//! Freeing a state takes as long as it is large. So whoever drops one puts it here, and each later
//! call that changes something frees a bounded part, the newest first, with no lock held.

use super::node::{Children, Node};
use super::{Tile, Tree};
use crate::sync::lock;
use std::sync::{Arc, Mutex};

/// What one change frees at most, in units of some 100 ns.
const BUDGET: usize = 2_000;
/// What a node and a tile cost that nobody else holds.
const NODE_COST: usize = 5;
const TILE_COST: usize = 200;

enum Item {
    Node(Arc<Node>),
    Tile(Arc<Tile>),
}

/// Dropped states of a projection and its snapshots.
#[derive(Default)]
pub(crate) struct Trash {
    items: Mutex<Vec<Item>>,
}

impl Trash {
    /// Takes trees that are not needed any more, oldest first.
    pub(crate) fn put(&self, trees: impl IntoIterator<Item = Tree>) {
        let mut items = lock(&self.items);
        items.extend(trees.into_iter().filter_map(|tree| tree.root).map(Item::Node));
    }

    /// Frees a part, for a call of so many changes. Call it with no lock held: the last owner of a source runs its release.
    pub(crate) fn free_some(&self, changes: usize) {
        let mut items = std::mem::take(&mut *lock(&self.items));
        let mut spent = 0;
        while spent < BUDGET.saturating_mul(changes.max(1)) {
            spent += match items.pop() {
                None => return,
                Some(Item::Node(node)) => match Arc::into_inner(node).map(Node::into_children) {
                    None => 1,
                    Some(Children::Nodes(nodes)) => {
                        items.extend(nodes.into_iter().map(Item::Node));
                        NODE_COST
                    }
                    Some(Children::Tiles(tiles)) => {
                        items.extend(tiles.into_iter().map(Item::Tile));
                        NODE_COST
                    }
                },
                Some(Item::Tile(tile)) => match Arc::into_inner(tile) {
                    None => 1,
                    Some(_) => TILE_COST,
                },
            };
        }
        let mut later = lock(&self.items);
        if later.is_empty() {
            *later = items;
        } else {
            items.append(&mut later);
            *later = items;
        }
    }
}
