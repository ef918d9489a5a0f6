//! The tree over the tiles of a projection, its root, and proofs for ranges of tiles.
//!
//! The levels are flat arrays, separate from the persistent tile tree. Every node commits to the bytes
//! under its children, so that a verifier takes a tile's offset from the lengths on its path alone.

#![forbid(unsafe_code)]

use crate::base::buffer::{try_grow, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, to_u64, to_usize};
use crate::hash::digest::{Digest, Digests};
use crate::hash::rfc6962::{self, NodeId, Visitor};
use crate::layer2::Residue;
use std::ops::Range;

/// Properties of one tile to which the root commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) len: u32,
    pub(crate) residue: Residue,
    pub(crate) witness: Digest,
}

/// A sibling node in a proof: the number of bytes of the domain under it, and its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sibling {
    pub(crate) bytes: u64,
    pub(crate) digest: Digest,
}

/// Type of a projection as its root states it: the number of its type, and K (0 for LINEAR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RootKind {
    pub(crate) kind: u8,
    pub(crate) classes: u8,
}

impl RootKind {
    /// Returns the contents of the root besides the tree, for `tiles` tiles of `size` bytes in total.
    pub(crate) fn header(self, size: u64, tiles: u64) -> RootHeader {
        RootHeader { kind: self.kind, classes: self.classes, size, tiles }
    }
}

/// Contents of the root besides the tree: type, K, domain size and tile count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RootHeader {
    pub(crate) kind: u8,
    pub(crate) classes: u8,
    pub(crate) size: u64,
    pub(crate) tiles: u64,
}

impl RootHeader {
    pub(crate) fn root(&self, digests: &Digests, top: &Digest) -> Digest {
        digests.root(self.kind, self.classes, self.size, self.tiles, top)
    }
}

/// Number of bytes of [`Merkle`] per tile: its end, its leaf, and as much as a leaf for the nodes above.
pub(crate) const FOOTPRINT: u64 = (size_of::<u64>() + 2 * size_of::<Digest>()) as u64;

/// All digests of the tree over the tiles of one state of a projection, and its root.
pub(crate) struct Merkle {
    /// Levels of the tree, the leaves first, the single top last.
    levels: Vec<Vec<Digest>>,
    /// Offset in the domain at which each tile ends.
    ends: Vec<u64>,
    kind: RootKind,
    root: Digest,
}

impl Leaf {
    fn digest(&self, digests: &Digests) -> Digest {
        leaf_digest(digests, u64::from(self.len), self.residue, &self.witness)
    }
}

/// Computes the digest of a tile's leaf in the tree under the root.
pub(crate) fn leaf_digest(digests: &Digests, len: u64, residue: Residue, witness: &Digest) -> Digest {
    digests.leaf(len, residue.value(), witness)
}

/// Hasher of the tree's leaves and nodes that remembers the last result of each, because a domain with holes has
/// many equal tiles.
pub(crate) struct TreeHasher<'d> {
    digests: &'d Digests,
    leaf: Option<(Leaf, Digest)>,
    node: Option<((u64, u64, Digest, Digest), Digest)>,
}

impl<'d> TreeHasher<'d> {
    pub(crate) fn new(digests: &'d Digests) -> TreeHasher<'d> {
        TreeHasher { digests, leaf: None, node: None }
    }

    /// Returns the digest of a tile's leaf.
    pub(crate) fn leaf(&mut self, leaf: &Leaf) -> Digest {
        match &self.leaf {
            Some((last, digest)) if last == leaf => *digest,
            _ => self.leaf.insert((*leaf, leaf.digest(self.digests))).1,
        }
    }

    /// Returns the digest of the node over two nodes, each given by the number of bytes under it and its digest.
    fn node(&mut self, left_bytes: u64, right_bytes: u64, left: &Digest, right: &Digest) -> Digest {
        let node = (left_bytes, right_bytes, *left, *right);
        match &self.node {
            Some((last, digest)) if *last == node => *digest,
            _ => self.node.insert((node, self.digests.node(left_bytes, right_bytes, left, right))).1,
        }
    }
}

/// Returns the number of bytes under the top of the tree over `nodes`, and its digest. Each node is given by the
/// number of bytes under it and its digest.
pub(crate) fn fold(digests: &Digests, mut nodes: Vec<(u64, Digest)>) -> (u64, Digest) {
    let mut hasher = TreeHasher::new(digests);
    // One level per round, in place: pair i moves to position i.
    while nodes.len() > 1 {
        let pairs = nodes.len().div_ceil(2);
        for pair in 0..pairs {
            nodes[pair] = match nodes.get(2 * pair + 1) {
                Some((right_bytes, right)) => {
                    let (left_bytes, left) = &nodes[2 * pair];
                    // The sizes that a file claims may add up to any number.
                    let bytes = left_bytes.saturating_add(*right_bytes);
                    (bytes, hasher.node(*left_bytes, *right_bytes, left, right))
                }
                None => nodes[2 * pair],
            };
        }
        nodes.truncate(pairs);
    }
    nodes.first().copied().unwrap_or_else(|| (0, digests.no_leaves()))
}

/// Computation of a root over leaves that arrive one by one, which keeps at most 64 nodes in memory.
pub(crate) struct RootFolder<'d> {
    digests: &'d Digests,
    /// Tops of full subtrees, the largest first, each with its number of leaves and bytes.
    stack: Vec<(u64, u64, Digest)>,
    leaves: u64,
}

