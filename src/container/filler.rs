//! Builds the stored tile tree of an import or a merge from the left: takes tiles in order, and lays out full nodes.
//!
//! All nodes except those on the right edge have 32 children, so that the projection's root follows from the digest of
//! the top node alone.

use super::body::{Body, Laid, LeafLayout, Placed, PlacedTile};
use super::records::MAX_CHILDREN;
use crate::base::error::Result;
use crate::base::units::to_u64;
use crate::hash::digest::{Digest, Digests};
use crate::hash::tile_tree::RootKind;
use crate::layer2::Residue;
use crate::tile::stored::NodeRef;
use crate::tile::tree::{Children, Node, Tree};
use std::ops::Range;
use std::sync::Arc;

/// Tile tree under construction: takes tiles in order, and lays out its nodes in the body of a batch.
pub(super) struct Filler<'t, 'f> {
    /// Tree of the newest generation. Its nodes are reused if they have the same children.
    old: &'t Tree,
    pub(super) body: Body<'f>,
    leaf: LeafLayout,
    /// True if all tiles of the current leaf were taken over from the newest generation.
    leaf_is_old: bool,
    /// Number of tiles added to the tree so far.
    tiles: u64,
    /// Nodes that have no parent yet, by height. The flag is true for nodes reused from the newest generation.
    levels: Vec<Vec<(NodeRef, bool)>>,
}

/// Root, residue and top node of a tree whose nodes are all laid out.
pub(super) struct Filled {
    pub(super) root: Digest,
    pub(super) residue: Residue,
    /// Entry of the top node, as the commit record stores it. `None` for a tree without tiles.
    pub(super) top: Option<NodeRef>,
}

impl<'t, 'f> Filler<'t, 'f> {
    pub(super) fn new(old: &'t Tree, body: Body<'f>) -> Filler<'t, 'f> {
        Filler { old, body, leaf: LeafLayout::default(), leaf_is_old: true, tiles: 0, levels: Vec::new() }
    }

    /// Adds the next tile, whose payload is laid out already, and lays out each node that becomes full.
    pub(super) fn push(&mut self, digests: &Digests, tile: PlacedTile) -> Laid<()> {
        // An old leaf can be used only if each of its tiles was taken over.
        self.leaf_is_old &= matches!(tile.place, Placed::Before(_));
        self.leaf.push(tile);
        self.tiles += 1;
        if self.leaf.len() == MAX_CHILDREN { self.end_leaf(digests) } else { Ok(()) }
    }

    /// Reuses a node of the newest generation, with everything below it, for the next tiles. The node must begin at the
    /// next tile, be full, lie at the same place as in a tree filled from the left, and end at or before tile `end`.
    /// Loads nothing below it. Returns false if there is no such node.
    pub(super) fn push_old(&mut self, digests: &Digests, end: u64) -> Laid<bool> {
        // Only a full node at its place keeps the shape of a tree that is filled from the left.
        let Some(node) = full_node_at(self.old, self.tiles..end)? else { return Ok(false) };
        self.tiles += node.tiles;
        // The node may complete its parent, and the parent may complete the next level.
        self.add(usize::from(node.height), (node, true));
        self.end_full_nodes(digests)?;
        Ok(true)
    }

    /// Returns the number of tiles added to the tree so far.
    pub(super) fn tiles(&self) -> u64 {
        self.tiles
    }

    /// Ends the current leaf, which is laid out or reused from the newest generation, and the full nodes above it.
    fn end_leaf(&mut self, digests: &Digests) -> Laid<()> {
        let leaf = std::mem::take(&mut self.leaf);
        // An empty leaf counts as old until a new tile comes.
        let is_old = std::mem::replace(&mut self.leaf_is_old, true);
        // The old leaf is found by the indices of the tiles.
        let range = self.tiles - to_u64(leaf.len())..self.tiles;
        let old = if is_old { node_over(self.old, &range, 0)? } else { None };
        let node = match old {
            // The old leaf has the same children, and stays in its place ("Import").
            Some(node) => (node, true),
            // T records and leaf are laid out after the payload of its tiles.
            None => (leaf.finish(&mut self.body, digests)?.0, false),
        };
        self.add(0, node);
        self.end_full_nodes(digests)
    }

