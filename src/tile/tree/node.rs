//! Inner nodes of the tile tree, and its two primitives.
//!
//! All tiles are at the same depth. A node has at most 32 children. A fresh tree is filled from the left: all
//! its nodes have 32 children except the nodes on the right edge, so that the digest of each ([`Node::top`])
//! is a node of the tree under the root. Edits leave at least 16 children in the nodes that they make, except
//! on the right edge of the joined trees. Nodes from a container file have any number of children.
//!
//! `concat` descends along the edge of the higher tree to the height of the lower tree and joins the two
//! nodes there; on the way up, a node that got too many children is split in two. `split` cuts a path and
//! joins the parts to its left and to its right, lowest first. Both functions are O(log n).
//!
//! The children of a stored node, which lies in a container file, are loaded at the first call that needs them, which
//! can fail, and evicted by the cache of their store.

#![forbid(unsafe_code)]

use super::cache::Charge;
use crate::base::buffer::{try_collect, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use crate::base::units::{to_u64, to_usize};
use crate::hash::digest::{Digest, Digests};
use crate::hash::tile_tree::{fold, leaf_digest};
use crate::layer2::Residue;
use crate::tile::rehash::CheckedReader;
use crate::tile::stored::{CommitId, NodeRef, Store, StoredChildren};
use crate::tile::{Tile, fresh_footprint};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// The top node of a tree. `None` if the tree is empty.
pub(super) type Subtree = Option<Arc<Node>>;

pub(super) const MAX_CHILDREN: usize = 32;
const MIN_CHILDREN: usize = MAX_CHILDREN / 2;

pub(crate) struct Node {
    bytes: u64,
    tiles: u64,
    residue: Residue,
    /// Number of edges from this node down to a node whose children are tiles.
    height: u8,
    /// True if the node's digest equals the top of the RFC 6962 tree over all tiles below.
    regular: bool,
    content: Content,
}

enum Content {
    Own(Own),
    Stored(Stored),
}

/// Contents of a node whose children are in memory.
struct Own {
    children: Children,
    top: OnceLock<Digest>,
    /// Place of the node in the container file to which it was last written. `None` means not written yet.
    written: Mutex<Option<Arc<Written>>>,
}

/// Contents of a node in a container file, whose children are loaded when they are needed.
struct Stored {
    store: Arc<dyn Store>,
    node: NodeRef,
    loaded: Mutex<Option<Arc<Loaded>>>,
    /// True if the node's children were used since the cache last checked.
    used: AtomicBool,
}

/// The loaded children of a node in a container file.
pub(super) struct Loaded {
    children: Children,
    bytes: u64,
    _charge: Charge,
}

impl Loaded {
    /// Returns the number of bytes of memory for which these children count in the cache.
    pub(super) fn charged(&self) -> u64 {
        self.bytes
    }
}

/// Place of a node in the container file to which it was written, and the commit that wrote it.
pub(crate) struct Written {
    pub(crate) commit: Arc<CommitId>,
    pub(crate) node: NodeRef,
}

pub(crate) enum Children {
    Tiles(Vec<Arc<Tile>>),
    Nodes(Vec<Arc<Node>>),
}

/// The children of a node: borrowed from a node in memory, or loaded from a container file.
pub(crate) enum ChildrenRef<'n> {
    Own(&'n Children),
    Loaded(LoadedRef),
}

/// The loaded children of a node in a container file, which stay in memory as long as this value lives.
#[derive(Clone)]
pub(crate) struct LoadedRef(Arc<Loaded>);

impl Deref for ChildrenRef<'_> {
    type Target = Children;
    fn deref(&self) -> &Children {
        match self {
            ChildrenRef::Own(children) => children,
            ChildrenRef::Loaded(loaded) => &loaded.0.children,
        }
    }
}

