//! The difference of two projections, found by comparing the digests in their trees.

use crate::base::buffer::try_grow;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::workers::Workers;
use crate::hash::digest::Digests;
use crate::projection::AtlasProjection;
use crate::projection::state::State;
use crate::shard::AtlasBoundaryRegion;
use crate::tile::Tile;
use crate::tile::inspect::{chaining_values, group_range};
use crate::tile::rehash;
use crate::tile::tree::{Compared, Node, Tree};
use std::ops::Range;
use std::sync::Arc;

impl AtlasProjection {
    /// Returns the ranges whose bytes may differ from the bytes at the same offsets of `other`, ascending and
    /// merged.
    ///
    /// The ranges consist of whole tiles, or of groups of 16 KiB in tiles of which both projections store chaining
    /// values. All bytes after the end of `other` are listed, and none after the end of this projection. Tiles are
    /// compared by their boundaries: after an edit that moves boundaries, all bytes after the edit may be listed.
    /// No payload is read, except of edited tiles, which are hashed first. The cost depends on the difference,
    /// because equal subtrees are skipped. Fails with INVALID_ARGUMENT if type, K or keys differ, and with the
    /// errors of loading nodes.
    pub fn diff(
        &self,
        other: &AtlasProjection,
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasBoundaryRegion>> {
        let (state, others) = (self.state(), other.state());
        let (scheme, other_scheme) = (&state.context.scheme, &others.context.scheme);
        // Witnesses of another type, K or key cannot be compared.
        if (scheme.kind(), scheme.data_classes()) != (other_scheme.kind(), other_scheme.data_classes()) {
            return Err(AtlasError::invalid_argument(format!(
                "a projection of {:?} with K = {} cannot be compared with one of {:?} with K = {}: type \
                 and K must be equal",
                scheme.kind(),
                scheme.data_classes(),
                other_scheme.kind(),
                other_scheme.data_classes()
            )));
        }
        if !scheme.digests().is_same(other_scheme.digests()) {
            return Err(AtlasError::invalid_argument(
                "projections with different keys cannot be compared, because their witnesses always \
                 differ",
            ));
        }
        // Edited tiles are hashed first. Progress counts the hashing together with the comparison.
        let (bytes, tiles) = (state.tree.bytes(), state.tree.tiles());
        operation.before(bytes, tiles, |operation| {
            operation.executor.check()?;
            hash_edits(&state, operation)?;
            hash_edits(&others, operation)
        })?;
        // Stored nodes are loaded by several threads before the walk needs them.
        load_ahead(&state.tree, &others.tree, scheme.digests(), operation);
        let mut tracker = operation.tracker(bytes, tiles);
        let mut list = RangeList::default();
        // Equal subtrees are skipped; everything else becomes ranges.
        state.tree.compare(&others.tree, scheme.digests(), |part| {
            let (bytes, tiles) = match part {
                Compared::Same((bytes, tiles)) => {
                    list.at += bytes;
                    (bytes, tiles)
                }
                Compared::Apart((bytes, tiles)) => {
                    // Bytes of tiles with other boundaries count as different.
                    list.push(0..bytes)?;
                    list.at += bytes;
                    (bytes, tiles)
                }
                Compared::Tiles(own, other) => {
                    list.push_tile(own, other)?;
                    let bytes = to_u64(own.len());
                    list.at += bytes;
                    (bytes, 1)
                }
            };
            tracker.advance(bytes, tiles)
        })?;
        tracker.finish()?;
        Ok(list.ranges)
    }
}

fn hash_edits(state: &State, operation: &mut Operation<'_>) -> Result<()> {
    rehash::unhashed(&state.context, &state.tree, operation, 0, false)
}

/// Maximum number of node pairs on a tree level that is loaded ahead of the comparison of two trees. More nodes
/// would not stay in the cache of loaded nodes.
const MOST_PAIRS: usize = 512;

/// Loads, on all threads and level by level, the stored tree nodes that the comparison of `own` and `other`
/// will need: nodes that differ and begin at the same offset in both trees. An error is ignored here, because
/// the comparison meets it again.
fn load_ahead(own: &Tree, other: &Tree, digests: &Digests, operation: &Operation<'_>) {
    // Begin at both tops.
    let mut pairs: Vec<NodePair> = Vec::new();
    pairs.extend(
        own.top_node().zip(other.top_node()).map(|(own, other)| (Arc::clone(own), Arc::clone(other))),
    );
    // A level with too many pairs is left to the comparison, which loads nodes on its way.
    while !pairs.is_empty() && pairs.len() <= MOST_PAIRS {
        // Each level is loaded in parallel, and returns the pairs of the next level.
        let mut below = Vec::new();
        let done = Workers::new(operation, operation.threads()).at_most(pairs.len()).run(
            to_u64(pairs.len()),
            || Ok(()),
            |(), index| {
                let (own, other) = &pairs[to_usize(index)];
                // An error returns no pairs, because the comparison meets the same error again and reports
                // it.
                Ok(pairs_below(own, other, digests).unwrap_or_default())
            },
            |_, more| {
                try_grow(&mut below, more.len())?;
                below.extend(more);
                Ok(())
            },
        );
        if done.is_err() {
            return;
        }
        pairs = below;
    }
}

/// Two nodes, one of each compared tree, that begin at the same offset of the domain.
type NodePair = (Arc<Node>, Arc<Node>);

/// Returns the pairs of children of `own` and `other` that differ and begin at the same offset. Returns none if
/// the two nodes are equal or have different heights.
fn pairs_below(own: &Arc<Node>, other: &Arc<Node>, digests: &Digests) -> Result<Vec<NodePair>> {
    let mut pairs = Vec::new();
    // The children of nodes of unequal heights are not at the same places.
    if Node::is_same(own, other, digests)? || own.height() != other.height() {
        return Ok(pairs);
    }
    let (children, others) = (own.children()?, other.children()?);
    for (child, other) in children.nodes().iter().zip(others.nodes()) {
        if !Node::is_same(child, other, digests)? {
            try_grow(&mut pairs, 1)?;
            pairs.push((Arc::clone(child), Arc::clone(other)));
        }
        // After children of unequal lengths the remaining children begin at different offsets.
        if child.bytes() != other.bytes() {
            break;
        }
    }
    Ok(pairs)
}

/// Builder of the list of ranges in which two trees may differ. Ranges that touch are merged.
#[derive(Default)]
struct RangeList {
    ranges: Vec<AtlasBoundaryRegion>,
    /// Offset in the domain of the tile or subtree that is being compared.
    at: u64,
}

impl RangeList {
    /// Appends `range`, counted from the offset `at`, to the list of differing ranges.
    fn push(&mut self, range: Range<u64>) -> Result<()> {
        let (start, length) = (self.at + range.start, range.end - range.start);
        match self.ranges.last_mut() {
            // Neighbours become a single range.
            Some(last) if last.end() == start => last.length += length,
            _ => {
                try_grow(&mut self.ranges, 1)?;
                self.ranges.push(AtlasBoundaryRegion::new(start, length));
            }
        }
        Ok(())
    }

    /// Appends the groups of 16 KiB in which two tiles that begin at the same offset differ. Appends the whole
    /// tile `own` if one of the two has no stored chaining values.
    fn push_tile(&mut self, own: &Tile, other: &Tile) -> Result<()> {
        let (len, other_len) = (own.len(), other.len());
        // Without chaining values on both sides the whole tile is listed.
        let (Some(values), Some(other_values)) = (chaining_values(own), chaining_values(other)) else {
            return self.push(0..to_u64(len));
        };
        for (group, value) in values.iter().enumerate() {
            let range = group_range(group, len);
            // A group's value depends on its place in its tile, and not on its length.
            let same = other_values.get(group) == Some(value) && group_range(group, other_len) == range;
            if !same {
                self.push(to_u64(range.start)..to_u64(range.end))?;
            }
        }
        Ok(())
    }
}