impl<'d> RootFolder<'d> {
    pub(crate) fn new(digests: &'d Digests) -> RootFolder<'d> {
        RootFolder { digests, stack: Vec::new(), leaves: 0 }
    }

    pub(crate) fn push(&mut self, leaf: &Leaf) {
        let mut node = (1, u64::from(leaf.len), leaf.digest(self.digests));
        // Subtrees of equal size merge, like the carry of a binary counter.
        while let Some((leaves, bytes, digest)) = self.stack.pop_if(|(leaves, _, _)| *leaves == node.0) {
            let parent = self.digests.node(bytes, node.1, &digest, &node.2);
            node = (leaves + node.0, bytes.saturating_add(node.1), parent);
        }
        self.stack.push(node);
        self.leaves += 1;
    }

    /// Returns the root of a projection with all leaves added so far, of the given type and K.
    pub(crate) fn finish(mut self, kind: RootKind) -> Digest {
        let mut top = self.stack.pop();
        // The subtrees that are left join from the right, the smallest first, which is the shape of RFC
        // 6962.
        while let (Some((_, bytes, digest)), Some(right)) = (self.stack.last().copied(), top) {
            self.stack.pop();
            let parent = self.digests.node(bytes, right.1, &digest, &right.2);
            top = Some((0, bytes.saturating_add(right.1), parent));
        }
        let (size, digest) =
            top.map_or_else(|| (0, self.digests.no_leaves()), |(_, bytes, digest)| (bytes, digest));
        kind.header(size, self.leaves).root(self.digests, &digest)
    }
}

impl Merkle {
    pub(crate) fn new(
        digests: &Digests,
        kind: RootKind,
        count: u64,
        tiles: impl Iterator<Item = Leaf>,
    ) -> Result<Merkle> {
        let capacity = usize::try_from(count).unwrap_or(usize::MAX);
        let mut ends = try_vec(capacity)?;
        let mut leaves = try_vec(capacity)?;
        let mut end = 0u64;
        // The ends and the leaves in one pass over the tiles.
        let mut hasher = TreeHasher::new(digests);
        for tile in tiles {
            end += u64::from(tile.len);
            ends.push(end);
            leaves.push(hasher.leaf(&tile));
        }
        // Every node above commits to the bytes under its children.
        let n = to_u64(leaves.len());
        let bytes_under = |node: NodeId| bytes_under(&ends, &node.leaves(n));
        let levels: Vec<Vec<Digest>> = rfc6962::levels(leaves, |node, left, right| {
            let child = |right| NodeId { level: node.level - 1, index: node.index * 2 + right };
            hasher.node(bytes_under(child(0)), bytes_under(child(1)), left, right)
        })?;
        // The root adds type, K, size and tile count to the top.
        let top = levels.last().map_or_else(|| digests.no_leaves(), |top| top[0]);
        let root = kind.header(end, n).root(digests, &top);
        Ok(Merkle { levels, ends, kind, root })
    }

    pub(crate) fn try_clone(&self) -> Result<Merkle> {
        // Copies level by level, because a vector's own clone aborts without memory.
        let mut levels = try_vec(self.levels.len())?;
        for level in &self.levels {
            levels.push(try_copy(level)?);
        }
        Ok(Merkle { levels, ends: try_copy(&self.ends)?, kind: self.kind, root: self.root })
    }