impl<'n> ChildrenRef<'n> {
    /// Returns the children of the child with index `child`, which must be a node.
    pub(super) fn below(&self, child: usize) -> Result<ChildrenRef<'n>> {
        match self {
            ChildrenRef::Own(Children::Nodes(nodes)) => nodes[child].children(),
            // Nodes below a stored node are stored as well.
            ChildrenRef::Loaded(loaded) => match &loaded.0.children {
                Children::Nodes(nodes) => {
                    nodes[child].loaded().map(|loaded| ChildrenRef::Loaded(LoadedRef(loaded)))
                }
                Children::Tiles(_) => Err(AtlasError::internal(
                    "a defect of the library, please report it: a tile has no nodes below",
                )),
            },
            ChildrenRef::Own(Children::Tiles(_)) => Err(AtlasError::internal(
                "a defect of the library, please report it: a tile has no nodes below",
            )),
        }
    }
}

impl Children {
    pub(crate) fn len(&self) -> usize {
        match self {
            Children::Tiles(tiles) => tiles.len(),
            Children::Nodes(nodes) => nodes.len(),
        }
    }

    /// Returns the number of bytes and the number of tiles of the child with index `child`.
    pub(super) fn measure(&self, child: usize) -> (u64, u64) {
        match self {
            Children::Tiles(tiles) => (to_u64(tiles[child].len()), 1),
            Children::Nodes(nodes) => (nodes[child].bytes, nodes[child].tiles),
        }
    }

    /// Returns the index of the first child for whose end `skip(tiles, bytes)` is false. Its arguments count from the
    /// start of the tree to that end. `index` and `offset` must be the tile index and byte offset of the first
    /// child's start; the call advances them to the start of the child that it returns.
    pub(super) fn first_behind(
        &self,
        index: &mut u64,
        offset: &mut u64,
        skip: &impl Fn(u64, u64) -> bool,
    ) -> Option<usize> {
        // A linear search: a node has few children, and their measures are in memory.
        (0..self.len()).find(|child| {
            let (bytes, tiles) = self.measure(*child);
            let is_skipped = skip(*index + tiles, *offset + bytes);
            if is_skipped {
                *index += tiles;
                *offset += bytes;
            }
            !is_skipped
        })
    }

    /// Returns a list of the children with the indices `range`. The children themselves are shared.
    fn part(&self, range: std::ops::Range<usize>) -> Result<Children> {
        Ok(match self {
            Children::Tiles(tiles) => Children::Tiles(try_collect(tiles[range].iter().cloned())?),
            Children::Nodes(nodes) => Children::Nodes(try_collect(nodes[range].iter().cloned())?),
        })
    }

    /// Returns a list of the children of both lists, which must be all tiles or all nodes.
    fn join(&self, other: &Children) -> Result<Children> {
        match (self, other) {
            (Children::Tiles(left), Children::Tiles(right)) => Ok(Children::Tiles(joined(left, right)?)),
            (Children::Nodes(left), Children::Nodes(right)) => Ok(Children::Nodes(joined(left, right)?)),
            _ => Err(AtlasError::internal(
                "a defect of the library, please report it: nodes of two heights are joined",
            )),
        }
    }

    pub(crate) fn nodes(&self) -> &[Arc<Node>] {
        match self {
            Children::Nodes(nodes) => nodes,
            Children::Tiles(_) => &[],
        }
    }

    /// Returns the number of bytes and the digest of each child, from which the digest of their parent is computed.
    pub(super) fn items(&self, digests: &Digests) -> Result<Vec<(u64, Digest)>> {
        match self {
            Children::Tiles(tiles) => tiles
                .iter()
                .map(|tile| {
                    let witness = tile.witness().ok_or_else(|| {
                        AtlasError::internal(
                            "a defect of the library, please report it: a tile has no witness",
                        )
                    })?;
                    let len = to_u64(tile.len());
                    Ok((len, leaf_digest(digests, len, tile.residue(), witness)))
                })
                .collect(),
            // Missing digests of nodes below are computed on the way, and stay with their nodes.
            Children::Nodes(nodes) => nodes.iter().map(|node| Ok((node.bytes, node.top(digests)?))).collect(),
        }
    }
}

