//! The sizes of pages, groups and tiles, and the numbers that count them.

use std::fmt;
use std::ops::{Add, Sub};

/// Size of an Atlas page, the unit of the linear coordinate Φ(page, offset) = page·256 + offset.
pub const ATLAS_PAGE_SIZE: usize = 256;
/// Size of a page, the unit of partial verification.
pub const PAGE_SIZE: usize = 16 * ATLAS_PAGE_SIZE;
/// Size of a group, the unit in which a tile keeps residues and chaining values.
pub(crate) const GROUP_SIZE: usize = 4 * PAGE_SIZE;
/// Size of a full tile, the unit of work, storage and witness.
pub const TILE_SIZE: usize = 256 * PAGE_SIZE;

/// Number of groups in a full tile.
pub(crate) const GROUPS: usize = TILE_SIZE / GROUP_SIZE;
/// Number of pages in a group.
pub(crate) const GROUP_PAGES: usize = GROUP_SIZE / PAGE_SIZE;

/// [`TILE_SIZE`] as a domain coordinate.
pub(crate) const TILE_BYTES: u64 = TILE_SIZE as u64;
/// [`PAGE_SIZE`] as a domain coordinate.
pub(crate) const PAGE_BYTES: u64 = PAGE_SIZE as u64;

/// Number of a tile in its projection, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct TileIndex(pub(crate) u64);

/// Offset of a byte in the domain, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct ByteOffset(pub(crate) u64);

impl fmt::Display for TileIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Add<u64> for ByteOffset {
    type Output = ByteOffset;

    fn add(self, bytes: u64) -> ByteOffset {
        ByteOffset(self.0 + bytes)
    }
}

impl Sub for ByteOffset {
    type Output = u64;

    /// Returns the number of bytes from the offset `earlier` to this offset.
    fn sub(self, earlier: ByteOffset) -> u64 {
        self.0 - earlier.0
    }
}

/// Converts a length in memory to a domain coordinate. No platform of Rust has a wider `usize`.
pub(crate) fn to_u64(len: usize) -> u64 {
    len as u64
}

/// Converts a domain coordinate or length that is known to fit memory or a tile.
///
/// Lengths of tiles and of allocated buffers fit `usize` by construction; a length from outside goes
/// through `usize::try_from` and a status instead.
#[expect(clippy::cast_possible_truncation, reason = "callers pass lengths of tiles and of allocated memory")]
pub(crate) fn to_usize(len: u64) -> usize {
    debug_assert!(usize::try_from(len).is_ok());
    len as usize
}
