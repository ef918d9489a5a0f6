//! Tiles and what they are made of.
//!
//! An extent is up to 1 MiB of a source as it was when it was projected: its place, the residues of
//! its groups, its witness. What an edit brings is an extent of memory of ours, which cannot change
//! and has no witness. A piece is a part of an extent. A tile is one or more pieces, 1 byte to 1 MiB
//! together, with their residue; a fresh tile is one whole extent.

#![forbid(unsafe_code)]

pub(crate) mod context;
pub(crate) mod hash_tiles;
pub(crate) mod options;
pub(crate) mod outboards;
pub(crate) mod rehash;
pub(crate) mod scheme;
pub(crate) mod tree;

use crate::base::buffer::Buffer;
use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, GROUPS, TILE_SIZE, to_u64};
use crate::hash::digest::Digest;
use crate::hash::outboard::Outboard;
use crate::layer2::Residue;
use crate::source::{OutBytes, Source};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

/// Up to 1 MiB of a source, as projected, or of what an edit brought.
pub(crate) struct Extent {
    source: Source,
    offset: u64,
    len: u32,
    /// The witness of the tile that was projected from it. None: memory of ours.
    origin: Option<Digest>,
    /// Of each group of 16 KiB, counted from the extent's start.
    residues: [Residue; GROUPS],
    /// Kept on demand, once the bytes were found to be those of the origin; see `tile::outboards`.
    outboard: Mutex<Option<Arc<Outboard>>>,
}

/// The residues of the groups of a tile whose source is not there yet.
pub(crate) struct GroupResidues([Residue; GROUPS]);

impl GroupResidues {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        GroupResidues(group_residues(bytes))
    }

    /// The residue of all the bytes.
    pub(crate) fn total(&self) -> Residue {
        self.0.iter().copied().sum()
    }

    /// Of a tile whose groups, from its first on, have these.
    pub(crate) fn from_groups(groups: impl Iterator<Item = Residue>) -> Self {
        let mut residues = [Residue::ZERO; GROUPS];
        residues.iter_mut().zip(groups).for_each(|(place, residue)| *place = residue);
        GroupResidues(residues)
    }
}

impl Extent {
    /// The extent at `offset` of `source` with the given bytes, which it sums.
    pub(crate) fn new(source: Source, offset: u64, bytes: &[u8]) -> Result<Extent> {
        Self::of_residues(source, offset, bytes.len(), GroupResidues::of(bytes))
    }