/// Returns true if the digest of a node with these children is the top of the RFC 6962 tree over all tiles below
/// them.
fn is_regular(nodes: &[Arc<Node>]) -> bool {
    let Some((last, full)) = nodes.split_last() else { return true };
    // In RFC 6962, all children but the last have the same power of two of tiles, and the last at most as
    // many.
    let each = full.first().map_or(last.tiles, |first| first.tiles);
    nodes.iter().all(|node| node.regular)
        && (full.is_empty()
            || each.is_power_of_two() && full.iter().all(|node| node.tiles == each) && last.tiles <= each)
}

impl Node {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn tiles(&self) -> u64 {
        self.tiles
    }

    pub(super) fn residue(&self) -> Residue {
        self.residue
    }

    pub(crate) fn height(&self) -> u8 {
        self.height
    }

    pub(super) fn is_regular(&self) -> bool {
        self.regular
    }

    /// Returns the store and the entry of a node in a container file. `None` for a node in memory.
    pub(crate) fn stored(&self) -> Option<(&Arc<dyn Store>, &NodeRef)> {
        match &self.content {
            Content::Stored(stored) => Some((&stored.store, &stored.node)),
            Content::Own(_) => None,
        }
    }

    /// Returns the place of the node in the container file to which it was last written. `None` means not written
    /// yet.
    pub(crate) fn written(&self) -> Option<Arc<Written>> {
        match &self.content {
            Content::Own(own) => lock(&own.written).clone(),
            Content::Stored(_) => None,
        }
    }

    /// Remembers the place in a container file to which the node was written. No effect if it was loaded from a file.
    pub(crate) fn set_written(&self, written: Written) {
        if let Content::Own(own) = &self.content {
            // The previous place is dropped after the lock is released.
            let before = lock(&own.written).replace(Arc::new(written));
            drop(before);
        }
    }

