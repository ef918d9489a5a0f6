//! The tile tree: a persistent balanced tree whose leaves hold tiles.
//!
//! ```text
//! Tree ── Arc<Node> ── up to 32 nodes ── … ── up to 32 tiles ── pieces of extents of sources
//!            └─ in a container file: its children are loaded on demand
//! ```
//!
//! Nodes are immutable and shared: a clone of a tree is a snapshot, and [`Tree::split`] and [`Tree::concat`] make
//! new trees that share all nodes but those of one path with the old trees. Every node knows the bytes, tiles
//! and residue under it. A split inside a tile sums the groups that it cuts: it reads them from their source,
//! and can fail with IO or WITNESS.
//!
//! A tree from a container file begins as its top node, and the nodes and tiles below are loaded on demand. Every
//! walk over it can fail with the errors of loading.

#![forbid(unsafe_code)]

mod cache;
mod diff;
mod look;
mod node;
mod proof;
mod reclaim;

pub(crate) use cache::{Charge, NodeCache};
pub(crate) use diff::{Compared, TreeDiff};
pub(crate) use look::{Seen, Unloaded};
pub(crate) use node::{Children, Node, Written};
pub(crate) use reclaim::{READ_BUDGET, Reclaimer};

use crate::base::buffer::{try_push, try_vec};
use crate::base::error::Result;
use crate::base::units::{ByteOffset, TileIndex, to_u64, to_usize};
use crate::hash::digest::{Digest, Digests};
use crate::layer2::Residue;
use crate::tile::Tile;
use crate::tile::rehash::CheckedReader;
use crate::tile::stored::{NodeRef, Store};
use node::ChildrenRef;
use std::sync::Arc;

/// A balanced tree over a sequence of tiles, cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    root: Option<Arc<Node>>,
}

/// A tile of a tree, its index and its offset in the domain.
#[derive(Clone)]
pub(crate) struct TileAt {
    pub(crate) index: TileIndex,
    /// Offset of the tile's first byte in the domain.
    pub(crate) offset: ByteOffset,
    pub(crate) tile: Arc<Tile>,
}

impl std::fmt::Display for TileAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tile {} of {}", self.index, self.tile.source_name())
    }
}

impl TileAt {
    /// Returns the offset in the domain after the tile's last byte.
    pub(crate) fn end(&self) -> ByteOffset {
        self.offset + to_u64(self.tile.len())
    }
}

impl Tree {
    /// Returns a tree of these tiles, in which all nodes but those on the right edge are full.
    pub(crate) fn from_tiles(tiles: Vec<Arc<Tile>>) -> Result<Tree> {
        Ok(Tree { root: Node::filled(tiles)? })
    }

    /// Returns a tree of a container file of which only the entry `top` of the top node is known; nodes and tiles
    /// below are loaded on demand. `regular` is true if the root of the projection follows from the digest in
    /// `top`.
    pub(crate) fn of_store(store: &Arc<dyn Store>, top: NodeRef, regular: bool) -> Tree {
        Tree { root: Some(Arc::new(Node::of_store(store, top, regular))) }
    }

    /// Returns the tree whose top node is `top`.
    #[cfg(test)]
    pub(crate) fn of_node(top: Arc<Node>) -> Tree {
        Tree { root: Some(top) }
    }

    /// Returns the top node, or `None` if the tree is empty.
    pub(crate) fn top_node(&self) -> Option<&Arc<Node>> {
        self.root.as_ref()
    }

    /// Returns true if both trees have the same top node in memory, or are empty.
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

    /// Returns the number of edges from the top node down to a node whose children are tiles.
    pub(crate) fn height(&self) -> u8 {
        self.root.as_ref().map_or(0, |node| node.height())
    }

    /// Returns true if the root of the projection follows from [`top`](Self::top): the nodes have the shape of its
    /// RFC 6962 tree.
    pub(crate) fn is_regular(&self) -> bool {
        self.root.as_ref().is_none_or(|node| node.is_regular())
    }

    /// Returns the digest of the top node, which covers all tiles. All tiles must have their witnesses.
    pub(crate) fn top(&self, digests: &Digests) -> Result<Digest> {
        self.root.as_ref().map_or_else(|| Ok(digests.no_leaves()), |node| node.top(digests))
    }