    /// The extent of `len` bytes at `offset` of `source` that sum to these residues.
    pub(crate) fn of_residues(
        source: Source,
        offset: u64,
        len: usize,
        residues: GroupResidues,
    ) -> Result<Extent> {
        let len = tile_len(len)?;
        Ok(Extent { source, offset, len, origin: None, residues: residues.0, outboard: Mutex::new(None) })
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[cfg(test)]
    pub(crate) fn source_size(&self) -> u64 {
        self.source.size()
    }

    /// What its bytes must be, where they can change.
    pub(crate) fn origin(&self) -> Option<&Digest> {
        self.origin.as_ref()
    }

    pub(crate) fn residues(&self) -> &[Residue; GROUPS] {
        &self.residues
    }

    /// The outboard, where it is at hand.
    pub(crate) fn outboard(&self) -> Option<Arc<Outboard>> {
        lock(&self.outboard).clone()
    }

    pub(crate) fn set_outboard(&self, outboard: Option<Arc<Outboard>>) -> Option<Arc<Outboard>> {
        std::mem::replace(&mut *lock(&self.outboard), outboard)
    }

    /// The bytes of `range` in place, where they are in memory.
    pub(crate) fn slice(&self, range: &Range<usize>) -> Option<&[u8]> {
        self.source.slice(self.offset + to_u64(range.start), range.len())
    }

    /// As `slice`, where what was checked in place stays as it is.
    pub(crate) fn fixed_slice(&self, range: &Range<usize>) -> Option<&[u8]> {
        self.source.fixed_slice(self.offset + to_u64(range.start), range.len())
    }

    /// Fills `out` with the bytes from `start` on, as the source holds them now.
    pub(crate) fn read(&self, start: usize, out: &mut [u8]) -> Result<()> {
        self.source.read(self.offset + to_u64(start), out)
    }

    fn read_raw(&self, start: u32, out: OutBytes<'_>) -> Result<()> {
        self.source.read_raw(self.offset + u64::from(start), out)
    }

    fn residue(&self) -> Residue {
        self.residues.iter().copied().sum()
    }

    /// The residue of a part, from the kept ones of its groups. A group that is cut is read, all of
    /// it, and must sum to what it did: what is read wrong once would else stay wrong in the parts.
    fn residue_of(&self, range: &Range<usize>) -> Result<Residue> {
        let (first, last) = (range.start / GROUP_SIZE, range.end / GROUP_SIZE);
        if range.is_empty() {
            return Ok(Residue::ZERO);
        }
        if first == last {
            let whole = range.start.is_multiple_of(GROUP_SIZE) && range.end == self.len();
            return if whole { Ok(self.residues[first]) } else { self.sum_within(first, range) };
        }
        let mut residue: Residue = self.residues[first..last].iter().copied().sum();
        if !range.start.is_multiple_of(GROUP_SIZE) {
            residue = residue - self.sum_within(first, &(first * GROUP_SIZE..range.start))?;
        }
        if range.end == self.len() && !range.end.is_multiple_of(GROUP_SIZE) {
            residue = residue + self.residues[last];
        } else if !range.end.is_multiple_of(GROUP_SIZE) {
            residue = residue + self.sum_within(last, &(last * GROUP_SIZE..range.end))?;
        }
        Ok(residue)
    }

    /// How many groups [`residue_of`](Self::residue_of) reads.
    fn groups_read(&self, range: &Range<usize>) -> usize {
        let is_cut = |at: usize| !at.is_multiple_of(GROUP_SIZE) && at != self.len();
        match (is_cut(range.start), is_cut(range.end)) {
            (true, true) if range.start / GROUP_SIZE == range.end / GROUP_SIZE => 1,
            (start, end) => usize::from(start) + usize::from(end),
        }
    }

    /// The residue of a part of a group, from the bytes.
    fn sum_within(&self, group: usize, range: &Range<usize>) -> Result<Residue> {
        let whole = group * GROUP_SIZE..((group + 1) * GROUP_SIZE).min(self.len());
        let mut buffer;
        let bytes = match self.slice(&whole) {
            // Memory of ours does not change.
            Some(_) if self.origin.is_none() => {
                return Ok(self.slice(range).map_or(Residue::ZERO, Residue::of));
            }
            Some(bytes) => bytes,
            None => {
                buffer = Buffer::new(whole.len())?;
                self.read(whole.start, &mut buffer)?;
                &buffer[..]
            }
        };
        let (start, end) = (range.start - whole.start, range.end - whole.start);
        let part = Residue::of(&bytes[start..end]);
        if part + Residue::of(&bytes[..start]) + Residue::of(&bytes[end..]) != self.residues[group] {
            return Err(AtlasError::witness(
                "the bytes of the source are not those that were projected: their sum differs",
            ));
        }
        Ok(part)
    }
}

/// The residues of the groups of a tile's bytes.
fn group_residues(bytes: &[u8]) -> [Residue; GROUPS] {
    Residue::of_groups(bytes, GROUP_SIZE)
}

/// `len` as the length of a tile.
fn tile_len(len: usize) -> Result<u32> {
    match u32::try_from(len) {
        Ok(small) if (1..=TILE_SIZE).contains(&len) => Ok(small),
        _ => Err(AtlasError::internal(format!("a tile of {len} bytes is outside 1..={TILE_SIZE}"))),
    }
}

/// A part of an extent, with its residue.
#[derive(Clone)]
pub(crate) struct Piece {
    extent: Arc<Extent>,
    start: u32,
    len: u32,
    residue: Residue,
}

impl Piece {
    /// All of an extent.
    pub(crate) fn whole(extent: Extent) -> Piece {
        let (len, residue) = (extent.len, extent.residue());
        Piece { extent: Arc::new(extent), start: 0, len, residue }
    }

