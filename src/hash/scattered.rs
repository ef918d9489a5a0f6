//! The root of a LINEAR projection from pieces of whole pages of 4 KiB, which arrive in any order, each once.
//!
//! A piece is divided into the largest nodes of BLAKE3's tree that it covers, and each is hashed. Two nodes with
//! the same parent are merged as soon as both were added, so that only the edges of pieces with missing neighbours
//! are kept.

#![forbid(unsafe_code)]

use crate::base::buffer::{try_grow, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{PAGE_BYTES, PAGE_SIZE, TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::hash::digest::{Digest, Digests};
use crate::hash::tile_tree::{FOOTPRINT, Leaf, Merkle, RootKind};
use crate::layer2::Residue;
use blake3::hazmat::{HasherExt, merge_subtrees_non_root, merge_subtrees_root};
use std::collections::BTreeMap;

/// Number of pages of a full tile.
const PAGES: u64 = (TILE_SIZE / PAGE_SIZE) as u64;

/// A node of BLAKE3's tree inside a tile: the digest of a range of pages. Pages are counted from the start of the
/// domain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    first: u64,
    pages: u64,
    residue: Residue,
    /// Chaining value of the node, or the witness of the tile if the node is the whole tile.
    value: Digest,
}

/// Returns the index of the page after the last page of the tile that begins with page `start`, in a domain of `size`
/// bytes.
fn tile_end(size: u64, start: u64) -> u64 {
    (start + PAGES).min(size.div_ceil(PAGE_BYTES))
}

/// Hashes a piece of the domain, `bytes` at `offset`, and adds its nodes to `parts`. The piece begins at a page
/// boundary, and ends at a page boundary or with the domain.
pub(crate) fn add_parts(
    digests: &Digests,
    size: u64,
    offset: u64,
    bytes: &[u8],
    parts: &mut Vec<Part>,
) -> Result<()> {
    debug_assert!(offset.is_multiple_of(PAGE_BYTES));
    let (mut first, mut rest) = (offset / PAGE_BYTES, bytes);
    while !rest.is_empty() {
        let tile = first / PAGES * PAGES;
        let end = tile_end(size, tile);
        let there = first + to_u64(rest.len().div_ceil(PAGE_SIZE));
        // The largest node that begins here and lies completely in the piece.
        let span = |level: u32| (first + (1 << level)).min(end);
        let fits = |level: &u32| (first - tile).is_multiple_of(1 << level) && span(*level) <= there.min(end);
        let pages = span((0..=PAGES.ilog2()).rev().find(fits).unwrap_or(0)) - first;
        let (now, after) = rest.split_at((to_usize(pages) * PAGE_SIZE).min(rest.len()));
        // A whole tile is hashed as such; its digest is the witness.
        let value = if first == tile && first + pages == end {
            digests.tile(now)
        } else {
            let mut hasher = digests.tile_hasher();
            hasher.set_input_offset((first - tile) * PAGE_BYTES).update(now).finalize_non_root()
        };
        // The vector grows fallibly, because the size of the piece comes from outside.
        try_grow(parts, 1)?;
        parts.push(Part { first, pages, residue: Residue::of(now), value });
        (first, rest) = (first + pages, after);
    }
    Ok(())
}

/// Computation of the root of a domain of `size` bytes whose pieces arrive in any order.
pub(crate) struct ScatteredRoot {
    size: u64,
    /// Nodes whose siblings are missing so far, by their first page.
    parts: BTreeMap<u64, Part>,
    /// Length, residue and witness of each tile. `None` until all of its pages were added.
    tiles: Vec<Option<Leaf>>,
}

impl ScatteredRoot {
    pub(crate) fn new(size: u64) -> Result<ScatteredRoot> {
        // A count above the address space fails in the allocation.
        let count = usize::try_from(size.div_ceil(TILE_BYTES)).unwrap_or(usize::MAX);
        let mut tiles = try_vec(count)?;
        tiles.resize(count, None);
        Ok(ScatteredRoot { size, parts: BTreeMap::new(), tiles })
    }

    /// Returns the maximum number of bytes of memory that a [`ScatteredRoot`] of a domain of `size` bytes uses, while
    /// at most `pieces` pieces have a missing neighbour.
    pub(crate) fn footprint(size: u64, pieces: u64) -> u64 {
        let tile = FOOTPRINT + to_u64(size_of::<Option<Leaf>>());
        // Either edge of a piece has at most one node per level; the map needs as much memory again.
        let edges = pieces.saturating_mul(2 * u64::from(PAGES.ilog2()) * 2 * to_u64(size_of::<Part>()));
        size.div_ceil(TILE_BYTES).saturating_mul(tile).saturating_add(edges)
    }

    /// Adds `part`, a node of a piece. If its sibling was added before, merges both into their parent, and does the
    /// same with the parent.
    pub(crate) fn add(&mut self, digests: &Digests, part: Part) {
        // Nodes merge inside their tile only, whose top is a leaf of the tree over tiles.
        let tile = part.first / PAGES * PAGES;
        let end = tile_end(self.size, tile);
        let mut part = part;
        while part.pages < end - tile {
            // The level at which the node has a sibling. A node at the end of the domain may have none on
            // some levels.
            let (local, mut span) = (part.first - tile, part.pages.next_power_of_two());
            while (local / span).is_multiple_of(2) && part.first + part.pages == end {
                span *= 2;
            }
            // The sibling on the right may be shorter at the end of the domain.
            let is_left = (local / span).is_multiple_of(2);
            let other = if is_left { part.first + span } else { part.first - span };
            let whole = |sibling: &&Part| {
                let sibling_end = sibling.first + sibling.pages;
                sibling.pages == span || is_left && sibling_end == end
            };
            let Some(sibling) = self.parts.get(&other).filter(whole).copied() else {
                // The node waits for its sibling.
                self.parts.insert(part.first, part);
                return;
            };
            // Both halves were added: merge them, and continue with the parent.
            self.parts.remove(&other);
            let (left, right) = if is_left { (part, sibling) } else { (sibling, part) };
            let pages = left.pages + right.pages;
            let value = if pages == end - tile {
                *merge_subtrees_root(&left.value, &right.value, digests.tile_mode()).as_bytes()
            } else {
                merge_subtrees_non_root(&left.value, &right.value, digests.tile_mode())
            };
            let residue = [left.residue, right.residue].into_iter().sum();
            part = Part { first: left.first, pages, residue, value };
        }
        // The node is the whole tile now.
        // The last tile of the domain may be shorter.
        let len = TILE_BYTES.min(self.size - tile * PAGE_BYTES);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.tiles[to_usize(tile / PAGES)] = Some(Leaf { len, residue: part.residue, witness: part.value });
    }

    /// Computes the root of the domain. Fails with INTERNAL if a piece is missing.
    pub(crate) fn root(self, digests: &Digests) -> Result<Digest> {
        let count = to_u64(self.tiles.len());
        let mut tiles = try_vec(self.tiles.len())?;
        for tile in self.tiles {
            tiles.push(tile.ok_or_else(|| {
                AtlasError::internal(
                    "a defect of the library, please report it: the root is requested before a tile is \
                     complete",
                )
            })?);
        }
        // The witness of an R96 tile needs all of its bytes, so that this is a root of LINEAR.
        let linear = RootKind { kind: 0, classes: 0 };
        Ok(*Merkle::new(digests, linear, count, tiles.into_iter())?.root())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::operation::Operation;
    use crate::projection::{AtlasProjection, ProjectionOptions, ProjectionType};
    use crate::source::Source;

    #[test]
    fn nodes_that_wait_for_their_siblings_stay_within_the_footprint() {
        let (size, tiles) = (9 * TILE_BYTES, 9);
        let (digests, bytes) = (Digests::new(None), vec![7; to_usize(TILE_BYTES)]);
        // Pieces that lack a page at each end have the most nodes without a sibling.
        for (first, end) in [(1, 255), (1, 254), (3, 250), (127, 129), (1, 2)] {
            let mut root = ScatteredRoot::new(size).unwrap();
            for tile in 0..tiles {
                let (start, end) = (first * PAGE_BYTES, end * PAGE_BYTES);
                let piece = &bytes[to_usize(start)..to_usize(end)];
                let mut parts = Vec::new();
                add_parts(&digests, size, tile * TILE_BYTES + start, piece, &mut parts).unwrap();
                parts.into_iter().for_each(|part| root.add(&digests, part));
            }
            // A map has its entries in nodes that are at least half full.
            let used = 2 * root.parts.len() * size_of::<Part>();
            let counted = ScatteredRoot::footprint(size, tiles) - ScatteredRoot::footprint(size, 0);
            assert!(to_u64(used) <= counted, "{used} bytes for pages {first}..{end}, counted {counted}");
        }
    }

    #[test]
    fn the_order_and_length_of_pieces_change_no_root() {
        let mut state = 5_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let data: Vec<u8> = (0..3_300_001_u32).map(|i| (i % 251) as u8 ^ (i >> 13) as u8).collect();
        let sizes = [
            0, 1, 1_024, 4_096, 4_097, 12_289, 65_536, 1_048_575, 1_048_576, 1_048_577, 1_052_673, 3_300_001,
        ];
        for (size, key) in sizes.into_iter().flat_map(|size| [(size, None), (size, Some([3; 32]))]) {
            let (digests, data) = (Digests::new(key.as_ref()), &data[..size]);
            let mut options = ProjectionOptions::new();
            if let Some(key) = &key {
                options = options.with_key(key);
            }
            let (source, operation) = (Source::copy(data).unwrap(), &mut Operation::sequential());
            let whole =
                AtlasProjection::create(ProjectionType::Linear, &source, &options, operation).unwrap();
            let wanted = whole.root(&mut Operation::sequential()).unwrap();
            for most in [1, 3, 16, 64, 1_000] {
                let mut pieces = Vec::new();
                let mut at = 0;
                while at < size {
                    let end = (at + 4_096 * (1 + random(most) as usize)).min(size);
                    let mut parts = Vec::new();
                    add_parts(&digests, size as u64, at as u64, &data[at..end], &mut parts).unwrap();
                    pieces.push(parts);
                    at = end;
                }
                for place in 0..pieces.len() {
                    let other = place + random((pieces.len() - place) as u64) as usize;
                    pieces.swap(place, other);
                }
                let mut root = ScatteredRoot::new(size as u64).unwrap();
                pieces.into_iter().flatten().for_each(|part| root.add(&digests, part));
                assert!(root.parts.is_empty());
                assert_eq!(root.root(&digests).unwrap(), wanted, "{size} bytes in pieces of {most}");
            }
        }
    }
}
