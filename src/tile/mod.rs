//! Tiles and their parts.
//!
//! An extent is a range of up to 1 MiB of a source, with the residues of its groups of 16 KiB and its witness at
//! the time of its projection. The new bytes of an edit are an extent of library memory, which cannot change and
//! has no witness. A piece is a part of an extent. A tile is one or more pieces, 1 byte to 1 MiB together, with
//! their residue; a fresh tile is one whole extent.

#![forbid(unsafe_code)]

pub(crate) mod check;
pub(crate) mod context;
pub(crate) mod extent;
pub(crate) mod hash_tiles;
pub(crate) mod inspect;
pub(crate) mod offload;
pub(crate) mod one_tile;
pub(crate) mod options;
pub(crate) mod outboards;
pub(crate) mod piece;
pub(crate) mod rehash;
pub(crate) mod scheme;
pub(crate) mod stored;
pub(crate) mod tree;

use crate::base::buffer::{try_boxed, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, to_u64};
use crate::hash::digest::Digest;
use crate::hash::outboard::Outboard;
use crate::layer2::Residue;
use extent::{Extent, Trust, tile_len};
use piece::{Piece, cut_pieces};
use rehash::CheckedReader;
use std::sync::{Arc, Mutex, OnceLock};
use stored::{CommitId, TileEntry};

enum TilePieces {
    One(Piece),
    Many(Box<[Piece]>),
}

/// An outboard (chaining values of the 16 KiB groups of a tile) that a tile keeps: its own, or that of another tile
/// with which it shares some groups.
#[derive(Clone)]
struct KeptOutboard {
    outboard: Arc<Outboard>,
    /// Bit set of the groups that the tile shares with the tile to which the outboard belongs. `None` means that
    /// the outboard is the tile's own.
    common: Option<u64>,
    /// True once the outboard counts against the limit of the cache in `tile::outboards`.
    counted: bool,
}

/// 1 byte to 1 MiB of the domain, with the residue and, once it was requested, the witness of these bytes.
pub(crate) struct Tile {
    pieces: TilePieces,
    len: u32,
    residue: Residue,
    witness: OnceLock<Digest>,
    kept: Mutex<Kept>,
}

/// Cached properties of a tile: its outboard, and its entry in a container file.
#[derive(Default)]
struct Kept {
    /// Chaining values of the groups of an edited tile. Kept on demand and dropped again, see `tile::outboards`.
    outboard: Option<KeptOutboard>,
    /// Entry of the tile in the newest container file and generation to which it was written. `None` means not
    /// written yet.
    written: Option<Box<WrittenTile>>,
}

/// Entry of a tile in a container file, and the commit that wrote it there.
#[derive(Clone)]
pub(crate) struct WrittenTile {
    pub(crate) commit: Arc<CommitId>,
    pub(crate) entry: TileEntry,
}

impl Tile {
    /// Returns the tile that consists of all bytes of `extent`. Its witness is known if the extent was hashed.
    pub(crate) fn whole_of(extent: Extent) -> Tile {
        let witness = extent.witness().map_or_else(OnceLock::new, OnceLock::from);
        let piece = Piece::whole(extent);
        Tile {
            len: piece.len,
            residue: piece.residue,
            pieces: TilePieces::One(piece),
            witness,
            kept: Mutex::default(),
        }
    }

    /// Returns a tile of these pieces (parts of extents) in this order. Fails with INTERNAL unless they have 1 byte
    /// to 1 MiB together.
    pub(crate) fn of_pieces(pieces: Vec<Piece>) -> Result<Tile> {
        // Neighbours in the same extent become a single piece again, so that repeated cuts leave no trace.
        let mut joined: Vec<Piece> = try_vec(pieces.len())?;
        for piece in pieces {
            if !joined.last_mut().is_some_and(|last| last.extend(&piece)) {
                joined.push(piece);
            }
        }
        let len = tile_len(joined.iter().map(Piece::len).sum())?;
        let residue = joined.iter().map(Piece::residue).sum();
        // Most tiles have a single piece, which needs no list of its own.
        let pieces = match <[Piece; 1]>::try_from(joined) {
            Ok([piece]) => TilePieces::One(piece),
            Err(pieces) => TilePieces::Many(try_boxed(pieces)?),
        };
        let tile = Tile { pieces, len, residue, witness: OnceLock::new(), kept: Mutex::default() };
        if let Some(witness) = tile.whole().and_then(|extent| extent.witness()) {
            // The witness depends on the bytes of the tile alone, so that it is known.
            tile.set_witness(witness);
        }
        Ok(tile)
    }