    /// Iterates over all tiles in order.
    pub(crate) fn iter(&self) -> Iter<'_> {
        self.iter_from_tile(TileIndex(0))
    }

    /// Returns all tiles. Panics if a tile cannot be loaded.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<TileAt> {
        self.iter().map(Result::unwrap).collect()
    }

    /// Iterates over the tiles from tile `index` on.
    pub(crate) fn iter_from_tile(&self, index: TileIndex) -> Iter<'_> {
        self.iter_behind(|tiles, _| tiles <= index.0)
    }

    /// Iterates over the tiles from the tile that holds the byte at `offset` on.
    pub(crate) fn iter_from_byte(&self, offset: ByteOffset) -> Iter<'_> {
        self.iter_behind(|_, bytes| bytes <= offset.0)
    }

    /// Returns the tile `index`, or `None` if the tree has no such tile.
    pub(crate) fn tile(&self, index: TileIndex) -> Result<Option<TileAt>> {
        self.first_behind(|tiles, _| tiles <= index.0)
    }

    /// Returns the tile that holds the byte at `offset`, or `None` if no tile holds it.
    pub(crate) fn tile_of_byte(&self, offset: ByteOffset) -> Result<Option<TileAt>> {
        self.first_behind(|_, bytes| bytes <= offset.0)
    }

    /// Returns the first tile of [`iter_behind`](Self::iter_behind), at a lower cost than the iterator.
    fn first_behind(&self, skip: impl Fn(u64, u64) -> bool) -> Result<Option<TileAt>> {
        let Some(root) = &self.root else { return Ok(None) };
        // Tiles and bytes before the present node.
        let (mut index, mut offset) = (0, 0);
        // The walk keeps the children alive while it reads them, because the cache may evict them.
        let mut children = root.children()?;
        loop {
            let Some(child) = children.first_behind(&mut index, &mut offset, &skip) else { return Ok(None) };
            children = match &*children {
                Children::Tiles(tiles) => {
                    let (index, offset) = (TileIndex(index), ByteOffset(offset));
                    return Ok(Some(TileAt { index, offset, tile: Arc::clone(&tiles[child]) }));
                }
                Children::Nodes(_) => children.below(child)?,
            };
        }
    }

    /// Iterates over the tiles from the first on for whose end `skip` returns false. `skip` gets the number of
    /// tiles and of bytes from the start of the tree to that end.
    fn iter_behind(&self, skip: impl Fn(u64, u64) -> bool) -> Iter<'_> {
        let mut iter = Iter { stack: Vec::new(), index: 0, offset: 0, failed: None };
        // An iterator cannot fail at its start, so that the error becomes its first item.
        if let Err(error) = iter.descend_to(self.root.as_ref(), skip) {
            iter.stack.clear();
            iter.failed = Some(error);
        }
        iter
    }

    /// Returns true if the bytes of each tile are in memory, in one piece.
    pub(crate) fn is_in_memory(&self) -> Result<bool> {
        // Every tile is checked, because edits mix memory and files in any order.
        for at in self.iter() {
            if at?.tile.slice().is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns true if the bytes of each tile are in memory that no other process can write to, in one piece.
    pub(crate) fn is_fixed(&self) -> Result<bool> {
        for at in self.iter() {
            let tile = at?.tile;
            if tile.whole().is_none_or(|extent| extent.fixed_slice(&(0..tile.len())).is_none()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the tiles that have no witness yet, ascending. Loads nothing, because tiles of a container file have
    /// their witnesses.
    ///
    /// `reserve` is called with their number before the list is made.
    pub(crate) fn unhashed(&self, reserve: impl FnOnce(u64) -> Result<()>) -> Result<Vec<TileAt>> {
        let count = self.count_unhashed();
        reserve(count)?;
        // Other threads may hash some of them meanwhile.
        let mut found = try_vec(to_usize(count))?;
        if let Some(root) = &self.root {
            each_unhashed(root, 0, 0, &mut |index, offset, tile| {
                let (index, offset) = (TileIndex(index), ByteOffset(offset));
                found.push(TileAt { index, offset, tile: Arc::clone(tile) });
            });
        }
        Ok(found)
    }

    /// Returns the number of tiles that have no witness yet.
    pub(crate) fn count_unhashed(&self) -> u64 {
        let mut count = 0;
        if let Some(root) = &self.root {
            each_unhashed(root, 0, 0, &mut |_, _, _| count += 1);
        }
        count
    }

    /// Splits the tree into a tree of the bytes before `at` and a tree of the rest; `at` is at most the number of
    /// bytes. A tile that contains `at` is cut in two, and the group of 16 KiB that is cut is checked and summed
    /// again.
    pub(crate) fn split(&self, at: ByteOffset, reader: &mut CheckedReader<'_>) -> Result<(Tree, Tree)> {
        let (left, right) = match &self.root {
            None => (None, None),
            Some(root) => root.split(at.0, reader)?,
        };
        Ok((Tree { root: left }, Tree { root: right }))
    }

    /// Replaces tile `index`, which must exist, by `tile` of the same length.
    pub(crate) fn replace_tile(&mut self, index: TileIndex, tile: Arc<Tile>) -> Result<()> {
        if let Some(root) = &self.root {
            self.root = Some(root.replace_tile(index.0, tile)?);
        }
        Ok(())
    }

    /// Returns a tree of the tiles of `left`, followed by the tiles of `right`.
    pub(crate) fn concat(left: &Tree, right: &Tree) -> Result<Tree> {
        match (&left.root, &right.root) {
            (None, _) => Ok(right.clone()),
            (_, None) => Ok(left.clone()),
            (Some(left), Some(right)) => Ok(Tree { root: Some(Node::concat(left, right)?) }),
        }
    }
}

/// Calls `each` with the index, the offset and the tile for each tile below `node` that has no witness yet. `tiles` and
/// `bytes` are the numbers of tiles and bytes before the node.
fn each_unhashed(node: &Arc<Node>, tiles: u64, bytes: u64, each: &mut impl FnMut(u64, u64, &Arc<Tile>)) {
    // Tiles below a digest have their witnesses, and so have stored tiles: such nodes are not entered.
    let (Some(children), false) = (node.own_children(), node.is_hashed()) else { return };
    let (mut index, mut offset) = (tiles, bytes);
    match children {
        Children::Tiles(tiles) => {
            for tile in tiles {
                if tile.witness().is_none() {
                    each(index, offset, tile);
                }
                // Hashed tiles are counted too, because places are counted in the whole domain.
                (index, offset) = (index + 1, offset + to_u64(tile.len()));
            }
        }
        Children::Nodes(nodes) => {
            for node in nodes {
                each_unhashed(node, index, offset, each);
                (index, offset) = (index + node.tiles(), offset + node.bytes());
            }
        }
    }
}

/// Iterator over the tiles of a tree in order, with their places. Ends after an error.
pub(crate) struct Iter<'a> {
    /// The children of each node on the path from the top, with the index of the next child to visit.
    stack: Vec<(ChildrenRef<'a>, usize)>,
    index: u64,
    offset: u64,
    /// Error of the search for the first tile. It becomes the first item.
    failed: Option<crate::AtlasError>,
}

impl<'a> Iter<'a> {
    fn descend_to(&mut self, root: Option<&'a Arc<Node>>, skip: impl Fn(u64, u64) -> bool) -> Result<()> {
        let mut next = root.map(|root| root.children()).transpose()?;
        while let Some(children) = next.take() {
            let found = children.first_behind(&mut self.index, &mut self.offset, &skip);
            // At the end of the tree all children are skipped.
            let mut child = found.unwrap_or(children.len());
            // A node is entered here, and the iterator continues after it; a tile is left to `advance`.
            if child < children.nodes().len() {
                next = Some(children.below(child)?);
                child += 1;
            }
            try_push(&mut self.stack, (children, child))?;
        }
        Ok(())
    }

    /// Returns the next tile, or `None` after the last tile.
    fn advance(&mut self) -> Result<Option<TileAt>> {
        loop {
            let Some((children, child)) = self.stack.last_mut() else { return Ok(None) };
            // The path points after the child before it is entered, so that the way back up continues
            // there.
            let next = *child;
            *child += 1;
            match &**children {
                Children::Tiles(tiles) if next < tiles.len() => {
                    let (index, offset) = (TileIndex(self.index), ByteOffset(self.offset));
                    let at = TileAt { index, offset, tile: Arc::clone(&tiles[next]) };
                    self.index += 1;
                    self.offset = at.end().0;
                    return Ok(Some(at));
                }
                Children::Nodes(nodes) if next < nodes.len() => {
                    let below = children.below(next)?;
                    try_push(&mut self.stack, (below, 0))?;
                }
                // The node is used up, and its parent continues.
                _ => {
                    self.stack.pop();
                }
            }
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<TileAt>;

    fn next(&mut self) -> Option<Result<TileAt>> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let next = self.advance();
        // The places of the tiles after an error are unknown, so that the iterator ends.
        if next.is_err() {
            self.stack.clear();
        }
        next.transpose()
    }
}

#[cfg(test)]
mod tests;
