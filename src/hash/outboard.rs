//! BLAKE3's own tree inside a tile: chaining values of pages and groups, and proofs for pages.
//!
//! A page is four chunks of BLAKE3, so that pages, pairs of pages, groups of 16 KiB and so on are nodes of
//! the tree that T hashes a tile with. The chaining values of the siblings of a range of pages prove
//! this range against the tile's witness. A tile of one page has no tree: its witness is its plain digest.
//!
//! `blake3::hazmat` panics on sizes and offsets that do not fit. Every call here is for a non-empty subtree
//! whose offset is a multiple of its own span, by the arithmetic of [`crate::hash::rfc6962`].

#![forbid(unsafe_code)]

use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{GROUP_PAGES, GROUP_SIZE, GROUPS, PAGE_SIZE, TILE_SIZE, to_u64, to_usize};
use crate::hash::digest::{Digest, Digests, same};
use crate::hash::rfc6962::{self, NodeId, Visitor};
use crate::layer2::Residue;
use blake3::hazmat::{HasherExt, merge_subtrees_non_root, merge_subtrees_root};
use std::fmt::Display;
use std::ops::Range;

/// Level of a group of 16 KiB in the tree over pages, whose level 0 are the pages.
const GROUP_LEVEL: u32 = GROUP_PAGES.ilog2();

/// Returns the number of pages of a tile of `len` bytes.
pub(crate) fn pages_in(len: usize) -> u64 {
    to_u64(len.div_ceil(PAGE_SIZE))
}

/// Returns the byte range of the pages `pages` in a tile of `len` bytes.
pub(crate) fn page_bytes(pages: &Range<u64>, len: usize) -> Range<usize> {
    // The last page may be shorter: its end is that of the tile.
    (to_usize(pages.start) * PAGE_SIZE).min(len)..(to_usize(pages.end) * PAGE_SIZE).min(len)
}

/// Computes BLAKE3's chaining value of the subtree over `bytes`, which begin `offset` bytes into a longer input.
fn subtree(digests: &Digests, offset: usize, bytes: &[u8]) -> Digest {
    // The offset is part of every chunk, so that a chaining value is valid at its own offset only.
    let mut hasher = digests.tile_hasher();
    hasher.set_input_offset(to_u64(offset)).update(bytes).finalize_non_root()
}

fn parent(digests: &Digests, left: &Digest, right: &Digest, top: bool) -> Digest {
    // BLAKE3 marks its root, so that no inner value passes for a witness.
    if top {
        *merge_subtrees_root(left, right, digests.tile_mode()).as_bytes()
    } else {
        merge_subtrees_non_root(left, right, digests.tile_mode())
    }
}

/// Chaining values (BLAKE3's inner digests) of the 16 KiB groups of a tile, and of all nodes above them.
pub(crate) struct Outboard {
    levels: Vec<Vec<Digest>>,
    /// Residue of each group of 16 KiB. Only set for edited tiles.
    residues: Option<Box<[Residue; GROUPS]>>,
}

impl Outboard {
    /// Maximum number of bytes of an outboard in memory: the groups, as many bytes again for the nodes above them,
    /// and the allocations.
    pub(crate) const FOOTPRINT: u64 = (2 * GROUPS * size_of::<Digest>() + 512) as u64;
}

/// Computes the chaining value of group `group` from its bytes, in a tile of more than one group.
pub(crate) fn group_value(digests: &Digests, group: usize, bytes: &[u8]) -> Digest {
    subtree(digests, group * GROUP_SIZE, bytes)
}

/// Chaining values of the pages of one group, at most four.
#[derive(Clone, Copy, Default)]
pub(crate) struct GroupPages([Digest; GROUP_PAGES]);

/// Groups that a proof includes only in part, ascending, each with the chaining values of its pages.
pub(crate) type EdgePages = Vec<(usize, GroupPages)>;

impl GroupPages {
    /// Computes the chaining values of the pages of group `group` from its bytes, in a tile of more than a page.
    fn of(digests: &Digests, group: usize, bytes: &[u8]) -> GroupPages {
        let mut pages = GroupPages::default();
        // The last page of a tile may be shorter.
        for (page, bytes) in bytes.chunks(PAGE_SIZE).enumerate() {
            pages.0[page] = subtree(digests, group * GROUP_SIZE + page * PAGE_SIZE, bytes);
        }
        pages
    }

