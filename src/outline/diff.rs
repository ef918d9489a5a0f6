//! The difference of two projections, from their trees alone.

use crate::base::buffer::try_grow;
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::exec::operation::Operation;
use crate::projection::AtlasProjection;
use crate::projection::state::State;
use crate::shard::AtlasBoundaryRegion;
use crate::tile::Tile;
use crate::tile::inspect::{chaining_values, group_range};
use crate::tile::rehash;
use crate::tile::tree::Compared;
use std::ops::Range;

impl AtlasProjection {
    /// Ranges whose bytes may differ from those at the same offsets of `other`, ascending and merged.
    ///
    /// They end at tiles, or at groups of 16 KiB of tiles of which both store chaining values. All that is behind the
    /// end of `other` is among them, and nothing behind the end of this projection. Tiles are compared edge by edge:
    /// after an edit that moves them everything behind may be listed. No payload is read, except of edited tiles,
    /// which are hashed first. Costs what differs: equal subtrees are skipped. Fails with INVALID_ARGUMENT if type, K
    /// or keys differ, and with what loading nodes fails with.
    pub fn diff(
        &self,
        other: &AtlasProjection,
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasBoundaryRegion>> {
        let (state, others) = (self.state(), other.state());
        let (scheme, other_scheme) = (&state.context.scheme, &others.context.scheme);
        if (scheme.kind(), scheme.data_classes()) != (other_scheme.kind(), other_scheme.data_classes()) {
            return Err(AtlasError::invalid_argument(format!(
                "projections of {:?} with K = {} and {:?} with K = {} have no common witnesses",
                scheme.kind(),
                scheme.data_classes(),
                other_scheme.kind(),
                other_scheme.data_classes()
            )));
        }
        if !scheme.digests().is_same(other_scheme.digests()) {
            return Err(AtlasError::invalid_argument("projections of two keys have no common witnesses"));
        }
        let (bytes, tiles) = (state.tree.bytes(), state.tree.tiles());
        operation.before(bytes, tiles, |operation| {
            operation.executor.check()?;
            hash_edits(&state, operation)?;
            hash_edits(&others, operation)
        })?;
        let mut tracker = operation.tracker(bytes, tiles);
        let mut list = RangeList::default();
        state.tree.compare(&others.tree, scheme.digests(), |part| {
            let (bytes, tiles) = match part {
                Compared::Same((bytes, tiles)) => {
                    list.at += bytes;
                    (bytes, tiles)
                }
                Compared::Apart((bytes, tiles)) => {
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
    rehash::witnesses(&state.context, &state.tree.unhashed()?, operation, 0, false)
}

/// Ranges in the making.
#[derive(Default)]
struct RangeList {
    ranges: Vec<AtlasBoundaryRegion>,
    /// Offset of the part that is compared.
    at: u64,
}

impl RangeList {
    /// Adds bytes, counted from the start of the part.
    fn push(&mut self, range: Range<u64>) -> Result<()> {
        let (start, length) = (self.at + range.start, range.end - range.start);
        match self.ranges.last_mut() {
            Some(last) if last.end() == start => last.length += length,
            _ => {
                try_grow(&mut self.ranges, 1)?;
                self.ranges.push(AtlasBoundaryRegion::new(start, length));
            }
        }
        Ok(())
    }

    /// Adds what differs of two tiles that begin at one place.
    fn push_tile(&mut self, own: &Tile, other: &Tile) -> Result<()> {
        let (len, other_len) = (own.len(), other.len());
        let (Some(values), Some(other_values)) = (chaining_values(own), chaining_values(other)) else {
            return self.push(0..to_u64(len));
        };
        for (group, value) in values.iter().enumerate() {
            let range = group_range(group, len);
            // A group's value says where in its tile it lies, and not how long that is.
            let same = other_values.get(group) == Some(value) && group_range(group, other_len) == range;
            if !same {
                self.push(to_u64(range.start)..to_u64(range.end))?;
            }
        }
        Ok(())
    }
}