    /// Replaces the leaves of some tiles, each given with the index of its tile, ascending, and computes the root
    /// anew.
    ///
    /// After a failure of this function or of `splice` the tree must not be used.
    pub(crate) fn replace(&mut self, digests: &Digests, leaves: &[(u64, Leaf)]) -> Result<()> {
        let mut dirty: Vec<Range<usize>> = try_vec(leaves.len())?;
        let mut leaves = leaves.iter().peekable();
        // Nothing changes before the first replaced tile.
        let Some(first) = leaves.peek().map(|(tile, _)| to_usize(*tile)) else { return Ok(()) };
        let mut old = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        let (mut end, mut moved) = (old, false);
        // Ends move with the lengths; without a moved end the walk stops after the last replaced tile.
        for tile in first..self.ends.len() {
            // Lengths follow from the old ends before these are overwritten.
            let len = self.ends[tile] - old;
            old = self.ends[tile];
            end += match leaves.next_if(|(next, _)| to_usize(*next) == tile) {
                Some((_, leaf)) => {
                    self.levels[0][tile] = leaf.digest(digests);
                    dirty.push(tile..tile + 1);
                    moved |= u64::from(leaf.len) != len;
                    u64::from(leaf.len)
                }
                None if !moved && leaves.peek().is_none() => break,
                None => len,
            };
            self.ends[tile] = end;
        }
        // Only the paths above replaced leaves are hashed again.
        self.rehash(digests, dirty)
    }

    /// Keeps the first `before` tiles, replaces the next `removed` tiles by the tiles of `leaves`, and computes the
    /// root anew. The tile indices in `leaves` are ignored.
    pub(crate) fn splice(
        &mut self,
        digests: &Digests,
        (before, removed): (usize, usize),
        leaves: &[(u64, Leaf)],
    ) -> Result<()> {
        let leaves = leaves.iter().map(|(_, leaf)| leaf);
        // The lengths of the old tiles, from which the ends after the change follow.
        let start = before.checked_sub(1).map_or(0, |last| self.ends[last]);
        let mut old = start;
        let mut lengths: Vec<u64> = try_vec(self.ends.len() - before)?;
        for end in &self.ends[before..] {
            lengths.push(end - old);
            old = *end;
        }
        // The new ends: kept tiles, inserted tiles, the rest of the old tiles.
        self.ends.truncate(before);
        let mut end = start;
        try_grow(&mut self.ends, leaves.len())?;
        for len in leaves.clone().map(|leaf| u64::from(leaf.len)).chain(lengths.into_iter().skip(removed)) {
            end += len;
            self.ends.push(end);
        }
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        // The leaves of kept tiles stay; the inserted ones are hashed.
        try_grow(&mut self.levels[0], leaves.len())?;
        let fresh = leaves.map(|leaf| leaf.digest(digests));
        drop(self.levels[0].splice(before..before + removed, fresh));
        // The ancestors of the last tile changed their shape in any case.
        let tiles = self.ends.len();
        let changed = before.min(tiles.saturating_sub(1))..tiles;
        self.rehash(digests, vec![changed])
    }

    /// Hashes all nodes above the leaves in the index ranges `dirty`, which are ascending, and computes the root.
    fn rehash(&mut self, digests: &Digests, mut dirty: Vec<Range<usize>>) -> Result<()> {
        let tiles = self.ends.len();
        let n = to_u64(tiles);
        let mut level = 0;
        let mut width = tiles;
        // One level per round, from the leaves to the top.
        while width > 1 {
            level += 1;
            width = width.div_ceil(2);
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let (below, above) = self.levels.split_at_mut(level);
            let (below, nodes) = (&below[level - 1], &mut above[0]);
            try_grow(nodes, width.saturating_sub(nodes.len()))?;
            nodes.resize(width, [0; 32]);
            // The parents of dirty ranges; neighbours that share a parent are merged.
            let mut parents: Vec<Range<usize>> = try_vec(dirty.len())?;
            for range in dirty {
                let range = range.start / 2..range.end.div_ceil(2);
                match parents.last_mut() {
                    Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                    _ => parents.push(range),
                }
            }
            // Hash the dirty nodes of this level; an odd last node moves up.
            for index in parents.iter().cloned().flatten() {
                // A level has less than 2^64 nodes, and there are less than 64 levels.
                let child = |right| NodeId {
                    level: u32::try_from(level - 1).unwrap_or(u32::MAX),
                    index: to_u64(index * 2 + right),
                };
                let under = |right| bytes_under(&self.ends, &child(right).leaves(n));
                nodes[index] = match below.get(index * 2 + 1) {
                    Some(right) => digests.node(under(0), under(1), &below[index * 2], right),
                    None => below[index * 2],
                };
            }
            dirty = parents;
        }
        // A smaller tree has fewer levels.
        self.levels.truncate(if tiles == 0 { 0 } else { level + 1 });
        let top = self.levels.last().map_or_else(|| digests.no_leaves(), |top| top[0]);
        let size = self.ends.last().copied().unwrap_or(0);
        self.root = self.kind.header(size, n).root(digests, &top);
        Ok(())
    }

