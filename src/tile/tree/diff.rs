//! What two trees have in common, found by walking both together and skipping what they share.

use super::node::{Children, Node};
use super::{TileAt, Tree};
use crate::base::buffer::{try_grow, try_vec};
use crate::base::error::Result;
use crate::base::units::{TileIndex, to_usize};
use crate::tile::Tile;
use std::sync::Arc;

/// How one tree became another, as far as tiles are concerned.
pub(crate) enum TreeDiff<'a> {
    /// As many tiles, of which these are others.
    Replaced(Vec<TileAt<'a>>),
    /// The first `before` tiles are shared, then `removed` tiles of the old tree have made room for
    /// `inserted`, and all that follow are shared.
    Spliced { before: u64, removed: u64, inserted: Vec<TileAt<'a>> },
}

impl<'a> TreeDiff<'a> {
    /// The tiles that are new.
    pub(crate) fn tiles(&self) -> &[TileAt<'a>] {
        match self {
            TreeDiff::Replaced(tiles) | TreeDiff::Spliced { inserted: tiles, .. } => tiles,
        }
    }
}

impl Tree {
    /// How this tree came from `old`.
    pub(crate) fn difference<'a>(&'a self, old: &Tree) -> Result<TreeDiff<'a>> {
        if self.tiles() == old.tiles() {
            let (mut replaced, mut grown) = (Vec::new(), Ok(()));
            walk(self, old, false, |index| {
                grown = try_grow(&mut replaced, 1);
                if grown.is_ok() {
                    replaced.extend(self.iter_from_tile(TileIndex(index)).next());
                }
                grown.is_ok()
            });
            return grown.map(|()| TreeDiff::Replaced(replaced));
        }
        let shorter = self.tiles().min(old.tiles());
        let common = |backwards| {
            let mut first = shorter;
            walk(self, old, backwards, |index| {
                first = index;
                false
            });
            first.min(shorter)
        };
        let before = common(false);
        let after = common(true).min(shorter - before);
        let count = to_usize(self.tiles() - after - before);
        let mut inserted = try_vec(count)?;
        inserted.extend(self.iter_from_tile(TileIndex(before)).take(count));
        Ok(TreeDiff::Spliced { before, removed: old.tiles() - after - before, inserted })
    }
}

/// Calls `differs` with the number of each tile, counted from the front or from the back, that is
/// not the same object in both trees, until it gives false or one of them ends.
fn walk(new: &Tree, old: &Tree, backwards: bool, mut differs: impl FnMut(u64) -> bool) {
    let (mut new, mut old) = (Cursor::new(new, backwards), Cursor::new(old, backwards));
    let mut index = 0;
    loop {
        match (new.item, old.item) {
            (Some(Item::Node(a)), Some(Item::Node(b))) if Arc::ptr_eq(a, b) => {
                index += a.tiles();
                new.skip();
                old.skip();
            }
            (Some(Item::Node(a)), Some(Item::Node(b))) => {
                if a.height() >= b.height() {
                    new.descend();
                }
                if b.height() >= a.height() {
                    old.descend();
                }
            }
            (Some(Item::Node(_)), Some(Item::Tile(_))) => new.descend(),
            (Some(Item::Tile(_)), Some(Item::Node(_))) => old.descend(),
            (Some(Item::Tile(a)), Some(Item::Tile(b))) => {
                if !Arc::ptr_eq(a, b) && !differs(index) {
                    return;
                }
                index += 1;
                new.skip();
                old.skip();
            }
            (None, _) | (_, None) => return,
        }
    }
}

#[derive(Clone, Copy)]
enum Item<'a> {
    Node(&'a Arc<Node>),
    Tile(&'a Arc<Tile>),
}

/// A place in a tree, at a node or a tile.
struct Cursor<'a> {
    /// Nodes above, each with the number of the child that was entered, counted in walking order.
    path: Vec<(&'a Arc<Node>, usize)>,
    item: Option<Item<'a>>,
    backwards: bool,
}

impl<'a> Cursor<'a> {
    fn new(tree: &'a Tree, backwards: bool) -> Self {
        Cursor { path: Vec::new(), item: tree.root.as_ref().map(Item::Node), backwards }
    }

    fn child(&self, node: &'a Arc<Node>, number: usize) -> Option<Item<'a>> {
        let len = node.children().len();
        let number = if self.backwards { len.checked_sub(number + 1)? } else { number };
        match node.children() {
            Children::Nodes(nodes) => nodes.get(number).map(Item::Node),
            Children::Tiles(tiles) => tiles.get(number).map(Item::Tile),
        }
    }

    /// To the first child.
    fn descend(&mut self) {
        if let Some(Item::Node(node)) = self.item {
            self.path.push((node, 0));
            self.item = self.child(node, 0);
        }
    }

    /// To what follows the item and all under it.
    fn skip(&mut self) {
        self.item = None;
        while let Some((node, number)) = self.path.pop() {
            if let Some(next) = self.child(node, number + 1) {
                self.path.push((node, number + 1));
                self.item = Some(next);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::ByteOffset;
    use crate::source::Source;
    use crate::tile::extent::Extent;

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
        let mut list: Vec<_> = old.iter().map(|at| Arc::as_ptr(at.tile)).collect();
        match new.difference(old).unwrap() {
            TreeDiff::Replaced(changed) => {
                for at in changed {
                    list[at.index.0 as usize] = Arc::as_ptr(at.tile);
                }
            }
            TreeDiff::Spliced { before, removed, inserted } => {
                let range = before as usize..(before + removed) as usize;
                list.splice(range, inserted.iter().map(|at| Arc::as_ptr(at.tile)));
            }
        }
        list
    }

    #[test]
    fn a_difference_makes_the_new_list_of_tiles_out_of_the_old() {
        let mut random = crate::incremental::tests::Random(5);
        for _ in 0..300 {
            let old = Tree::from_tiles(tiles(random.below(100), 1));
            let mut new = old.clone();
            for _ in 0..random.below(4) {
                let start = random.below(new.bytes() + 1);
                let start =
                    new.iter_from_byte(ByteOffset(start)).next().map_or(new.bytes(), |at| at.offset.0);
                let end = start + random.below(new.bytes() - start + 1).min(20);
                let end = new.iter_from_byte(ByteOffset(end)).next().map_or(new.bytes(), |at| at.offset.0);
                let (left, rest) = new.split(ByteOffset(start)).unwrap();
                let (_, right) = rest.split(ByteOffset(end - start)).unwrap();
                let middle = Tree::from_tiles(tiles(random.below(3), 2));
                new = Tree::concat(&Tree::concat(&left, &middle), &right);
            }
            let want: Vec<_> = new.iter().map(|at| Arc::as_ptr(at.tile)).collect();
            assert_eq!(apply(&old, &new), want);
            let same = new.difference(&new.clone()).unwrap();
            assert!(matches!(same, TreeDiff::Replaced(changed) if changed.is_empty()));
        }
    }
}