    /// Returns the extent (range of a source), if the tile consists of exactly one whole extent.
    pub(crate) fn whole(&self) -> Option<&Arc<Extent>> {
        match &self.pieces {
            TilePieces::One(piece) if piece.start == 0 && piece.len == piece.extent.len => {
                Some(&piece.extent)
            }
            _ => None,
        }
    }

    /// Returns the tile's entry in the container file that has it, if the tile was loaded from there and not edited.
    pub(crate) fn stored(&self) -> Option<&TileEntry> {
        self.whole().and_then(|extent| extent.stored_tile()).map(|stored| &stored.entry)
    }

    /// Returns the tile's entry in the container file to which it was written last, with the commit that wrote it.
    pub(crate) fn written(&self) -> Option<WrittenTile> {
        lock(&self.kept).written.as_deref().cloned()
    }

    /// Remembers the tile's entry in a container file to which it was just written.
    pub(crate) fn set_written(&self, written: WrittenTile) {
        // The previous entry is dropped after the lock is released.
        let before = lock(&self.kept).written.replace(Box::new(written));
        drop(before);
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn residue(&self) -> Residue {
        self.residue
    }

    /// Returns the witness if it is known.
    pub(crate) fn witness(&self) -> Option<&Digest> {
        self.witness.get()
    }

    /// Sets the witness if there is none yet, and returns it. All witnesses of a tile are equal.
    pub(crate) fn set_witness(&self, witness: Digest) -> Digest {
        *self.witness.get_or_init(|| witness)
    }

    /// Returns the name of the source of the tile's bytes. If there are several sources, prefers one that can
    /// change.
    pub(crate) fn source_name(&self) -> String {
        // Library memory cannot change, so that another extent explains a fault better.
        let extents = || self.pieces().iter().map(Piece::extent);
        let named = extents().find(|extent| extent.trust() != Trust::Memory).or_else(|| extents().next());
        named.map_or_else(String::new, |extent| extent.source.name())
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        match &self.pieces {
            TilePieces::One(piece) => std::slice::from_ref(piece),
            TilePieces::Many(pieces) => pieces,
        }
    }

    pub(crate) fn into_pieces(self) -> (Option<Piece>, Vec<Piece>) {
        match self.pieces {
            TilePieces::One(piece) => (Some(piece), Vec::new()),
            TilePieces::Many(pieces) => (None, pieces.into_vec()),
        }
    }

    /// Returns true if both tiles consist of the same parts of the same extents. Bytes are not compared.
    pub(crate) fn is(&self, other: &Tile) -> bool {
        // Extents and places are compared, and no bytes.
        let (left, right) = (self.pieces(), other.pieces());
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.is(right))
    }

    /// Fills `out` with the tile's bytes from `start` on, as the sources hold them now.
    pub(crate) fn read_raw(&self, start: usize, mut out: OutBytes<'_>) -> Result<()> {
        // `skip` counts the bytes between this piece and the start of the read.
        let mut skip = start;
        for piece in self.pieces() {
            let len = piece.len as usize;
            if skip >= len {
                skip -= len;
                continue;
            }
            let take = out.len().min(len - skip);
            // Less than a piece's length, which is 32 bits.
            let within = piece.start + u32::try_from(skip).unwrap_or(u32::MAX);
            piece.extent.read_raw(within, out.split_off_front(take))?;
            skip = 0;
            if out.is_empty() {
                break;
            }
        }
        if out.is_empty() {
            Ok(())
        } else {
            Err(AtlasError::internal(
                "a defect of the library, please report it: a read ends after the end of its tile",
            ))
        }
    }

