//! Inner nodes of the tile tree, and its two primitives.
//!
//! All tiles are at the same depth. A node has 16 to 32 children, the root of a tree 1 to 32.
//! `concat` descends along the edge of the higher tree to the height of the lower one and joins them
//! there; on the way up a node that became too long is two. `split` cuts a path and joins what lies
//! to its left and to its right, lowest first, so that both are O(log n).

use crate::base::error::Result;
use crate::base::units::to_usize;
use crate::layer2::Residue;
use crate::tile::Tile;
use std::sync::Arc;

/// A root, or nothing.
pub(super) type Subtree = Option<Arc<Node>>;

const MAX_CHILDREN: usize = 32;
const MIN_CHILDREN: usize = MAX_CHILDREN / 2;

pub(super) struct Node {
    bytes: u64,
    tiles: u64,
    residue: Residue,
    /// Edges down to a node of tiles.
    height: u8,
    children: Children,
}

pub(super) enum Children {
    Tiles(Vec<Arc<Tile>>),
    Nodes(Vec<Arc<Node>>),
}

impl Children {
    pub(super) fn len(&self) -> usize {
        match self {
            Children::Tiles(tiles) => tiles.len(),
            Children::Nodes(nodes) => nodes.len(),
        }
    }

    /// Bytes and tiles under a child.
    pub(super) fn measure(&self, child: usize) -> (u64, u64) {
        match self {
            Children::Tiles(tiles) => (tiles[child].len() as u64, 1),
            Children::Nodes(nodes) => (nodes[child].bytes, nodes[child].tiles),
        }
    }

    /// The children in `range`, shared.
    fn part(&self, range: std::ops::Range<usize>) -> Children {
        match self {
            Children::Tiles(tiles) => Children::Tiles(tiles[range].to_vec()),
            Children::Nodes(nodes) => Children::Nodes(nodes[range].to_vec()),
        }
    }

    /// The children of both, which are of one kind.
    fn join(&self, other: &Children) -> Children {
        match (self, other) {
            (Children::Tiles(left), Children::Tiles(right)) => Children::Tiles([&left[..], right].concat()),
            (Children::Nodes(left), Children::Nodes(right)) => Children::Nodes([&left[..], right].concat()),
            _ => unreachable!("only nodes of one height are joined"),
        }
    }
}

impl Node {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn tiles(&self) -> u64 {
        self.tiles
    }

    pub(super) fn residue(&self) -> Residue {
        self.residue
    }

    pub(super) fn children(&self) -> &Children {
        &self.children
    }

    pub(super) fn height(&self) -> u8 {
        self.height
    }

    /// Takes the node apart.
    pub(super) fn into_children(self) -> Children {
        self.children
    }

    /// The same tree with another tile of the same length in place of tile `index`.
    pub(super) fn replace_tile(&self, index: usize, tile: Arc<Tile>) -> Arc<Node> {
        match &self.children {
            Children::Tiles(tiles) => {
                let mut tiles = tiles.clone();
                tiles[index] = tile;
                Node::new(Children::Tiles(tiles))
            }
            Children::Nodes(nodes) => {
                let (mut child, mut before) = (0, 0);
                while before + to_usize(nodes[child].tiles) <= index {
                    before += to_usize(nodes[child].tiles);
                    child += 1;
                }
                let mut nodes = nodes.clone();
                nodes[child] = nodes[child].replace_tile(index - before, tile);
                Node::new(Children::Nodes(nodes))
            }
        }
    }

    fn new(children: Children) -> Arc<Node> {
        let node = match &children {
            Children::Tiles(tiles) => Node {
                bytes: tiles.iter().map(|tile| tile.len() as u64).sum(),
                tiles: tiles.len() as u64,
                residue: tiles.iter().map(|tile| tile.residue()).sum(),
                height: 0,
                children,
            },
            Children::Nodes(nodes) => Node {
                bytes: nodes.iter().map(|node| node.bytes).sum(),
                tiles: nodes.iter().map(|node| node.tiles).sum(),
                residue: nodes.iter().map(|node| node.residue).sum(),
                height: nodes[0].height + 1,
                children,
            },
        };
        Arc::new(node)
    }

    /// One node of up to 32 children, or two of half of them.
    fn one_or_two(children: Children) -> (Arc<Node>, Option<Arc<Node>>) {
        let len = children.len();
        if len <= MAX_CHILDREN {
            return (Node::new(children), None);
        }
        let middle = len / 2;
        (Node::new(children.part(0..middle)), Some(Node::new(children.part(middle..len))))
    }