    pub(crate) fn extent(&self) -> &Arc<Extent> {
        &self.extent
    }

    /// Its first byte, in the extent.
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

    fn is(&self, other: &Piece) -> bool {
        Arc::ptr_eq(&self.extent, &other.extent) && (self.start, self.len) == (other.start, other.len)
    }

    /// Two pieces, cut `at` bytes from the start; 0 < `at` < len.
    fn cut(&self, at: usize) -> Result<(Piece, Piece)> {
        let (start, middle, end) = (self.start(), self.start() + at, self.start() + self.len());
        let extent = &self.extent;
        // Both sides are known where one is: the one that needs less to be read.
        let left = if extent.groups_read(&(start..middle)) <= extent.groups_read(&(middle..end)) {
            extent.residue_of(&(start..middle))?
        } else {
            self.residue - extent.residue_of(&(middle..end))?
        };
        // Inside the piece, whose length is 32 bits.
        let at = u32::try_from(at).unwrap_or(self.len);
        let part = |start, len, residue| Piece { extent: Arc::clone(extent), start, len, residue };
        Ok((part(self.start, at, left), part(self.start + at, self.len - at, self.residue - left)))
    }

    /// Takes `next` in, where that goes on where this ends.
    fn extend(&mut self, next: &Piece) -> bool {
        let follows = Arc::ptr_eq(&self.extent, &next.extent) && self.start + self.len == next.start;
        if follows {
            self.len += next.len;
            self.residue = self.residue + next.residue;
        }
        follows
    }
}

/// The parts of `pieces` before and from `at` on, counted from their start.
pub(crate) fn cut_pieces(pieces: &[Piece], at: usize) -> Result<(Vec<Piece>, Vec<Piece>)> {
    let mut before = 0;
    for (index, piece) in pieces.iter().enumerate() {
        if at <= before {
            return Ok((pieces[..index].to_vec(), pieces[index..].to_vec()));
        }
        if at < before + piece.len() {
            let (left, right) = piece.cut(at - before)?;
            let mut lefts = Vec::with_capacity(index + 2);
            lefts.extend_from_slice(&pieces[..index]);
            lefts.push(left);
            let mut rights = Vec::with_capacity(pieces.len() - index + 1);
            rights.push(right);
            rights.extend_from_slice(&pieces[index + 1..]);
            return Ok((lefts, rights));
        }
        before += piece.len();
    }
    Ok((pieces.to_vec(), Vec::new()))
}

/// [`cut_pieces`] of pieces that are not needed any more.
pub(crate) fn cut_off(mut pieces: Vec<Piece>, at: usize) -> Result<(Vec<Piece>, Vec<Piece>)> {
    let mut before = 0;
    for index in 0..pieces.len() {
        if at <= before {
            let rest = pieces.split_off(index);
            return Ok((pieces, rest));
        }
        let len = pieces[index].len();
        if at < before + len {
            let (left, right) = pieces[index].cut(at - before)?;
            let mut rest = pieces.split_off(index);
            rest[0] = right;
            pieces.push(left);
            return Ok((pieces, rest));
        }
        before += len;
    }
    Ok((pieces, Vec::new()))
}

enum TilePieces {
    One(Piece),
    Many(Box<[Piece]>),
}

/// An outboard that is at hand.
#[derive(Clone)]
struct KeptOutboard {
    outboard: Arc<Outboard>,
    /// None: it is the tile's own. Else the set of groups that the tile has in common with the tile
    /// whose outboard this is.
    common: Option<u64>,
    /// Whether `tile::outboards` knows of it.
    counted: bool,
}

/// 1 byte to 1 MiB of the domain, with their residue and, once it was asked for, their witness.
pub(crate) struct Tile {
    pieces: TilePieces,
    len: u32,
    residue: Residue,
    witness: OnceLock<Digest>,
    /// Of a tile that was edited. Kept on demand and dropped again, see `tile::outboards`.
    kept: Mutex<Option<KeptOutboard>>,
}

impl Tile {
    /// A fresh tile: one whole extent with its witness.
    pub(crate) fn fresh(mut extent: Extent, witness: Digest) -> Tile {
        extent.origin = Some(witness);
        let piece = Piece::whole(extent);
        Tile {
            len: piece.len,
            residue: piece.residue,
            pieces: TilePieces::One(piece),
            witness: OnceLock::from(witness),
            kept: Mutex::new(None),
        }
    }

