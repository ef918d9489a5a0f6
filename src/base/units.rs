//! The sizes everything is cut into, and newtype-free arithmetic on them.

/// Bytes of an Atlas page, the unit of the linear coordinate Φ(page, offset) = page·256 + offset.
pub const ATLAS_PAGE_SIZE: usize = 256;
/// Bytes of a page, the unit of partial verification.
pub const PAGE_SIZE: usize = 16 * ATLAS_PAGE_SIZE;
/// Bytes of a group, the unit in which a tile keeps residues and chaining values.
pub(crate) const GROUP_SIZE: usize = 4 * PAGE_SIZE;
/// Bytes of a full tile, the unit of work, storage and witness.
pub const TILE_SIZE: usize = 256 * PAGE_SIZE;

/// Groups in a full tile.
pub(crate) const GROUPS: usize = TILE_SIZE / GROUP_SIZE;
/// Pages in a group.
pub(crate) const GROUP_PAGES: usize = GROUP_SIZE / PAGE_SIZE;

/// [`TILE_SIZE`] where a domain coordinate is meant.
pub(crate) const TILE_BYTES: u64 = TILE_SIZE as u64;
/// [`PAGE_SIZE`] where a domain coordinate is meant.
pub(crate) const PAGE_BYTES: u64 = PAGE_SIZE as u64;

/// A length inside memory as a coordinate. No platform that Rust runs on has a wider `usize`.
pub(crate) fn to_u64(len: usize) -> u64 {
    len as u64
}

/// A coordinate that is known to lie inside memory or a tile.
///
/// Lengths of tiles and of allocated buffers fit `usize` by construction; a length from outside
/// goes through `usize::try_from` and a status instead.
#[expect(clippy::cast_possible_truncation, reason = "callers pass lengths of tiles and of memory at hand")]
pub(crate) fn to_usize(len: u64) -> usize {
    debug_assert!(usize::try_from(len).is_ok());
    len as usize
}