    pub(crate) fn root(&self) -> &Digest {
        &self.root
    }

    /// Returns the proof of the tiles `range`: the sibling nodes, ascending. An empty range is proved by the top
    /// alone.
    pub(crate) fn prove(&self, range: &Range<u64>) -> Result<Vec<Sibling>> {
        let n = to_u64(self.ends.len());
        if n == 0 {
            return Ok(Vec::new());
        }
        // The shape alone says which nodes are needed.
        let places = rfc6962::siblings(range, n)?;
        Ok(places
            .into_iter()
            .map(|node| Sibling {
                bytes: bytes_under(&self.ends, &node.leaves(n)),
                digest: self.levels[to_usize(u64::from(node.level))][to_usize(node.index)],
            })
            .collect())
    }
}

fn try_copy<T: Copy>(from: &[T]) -> Result<Vec<T>> {
    let mut copy = try_vec(from.len())?;
    copy.extend_from_slice(from);
    Ok(copy)
}

fn bytes_under(ends: &[u64], tiles: &Range<u64>) -> u64 {
    // A tile begins at the end of its predecessor, and the first tile at 0.
    let until = |tile: u64| tile.checked_sub(1).map_or(0, |last| ends[to_usize(last)]);
    until(tiles.end) - until(tiles.start)
}

/// Returns the number of sibling nodes in the proof of the tiles `range` of `tiles` tiles.
pub(crate) fn proof_len(range: &Range<u64>, tiles: u64) -> Result<usize> {
    if tiles == 0 { Ok(0) } else { Ok(rfc6962::siblings(range, tiles)?.len()) }
}

/// Computes the root from the leaves of the tiles `range` and the sibling nodes of their proof. Returns it with the
/// offset of the range in the domain.
///
/// All arguments may be hostile, except that `range` lies within 0..header.tiles and has as many tiles as `leaves`.
pub(crate) fn root_from_tiles(
    digests: &Digests,
    header: &RootHeader,
    range: &Range<u64>,
    leaves: &[Leaf],
    siblings: &[Sibling],
) -> Result<(Digest, u64)> {
    let (top, size, start) = if header.tiles == 0 {
        (digests.no_leaves(), 0, 0)
    } else {
        // The walk consumes leaves and siblings in order.
        let mut verifier = TileVerifier {
            digests,
            range,
            tiles: header.tiles,
            leaves,
            siblings: siblings.iter(),
            before: 0,
        };
        let (size, top) = rfc6962::walk(&mut verifier, range, header.tiles)?;
        // A proof with unused nodes would be a second encoding of the same proof.
        if verifier.siblings.next().is_some() {
            return Err(AtlasError::format(format!(
                "malformed proof: it has more nodes than the tiles {range:?} need"
            )));
        }
        (top, size, verifier.before)
    };
    // Lengths that do not add up to the domain's size belong to another tree.
    if size != header.size {
        return Err(AtlasError::witness(format!(
            "wrong proof: the lengths in it add up to {size} bytes, and the domain has {}",
            header.size
        )));
    }
    Ok((header.root(digests, &top), start))
}

struct TileVerifier<'a> {
    digests: &'a Digests,
    range: &'a Range<u64>,
    tiles: u64,
    leaves: &'a [Leaf],
    siblings: std::slice::Iter<'a, Sibling>,
    /// Number of bytes under the siblings before the range: the offset of the range in the domain.
    before: u64,
}