    /// Computes the value of `node`, which lies in this group, from the chaining values of the group's pages. `pages`
    /// is the number of pages of the whole tile, and `top` is true if the node is the top of the tile's tree.
    fn node(&self, digests: &Digests, node: NodeId, pages: u64, top: bool) -> Digest {
        // The last group of a tile may have fewer than four pages.
        let under = node.leaves(pages);
        let at = |page: u64| &self.0[to_usize(page) % GROUP_PAGES];
        match under.end - under.start {
            1 => *at(under.start),
            2 => parent(digests, at(under.start), at(under.start + 1), top),
            count => {
                // Three or four pages: two levels of parents.
                let left = parent(digests, at(under.start), at(under.start + 1), false);
                let right = match count {
                    3 => *at(under.start + 2),
                    _ => parent(digests, at(under.start + 2), at(under.start + 3), false),
                };
                parent(digests, &left, &right, top)
            }
        }
    }
}

impl Outboard {
    /// Hashes a whole tile group by group, and the groups in `edges` (ascending) page by page. Returns the tile's
    /// outboard, its witness, and the chaining values of the pages of those groups.
    pub(crate) fn of_tile(
        digests: &Digests,
        tile: &[u8],
        edges: &[usize],
    ) -> Result<(Outboard, Digest, EdgePages)> {
        debug_assert!(!tile.is_empty() && tile.len() <= TILE_SIZE);
        let pages = pages_in(tile.len());
        // A tile of one page has no tree, and its witness stands for the page.
        if pages == 1 {
            let witness = digests.tile(tile);
            let only = GroupPages([witness; GROUP_PAGES]);
            return Ok((Outboard { levels: vec![vec![witness]], residues: None }, witness, vec![(0, only)]));
        }
        // The single group of a small tile is the top of the tree and needs its pages anyway.
        let single = tile.len() <= GROUP_SIZE;
        let mut edge_pages = try_vec(edges.len().max(1))?;
        let mut wanted = edges.iter().peekable();
        let mut groups = try_vec(tile.len().div_ceil(GROUP_SIZE))?;
        // Groups that a proof will cut are hashed by pages, every other group in one call.
        for (group, bytes) in tile.chunks(GROUP_SIZE).enumerate() {
            if single || wanted.next_if_eq(&&group).is_some() {
                let edge = GroupPages::of(digests, group, bytes);
                let id = NodeId { level: GROUP_LEVEL, index: to_u64(group) };
                groups.push(edge.node(digests, id, pages, single));
                edge_pages.push((group, edge));
            } else {
                groups.push(subtree(digests, group * GROUP_SIZE, bytes));
            }
        }
        // All levels above the groups follow from their values.
        let (outboard, witness) = Outboard::of_groups(digests, groups, None)?;
        Ok((outboard, witness, edge_pages))
    }

    /// Computes the outboard, the witness and the residues of the groups of a whole tile. A few groups at a time
    /// are summed and then hashed, because the sum brings them into the cache.
    pub(crate) fn with_residues(
        digests: &Digests,
        tile: &[u8],
    ) -> Result<(Outboard, Digest, [Residue; GROUPS])> {
        let mut residues = [Residue::ZERO; GROUPS];
        // A tile of one group: its witness is computed from its pages.
        if tile.len() <= GROUP_SIZE {
            residues[0] = Residue::of(tile);
            let (outboard, witness, _) = Outboard::of_tile(digests, tile, &[])?;
            return Ok((outboard, witness, residues));
        }
        const STEP: usize = 4;
        let mut groups = try_vec(GROUPS)?;
        // Four groups at a time: first all sums, then all digests.
        for (step, residues) in tile.chunks(STEP * GROUP_SIZE).zip(residues.chunks_mut(STEP)) {
            for (bytes, residue) in step.chunks(GROUP_SIZE).zip(residues) {
                *residue = Residue::of(bytes);
            }
            for bytes in step.chunks(GROUP_SIZE) {
                groups.push(group_value(digests, groups.len(), bytes));
            }
        }
        let (outboard, witness) = Outboard::of_groups(digests, groups, None)?;
        Ok((outboard, witness, residues))
    }

    /// Builds the outboard and the witness of a tile from `groups`: the chaining values of its groups if it has
    /// several, else the witness of its only group.
    pub(crate) fn of_groups(
        digests: &Digests,
        groups: Vec<Digest>,
        residues: Option<Box<[Residue; GROUPS]>>,
    ) -> Result<(Outboard, Digest)> {
        // The parent of all groups is the top, and the only node that is hashed as a root.
        let count = to_u64(groups.len());
        let levels = rfc6962::levels(groups, |node, left, right| {
            parent(digests, left, right, node.leaves(count) == (0..count))
        })?;
        // A single group has no parent: the caller has passed the witness itself.
        let witness = levels.last().map_or([0; 32], |top| top[0]);
        Ok((Outboard { levels, residues }, witness))
    }