    /// Fills `out`, which is initialised memory, like [`read_raw`](Self::read_raw).
    pub(crate) fn read(&self, start: usize, out: &mut [u8]) -> Result<()> {
        self.read_raw(start, OutBytes::new(out))
    }

    /// Returns the bytes of the tile without a copy, if they are in memory, in one piece.
    pub(crate) fn slice(&self) -> Option<&[u8]> {
        match &self.pieces {
            TilePieces::One(piece) => {
                piece.extent.source.slice(piece.extent.offset + u64::from(piece.start), self.len())
            }
            // Neighbours in the tile are rarely neighbours in memory.
            TilePieces::Many(_) => None,
        }
    }

    /// Returns the first `at` bytes of the tile and the rest as two tiles; 0 < `at` < len. `reader` reads and
    /// checks the group that is cut, to sum its parts.
    pub(crate) fn split(&self, at: usize, reader: &mut CheckedReader<'_>) -> Result<(Tile, Tile)> {
        let (left, right) = cut_pieces(self.pieces(), at, reader)?;
        let (left, right) = (Tile::of_pieces(left)?, Tile::of_pieces(right)?);
        // Groups of the left part keep their position, on which their chaining values depend. The groups of
        // the right part move.
        left.inherit(self, groups_below(at));
        Ok((left, right))
    }

    /// Returns the chaining values of all groups of the tile, if they are cached or stored in a container file.
    pub(crate) fn outboard(&self) -> Option<Arc<Outboard>> {
        // The outboard of a whole extent lies in the extent, where all tiles made of it find it.
        if let Some(extent) = self.whole()
            && let Some(outboard) = extent.outboard()
        {
            return Some(outboard);
        }
        let kept = lock(&self.kept);
        // An inherited outboard is right for a part of the groups only.
        kept.outboard.as_ref().filter(|kept| kept.common.is_none()).map(|kept| Arc::clone(&kept.outboard))
    }

    /// Keeps `outboard`, the chaining values of the tile's own groups, unless the tile has its own already and
    /// `outboard` adds no residues to it. The caller must call [`count`](Self::count) next.
    pub(crate) fn set_outboard(&self, outboard: Arc<Outboard>) {
        let before = {
            let mut kept = lock(&self.kept);
            // An outboard with the residues of its groups is never replaced by an outboard without them.
            let counted = match &kept.outboard {
                Some(old)
                    if old.common.is_none()
                        && (old.outboard.residues().is_some() || outboard.residues().is_none()) =>
                {
                    return;
                }
                old => old.as_ref().is_some_and(|old| old.counted),
            };
            // The cache counts tiles and not outboards: a tile that was counted stays counted.
            kept.outboard.replace(KeptOutboard { outboard, common: None, counted })
        };
        drop(before);
    }

    /// Marks the outboard that the tile keeps as counted by the cache. Returns true if it was not counted before,
    /// and false also if there is none.
    pub(crate) fn count(&self) -> bool {
        lock(&self.kept).outboard.as_mut().is_some_and(|kept| !std::mem::replace(&mut kept.counted, true))
    }

    pub(crate) fn drop_outboard(&self) {
        // The outboard is dropped after the lock is released.
        let kept = lock(&self.kept).outboard.take();
        drop(kept);
    }

    /// Returns the outboard of another tile that this tile inherited, and the bit set of the groups that both tiles
    /// share. `None` if it has none or its own.
    pub(crate) fn common_groups(&self) -> Option<(Arc<Outboard>, u64)> {
        // The outboard is shared, so that the lock is released before the caller reads it.
        let kept = lock(&self.kept).outboard.clone()?;
        Some((kept.outboard, kept.common?))
    }