    /// A tree over `tiles` whose nodes are evenly filled.
    pub(super) fn balanced(tiles: Vec<Arc<Tile>>) -> Option<Arc<Node>> {
        let mut nodes = evenly(tiles, |tiles| Node::new(Children::Tiles(tiles)));
        while nodes.len() > 1 {
            nodes = evenly(nodes, |nodes| Node::new(Children::Nodes(nodes)));
        }
        nodes.pop()
    }

    /// The tree of both. Roots may have few children; what becomes a child here has enough.
    pub(super) fn concat(left: &Arc<Node>, right: &Arc<Node>) -> Arc<Node> {
        match Node::join(left, right) {
            (only, None) => only,
            (first, Some(second)) => Node::new(Children::Nodes(vec![first, second])),
        }
    }

    /// The tree of both as one or two nodes of the height of the higher one.
    fn join(left: &Arc<Node>, right: &Arc<Node>) -> (Arc<Node>, Option<Arc<Node>>) {
        if left.height == right.height {
            let enough = |node: &Node| node.children.len() >= MIN_CHILDREN;
            if enough(left) && enough(right) {
                return (Arc::clone(left), Some(Arc::clone(right)));
            }
            return Node::one_or_two(left.children.join(&right.children));
        }
        let pair = |(first, second): (Arc<Node>, Option<Arc<Node>>)| -> Vec<Arc<Node>> {
            std::iter::once(first).chain(second).collect()
        };
        let children = if left.height > right.height {
            let (rest, last) = left.split_last();
            rest.iter().cloned().chain(pair(Node::join(last, right))).collect()
        } else {
            let (first, rest) = right.split_first();
            pair(Node::join(left, first)).into_iter().chain(rest.iter().cloned()).collect()
        };
        Node::one_or_two(Children::Nodes(children))
    }

    fn nodes(&self) -> &[Arc<Node>] {
        match &self.children {
            Children::Nodes(nodes) => nodes,
            Children::Tiles(_) => &[],
        }
    }

    /// Of a node of nodes, which is never empty.
    fn split_last(&self) -> (&[Arc<Node>], &Arc<Node>) {
        let nodes = self.nodes();
        (&nodes[..nodes.len() - 1], &nodes[nodes.len() - 1])
    }

    fn split_first(&self) -> (&Arc<Node>, &[Arc<Node>]) {
        let nodes = self.nodes();
        (&nodes[0], &nodes[1..])
    }

    /// The trees of the bytes before `at` and from it on.
    pub(super) fn split(self: &Arc<Node>, at: u64) -> Result<(Subtree, Subtree)> {
        if at == 0 {
            return Ok((None, Some(Arc::clone(self))));
        }
        if at >= self.bytes {
            return Ok((Some(Arc::clone(self)), None));
        }
        let (mut child, mut before) = (0, 0);
        while before + self.children.measure(child).0 <= at {
            before += self.children.measure(child).0;
            child += 1;
        }
        let len = self.children.len();
        let side = |range: std::ops::Range<usize>| match range.len() {
            0 => None,
            1 if self.height > 0 => Some(Arc::clone(&self.nodes()[range.start])),
            _ => Some(Node::new(self.children.part(range))),
        };
        if before == at {
            return Ok((side(0..child), side(child..len)));
        }
        let (left, right) = match &self.children {
            Children::Tiles(tiles) => {
                let (left, right) = tiles[child].split(to_usize(at - before))?;
                let single = |tile| Some(Node::new(Children::Tiles(vec![Arc::new(tile)])));
                (single(left), single(right))
            }
            Children::Nodes(nodes) => nodes[child].split(at - before)?,
        };
        Ok((Node::concat_some(side(0..child), left), Node::concat_some(right, side(child + 1..len))))
    }

    fn concat_some(left: Option<Arc<Node>>, right: Option<Arc<Node>>) -> Option<Arc<Node>> {
        match (left, right) {
            (Some(left), Some(right)) => Some(Node::concat(&left, &right)),
            (left, right) => left.or(right),
        }
    }
}

/// Cuts `items` into as few parts of at most 32 as possible, of nearly the same length.
fn evenly<T, R>(items: Vec<T>, mut make: impl FnMut(Vec<T>) -> R) -> Vec<R> {
    let total = items.len();
    let parts = total.div_ceil(MAX_CHILDREN);
    let mut items = items.into_iter();
    (0..parts)
        .map(|part| make(items.by_ref().take(total * (part + 1) / parts - total * part / parts).collect()))
        .collect()
}
