//! Search for the ranges of a tile whose bytes differ from the bytes that the tile's witness commits to.
//!
//! First the whole tile is summed and hashed, as in a projection. Only a tile that fails this check is examined
//! again, in groups of 16 KiB if its container file keeps their chaining values.

#![forbid(unsafe_code)]

use crate::base::buffer::try_grow;
use crate::base::damage::{DamageKind, kind_of};
use crate::base::error::{AtlasError, Result};
use crate::base::units::GROUP_SIZE;
use crate::hash::digest::{Digest, same};
use crate::hash::outboard::group_value;
use crate::layer2::Residue;
use crate::tile::Tile;
use crate::tile::one_tile::Scratch;
use crate::tile::scheme::{Scheme, Workspace};
use std::ops::Range;

/// A range of a tile that is damaged: its bytes differ from the projected bytes, are missing or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Range of the bytes in the tile.
    pub(crate) range: Range<usize>,
    pub(crate) kind: DamageKind,
    pub(crate) os_error: i32,
}

/// Result of the inspection of one tile.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Damaged ranges of the tile, ascending. Adjacent faults of one kind are merged.
    pub(crate) faults: Vec<Fault>,
    /// True if the bytes match the tile's witness, and the recorded residue is wrong.
    pub(crate) sum_differs: bool,
}

/// Returns the chaining values of the 16 KiB groups of a tile, if the tile is stored in a container file that has
/// them.
pub(crate) fn chaining_values(tile: &Tile) -> Option<&[Digest]> {
    let spans = tile.whole()?.stored_tile()?.spans().ok()?;
    Some(&*spans.chaining_values).filter(|values| !values.is_empty())
}

/// Returns the byte range of the 16 KiB group `group` in a tile of `len` bytes.
pub(crate) fn group_range(group: usize, len: usize) -> Range<usize> {
    group * GROUP_SIZE..((group + 1) * GROUP_SIZE).min(len)
}

/// Finds the damaged ranges of tiles, one tile after the other, with reused buffers.
pub(crate) struct Inspector<'c> {
    scheme: &'c Scheme,
    workspace: Workspace,
    scratch: Scratch,
}

/// Function that fills a buffer with the bytes of a tile, from an offset in the tile on.
pub(crate) type ReadTile<'r> = dyn Fn(usize, &mut [u8]) -> Result<()> + 'r;

impl<'c> Inspector<'c> {
    pub(crate) fn new(scheme: &'c Scheme) -> Inspector<'c> {
        Inspector { scheme, workspace: Workspace::default(), scratch: Scratch::default() }
    }

    /// Returns true if a tile has the witness and the residue of a tile of zeros.
    pub(crate) fn is_of_zeros(&mut self, tile: &Tile) -> Result<bool> {
        let zeros = self.scheme.witness_of_zeros(tile.len(), &mut self.workspace)?;
        // The residue counts too: a damaged tree may claim another sum for the bytes.
        Ok(tile.residue() == Residue::ZERO && tile.witness().is_some_and(|witness| same(witness, &zeros)))
    }

    /// Compares the bytes of a tile with its witness, which must be known, and returns the damaged ranges.
    /// `in_place` has all bytes of the tile if they are in memory; else `read` reads them.
    ///
    /// Fails only for reasons other than damage, for example with OUT_OF_MEMORY.
    pub(crate) fn inspect(
        &mut self,
        tile: &Tile,
        in_place: Option<&[u8]>,
        read: &ReadTile<'_>,
    ) -> Result<Verdict> {
        let len = tile.len();
        let witness = tile.witness().ok_or_else(|| {
            AtlasError::internal("a defect of the library, please report it: a tile has no witness")
        })?;
        // Read the tile, unless it is in memory.
        let scratch = match in_place {
            Some(_) => &mut [],
            None => self.scratch.bytes(len)?,
        };
        let whole = match in_place {
            Some(bytes) => Ok(bytes),
            None => read(0, scratch).map(|()| &*scratch),
        };
        let mut verdict = Verdict::default();
        // The usual case: the witness is right.
        let failed = match whole {
            Ok(bytes) => {
                let (residues, found) = self.scheme.sum_and_witness(bytes, &mut self.workspace)?;
                if same(&found, witness) {
                    // The bytes are right: a wrong sum is reported, but is no damage of the file.
                    verdict.sum_differs = residues.total() != tile.residue();
                    return Ok(verdict);
                }
                None
            }
            Err(error) => Some(error),
        };
        // The fault of the whole tile. Errors that do not mean damage end the call.
        let (kind, os_error) = match &failed {
            None => (DamageKind::Differs, 0),
            Some(error) => match kind_of(error) {
                Some(kind) => (kind, error.os_error()),
                None => return Err(error.clone()),
            },
        };
        let all = Fault { range: 0..len, kind, os_error };
        // Without chaining values, the whole tile is damaged.
        let Some(values) = chaining_values(tile) else {
            verdict.faults.push(all);
            return Ok(verdict);
        };
        // Check group by group. If the read of the whole tile failed, each group is read again.
        for (group, value) in values.iter().enumerate() {
            let range = group_range(group, len);
            let found = match (in_place, &failed) {
                (Some(bytes), _) => Ok(group_value(self.scheme.digests(), group, &bytes[range.clone()])),
                (None, read_before) => {
                    let bytes = &mut self.scratch.bytes(len)?[range.clone()];
                    // A read that failed left nothing in the buffer, so that each group is read by itself.
                    let again = if read_before.is_some() { read(range.start, bytes) } else { Ok(()) };
                    again.map(|()| group_value(self.scheme.digests(), group, bytes))
                }
            };
            let (kind, os_error) = match found {
                Ok(found) if same(&found, value) => continue,
                Ok(_) => (DamageKind::Differs, 0),
                Err(error) => match kind_of(&error) {
                    Some(kind) => (kind, error.os_error()),
                    None => return Err(error),
                },
            };
            // Neighbours of one kind are one fault.
            match verdict.faults.last_mut() {
                Some(last)
                    if last.range.end == range.start && (last.kind, last.os_error) == (kind, os_error) =>
                {
                    last.range.end = range.end;
                }
                _ => {
                    try_grow(&mut verdict.faults, 1)?;
                    verdict.faults.push(Fault { range, kind, os_error });
                }
            }
        }
        // All groups are right: the bytes of a mapping changed, and changed back in between.
        if verdict.faults.is_empty() && failed.is_none() {
            verdict.faults.push(all);
        }
        Ok(verdict)
    }
}