    /// Returns the chaining value of a group.
    pub(crate) fn group(&self, group: usize) -> Digest {
        self.levels[0][group]
    }

    /// Returns the residues of the groups of 16 KiB. Only outboards of edited tiles have them.
    pub(crate) fn residues(&self) -> Option<&[Residue; GROUPS]> {
        self.residues.as_deref()
    }

    /// Fails with WITNESS if `bytes` are not those of group `group` of a tile of `len` bytes, which has more than
    /// one group. Returns the chaining values of the group's pages if `with_pages` is set. `what` names the bytes
    /// in an error.
    pub(crate) fn check_group(
        &self,
        digests: &Digests,
        len: usize,
        group: usize,
        bytes: &[u8],
        with_pages: bool,
        what: &dyn Display,
    ) -> Result<Option<GroupPages>> {
        // The pages cost more than one subtree, so that they are hashed only on request.
        let (value, pages) = if with_pages {
            let pages = GroupPages::of(digests, group, bytes);
            let id = NodeId { level: GROUP_LEVEL, index: to_u64(group) };
            (pages.node(digests, id, pages_in(len), false), Some(pages))
        } else {
            (subtree(digests, group * GROUP_SIZE, bytes), None)
        };
        if same(&value, &self.levels[0][group]) { Ok(pages) } else { Err(source_changed(what)) }
    }

    /// Returns the proof of the pages `pages` of a tile of `len` bytes: the sibling chaining values, ascending.
    /// `edges` has the pages of the groups that lie only partly in `pages`, ascending.
    pub(crate) fn prove(
        &self,
        digests: &Digests,
        len: usize,
        edges: &[(usize, GroupPages)],
        pages: &Range<u64>,
    ) -> Result<Vec<Digest>> {
        let count = pages_in(len);
        let places = rfc6962::siblings(pages, count)?;
        // Nodes at and above the groups are stored; nodes below the groups come from the pages of the edges.
        let node = |node: NodeId| {
            if node.level >= GROUP_LEVEL {
                let level = to_usize(u64::from(node.level - GROUP_LEVEL));
                return Ok(self.levels[level][to_usize(node.index)]);
            }
            // A node below the groups lies in a single group.
            let group = to_usize(node.leaves(count).start) / GROUP_PAGES;
            match edges.binary_search_by_key(&group, |(edge, _)| *edge).ok().map(|at| &edges[at]) {
                Some((_, pages)) => Ok(pages.node(digests, node, count, false)),
                None => Err(AtlasError::internal(format!(
                    "a defect of the library, please report it: the pages of group {group} were not hashed"
                ))),
            }
        };
        let mut proof = try_vec(places.len())?;
        for place in places {
            proof.push(node(place)?);
        }
        Ok(proof)
    }
}

/// Returns the error WITNESS for a source that no longer has the projected bytes. `what` names the bytes.
pub(crate) fn source_changed(what: &dyn Display) -> AtlasError {
    AtlasError::witness(format!("the source changed: the digest of {what} differs from the projected digest"))
}

/// Returns the groups of a tile of `len` bytes that lie only partly in `pages`. A proof needs the pages of
/// these groups.
pub(crate) fn cut_groups(pages: &Range<u64>, len: usize) -> impl Iterator<Item = usize> + use<> {
    let count = pages_in(len);
    // An end inside a group cuts nothing if it is the end of the tile.
    let per_group = to_u64(GROUP_PAGES);
    let first = (!pages.start.is_multiple_of(per_group)).then_some(to_usize(pages.start / per_group));
    let last = (!pages.end.is_multiple_of(per_group) && pages.end < count)
        .then_some(to_usize(pages.end / per_group));
    // Both edges may cut the same group.
    first.into_iter().chain(last.filter(|_| first != last))
}

/// Computes the witness of a tile of `len` bytes from a part of its pages and their proof.
///
/// `bytes` are the bytes of the whole pages `pages`. `take` returns the next chaining value of the proof.
pub(crate) fn witness_from_pages(
    digests: &Digests,
    len: usize,
    pages: &Range<u64>,
    bytes: &[u8],
    take: impl FnMut() -> Result<Digest>,
) -> Result<Digest> {
    let count = pages_in(len);
    // All pages are given: no proof is needed.
    if *pages == (0..count) {
        return Ok(digests.tile(bytes));
    }
    // The walk hashes the selected pages and takes every other node from the proof.
    let base = to_usize(pages.start) * PAGE_SIZE;
    let mut verifier = PageVerifier { digests, len, count, base, bytes, take };
    rfc6962::walk(&mut verifier, pages, count)
}

