//! Edits of a tile tree: bytes are removed, inserted or overwritten, and a domain is divided into full tiles again.
//!
//! ```text
//! insert        split, join left and data, join with right
//! remove        split, split, join left and right
//! overwrite     new pieces in the existing tiles, whose edges stay
//! ```
//!
//! A join of two trees mends their seam: among the two tiles on either side of it, neighbours that fit into one tile
//! are merged. Two neighbours therefore always exceed 1 MiB together, so that there are at most 2·ceil(size / 1
//! MiB) + 1 tiles.

use super::new_bytes::NewBytes;
use crate::base::buffer::{Buffer, try_collect, try_extend, try_push, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{
    ByteOffset, GROUP_SIZE, GROUPS, TILE_BYTES, TILE_SIZE, TileIndex, to_u64, to_usize,
};
use crate::layer2::Residue;
use crate::source::Source;
use crate::tile::extent::Extent;
use crate::tile::piece::{Piece, cut_off, cut_pieces};
use crate::tile::rehash::CheckedReader;
use crate::tile::tree::Tree;
use crate::tile::{Tile, groups_below, retiled_footprint};
use std::ops::Range;
use std::sync::Arc;

/// Maximum number of pieces (parts of sources) in a window of 16 KiB of a tile; more are copied into one piece.
/// Each piece costs cache misses on the way to its bytes: with a maximum of 8, a million tiny edits made reading
/// 3.6 times slower.
const MAX_PIECES: u8 = 5;

/// Number of tiles on either side of a join that are examined, and merged with neighbours if they fit into one tile.
const SEAM: usize = 2;

impl Tree {
    /// Returns a tree of `data`, the new bytes of an edit, in full tiles and a last tile that may be shorter.
    pub(crate) fn of_data(data: &NewBytes) -> Result<Tree> {
        let mut tiles = try_vec(to_usize(data.size().div_ceil(TILE_BYTES)))?;
        for chunk in data.chunks() {
            let (source, bytes) = chunk?;
            let piece = Piece::whole(Extent::in_memory(source.clone(), 0, bytes)?);
            tiles.push(Arc::new(Tile::of_pieces(try_collect([piece].into_iter())?)?));
        }
        Tree::from_tiles(tiles)
    }

    /// Concatenates like [`concat`](Tree::concat), and merges neighbours at the seam that fit into one tile.
    pub(crate) fn join(left: &Tree, right: &Tree, reader: &mut CheckedReader<'_>) -> Result<Tree> {
        // An empty side is mended too, because the other side may begin or end with a tile that was cut.
        let before = left.iter_from_tile(TileIndex(left.tiles().saturating_sub(to_u64(SEAM))));
        let mut seam: Vec<Arc<Tile>> = try_vec(2 * SEAM)?;
        for at in before {
            try_push(&mut seam, at?.tile)?;
        }
        let len = |tiles: &[Arc<Tile>]| tiles.iter().map(|tile| to_u64(tile.len())).sum::<u64>();
        let len_before = len(&seam);
        for at in right.iter().take(SEAM) {
            try_push(&mut seam, at?.tile)?;
        }
        // After a split the left part may have inherited an outboard, which the cache counts here.
        for tile in &seam {
            reader.outboards().count(tile);
        }
        // If no two neighbours fit into one tile, the seam needs no change.
        let fits = |pair: &[Arc<Tile>]| pair[0].len() + pair[1].len() <= TILE_SIZE;
        if !seam.windows(2).any(fits) {
            return Tree::concat(left, right);
        }
        // Both cuts are at tile edges, and read nothing.
        let (head, _) = left.split(ByteOffset(left.bytes() - len_before), reader)?;
        let (_, tail) = right.split(ByteOffset(len(&seam) - len_before), reader)?;
        let mut tiles: Vec<Arc<Tile>> = try_vec(seam.len())?;
        let mut run: Vec<Arc<Tile>> = try_vec(seam.len())?;
        let mut len = 0;
        // Neighbours are merged from the left as long as they fit a tile.
        for tile in seam {
            if len + tile.len() > TILE_SIZE {
                tiles.extend(merge(&run, reader)?);
                run.clear();
                len = 0;
            }
            len += tile.len();
            run.push(tile);
        }
        tiles.extend(merge(&run, reader)?);
        Tree::concat(&Tree::concat(&head, &Tree::from_tiles(tiles)?)?, &tail)
    }

    /// Returns a tree in which `data` replaces the bytes `range`, and the residue of the replaced bytes.
    pub(crate) fn spliced(
        &self,
        range: &Range<u64>,
        data: &NewBytes,
        reader: &mut CheckedReader<'_>,
    ) -> Result<(Tree, Residue)> {
        let (left, rest) = self.split(ByteOffset(range.start), reader)?;
        // The tree of the removed bytes knows their sum.
        let (gone, right) = rest.split(ByteOffset(range.end - range.start), reader)?;
        let left = Tree::join(&left, &Tree::of_data(data)?, reader)?;
        Ok((Tree::join(&left, &right, reader)?, gone.residue()))
    }

    /// Returns a tree in which the bytes `range` are moved before the byte at `to`, which lies outside the range.
    pub(crate) fn moved(&self, range: &Range<u64>, to: u64, reader: &mut CheckedReader<'_>) -> Result<Tree> {
        // Two neighbouring ranges change places.
        let (first, middle, last) =
            if to <= range.start { (to, range.start, range.end) } else { (range.start, range.end, to) };
        let (left, rest) = self.split(ByteOffset(first), reader)?;
        let (a, rest) = rest.split(ByteOffset(middle - first), reader)?;
        let (b, right) = rest.split(ByteOffset(last - middle), reader)?;
        let mut tree = left;
        for part in [&b, &a, &right] {
            tree = Tree::join(&tree, part, reader)?;
        }
        Ok(tree)
    }

    /// Returns a tree in which `data` replaces as many bytes from `offset` on. No tile edge moves.
    pub(crate) fn overwritten(
        &self,
        offset: ByteOffset,
        data: &NewBytes,
        reader: &mut CheckedReader<'_>,
    ) -> Result<Tree> {
        let end = offset + data.size();
        let mut tree = self.clone();
        // Tile by tile: cut out the old bytes, and put the new bytes in their place.
        for at in self.iter_from_byte(offset) {
            let at = at?;
            if at.offset >= end {
                break;
            }
            // The part of the range in this tile.
            let (start, stop) = (at.offset.max(offset), at.end().min(end));
            let range = to_usize(start - at.offset)..to_usize(stop - at.offset);
            let (mut pieces, rest) = cut_pieces(at.tile.pieces(), range.start, reader)?;
            // The new bytes of a tile may come from two chunks, which become two pieces.
            for (chunk, part) in data.parts(start - offset..stop - offset) {
                try_push(&mut pieces, data_piece(chunk, part)?)?;
            }
            try_extend(&mut pieces, cut_off(rest, range.len(), reader)?.1)?;
            // Unchanged groups keep their chaining values.
            let tile = Tile::of_pieces(flattened(pieces, reader)?)?;
            tile.inherit(&at.tile, !groups_touched(&range));
            let tile = Arc::new(tile);
            reader.outboards().count(&tile);
            tree.replace_tile(at.index, tile)?;
        }
        Ok(tree)
    }

    /// Returns a tree of the same bytes in full tiles from offset 0 on and a last tile that may be shorter. Reuses
    /// equal tiles of `earlier`. `account` is called for every new tile with the bytes of memory that all new tiles
    /// use so far.
    ///
    /// Pieces are not merged here, because their number per byte does not grow; the next edit of a tile merges them.
    pub(crate) fn retiled(
        &self,
        earlier: Option<&Tree>,
        reader: &mut CheckedReader<'_>,
        mut account: impl FnMut(u64) -> Result<()>,
    ) -> Result<Tree> {
        // `push` takes a whole tile, or the pieces of a new tile, and reuses an equal tile of `earlier`.
        let mut tiles: Vec<Arc<Tile>> = try_vec(to_usize(self.bytes().div_ceil(TILE_BYTES)))?;
        let mut earlier = earlier.map(|tree| tree.iter());
        let mut taken = 0;
        let mut push = |tile: std::result::Result<Vec<Piece>, Arc<Tile>>| {
            let before = earlier.as_mut().and_then(Iterator::next).transpose()?;
            tiles.push(match (tile, before) {
                (Err(kept), _) => kept,
                (Ok(pieces), before) => {
                    taken += retiled_footprint(pieces.len());
                    account(taken)?;
                    let tile = Tile::of_pieces(pieces)?;
                    // An equal tile of the first pass has its witness already.
                    match before.filter(|before| before.tile.is(&tile)) {
                        Some(before) => before.tile,
                        None => Arc::new(tile),
                    }
                }
            });
            Ok::<(), AtlasError>(())
        };
        let (mut pieces, mut len) = (Vec::new(), 0);
        // A full tile at a full boundary stays; all other tiles are divided at the boundaries.
        for at in self.iter() {
            let at = at?;
            if len == 0 && (at.tile.len() == TILE_SIZE || at.end() == ByteOffset(self.bytes())) {
                push(Err(at.tile))?;
                continue;
            }
            // The pending pieces are filled up to a full tile.
            let room = TILE_SIZE - len;
            if at.tile.len() < room {
                try_extend(&mut pieces, at.tile.pieces().iter().cloned())?;
                len += at.tile.len();
                continue;
            }
            let (last, rest) = cut_pieces(at.tile.pieces(), room, reader)?;
            try_extend(&mut pieces, last)?;
            push(Ok(pieces))?;
            (pieces, len) = (rest, at.tile.len() - room);
        }
        // The last tile of the domain may be shorter.
        if len > 0 {
            push(Ok(pieces))?;
        }
        Tree::from_tiles(tiles)
    }

    /// Returns the change of the domain's residue if `data` replaces as many bytes from `offset` on. Reads the old
    /// bytes, and verifies them unless they lie in memory that no other process can change.
    pub(crate) fn delta(
        &self,
        offset: ByteOffset,
        data: &NewBytes,
        reader: &mut CheckedReader<'_>,
    ) -> Result<Residue> {
        let (mut at, mut delta, mut buffer) = (offset, Residue::ZERO, None);
        for chunk in data.chunks() {
            let (_, bytes) = chunk?;
            delta = delta + self.delta_of(at, bytes, &mut buffer, reader)?;
            at = at + to_u64(bytes.len());
        }
        Ok(delta)
    }

    fn delta_of(
        &self,
        offset: ByteOffset,
        data: &[u8],
        buffer: &mut Option<Buffer>,
        reader: &mut CheckedReader<'_>,
    ) -> Result<Residue> {
        let end = offset + to_u64(data.len());
        let mut delta = Residue::ZERO;
        for at in self.iter_from_byte(offset) {
            let at = at?;
            if at.offset >= end {
                break;
            }
            // The part of the new bytes that lies in this tile, against its pieces in order.
            let (start, stop) = (at.offset.max(offset), at.end().min(end));
            let after = &data[to_usize(start - offset)..to_usize(stop - offset)];
            let (mut from, mut rest) = (to_usize(start - at.offset), after);
            for piece in at.tile.pieces() {
                if from >= piece.len() {
                    from -= piece.len();
                    continue;
                }
                let (now, later) = rest.split_at(rest.len().min(piece.len() - from));
                let place = piece.start() + from..piece.start() + from + now.len();
                // Memory is compared in place; bytes of other sources are read and checked by their digest.
                let in_place = piece.extent().fixed_slice(&place);
                delta = delta
                    + match in_place {
                        Some(before) => Residue::delta(before, now),
                        None => {
                            let buffer = match &mut *buffer {
                                Some(buffer) => buffer,
                                none => none.insert(Buffer::new(TILE_SIZE)?),
                            };
                            let before = &mut buffer[..now.len()];
                            reader.copy(piece.extent(), place.start, before)?;
                            Residue::delta(before, now)
                        }
                    };
                // Later pieces are compared from their start.
                (from, rest) = (0, later);
                if rest.is_empty() {
                    break;
                }
            }
        }
        Ok(delta)
    }
}

/// Returns a piece, with an extent of its own, of the bytes `range` of `chunk`, which is memory of the library.
fn data_piece(chunk: &Source, range: Range<u64>) -> Result<Piece> {
    let bytes = chunk.slice(range.start, to_usize(range.end - range.start)).ok_or_else(|| {
        AtlasError::internal(
            "a defect of the library, please report it: the data of an edit are not in memory",
        )
    })?;
    Ok(Piece::whole(Extent::in_memory(chunk.clone(), range.start, bytes)?))
}

/// Returns the bit set of the 16 KiB groups that a byte range of a tile touches.
fn groups_touched(range: &Range<usize>) -> u64 {
    let (first, last) = (range.start / GROUP_SIZE, range.end.div_ceil(GROUP_SIZE));
    groups_below(last * GROUP_SIZE) & !groups_below(first * GROUP_SIZE)
}

/// Merges the tiles in `run`, which have at most 1 MiB together, into one tile. A single tile stays as it is.
fn merge(run: &[Arc<Tile>], reader: &mut CheckedReader<'_>) -> Result<Option<Arc<Tile>>> {
    // A single tile is kept unchanged, with its witness.
    let [first, _, ..] = run else { return Ok(run.first().cloned()) };
    let pieces = try_collect(run.iter().flat_map(|tile| tile.pieces()).cloned())?;
    let tile = Tile::of_pieces(flattened(pieces, reader)?)?;
    // Groups of the first tile keep their position, on which their chaining values depend.
    tile.inherit(first, groups_below(first.len()));
    let tile = Arc::new(tile);
    reader.outboards().count(&tile);
    Ok(Some(tile))
}

/// Returns the pieces of a tile, in which one piece replaces those of each window of 16 KiB that has more than
/// [`MAX_PIECES`].
fn flattened(pieces: Vec<Piece>, reader: &mut CheckedReader<'_>) -> Result<Vec<Piece>> {
    // Count the pieces in each window.
    let mut counts = [0u8; GROUPS];
    let mut len = 0;
    for piece in &pieces {
        for count in &mut counts[len / GROUP_SIZE..(len + piece.len()).div_ceil(GROUP_SIZE)] {
            *count = count.saturating_add(1);
        }
        len += piece.len();
    }
    if counts.iter().all(|count| *count <= MAX_PIECES) {
        return Ok(pieces);
    }
    // Replace the pieces of each window that has too many by one piece.
    let (mut done, mut done_len) = (Vec::new(), 0);
    let mut rest = pieces;
    for (window, count) in counts.iter().enumerate() {
        if *count <= MAX_PIECES {
            continue;
        }
        let start = window * GROUP_SIZE;
        let end = (start + GROUP_SIZE).min(len);
        // Cuts count from the end of the previous window, which is the beginning of `rest`.
        let (before, later) = cut_off(rest, start - done_len, reader)?;
        let (within, later) = cut_off(later, end - start, reader)?;
        try_extend(&mut done, before)?;
        try_push(&mut done, flat(&within, end - start, reader)?)?;
        (done_len, rest) = (end, later);
    }
    try_extend(&mut done, rest)?;
    Ok(done)
}

/// Copies the bytes of `pieces`, `len` bytes in all, to library memory and returns them as one piece. The bytes are
/// checked against the witnesses with which they were projected.
fn flat(pieces: &[Piece], len: usize, reader: &mut CheckedReader<'_>) -> Result<Piece> {
    let mut buffer = Buffer::new(len)?;
    let mut rest = &mut buffer[..];
    let mut residue = Residue::ZERO;
    for piece in pieces {
        let (now, later) = rest.split_at_mut(piece.len());
        // The bytes are checked here, because the copy has no witness against which they could be checked
        // later.
        reader.copy(piece.extent(), piece.start(), now)?;
        residue = residue + piece.residue();
        rest = later;
    }
    let piece = data_piece(&Source::from_buffer(buffer), 0..to_u64(len))?;
    // `copy` has checked the digests of the parts; this checks their residues.
    if piece.residue() != residue {
        return Err(AtlasError::conservation(format!(
            "the bytes of a tile changed: {len} of them sum to {} mod 96 instead of the projected \
             {residue}; verify the projection",
            piece.residue()
        )));
    }
    Ok(piece)
}
