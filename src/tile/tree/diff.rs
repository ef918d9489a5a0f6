//! The difference of two trees, found by walking both together and skipping shared nodes.

use super::node::{Children, ChildrenRef, Node};
use super::{TileAt, Tree};
use crate::base::buffer::{try_push, try_vec};
use crate::base::error::Result;
use crate::base::units::{TileIndex, to_u64, to_usize};
use crate::hash::digest::Digests;
use crate::tile::Tile;
use std::cmp::Ordering;
use std::sync::Arc;

/// Difference between two trees in terms of tiles.
pub(crate) enum TreeDiff {
    /// Both trees have the same number of tiles. These tiles of the new tree differ from the old tiles of the same
    /// index.
    Replaced(Vec<TileAt>),
    /// The first `before` tiles are shared, then `inserted` replaces `removed` tiles of the old tree, and all
    /// later tiles are shared.
    Spliced { before: u64, removed: u64, inserted: Vec<TileAt> },
}

impl TreeDiff {
    /// Returns the tiles of the new tree that differ from those of the old tree.
    pub(crate) fn tiles(&self) -> &[TileAt] {
        match self {
            TreeDiff::Replaced(tiles) | TreeDiff::Spliced { inserted: tiles, .. } => tiles,
        }
    }
}

impl Tree {
    /// Compares this tree with `other` in the order of the domain, and skips parts that both share. Every tile must
    /// have its witness. `visit` gets the parts of this tree in order, each with the result of its comparison.
    pub(crate) fn compare(
        &self,
        other: &Tree,
        digests: &Digests,
        mut visit: impl FnMut(Compared<'_>) -> Result<()>,
    ) -> Result<()> {
        let (mut own, mut others) = (Cursor::new(self, false), Cursor::new(other, false));
        // Each cursor stands at an offset of its own, because the edges of the tiles may differ.
        let (mut at, mut other_at) = (0_u64, 0_u64);
        // Both cursors move in the order of the domain.
        while let Some(item) = own.item() {
            let Some(other_item) = others.item() else {
                // After the end of `other` no tile can be equal.
                visit(Compared::Apart(item.extent()))?;
                own.skip();
                continue;
            };
            let ((bytes, _), (other_bytes, _)) = (item.extent(), other_item.extent());
            let step = match at.cmp(&other_at) {
                // The cursor that is behind catches up, tile by tile.
                Ordering::Less if item.is_node() && at + bytes > other_at => Step::Descend(true, false),
                Ordering::Less => {
                    visit(Compared::Apart(item.extent()))?;
                    Step::Skip(true, false)
                }
                Ordering::Greater if other_item.is_node() && other_at + other_bytes > at => {
                    Step::Descend(false, true)
                }
                // Parts that only `other` has are not reported: the reported parts belong to this tree.
                Ordering::Greater => Step::Skip(false, true),
                Ordering::Equal => at_one_edge(&item, &other_item, digests, &mut visit)?,
            };
            // Move the cursors as decided.
            match step {
                Step::Skip(new, old) => {
                    if new {
                        at += bytes;
                        own.skip();
                    }
                    if old {
                        other_at += other_bytes;
                        others.skip();
                    }
                }
                Step::Descend(new, old) => {
                    if new {
                        own.descend()?;
                    }
                    if old {
                        others.descend()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the tiles that differ between the tree `old` and this tree. `reserve` is called with their number before
    /// the list of them is made.
    pub(crate) fn difference(&self, old: &Tree, reserve: impl FnOnce(u64) -> Result<()>) -> Result<TreeDiff> {
        // With the same number of tiles, each tile is compared with the tile of the same index.
        if self.tiles() == old.tiles() {
            let mut count = 0;
            walk(self, old, false, |_| {
                count += 1;
                Ok(true)
            })?;
            reserve(count)?;
            let mut replaced = try_vec(to_usize(count))?;
            walk(self, old, false, |index| {
                if let Some(at) = self.tile(TileIndex(index))? {
                    try_push(&mut replaced, at)?;
                }
                Ok(true)
            })?;
            return Ok(TreeDiff::Replaced(replaced));
        }
        // Otherwise the common tiles at both ends are counted, and everything between them was replaced.
        let shorter = self.tiles().min(old.tiles());
        // Counts the tiles up to the first difference, from the front or from the back.
        let common = |backwards| -> Result<u64> {
            let mut first = shorter;
            walk(self, old, backwards, |index| {
                first = index;
                Ok(false)
            })?;
            Ok(first.min(shorter))
        };
        // The prefix goes first: a tile that both ends could claim counts as part of it.
        let before = common(false)?;
        // The ends must not overlap.
        let after = common(true)?.min(shorter - before);
        reserve(self.tiles() - after - before)?;
        let count = to_usize(self.tiles() - after - before);
        let mut inserted = try_vec(count)?;
        for at in self.iter_from_tile(TileIndex(before)).take(count) {
            inserted.push(at?);
        }
        Ok(TreeDiff::Spliced { before, removed: old.tiles() - after - before, inserted })
    }
}

/// A part of a tree, and the result of its comparison with another tree. The pairs are (number of bytes, number of
/// tiles).
pub(crate) enum Compared<'c> {
    /// A part that both trees have at the same offset.
    Same((u64, u64)),
    /// Two different tiles at the same offset: first that of this tree, then that of the other tree.
    Tiles(&'c Arc<Tile>, &'c Arc<Tile>),
    /// A part that has no counterpart, because it does not begin at a tile edge of the other tree, or begins after
    /// its end.
    Apart((u64, u64)),
}

/// Next move of the two cursors: each flag is true if a cursor moves, first that of this tree, then that of the
/// other tree.
enum Step {
    Skip(bool, bool),
    Descend(bool, bool),
}

/// Compares two nodes or tiles that begin at the same offset. Passes the result to `visit` if it is known, and
/// returns the next move of the cursors.
fn at_one_edge(
    item: &Item<'_>,
    other: &Item<'_>,
    digests: &Digests,
    visit: &mut impl FnMut(Compared<'_>) -> Result<()>,
) -> Result<Step> {
    Ok(match (item, other) {
        // Equal nodes are skipped as a whole; of two different nodes the higher is opened.
        (Item::Node(a), Item::Node(b)) => {
            if !Node::is_same(a, b, digests)? {
                return Ok(Step::Descend(a.height() >= b.height(), b.height() >= a.height()));
            }
            visit(Compared::Same(item.extent()))?;
            Step::Skip(true, true)
        }
        // A node may begin with an equal tile, so that it is opened.
        (Item::Node(_), Item::Tile(_)) => Step::Descend(true, false),
        (Item::Tile(_), Item::Node(_)) => Step::Descend(false, true),
        // Tiles without a witness are equal only if they are the same object.
        (Item::Tile(a), Item::Tile(b)) => {
            // The values to which the leaf of a tile commits.
            let key = |tile: &Tile| (tile.len(), tile.residue(), tile.witness().copied());
            if Arc::ptr_eq(a, b) || a.witness().is_some() && key(a) == key(b) {
                visit(Compared::Same(item.extent()))?;
            } else {
                visit(Compared::Tiles(a, b))?;
            }
            Step::Skip(true, true)
        }
    })
}

/// Calls `differs` with the number of each tile that differs between the trees, until it returns false or one of
/// the trees ends. The number is counted from the first tile, or from the last with `backwards`.
fn walk(new: &Tree, old: &Tree, backwards: bool, mut differs: impl FnMut(u64) -> Result<bool>) -> Result<()> {
    let (mut new, mut old) = (Cursor::new(new, backwards), Cursor::new(old, backwards));
    let mut index = 0;
    loop {
        // Equal nodes are skipped, so that the cost is proportional to the difference.
        let (down_new, down_old) = match (new.item(), old.item()) {
            (Some(Item::Node(a)), Some(Item::Node(b))) if same_node(a, b) => {
                index += a.tiles();
                (false, false)
            }
            // The higher node is opened, or both at equal heights, so that the cursors stay level.
            (Some(Item::Node(a)), Some(Item::Node(b))) => {
                (a.height() >= b.height(), b.height() >= a.height())
            }
            (Some(Item::Node(_)), Some(Item::Tile(_))) => (true, false),
            (Some(Item::Tile(_)), Some(Item::Node(_))) => (false, true),
            (Some(Item::Tile(a)), Some(Item::Tile(b))) => {
                if !same_tile(a, b) && !differs(index)? {
                    return Ok(());
                }
                index += 1;
                (false, false)
            }
            // The comparison ends with the shorter tree.
            (None, _) | (_, None) => return Ok(()),
        };
        // Compared items are passed on both sides at once, so that the indices stay equal.
        if !down_new && !down_old {
            new.skip();
            old.skip();
            continue;
        }
        if down_new {
            new.descend()?;
        }
        if down_old {
            old.descend()?;
        }
    }
}

/// Returns true if both are the same node, or lie in container files with the same digest, size and height.
fn same_node(a: &Arc<Node>, b: &Arc<Node>) -> bool {
    Arc::ptr_eq(a, b)
        || match (a.stored(), b.stored()) {
            // The top commits to lengths, residues and witnesses of all tiles below.
            (Some((_, a)), Some((_, b))) => {
                (a.top, a.bytes, a.tiles, a.height) == (b.top, b.bytes, b.tiles, b.height)
            }
            _ => false,
        }
}

/// Returns true if both are the same tile, or lie in container files with the same length, residue and witness. A
/// tile of a file may have been loaded twice.
fn same_tile(a: &Arc<Tile>, b: &Arc<Tile>) -> bool {
    Arc::ptr_eq(a, b)
        || match (a.stored(), b.stored()) {
            (Some(a), Some(b)) => (a.len, a.residue, a.witness) == (b.len, b.residue, b.witness),
            _ => false,
        }
}

enum Item<'c> {
    Node(&'c Arc<Node>),
    Tile(&'c Arc<Tile>),
}

impl Item<'_> {
    fn is_node(&self) -> bool {
        matches!(self, Item::Node(_))
    }

    /// Returns the number of bytes and the number of tiles of the node or tile.
    fn extent(&self) -> (u64, u64) {
        match self {
            Item::Node(node) => (node.bytes(), node.tiles()),
            Item::Tile(tile) => (to_u64(tile.len()), 1),
        }
    }
}

/// Position of a walk over a tree, at a node or a tile.
struct Cursor<'a> {
    /// The top node, while the cursor stands on it.
    top: Option<&'a Arc<Node>>,
    /// The children of each node above the cursor, with the number of the child on the path, counted in walking
    /// order. The last entry is the cursor's own position.
    path: Vec<(ChildrenRef<'a>, usize)>,
    backwards: bool,
}

impl<'a> Cursor<'a> {
    fn new(tree: &'a Tree, backwards: bool) -> Self {
        Cursor { top: tree.root.as_ref(), path: Vec::new(), backwards }
    }

    /// Returns the index in `children` of the child that is `number` in walking order. `None` after the last child.
    fn position(&self, children: &Children, number: usize) -> Option<usize> {
        // Number 0 of a backward walk is the last child.
        let len = children.len();
        if self.backwards { len.checked_sub(number + 1) } else { Some(number).filter(|number| *number < len) }
    }

    fn item(&self) -> Option<Item<'_>> {
        // A new cursor stands at the top node, which has no place in a list of children.
        if let Some(top) = self.top {
            return Some(Item::Node(top));
        }
        let (children, number) = self.path.last()?;
        let position = self.position(children, *number)?;
        match &**children {
            Children::Nodes(nodes) => nodes.get(position).map(Item::Node),
            Children::Tiles(tiles) => tiles.get(position).map(Item::Tile),
        }
    }

    /// Moves the cursor from a node to its first child in walking order.
    fn descend(&mut self) -> Result<()> {
        let below = match (self.top.take(), self.path.last()) {
            (Some(top), _) => top.children()?,
            (None, Some((children, number))) => match self.position(children, *number) {
                Some(position) => children.below(position)?,
                None => return Ok(()),
            },
            (None, None) => return Ok(()),
        };
        self.path.push((below, 0));
        Ok(())
    }

    /// Moves the cursor past the present node or tile and everything below it.
    fn skip(&mut self) {
        self.top = None;
        // A node whose last child was passed is left, and its parent moves on.
        while let Some((children, number)) = self.path.last_mut() {
            *number += 1;
            if *number < children.len() {
                return;
            }
            self.path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::ByteOffset;
    use crate::source::Source;
    use crate::tile::extent::Extent;
    use crate::tile::rehash::CheckedReader;

    fn tiles(count: u64, salt: u8) -> Vec<Arc<Tile>> {
        let source = Source::from_vec(vec![salt; 8]);
        (0..count)
            .map(|i| {
                let len = 1 + i as usize % 3;
                let extent = Extent::in_memory(source.clone(), 0, &[salt; 8][..len]).unwrap();
                Arc::new(Tile::whole_of(extent))
            })
            .collect()
    }

    fn apply(old: &Tree, new: &Tree) -> Vec<*const Tile> {
        let mut list: Vec<_> = old.iter().map(|at| Arc::as_ptr(&at.unwrap().tile)).collect();
        match new.difference(old, |_| Ok(())).unwrap() {
            TreeDiff::Replaced(changed) => {
                for at in changed {
                    list[at.index.0 as usize] = Arc::as_ptr(&at.tile);
                }
            }
            TreeDiff::Spliced { before, removed, inserted } => {
                let range = before as usize..(before + removed) as usize;
                list.splice(range, inserted.iter().map(|at| Arc::as_ptr(&at.tile)));
            }
        }
        list
    }

    #[test]
    fn a_difference_makes_the_new_list_of_tiles_out_of_the_old() {
        let mut random = crate::base::split_mix::SplitMix64(5);
        for _ in 0..300 {
            let old = Tree::from_tiles(tiles(random.below(100), 1)).unwrap();
            let mut new = old.clone();
            for _ in 0..random.below(4) {
                let start = random.below(new.bytes() + 1);
                let start =
                    new.tile_of_byte(ByteOffset(start)).unwrap().map_or(new.bytes(), |at| at.offset.0);
                let end = start + random.below(new.bytes() - start + 1).min(20);
                let end = new.tile_of_byte(ByteOffset(end)).unwrap().map_or(new.bytes(), |at| at.offset.0);
                let (left, rest) = new.split(ByteOffset(start), &mut CheckedReader::of_linear()).unwrap();
                let (_, right) =
                    rest.split(ByteOffset(end - start), &mut CheckedReader::of_linear()).unwrap();
                let middle = Tree::from_tiles(tiles(random.below(3), 2)).unwrap();
                new = Tree::concat(&Tree::concat(&left, &middle).unwrap(), &right).unwrap();
            }
            let want: Vec<_> = new.iter().map(|at| Arc::as_ptr(&at.unwrap().tile)).collect();
            assert_eq!(apply(&old, &new), want);
            let same = new.difference(&new.clone(), |_| Ok(())).unwrap();
            assert!(matches!(same, TreeDiff::Replaced(changed) if changed.is_empty()));
        }
    }
}
