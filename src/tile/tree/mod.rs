//! The tile tree: a persistent balanced tree whose leaves are tiles.
//!
//! ```text
//! Tree ── Arc<Node> ── up to 32 nodes ── … ── up to 32 tiles ── pieces of extents of sources
//! ```
//!
//! Nodes are immutable and shared: a clone of a tree is a snapshot, and [`Tree::split`] and
//! [`Tree::concat`] make new trees that share all but a path with the old. Every node knows the
//! bytes, tiles and residue under it. A split inside a tile sums the groups that it cuts: it reads them from
//! their source, and can fail with IO or WITNESS.

#![forbid(unsafe_code)]

mod diff;
mod node;
mod reclaim;

pub(crate) use diff::TreeDiff;
pub(crate) use reclaim::{READ_BUDGET, Reclaimer};

use crate::base::error::Result;
use crate::base::units::{ByteOffset, TileIndex, to_usize};
use crate::layer2::Residue;
use crate::tile::Tile;
use node::{Children, Node};
use std::sync::Arc;

/// A sequence of tiles, cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    root: Option<Arc<Node>>,
}

/// A tile and where it is.
#[derive(Clone, Copy)]
pub(crate) struct TileAt<'a> {
    pub(crate) index: TileIndex,
    /// Offset of its first byte.
    pub(crate) offset: ByteOffset,
    pub(crate) tile: &'a Arc<Tile>,
}

impl std::fmt::Display for TileAt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tile {} of {}", self.index, self.tile.source_name())
    }
}

impl TileAt<'_> {
    /// One past its last byte.
    pub(crate) fn end(&self) -> ByteOffset {
        self.offset + self.tile.len() as u64
    }
}

impl Tree {
    /// A balanced tree of these tiles.
    pub(crate) fn from_tiles(tiles: Vec<Arc<Tile>>) -> Tree {
        Tree { root: Node::balanced(tiles) }
    }

    /// Whether the two are one tree, of the same nodes.
    pub(crate) fn is(&self, other: &Tree) -> bool {
        match (&self.root, &other.root) {
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            (left, right) => left.is_none() && right.is_none(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.root.as_ref().map_or(0, |node| node.bytes())
    }

    pub(crate) fn tiles(&self) -> u64 {
        self.root.as_ref().map_or(0, |node| node.tiles())
    }

    pub(crate) fn residue(&self) -> Residue {
        self.root.as_ref().map_or(Residue::ZERO, |node| node.residue())
    }

    /// All tiles.
    pub(crate) fn iter(&self) -> Iter<'_> {
        self.iter_from_tile(TileIndex(0))
    }

    /// The tiles from number `index` on.
    pub(crate) fn iter_from_tile(&self, index: TileIndex) -> Iter<'_> {
        self.iter_behind(|tiles, _| tiles <= index.0)
    }

    /// The tiles from the one on that holds the byte at `offset`.
    pub(crate) fn iter_from_byte(&self, offset: ByteOffset) -> Iter<'_> {
        self.iter_behind(|_, bytes| bytes <= offset.0)
    }

    /// The tiles after the longest prefix for which `skip(tiles, bytes)` of its end holds.
    fn iter_behind(&self, skip: impl Fn(u64, u64) -> bool) -> Iter<'_> {
        let mut iter = Iter { stack: Vec::new(), index: 0, offset: 0 };
        let mut current = self.root.as_ref();
        while let Some(node) = current.take() {
            let mut child = 0;
            while child < node.children().len() {
                let (bytes, tiles) = node.children().measure(child);
                if !skip(iter.index + tiles, iter.offset + bytes) {
                    break;
                }
                iter.index += tiles;
                iter.offset += bytes;
                child += 1;
            }
            if let Children::Nodes(nodes) = node.children()
                && child < nodes.len()
            {
                iter.stack.push((node, child + 1));
                current = Some(&nodes[child]);
            } else {
                iter.stack.push((node, child));
            }
        }
        iter
    }

    /// Two trees, of the bytes before `at` and of those from it on; `at` <= bytes. A tile that is
    /// cut becomes two, for which the groups that are cut are summed anew.
    pub(crate) fn split(&self, at: ByteOffset) -> Result<(Tree, Tree)> {
        let (left, right) = match &self.root {
            None => (None, None),
            Some(root) => root.split(at.0)?,
        };
        Ok((Tree { root: left }, Tree { root: right }))
    }

    /// Puts `tile` in place of tile `index`, which is there and of the same length.
    pub(crate) fn replace_tile(&mut self, index: TileIndex, tile: Arc<Tile>) {
        self.root = self.root.take().map(|root| root.replace_tile(to_usize(index.0), tile));
    }

    /// The tiles of `left`, then those of `right`.
    pub(crate) fn concat(left: &Tree, right: &Tree) -> Tree {
        match (&left.root, &right.root) {
            (None, _) => right.clone(),
            (_, None) => left.clone(),
            (Some(left), Some(right)) => Tree { root: Some(Node::concat(left, right)) },
        }
    }
}

/// Tiles in order, with their places.
pub(crate) struct Iter<'a> {
    /// Nodes on the path, each with its next child.
    stack: Vec<(&'a Arc<Node>, usize)>,
    index: u64,
    offset: u64,
}

impl<'a> Iterator for Iter<'a> {
    type Item = TileAt<'a>;

    fn next(&mut self) -> Option<TileAt<'a>> {
        loop {
            let (node, child) = self.stack.last_mut()?;
            let node: &'a Arc<Node> = node;
            let next = *child;
            *child += 1;
            match node.children() {
                Children::Tiles(tiles) if next < tiles.len() => {
                    let at = TileAt {
                        index: TileIndex(self.index),
                        offset: ByteOffset(self.offset),
                        tile: &tiles[next],
                    };
                    self.index += 1;
                    self.offset = at.end().0;
                    return Some(at);
                }
                Children::Nodes(nodes) if next < nodes.len() => self.stack.push((&nodes[next], 0)),
                _ => {
                    self.stack.pop();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