struct PageVerifier<'a, F> {
    digests: &'a Digests,
    len: usize,
    count: u64,
    base: usize,
    bytes: &'a [u8],
    take: F,
}

impl<F: FnMut() -> Result<Digest>> Visitor for PageVerifier<'_, F> {
    type Node = Digest;

    fn sibling(&mut self, _: NodeId) -> Result<Digest> {
        (self.take)()
    }

    fn covered(&mut self, node: NodeId) -> Result<Option<Digest>> {
        // The bytes begin with the first selected page, and not with the tile.
        let within = page_bytes(&node.leaves(self.count), self.len);
        match self.bytes.get(within.start - self.base..within.end - self.base) {
            Some(bytes) if !bytes.is_empty() => Ok(Some(subtree(self.digests, within.start, bytes))),
            _ => Err(AtlasError::internal(
                "a defect of the library, please report it: the bytes of a proven page are missing",
            )),
        }
    }

    fn combine(&mut self, left: Digest, right: Digest, top: bool) -> Result<Digest> {
        Ok(parent(self.digests, &left, &right, top))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    const LENGTHS: [usize; 18] = [
        1,
        1_023,
        1_024,
        1_025,
        4_095,
        4_096,
        4_097,
        8_192,
        8_193,
        12_288,
        16_384,
        16_385,
        20_481,
        65_535,
        65_537,
        100_000,
        TILE_SIZE - 1,
        TILE_SIZE,
    ];

    #[test]
    fn the_chain_ends_in_the_plain_digest_of_the_tile() {
        for key in [None, Some([9u8; 32])] {
            let digests = Digests::new(key.as_ref());
            for len in LENGTHS {
                let tile = tile(len);
                let groups: Vec<usize> = (0..len.div_ceil(GROUP_SIZE)).collect();
                for edges in [vec![], vec![0], groups] {
                    let (_, witness, _) = Outboard::of_tile(&digests, &tile, &edges).unwrap();
                    assert_eq!(witness, digests.tile(&tile), "{len}");
                }
                let (_, witness, residues) = Outboard::with_residues(&digests, &tile).unwrap();
                assert_eq!(witness, digests.tile(&tile), "{len}");
                assert_eq!(residues, Residue::of_groups(&tile, GROUP_SIZE), "{len}");
            }
        }
    }

    #[test]
    fn every_range_of_pages_proves_itself_and_nothing_else() {
        let digests = Digests::new(None);
        for len in LENGTHS {
            let tile = tile(len);
            let count = pages_in(len);
            let step = if count > 20 { 51 } else { 1 };
            for start in (0..count).step_by(step) {
                for end in (start + 1..=count).step_by(step) {
                    let pages = start..end;
                    let edges: Vec<usize> = cut_groups(&pages, len).collect();
                    let (outboard, witness, edges) = Outboard::of_tile(&digests, &tile, &edges).unwrap();
                    let proof = outboard.prove(&digests, len, &edges, &pages).unwrap();
                    let bytes = &tile[page_bytes(&pages, len)];
                    let verify = |bytes: &[u8], proof: &[Digest]| {
                        let mut rest = proof.iter();
                        let take = || rest.next().copied().ok_or_else(|| AtlasError::format("short"));
                        witness_from_pages(&digests, len, &pages, bytes, take).unwrap()
                    };
                    assert_eq!(verify(bytes, &proof), witness, "{pages:?} of {count}, {len} bytes");
                    let mut wrong = bytes.to_vec();
                    wrong[bytes.len() / 2] ^= 1;
                    assert_ne!(verify(&wrong, &proof), witness);
                    for index in 0..proof.len() {
                        let mut proof = proof.clone();
                        proof[index][31] ^= 0x80;
                        assert_ne!(verify(bytes, &proof), witness);
                    }
                }
            }
        }
    }

    #[test]
    fn a_group_is_checked_against_the_chain() {
        let digests = Digests::new(None);
        let tile = tile(100_000);
        let (outboard, ..) = Outboard::of_tile(&digests, &tile, &[]).unwrap();
        for (group, bytes) in tile.chunks(GROUP_SIZE).enumerate() {
            for with_pages in [false, true] {
                assert!(outboard.check_group(&digests, tile.len(), group, bytes, with_pages, &"it").is_ok());
                let mut wrong = bytes.to_vec();
                wrong[0] ^= 1;
                let error = outboard
                    .check_group(&digests, tile.len(), group, &wrong, with_pages, &"it")
                    .err()
                    .unwrap();
                assert_eq!(error.kind(), crate::ErrorKind::Witness);
            }
        }
    }
}