    /// A tile of these pieces, which are 1 byte to 1 MiB together.
    pub(crate) fn of_pieces(pieces: Vec<Piece>) -> Result<Tile> {
        let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            if !joined.last_mut().is_some_and(|last| last.extend(&piece)) {
                joined.push(piece);
            }
        }
        let len = tile_len(joined.iter().map(Piece::len).sum())?;
        let residue = joined.iter().map(Piece::residue).sum();
        let pieces = match <[Piece; 1]>::try_from(joined) {
            Ok([piece]) => TilePieces::One(piece),
            Err(pieces) => TilePieces::Many(pieces.into_boxed_slice()),
        };
        let tile = Tile { pieces, len, residue, witness: OnceLock::new(), kept: Mutex::new(None) };
        if let Some(witness) = tile.whole().and_then(|extent| extent.origin) {
            // The bytes of a tile alone make its witness.
            tile.set_witness(witness);
        }
        Ok(tile)
    }

    /// The extent that the tile is all of.
    pub(crate) fn whole(&self) -> Option<&Arc<Extent>> {
        match &self.pieces {
            TilePieces::One(piece) if piece.start == 0 && piece.len == piece.extent.len => {
                Some(&piece.extent)
            }
            _ => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn residue(&self) -> Residue {
        self.residue
    }

    /// The witness, where it is known.
    pub(crate) fn witness(&self) -> Option<&Digest> {
        self.witness.get()
    }

    /// The first one stays; all are equal.
    pub(crate) fn set_witness(&self, witness: Digest) -> Digest {
        *self.witness.get_or_init(|| witness)
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        match &self.pieces {
            TilePieces::One(piece) => std::slice::from_ref(piece),
            TilePieces::Many(pieces) => pieces,
        }
    }

    pub(crate) fn into_pieces(self) -> Vec<Piece> {
        match self.pieces {
            TilePieces::One(piece) => vec![piece],
            TilePieces::Many(pieces) => pieces.into_vec(),
        }
    }

    /// Whether both are made of the same.
    pub(crate) fn is(&self, other: &Tile) -> bool {
        let (left, right) = (self.pieces(), other.pieces());
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.is(right))
    }

    /// Fills `out` with the tile's bytes from `start` on, as the sources hold them now.
    pub(crate) fn read_raw(&self, start: usize, mut out: OutBytes<'_>) -> Result<()> {
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
        if out.is_empty() { Ok(()) } else { Err(AtlasError::internal("a read passes the end of its tile")) }
    }

    /// [`read_raw`](Self::read_raw) into initialised bytes.
    pub(crate) fn read(&self, start: usize, out: &mut [u8]) -> Result<()> {
        self.read_raw(start, OutBytes::new(out))
    }

    /// The bytes in place, where they are one piece of memory.
    pub(crate) fn slice(&self) -> Option<&[u8]> {
        match &self.pieces {
            TilePieces::One(piece) => {
                piece.extent.source.slice(piece.extent.offset + u64::from(piece.start), self.len())
            }
            TilePieces::Many(_) => None,
        }
    }

    /// Two tiles, cut `at` bytes from the start; 0 < `at` < len.
    pub(crate) fn split(&self, at: usize) -> Result<(Tile, Tile)> {
        let (left, right) = cut_pieces(self.pieces(), at)?;
        let (left, right) = (Tile::of_pieces(left)?, Tile::of_pieces(right)?);
        left.inherit(self, groups_below(at));
        Ok((left, right))
    }

    /// The outboard, where it is at hand.
    pub(crate) fn outboard(&self) -> Option<Arc<Outboard>> {
        if let Some(extent) = self.whole()
            && let Some(outboard) = extent.outboard()
        {
            return Some(outboard);
        }
        lock(&self.kept).as_ref().filter(|kept| kept.common.is_none()).map(|kept| Arc::clone(&kept.outboard))
    }

    /// Keeps the tile's own outboard, unless the one that is there says more. Call [`count`](Self::count)
    /// then.
    pub(crate) fn set_outboard(&self, outboard: Arc<Outboard>) {
        let before = {
            let mut kept = lock(&self.kept);
            let counted = match &*kept {
                Some(old)
                    if old.common.is_none()
                        && (old.outboard.residues().is_some() || outboard.residues().is_none()) =>
                {
                    return;
                }
                old => old.as_ref().is_some_and(|old| old.counted),
            };
            kept.replace(KeptOutboard { outboard, common: None, counted })
        };
        drop(before);
    }

    /// Whether the tile has an outboard that was not counted; it is from now on.
    pub(crate) fn count(&self) -> bool {
        lock(&self.kept).as_mut().is_some_and(|kept| !std::mem::replace(&mut kept.counted, true))
    }

    pub(crate) fn drop_outboard(&self) {
        // Dropped behind the lock.
        let kept = lock(&self.kept).take();
        drop(kept);
    }

    /// Another tile's outboard, with the set of groups that the two have in common.
    pub(crate) fn common_groups(&self) -> Option<(Arc<Outboard>, u64)> {
        let kept = lock(&self.kept).clone()?;
        Some((kept.outboard, kept.common?))
    }

    /// Takes over what `from` knows of those of `groups` that it has, which are the same here. Only
    /// outboards that know the residues of their groups are of use.
    pub(crate) fn inherit(&self, from: &Tile, groups: u64) {
        let Some(kept) = lock(&from.kept).clone() else { return };
        let known = kept.common.unwrap_or(if from.len() > GROUP_SIZE { u64::MAX } else { 0 });
        let common = known & groups;
        if common != 0 && kept.outboard.residues().is_some() && self.len() > GROUP_SIZE {
            *lock(&self.kept) =
                Some(KeptOutboard { outboard: kept.outboard, common: Some(common), counted: false });
        }
    }
}

/// The set of groups that end before or at `len`.
pub(crate) fn groups_below(len: usize) -> u64 {
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

/// The bytes that a tile of so many pieces takes that is cut anew, its place in the tree included.
pub(crate) fn retiled_footprint(pieces: usize) -> u64 {
    to_u64(size_of::<Tile>() + 4 * size_of::<usize>() + 16 + pieces * size_of::<Piece>())
}

/// The bytes that a fresh tile takes, its place in the tree included.
pub(crate) fn fresh_footprint() -> u64 {
    // Two allocations with two counters each, and what the allocator and the tree add.
    to_u64(
        size_of::<Tile>() + size_of::<Extent>() + 2 * (2 * size_of::<usize>() + 16) + 2 * size_of::<usize>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 + i / 257) as u8).collect()
    }