impl Visitor for TileVerifier<'_> {
    type Node = (u64, Digest);

    fn sibling(&mut self, node: NodeId) -> Result<Self::Node> {
        let sibling = self.siblings.next().ok_or_else(|| {
            AtlasError::format(format!(
                "malformed proof: it has fewer nodes than the tiles {:?} need",
                self.range
            ))
        })?;
        let under = node.leaves(self.tiles);
        let tiles = under.end - under.start;
        // A claim outside the possible sizes is refused before it is added up.
        if sibling.bytes < tiles || sibling.bytes > tiles.saturating_mul(TILE_BYTES) {
            return Err(AtlasError::witness(format!(
                "wrong proof: a node in it claims {} bytes for {tiles} tiles of 1 to {TILE_BYTES} bytes",
                sibling.bytes
            )));
        }
        // Siblings before the range determine its offset.
        if under.end <= self.range.start {
            self.before = self.before.checked_add(sibling.bytes).ok_or_else(too_long)?;
        }
        Ok((sibling.bytes, sibling.digest))
    }

    fn covered(&mut self, node: NodeId) -> Result<Option<Self::Node>> {
        // The walk goes down to the tiles, because the length of each must be checked.
        if node.level > 0 {
            return Ok(None);
        }
        let leaf = usize::try_from(node.index - self.range.start).ok().and_then(|i| self.leaves.get(i));
        let leaf = leaf.ok_or_else(|| {
            AtlasError::format(format!(
                "malformed proof: it has fewer leaves than the tiles {:?} need",
                self.range
            ))
        })?;
        let len = u64::from(leaf.len);
        if len == 0 || len > TILE_BYTES {
            return Err(AtlasError::witness(format!(
                "wrong proof: a tile in it has {len} bytes, outside 1..={TILE_BYTES}"
            )));
        }
        Ok(Some((len, self.digests.leaf(len, leaf.residue.value(), &leaf.witness))))
    }

    fn combine(&mut self, left: Self::Node, right: Self::Node, _top: bool) -> Result<Self::Node> {
        // A hostile sum that wraps around could match the size of the domain.
        let bytes = left.0.checked_add(right.0).ok_or_else(too_long)?;
        Ok((bytes, self.digests.node(left.0, right.0, &left.1, &right.1)))
    }
}