    fn end_full_nodes(&mut self, digests: &Digests) -> Laid<()> {
        // The levels are ended from the lowest up, because each ended node may fill the level above.
        for level in 0..self.levels.len() {
            if self.levels[level].len() == MAX_CHILDREN {
                self.end_node(level, digests)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, level: usize, node: (NodeRef, bool)) {
        // A taken-over node may be higher than all nodes so far.
        while self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(node);
    }

    /// Makes the nodes without a parent at height `level` the children of a new or a reused node.
    fn end_node(&mut self, level: usize, digests: &Digests) -> Laid<()> {
        // All waiting nodes of the level become the children.
        let children = std::mem::take(&mut self.levels[level]);
        let nodes: Vec<NodeRef> = children.iter().map(|(node, _)| *node).collect();
        let tiles: u64 = nodes.iter().map(|node| node.tiles).sum();
        // All tiles so far lie before the end of this node, because it is the last node of its level.
        let end = self.tiles;
        let height = u8::try_from(level + 1).unwrap_or(u8::MAX);
        // An old node is used only if every child is old and the old node has no other children.
        let old = if children.iter().all(|(_, is_old)| *is_old) {
            node_over(self.old, &(end - tiles..end), height)?
        } else {
            None
        };
        let node = match old {
            Some(node) => (node, true),
            None => (self.body.inner(digests, &nodes)?, false),
        };
        self.add(level + 1, node);
        Ok(())
    }

    /// Lays out the last leaf and the right edge. Returns the body of the batch, and the finished tree.
    pub(super) fn finish(mut self, digests: &Digests, kind: RootKind) -> Laid<(Body<'f>, Filled)> {
        // The last leaf may have fewer than 32 tiles.
        if self.leaf.len() > 0 {
            self.end_leaf(digests)?;
        }
        // Nodes on the right edge are ended from the bottom up, whatever their number of children.
        let mut level = 0;
        while level < self.levels.len() {
            let is_top = level + 1 == self.levels.len();
            match self.levels[level].len() {
                // All nodes of this level have a parent already.
                0 => {}
                // A single node at the highest level is the top.
                1 if is_top => {}
                _ => self.end_node(level, digests)?,
            }
            level += 1;
        }
        // Without a tile there is no level, and the root is that of the empty domain.
        let top = self.levels.pop().and_then(|mut nodes| nodes.pop()).map(|(node, _)| node);
        let (bytes, digest) = top.as_ref().map_or((0, digests.no_leaves()), |top| (top.bytes, top.top));
        // The top leads to the root, because all nodes off the right edge are full.
        let root = kind.header(bytes, self.tiles).root(digests, &digest);
        let residue = top.as_ref().map_or(Residue::ZERO, |top| top.residue);
        Ok((self.body, Filled { root, residue, top }))
    }
}

/// Returns the stored node of `tree` at this height whose tiles are exactly `tiles`. `None` if there is none.
fn node_over(tree: &Tree, tiles: &Range<u64>, height: u8) -> Result<Option<NodeRef>> {
    let Some(top) = tree.top_node() else { return Ok(None) };
    // The walk goes down from the top; `start` is the index of the node's first tile.
    let (mut node, mut start): (Arc<Node>, u64) = (Arc::clone(top), 0);
    loop {
        let Some((_, place)) = node.stored() else { return Ok(None) };
        // At the wanted height the range must agree at both ends.
        if place.height == height {
            return Ok((start == tiles.start && start + place.tiles == tiles.end).then_some(*place));
        }
        // There is no such node if the tree is too low or the range crosses the end of this node.
        if place.height < height || tiles.end > start + place.tiles {
            return Ok(None);
        }
        // The child that has the first tile of the range is the only candidate.
        let Some((below, before)) = child_with(&node, tiles.start - start)? else { return Ok(None) };
        start += before;
        node = below;
    }
}

/// Returns the child of a stored node under which tile `tile` lies, and the number of tiles before this child. Tiles
/// are counted from the first one under the node. `None` if the node is a leaf, or a child is not stored.
fn child_with(node: &Arc<Node>, tile: u64) -> Result<Option<(Arc<Node>, u64)>> {
    let children = node.children()?;
    // A leaf has tiles instead of nodes.
    let Children::Nodes(nodes) = &*children else { return Ok(None) };
    let mut before = 0;
    for child in nodes {
        // A node that is not stored was edited, and is no node of the file.
        let Some((_, place)) = child.stored() else { return Ok(None) };
        if tile < before + place.tiles {
            return Ok(Some((Arc::clone(child), before)));
        }
        before += place.tiles;
    }
    Ok(None)
}

/// Returns the highest stored node of `tree` that begins at the first of `tiles`, ends within them, is full, and lies
/// at the place of such a node in a tree filled from the left.
///
/// Returns `None` in a tree whose root does not follow from its top node, and below nodes that are not full, except on
/// the right edge: the digests prove the number of tiles under an unloaded node only in such a tree.
fn full_node_at(tree: &Tree, tiles: Range<u64>) -> Result<Option<NodeRef>> {
    let Some(top) = tree.top_node().filter(|_| tree.is_regular()) else { return Ok(None) };
    // The walk goes down from the top, so that the first match is the highest.
    let (mut node, mut start): (Arc<Node>, u64) = (Arc::clone(top), 0);
    loop {
        let Some((_, place)) = node.stored() else { return Ok(None) };
        let full = tiles_of_full(place.height);
        // In a tree filled from the left, a full node begins at a multiple of its tiles.
        let is_there = start == tiles.start && start.is_multiple_of(full);
        if is_there && place.tiles == full && full <= tiles.end - tiles.start {
            return Ok(Some(*place));
        }
        // The node itself may be on the right edge, but its children before the last child may not.
        if place.tiles > full || place.height == 0 || tiles.start >= start + place.tiles {
            return Ok(None);
        }
        let Some((below, before)) = child_with(&node, tiles.start - start)? else { return Ok(None) };
        // A child that does not begin at such a multiple shows that a node before it is not full.
        if !before.is_multiple_of(tiles_of_full(place.height - 1)) {
            return Ok(None);
        }
        start += before;
        node = below;
    }
}

/// Returns the number of tiles under a full node of this height: 32 for a leaf, and 32 times more per level.
fn tiles_of_full(height: u8) -> u64 {
    // 2^5 for each level; heights are at most 13.
    1_u64.checked_shl(5 * (u32::from(height) + 1)).unwrap_or(u64::MAX)
}
