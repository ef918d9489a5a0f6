//! One change of a domain, and its application to a tile tree.

use crate::base::error::{AtlasError, Result, check_range};
use crate::base::units::ByteOffset;
use crate::incremental::new_bytes::NewBytes;
use crate::layer2::Residue;
use crate::projection::history::IncrementalStats;
use crate::tile::rehash::CheckedReader;
use crate::tile::tree::Tree;
use std::ops::Range;

/// One change of a domain: insert, update, delete or move.
///
/// ```
/// use atlas_manifold::{AtlasProjection, ProjectionDelta, Source};
///
/// let projection = AtlasProjection::linear(&Source::copy(b"abcdef")?)?;
/// projection.apply_incremental_update(ProjectionDelta::update(0, 2, b"X"))?; // "Xcdef"
/// projection.apply_incremental_update(ProjectionDelta::delete(3, 5))?; // "Xcd"
/// projection.apply_incremental_update(ProjectionDelta::move_range(0, 1, 3))?; // "cdX"
/// let mut bytes = [0; 3];
/// projection.read(0, &mut bytes)?;
/// assert_eq!(&bytes, b"cdX");
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProjectionDelta {
    change: Change,
    start: u64,
    end: u64,
    data: NewBytes,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Insert,
    Update,
    Delete,
    Move { to: u64 },
}

impl ProjectionDelta {
    /// Inserts `data` before the byte at `offset`. If `offset` is the size of the domain, `data` is appended.
    pub fn insert(offset: u64, data: impl Into<Vec<u8>>) -> Self {
        Self::insert_data(offset, NewBytes::from_vec(data.into()))
    }

    /// Replaces `start..end` by `data`, which may have another size. If the size is the same, no tile edge moves.
    pub fn update(start: u64, end: u64, data: impl Into<Vec<u8>>) -> Self {
        Self::update_data(start, end, NewBytes::from_vec(data.into()))
    }

    /// Removes `start..end`.
    pub fn delete(start: u64, end: u64) -> Self {
        ProjectionDelta { change: Change::Delete, start, end, data: NewBytes::from_vec(Vec::new()) }
    }

    /// Moves `start..end` before the byte that is at `destination` before the move. If `destination` is the
    /// size of the domain, the range moves to the end. A `destination` of `start` or `end` changes nothing.
    pub fn move_range(start: u64, end: u64, destination: u64) -> Self {
        let change = Change::Move { to: destination };
        ProjectionDelta { change, start, end, data: NewBytes::from_vec(Vec::new()) }
    }

    pub(crate) fn insert_data(offset: u64, data: NewBytes) -> Self {
        ProjectionDelta { change: Change::Insert, start: offset, end: offset, data }
    }

    pub(crate) fn update_data(start: u64, end: u64, data: NewBytes) -> Self {
        ProjectionDelta { change: Change::Update, start, end, data }
    }

    /// Returns the number of bytes of `data` that the delta inserts or writes.
    pub(super) fn data_size(&self) -> u64 {
        self.data.size()
    }

    /// Adds this delta to the counts in `stats`.
    pub(super) fn count(&self, stats: &mut IncrementalStats) {
        stats.total_updates += 1;
        let kind = match self.change {
            Change::Insert => &mut stats.insert_operations,
            Change::Update => &mut stats.update_operations,
            Change::Delete => &mut stats.delete_operations,
            Change::Move { .. } => &mut stats.move_operations,
        };
        *kind += 1;
        // An update counts the longer of the old and the new bytes.
        let bytes = self.data.size().max(self.end.saturating_sub(self.start));
        stats.bytes_modified = stats.bytes_modified.saturating_add(bytes);
    }

    /// Returns a tree of the domain of `tree` after this delta. With `validate`, fails with CONSERVATION if the new
    /// sum mod 96 does not follow from the old sum and the change.
    pub(super) fn applied(self, tree: &Tree, validate: bool, reader: &mut CheckedReader<'_>) -> Result<Tree> {
        let range = self.checked_range(tree.bytes())?;
        let (start, data) = (ByteOffset(range.start), self.data.chunked()?);
        // Apply the change. `came` and `went` are the sums of the added and removed bytes.
        let (next, came, went) = match self.change {
            // A range that stays in its place, or is empty, changes nothing.
            Change::Move { to } if to == range.start || to == range.end || range.is_empty() => {
                return Ok(tree.clone());
            }
            // A move adds and removes nothing.
            Change::Move { to } => (tree.moved(&range, to, reader)?, Residue::ZERO, Residue::ZERO),
            _ if range.is_empty() && data.size() == 0 => return Ok(tree.clone()),
            // A replacement of the same size moves no tile edge. The change of the residue is computed from
            // the old bytes.
            _ if range.end - range.start == data.size() => {
                let next = tree.overwritten(start, &data, reader)?;
                // Without validation the old bytes are not read.
                if !validate {
                    return Ok(next);
                }
                (next, tree.delta(start, &data, reader)?, Residue::ZERO)
            }
            _ => {
                let (next, went) = tree.spliced(&range, &data, reader)?;
                (next, data.residue()?, went)
            }
        };
        // The size must be the expected size, for every kind of change.
        let size = tree.bytes() - (range.end - range.start) + data.size();
        // A move keeps the size, although its range is not empty.
        let size = if matches!(self.change, Change::Move { .. }) { tree.bytes() } else { size };
        if next.bytes() != size {
            let bytes = next.bytes();
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: a change gave {bytes} bytes instead of {size}"
            )));
        }
        // Conservation: the new sum follows from the old sum and the change.
        let expected = tree.residue() + came - went;
        if validate && next.residue() != expected {
            return Err(AtlasError::conservation(format!(
                "the domain sums to {} mod 96 after the change instead of {expected}: it was {} before; \
                 verify the projection",
                next.residue(),
                tree.residue()
            )));
        }
        Ok(next)
    }

    fn checked_range(&self, size: u64) -> Result<Range<u64>> {
        let what = match self.change {
            Change::Insert => "insert",
            Change::Update => "update",
            Change::Delete => "delete",
            Change::Move { .. } => "move",
        };
        // Order of the bounds, then the bounds against the domain.
        let Some(length) = self.end.checked_sub(self.start) else {
            let (start, end) = (self.start, self.end);
            return Err(AtlasError::invalid_argument(format!(
                "{what}: the range {start}..{end} ends before it begins"
            )));
        };
        // The range of an insertion is empty, so that its offset is checked with a text of its own.
        if matches!(self.change, Change::Insert) && self.start > size {
            let (start, length) = (self.start, self.data.size());
            return Err(AtlasError::out_of_range(format!(
                "insert of {length} bytes at offset {start}: the offset is outside 0..={size}"
            ))
            .at_range(start, length));
        }
        check_range(self.start, length, size, what)?;
        // The size after the change must fit 64 bits.
        if (size - length).checked_add(self.data.size()).is_none() {
            return Err(AtlasError::out_of_range(format!(
                "{what} of {} bytes into a domain of {size} would exceed the limit of 2^64 - 1 bytes",
                self.data.size()
            )));
        }
        // A move needs a destination outside the moved range.
        if let Change::Move { to } = self.change {
            if to > size {
                return Err(AtlasError::out_of_range(format!(
                    "destination {to} of a move is outside 0..={size}"
                ))
                .at_range(to, length));
            }
            if self.start < to && to < self.end {
                return Err(AtlasError::invalid_argument(format!(
                    "destination {to} of a move is inside {}..{}, which is moved",
                    self.start, self.end
                )));
            }
        }
        Ok(self.start..self.end)
    }
}