fn too_long() -> AtlasError {
    AtlasError::witness("wrong proof: the lengths in it add up to more than 2^64 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(i: u64) -> Leaf {
        Leaf {
            len: if i.is_multiple_of(3) { 1 << 20 } else { 7 + i as u32 },
            residue: Residue::wrapping(i),
            witness: [i as u8; 32],
        }
    }

    const LINEAR: RootKind = RootKind { kind: 0, classes: 0 };

    fn header(size: u64, tiles: u64) -> RootHeader {
        RootHeader { kind: 0, classes: 0, size, tiles }
    }

    /// The definition in docs/design.md, recursively.
    fn reference(digests: &Digests, leaves: &[Leaf]) -> (u64, Digest) {
        match leaves {
            [] => (0, digests.tree(b"")),
            [one] => {
                let mut bytes = vec![0];
                bytes.extend(u64::from(one.len).to_le_bytes());
                bytes.push(one.residue.value());
                bytes.extend(one.witness);
                (u64::from(one.len), digests.tree(&bytes))
            }
            many => {
                let k = many.len().next_power_of_two() / 2;
                let (left, right) = (reference(digests, &many[..k]), reference(digests, &many[k..]));
                let mut bytes = vec![1];
                bytes.extend(left.0.to_le_bytes());
                bytes.extend(right.0.to_le_bytes());
                bytes.extend(left.1);
                bytes.extend(right.1);
                (left.0 + right.0, digests.tree(&bytes))
            }
        }
    }

    #[test]
    fn every_range_proves_its_offset_and_the_root() {
        let digests = Digests::new(None);
        for n in 0..18u64 {
            let leaves: Vec<Leaf> = (0..n).map(leaf).collect();
            let merkle = Merkle::new(&digests, LINEAR, n, leaves.iter().copied()).unwrap();
            let (size, top) = reference(&digests, &leaves);
            assert_eq!(*merkle.root(), digests.root(0, 0, size, n, &top));
            for start in 0..=n {
                for end in start..=n {
                    let range = start..end;
                    let proof = merkle.prove(&range).unwrap();
                    assert_eq!(proof.len(), proof_len(&range, n).unwrap());
                    let within = &leaves[start as usize..end as usize];
                    let (root, at) =
                        root_from_tiles(&digests, &header(size, n), &range, within, &proof).unwrap();
                    assert_eq!(root, *merkle.root());
                    if !range.is_empty() {
                        let want: u64 = leaves[..start as usize].iter().map(|l| u64::from(l.len)).sum();
                        assert_eq!(at, want);
                    }
                    for index in 0..proof.len() {
                        let mut wrong = proof.clone();
                        wrong[index].digest[5] ^= 1;
                        let root = root_from_tiles(&digests, &header(size, n), &range, within, &wrong);
                        assert_ne!(root.unwrap().0, *merkle.root());
                        wrong = proof.clone();
                        wrong[index].bytes ^= 1;
                        assert!(root_from_tiles(&digests, &header(size, n), &range, within, &wrong).is_err());
                    }
                }
            }
        }
    }

    #[test]
    fn an_updated_tree_is_the_one_made_anew() {
        let digests = Digests::new(None);
        let r96 = RootKind { kind: 1, classes: 96 };
        let mut random = crate::base::split_mix::SplitMix64(3);
        let make = |leaves: &[Leaf]| {
            Merkle::new(&digests, r96, leaves.len() as u64, leaves.iter().copied()).unwrap()
        };
        let mut leaves: Vec<Leaf> = Vec::new();
        let mut merkle = make(&leaves);
        for round in 0..2_000u64 {
            let before = random.below(leaves.len() as u64 + 1) as usize;
            if round % 3 == 0 && !leaves.is_empty() {
                let mut changed: Vec<u64> =
                    (0..random.below(4)).map(|_| random.below(leaves.len() as u64)).collect();
                changed.sort_unstable();
                changed.dedup();
                let changed: Vec<_> = changed.iter().map(|i| (*i, leaf(round * 7 + i))).collect();
                for (index, leaf) in &changed {
                    leaves[*index as usize] = *leaf;
                }
                merkle.replace(&digests, &changed).unwrap();
            } else {
                let removed = random.below((leaves.len() - before) as u64 + 1).min(3 + round % 7) as usize;
                let put: Vec<_> = (0..random.below(6)).map(|i| (i, leaf(round * 5 + i))).collect();
                merkle.splice(&digests, (before, removed), &put).unwrap();
                leaves.splice(before..before + removed, put.into_iter().map(|(_, leaf)| leaf));
            }
            let want = make(&leaves);
            assert_eq!(merkle.root, want.root, "round {round}, {} leaves", leaves.len());
            assert_eq!((&merkle.levels, &merkle.ends), (&want.levels, &want.ends));
            merkle = merkle.try_clone().unwrap();
        }
    }

    #[test]
    fn lengths_that_are_no_tiles_are_refused() {
        let digests = Digests::new(None);
        for len in [0, (1 << 20) + 1] {
            let bad = Leaf { len, ..leaf(1) };
            let error =
                root_from_tiles(&digests, &header(u64::from(len), 1), &(0..1), &[bad], &[]).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Witness);
        }
        let huge = Sibling { bytes: u64::MAX, digest: [0; 32] };
        let error = root_from_tiles(&digests, &header(5, u64::MAX), &(0..0), &[], &[huge]).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Witness);
    }

    #[test]
    fn a_proof_over_two_to_the_forty_bytes_of_synthetic_tiles_holds() {
        let digests = Digests::new(None);
        let n = 1u64 << 20;
        let full =
            |i: u64| Leaf { len: 1 << 20, residue: Residue::wrapping(i), witness: [(i % 251) as u8; 32] };
        let merkle = Merkle::new(&digests, LINEAR, n, (0..n).map(full)).unwrap();
        for tile in [0, 1, n / 2 - 1, n / 2, n - 1] {
            let range = tile..tile + 1;
            let proof = merkle.prove(&range).unwrap();
            assert_eq!(proof.len(), 20);
            let (root, at) =
                root_from_tiles(&digests, &header(1 << 40, n), &range, &[full(tile)], &proof).unwrap();
            assert_eq!((root, at), (*merkle.root(), tile << 20));
        }
    }
}
