//! Pieces: parts of extents (ranges of sources), which edits cut, and join to new tiles.

#![forbid(unsafe_code)]

use super::extent::Extent;
use super::rehash::CheckedReader;
use crate::base::buffer::{try_collect, try_push, try_vec};
use crate::base::error::Result;
use crate::layer2::Residue;
use std::sync::Arc;

/// A part of an extent (a range of a source), with the residue of its bytes.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(super) extent: Arc<Extent>,
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) residue: Residue,
}

impl Piece {
    /// Returns the piece that consists of all bytes of `extent`.
    pub(crate) fn whole(extent: Extent) -> Piece {
        let (len, residue) = (extent.len, extent.residue());
        Piece { extent: Arc::new(extent), start: 0, len, residue }
    }

    pub(crate) fn extent(&self) -> &Arc<Extent> {
        &self.extent
    }

    /// Returns the offset of the piece's first byte in its extent.
    pub(crate) fn start(&self) -> usize {
        self.start as usize
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn residue(&self) -> Residue {
        self.residue
    }

    pub(crate) fn into_extent(self) -> Arc<Extent> {
        self.extent
    }

    pub(super) fn is(&self, other: &Piece) -> bool {
        Arc::ptr_eq(&self.extent, &other.extent) && (self.start, self.len) == (other.start, other.len)
    }

    /// Returns the first `at` bytes of the piece and the rest as two pieces; 0 < `at` < len. `reader` reads and
    /// checks a group that is cut, to sum its parts.
    fn cut(&self, at: usize, reader: &mut CheckedReader<'_>) -> Result<(Piece, Piece)> {
        // Start, middle and end are offsets in the extent.
        let (start, middle, end) = (self.start(), self.start() + at, self.start() + self.len());
        let extent = &self.extent;
        // The residue of one side gives the other: compute the side that reads fewer groups.
        let left = if extent.groups_read(&(start..middle)) <= extent.groups_read(&(middle..end)) {
            extent.residue_of(&(start..middle), reader)?
        } else {
            self.residue - extent.residue_of(&(middle..end), reader)?
        };
        // The cut lies inside the piece, whose length has 32 bits.
        let at = u32::try_from(at).unwrap_or(self.len);
        let part = |start, len, residue| Piece { extent: Arc::clone(extent), start, len, residue };
        Ok((part(self.start, at, left), part(self.start + at, self.len - at, self.residue - left)))
    }

    /// Extends the piece by `next`, if `next` continues it in the same extent. Returns true if it was extended.
    pub(super) fn extend(&mut self, next: &Piece) -> bool {
        // The pieces must also be adjacent in the extent, because neighbours in a tile may lie anywhere in
        // the extent.
        let follows = Arc::ptr_eq(&self.extent, &next.extent) && self.start + self.len == next.start;
        if follows {
            self.len += next.len;
            self.residue = self.residue + next.residue;
        }
        follows
    }
}

/// Returns the pieces of the first `at` bytes of `pieces`, and the pieces of the rest. A piece that contains the
/// cut becomes two.
pub(crate) fn cut_pieces(
    pieces: &[Piece],
    at: usize,
    reader: &mut CheckedReader<'_>,
) -> Result<(Vec<Piece>, Vec<Piece>)> {
    let mut before = 0;
    for (index, piece) in pieces.iter().enumerate() {
        // A cut between two pieces reads nothing.
        if at <= before {
            return Ok((try_copy(&pieces[..index])?, try_copy(&pieces[index..])?));
        }
        // A cut inside a piece needs the sums of both sides, and may read a group for them.
        if at < before + piece.len() {
            let (left, right) = piece.cut(at - before, reader)?;
            // Only the piece at the cut is replaced by a new piece; all other pieces are shared.
            let mut lefts = try_vec(index + 2)?;
            lefts.extend_from_slice(&pieces[..index]);
            lefts.push(left);
            let mut rights = try_vec(pieces.len() - index + 1)?;
            rights.push(right);
            rights.extend_from_slice(&pieces[index + 1..]);
            return Ok((lefts, rights));
        }
        before += piece.len();
    }
    // A cut at the end leaves nothing to its right.
    Ok((try_copy(pieces)?, Vec::new()))
}

/// Returns a copy of the list of pieces.
fn try_copy(pieces: &[Piece]) -> Result<Vec<Piece>> {
    try_collect(pieces.iter().cloned())
}

/// Removes the pieces from `index` on, and returns them.
fn split_off(pieces: &mut Vec<Piece>, index: usize) -> Result<Vec<Piece>> {
    let mut rest = try_vec(pieces.len() - index)?;
    rest.extend(pieces.drain(index..));
    Ok(rest)
}

/// Cuts like [`cut_pieces`], but consumes `pieces` instead of copying them.
pub(crate) fn cut_off(
    mut pieces: Vec<Piece>,
    at: usize,
    reader: &mut CheckedReader<'_>,
) -> Result<(Vec<Piece>, Vec<Piece>)> {
    let mut before = 0;
    // The walk of `cut_pieces`, with pieces that are moved instead of shared.
    for index in 0..pieces.len() {
        if at <= before {
            let rest = split_off(&mut pieces, index)?;
            return Ok((pieces, rest));
        }
        let len = pieces[index].len();
        if at < before + len {
            let (left, right) = pieces[index].cut(at - before, reader)?;
            // The remaining list begins with the piece that was cut; the right side of this piece replaces
            // it.
            let mut rest = split_off(&mut pieces, index)?;
            rest[0] = right;
            try_push(&mut pieces, left)?;
            return Ok((pieces, rest));
        }
        before += len;
    }
    Ok((pieces, Vec::new()))
}