    /// Takes over the outboard that `from` keeps, for the groups in the bit set `groups`, whose bytes are the same
    /// in both tiles. No effect if that outboard does not have the residues of its groups.
    pub(crate) fn inherit(&self, from: &Tile, groups: u64) {
        // Cloned first, so that the locks of two tiles are never held together.
        let Some(kept) = lock(&from.kept).outboard.clone() else { return };
        // A tile of a single group has no chaining values to inherit.
        let known = kept.common.unwrap_or(if from.len() > GROUP_SIZE { u64::MAX } else { 0 });
        let common = known & groups;
        if common != 0 && kept.outboard.residues().is_some() && self.len() > GROUP_SIZE {
            lock(&self.kept).outboard =
                Some(KeptOutboard { outboard: kept.outboard, common: Some(common), counted: false });
        }
    }
}

/// Returns the bit set of the 16 KiB groups of a tile that end at or before byte `len`.
pub(crate) fn groups_below(len: usize) -> u64 {
    // A full tile has 64 groups, and a shift by 64 would overflow.
    match u32::try_from(len / GROUP_SIZE) {
        Ok(groups @ 0..64) => (1 << groups) - 1,
        _ => u64::MAX,
    }
}

impl std::fmt::Debug for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tile({} bytes, {} pieces)", self.len, self.pieces().len())
    }
}

/// Returns the number of bytes that a tile of `pieces` pieces takes in memory after a division of the domain into
/// full tiles, including its place in the tree.
pub(crate) fn retiled_footprint(pieces: usize) -> u64 {
    to_u64(size_of::<Tile>() + 4 * size_of::<usize>() + 16 + pieces * size_of::<Piece>())
}

/// Returns the memory of a tile's place in a list of tiles and in the nodes of a tree.
pub(crate) fn tree_footprint() -> u64 {
    // A node has pointers to its children, and their numbers of bytes and tiles.
    to_u64(12 * size_of::<usize>())
}

/// Returns the size of the memory that a fresh tile uses besides its bytes, including its place in the tree.
pub(crate) fn fresh_footprint() -> u64 {
    // Two allocations with two counters each, and the overhead of the allocator and the tree.
    to_u64(
        size_of::<Tile>() + size_of::<Extent>() + 2 * (2 * size_of::<usize>() + 16) + 2 * size_of::<usize>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 + i / 257) as u8).collect()
    }

    #[test]
    fn the_residue_of_every_part_is_that_of_its_bytes() {
        for len in [1, 16_384, 16_385, 50_000] {
            let data = bytes(len);
            let extent = Extent::in_memory(Source::from_vec(data.clone()), 0, &data).unwrap();
            let extent = Arc::new(extent);
            let marks: Vec<usize> = [0, 1, 100, 16_383, 16_384, 16_385, 32_768, 40_000, len - 1, len]
                .into_iter()
                .filter(|mark| *mark <= len)
                .collect();
            for &start in &marks {
                for &end in marks.iter().filter(|end| **end >= start) {
                    let part = extent.residue_of(&(start..end), &mut CheckedReader::of_linear()).unwrap();
                    assert_eq!(part, Residue::of(&data[start..end]), "{start}..{end} of {len}");
                }
            }
        }
    }

    #[test]
    fn splitting_again_and_again_keeps_the_bytes() {
        let data = bytes(60_000);
        let extent = Extent::in_memory(Source::from_vec(data.clone()), 0, &data).unwrap();
        let mut tiles = vec![(0, Tile::whole_of(extent))];
        for at in [1, 30_000, 16_384, 59_999, 2, 30_001] {
            let index =
                tiles.iter().position(|(start, tile)| *start < at && at < start + tile.len()).unwrap();
            let (start, tile) = tiles.remove(index);
            let (left, right) = tile.split(at - start, &mut CheckedReader::of_linear()).unwrap();
            tiles.insert(index, (at, right));
            tiles.insert(index, (start, left));
        }
        for (start, tile) in &tiles {
            let mut out = vec![0; tile.len()];
            tile.read(0, &mut out).unwrap();
            assert_eq!(out, data[*start..][..tile.len()]);
            assert_eq!(tile.residue(), Residue::of(&out));
            assert!(tile.witness().is_none());
        }
    }
}