    #[test]
    fn the_residue_of_every_part_is_that_of_its_bytes() {
        for len in [1, 16_384, 16_385, 50_000] {
            let data = bytes(len);
            let extent = Extent::new(Source::from_vec(data.clone()), 0, &data).unwrap();
            let marks: Vec<usize> = [0, 1, 100, 16_383, 16_384, 16_385, 32_768, 40_000, len - 1, len]
                .into_iter()
                .filter(|mark| *mark <= len)
                .collect();
            for &start in &marks {
                for &end in marks.iter().filter(|end| **end >= start) {
                    let part = extent.residue_of(&(start..end)).unwrap();
                    assert_eq!(part, Residue::of(&data[start..end]), "{start}..{end} of {len}");
                }
            }
        }
    }

    #[test]
    fn splitting_again_and_again_keeps_the_bytes() {
        let data = bytes(60_000);
        let extent = Extent::new(Source::from_vec(data.clone()), 0, &data).unwrap();
        let mut tiles = vec![(0, Tile::fresh(extent, [0; 32]))];
        for at in [1, 30_000, 16_384, 59_999, 2, 30_001] {
            let index =
                tiles.iter().position(|(start, tile)| *start < at && at < start + tile.len()).unwrap();
            let (start, tile) = tiles.remove(index);
            let (left, right) = tile.split(at - start).unwrap();
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