    /// Returns the children of the node. Those of a node in a container file are loaded if they are not in memory.
    pub(crate) fn children(self: &Arc<Node>) -> Result<ChildrenRef<'_>> {
        match &self.content {
            Content::Own(own) => Ok(ChildrenRef::Own(&own.children)),
            Content::Stored(_) => self.loaded().map(|loaded| ChildrenRef::Loaded(LoadedRef(loaded))),
        }
    }

    /// Returns the children of a node in memory; `None` if the node lies in a container file.
    pub(super) fn own_children(&self) -> Option<&Children> {
        match &self.content {
            Content::Own(own) => Some(&own.children),
            Content::Stored(_) => None,
        }
    }

    /// Returns the number of children, which is known without loading them.
    fn child_count(&self) -> usize {
        match &self.content {
            Content::Own(own) => own.children.len(),
            Content::Stored(stored) => stored.node.count(),
        }
    }

    fn loaded(self: &Arc<Node>) -> Result<Arc<Loaded>> {
        let Content::Stored(stored) = &self.content else {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: a node that is no part of a file cannot be \
                 loaded",
            ));
        };
        // Relaxed, because the flag is only a hint for the cache.
        stored.used.store(true, Ordering::Relaxed);
        if let Some(loaded) = &*lock(&stored.loaded) {
            return Ok(Arc::clone(loaded));
        }
        // Loaded with no lock held. Another thread may load the children too; the first loaded children stay.
        let children = match Arc::clone(&stored.store).children(&stored.node)? {
            StoredChildren::Tiles(tiles) => Children::Tiles(tiles),
            StoredChildren::Nodes(nodes) => {
                // Nodes below a regular node are regular.
                let below = |node| Arc::new(Node::of_store(&stored.store, node, self.regular));
                Children::Nodes(nodes.into_iter().map(below).collect())
            }
        };
        // Estimated memory of a child, for the bound of the cache.
        let each = match &children {
            Children::Tiles(_) => fresh_footprint() + to_u64(size_of::<crate::tile::stored::StoredTile>()),
            Children::Nodes(_) => to_u64(size_of::<Node>() + 4 * size_of::<usize>()),
        };
        let bytes = to_u64(children.len()) * each + to_u64(size_of::<Loaded>());
        let cache = stored.store.cache();
        let loaded = Arc::new(Loaded { children, bytes, _charge: cache.charge(bytes) });
        let loaded = Arc::clone(lock(&stored.loaded).get_or_insert(loaded));
        // The lock of this node is released first: the cache takes the locks of nodes that it evicts.
        cache.keep(self);
        Ok(loaded)
    }

    /// Returns true if the loaded children were used since the last call of this function.
    pub(super) fn was_used(&self) -> bool {
        match &self.content {
            // The flag is cleared by the same step, so that no use between two calls is lost.
            Content::Stored(stored) => stored.used.swap(false, Ordering::Relaxed),
            Content::Own(_) => false,
        }
    }

    /// Removes the loaded children from the node and returns them, so that the caller can drop them.
    pub(super) fn evict(&self) -> Option<Arc<Loaded>> {
        match &self.content {
            // The caller drops the children, after the lock is released.
            Content::Stored(stored) => lock(&stored.loaded).take(),
            Content::Own(_) => None,
        }
    }

    /// Consumes the node and returns its children. `None` if the node lies in a container file.
    pub(super) fn into_children(self) -> Option<Children> {
        match self.content {
            Content::Own(own) => Some(own.children),
            Content::Stored(_) => None,
        }
    }

    /// Returns the digest of the node over its children. All tiles below must have their witnesses.
    pub(crate) fn top(&self, digests: &Digests) -> Result<Digest> {
        match &self.content {
            // The digest by which the parent names the node; the children are checked against it when they
            // are loaded.
            Content::Stored(stored) => Ok(stored.node.top),
            Content::Own(own) => {
                if let Some(top) = own.top.get() {
                    return Ok(*top);
                }
                // Threads that compute the top at the same time find the same digest.
                let (_, top) = fold(digests, own.children.items(digests)?);
                Ok(*own.top.get_or_init(|| top))
            }
        }
    }

    /// Returns true if both nodes have the same tiles, by their digests. All tiles below must have their witnesses.
    pub(crate) fn is_same(a: &Arc<Node>, b: &Arc<Node>, digests: &Digests) -> Result<bool> {
        // The number of bytes is compared first, because a digest may have to be computed.
        Ok(Arc::ptr_eq(a, b) || a.bytes == b.bytes && a.top(digests)? == b.top(digests)?)
    }

    /// Returns true if all tiles below are known to have their witnesses.
    pub(super) fn is_hashed(&self) -> bool {
        match &self.content {
            // The tiles of a file have their witnesses in the file.
            Content::Stored(_) => true,
            Content::Own(own) => own.top.get().is_some(),
        }
    }

    /// Returns a node of a container file. `regular` is true if its digest is the top of the RFC 6962 tree over its
    /// tiles.
    pub(super) fn of_store(store: &Arc<dyn Store>, node: NodeRef, regular: bool) -> Node {
        Node {
            bytes: node.bytes,
            tiles: node.tiles,
            residue: node.residue,
            height: node.height,
            regular,
            content: Content::Stored(Stored {
                store: Arc::clone(store),
                node,
                loaded: Mutex::new(None),
                used: AtomicBool::new(false),
            }),
        }
    }

    /// Returns a copy of the node in which tile `index`, counted below this node, is replaced by `tile` of the same
    /// length.
    pub(super) fn replace_tile(self: &Arc<Node>, index: u64, tile: Arc<Tile>) -> Result<Arc<Node>> {
        // New nodes along the path to the tile; everything beside it is shared with the old tree.
        Ok(match &*self.children()? {
            Children::Tiles(tiles) => {
                let mut tiles = tiles.clone();
                tiles[to_usize(index)] = tile;
                Node::new(Children::Tiles(tiles))
            }
            Children::Nodes(nodes) => {
                let (mut child, mut before) = (0, 0);
                // `index` is inside the node, so that a child is found before the end.
                while before + nodes[child].tiles <= index {
                    before += nodes[child].tiles;
                    child += 1;
                }
                let mut nodes = nodes.clone();
                nodes[child] = nodes[child].replace_tile(index - before, tile)?;
                Node::new(Children::Nodes(nodes))
            }
        })
    }

    fn new(children: Children) -> Arc<Node> {
        let (bytes, tiles, residue, height, regular) = match &children {
            Children::Tiles(tiles) => (
                tiles.iter().map(|tile| to_u64(tile.len())).sum(),
                to_u64(tiles.len()),
                tiles.iter().map(|tile| tile.residue()).sum(),
                0,
                true,
            ),
            // The list is never empty, as every caller ensures.
            Children::Nodes(nodes) => (
                nodes.iter().map(|node| node.bytes).sum(),
                nodes.iter().map(|node| node.tiles).sum(),
                nodes.iter().map(|node| node.residue).sum(),
                nodes[0].height + 1,
                is_regular(nodes),
            ),
        };
        let content = Content::Own(Own { children, top: OnceLock::new(), written: Mutex::new(None) });
        Arc::new(Node { bytes, tiles, residue, height, regular, content })
    }

    /// Returns a node of these tiles.
    #[cfg(test)]
    pub(crate) fn of_tiles(tiles: Vec<Arc<Tile>>) -> Arc<Node> {
        Node::new(Children::Tiles(tiles))
    }

    /// Returns a node whose children are these nodes of equal height.
    #[cfg(test)]
    pub(crate) fn of_nodes(nodes: Vec<Arc<Node>>) -> Arc<Node> {
        Node::new(Children::Nodes(nodes))
    }

    /// Returns one node if there are up to 32 children, or else two nodes with half of the children each.
    fn one_or_two(children: Children) -> Result<(Arc<Node>, Option<Arc<Node>>)> {
        let len = children.len();
        if len <= MAX_CHILDREN {
            return Ok((Node::new(children), None));
        }
        // More than 32 children, so that each half has at least 16.
        let middle = len / 2;
        Ok((Node::new(children.part(0..middle)?), Some(Node::new(children.part(middle..len)?))))
    }

    /// Returns the top node of a tree over `tiles` in which all nodes but those on the right edge are full. `None`
    /// without tiles.
    pub(super) fn filled(tiles: Vec<Arc<Tile>>) -> Result<Option<Arc<Node>>> {
        // Level by level from the tiles up, so that only the right edge has nodes with fewer children.
        let mut nodes = full(tiles, |tiles| Node::new(Children::Tiles(tiles)))?;
        while nodes.len() > 1 {
            nodes = full(nodes, |nodes| Node::new(Children::Nodes(nodes)))?;
        }
        Ok(nodes.pop())
    }

    /// Returns the top node of a tree with the tiles of `left`, followed by those of `right`. Top nodes may
    /// have fewer than 16 children; a node gets at least 16 before it becomes a child.
    pub(super) fn concat(left: &Arc<Node>, right: &Arc<Node>) -> Result<Arc<Node>> {
        Ok(match Node::join(left, right)? {
            (only, None) => only,
            (first, Some(second)) => Node::new(Children::Nodes(try_collect([first, second].into_iter())?)),
        })
    }

    /// Concatenates the trees under two nodes. Returns one node, or two neighbours, of the height of the higher tree.
    fn join(left: &Arc<Node>, right: &Arc<Node>) -> Result<(Arc<Node>, Option<Arc<Node>>)> {
        if left.height == right.height {
            // Two nodes with enough children are kept as they are, and stay shared with the old trees.
            let enough = |node: &Node| node.child_count() >= MIN_CHILDREN;
            if enough(left) && enough(right) {
                return Ok((Arc::clone(left), Some(Arc::clone(right))));
            }
            // Otherwise their children form a single list, which is cut in the middle if it is too long.
            return Node::one_or_two(left.children()?.join(&*right.children()?)?);
        }
        let pair = |(first, second): (Arc<Node>, Option<Arc<Node>>)| std::iter::once(first).chain(second);
        // The lower tree is joined to the outermost child of the higher tree, which may become two
        // children.
        let children: Vec<Arc<Node>> = if left.height > right.height {
            let children = left.children()?;
            let (last, rest) = children.nodes().split_last().ok_or_else(no_nodes)?;
            try_collect(rest.iter().cloned().chain(pair(Node::join(last, right)?)))?
        } else {
            let children = right.children()?;
            let (first, rest) = children.nodes().split_first().ok_or_else(no_nodes)?;
            try_collect(pair(Node::join(left, first)?).chain(rest.iter().cloned()))?
        };
        Node::one_or_two(Children::Nodes(children))
    }

    /// Returns the top node of a tree of the bytes before `at`, and that of a tree of the bytes from `at` on.
    pub(super) fn split(
        self: &Arc<Node>,
        at: u64,
        reader: &mut CheckedReader<'_>,
    ) -> Result<(Subtree, Subtree)> {
        // A cut at either end leaves the node whole.
        if at == 0 {
            return Ok((None, Some(Arc::clone(self))));
        }
        if at >= self.bytes {
            return Ok((Some(Arc::clone(self)), None));
        }
        // Find the child that contains the cut.
        let children = self.children()?;
        let (mut child, mut before) = (0, 0);
        while before + children.measure(child).0 <= at {
            before += children.measure(child).0;
            child += 1;
        }
        let len = children.len();
        // The children on either side become nodes again; a single child needs no node above it.
        let side = |range: std::ops::Range<usize>| {
            Ok::<Subtree, AtlasError>(match range.len() {
                0 => None,
                1 if self.height > 0 => Some(Arc::clone(&children.nodes()[range.start])),
                _ => Some(Node::new(children.part(range)?)),
            })
        };
        // A cut between two children splits none of them.
        if before == at {
            return Ok((side(0..child)?, side(child..len)?));
        }
        // Otherwise the child is split, and its halves join their sides.
        let (left, right) = match &*children {
            Children::Tiles(tiles) => {
                let (left, right) = tiles[child].split(to_usize(at - before), reader)?;
                // A node of a single tile is temporary, because `concat` adds neighbours to it.
                let single = |tile| {
                    let tiles = try_collect([Arc::new(tile)].into_iter())?;
                    Ok::<Subtree, AtlasError>(Some(Node::new(Children::Tiles(tiles))))
                };
                (single(left)?, single(right)?)
            }
            Children::Nodes(nodes) => nodes[child].split(at - before, reader)?,
        };
        Ok((Node::concat_some(side(0..child)?, left)?, Node::concat_some(right, side(child + 1..len)?)?))
    }

    fn concat_some(left: Option<Arc<Node>>, right: Option<Arc<Node>>) -> Result<Option<Arc<Node>>> {
        Ok(match (left, right) {
            (Some(left), Some(right)) => Some(Node::concat(&left, &right)?),
            // Nothing is joined to an empty side, and the tree of the remaining side is shared as it is.
            (left, right) => left.or(right),
        })
    }
}

#[cold]
fn no_nodes() -> AtlasError {
    AtlasError::internal("a defect of the library, please report it: an inner node has no children")
}

/// Divides `items` into groups of 32, with a shorter last group, and returns the results of `make` for each group.
fn full<T, R>(items: Vec<T>, mut make: impl FnMut(Vec<T>) -> R) -> Result<Vec<R>> {
    let parts = items.len().div_ceil(MAX_CHILDREN);
    let (mut made, mut items) = (try_vec(parts)?, items.into_iter());
    for _ in 0..parts {
        made.push(make(try_collect(items.by_ref().take(MAX_CHILDREN))?));
    }
    Ok(made)
}

/// Returns copies of the items of both slices.
fn joined<T: Clone>(left: &[T], right: &[T]) -> Result<Vec<T>> {
    try_collect(left.iter().chain(right).cloned())
}
