//! Tiles and what they are made of.
//!
//! An extent is up to 1 MiB of a source as it was when it was projected: its place, the residues of
//! its groups, its witness. A piece is a part of an extent. A tile is one or more pieces, 1 byte to
//! 1 MiB together, with their residue; a fresh tile is one whole extent.

#![forbid(unsafe_code)]

use crate::chain::Chain;
use crate::digest::Digest;
use crate::error::{AtlasError, Result};
use crate::geometry::{GROUP_SIZE, GROUPS, TILE_SIZE, to_u64};
use crate::layer2::Residue;
use crate::source::Source;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Up to 1 MiB of a source, as projected.
pub(crate) struct Extent {
    source: Source,
    offset: u64,
    len: u32,
    /// Of each group of 16 KiB, counted from the extent's start.
    residues: [Residue; GROUPS],
}

/// The residues of the groups of a tile whose source is not there yet.
pub(crate) struct GroupResidues([Residue; GROUPS]);

impl GroupResidues {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        GroupResidues(group_residues(bytes))
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
        Ok(Extent { source, offset, len: tile_len(len)?, residues: residues.0 })
    }

    fn residue(&self) -> Residue {
        self.residues.iter().copied().sum()
    }

    fn read(&self, start: u32, out: &mut [MaybeUninit<u8>]) -> Result<()> {
        self.source.read_raw(self.offset + u64::from(start), out)
    }

    /// The residue of a part: kept groups, and at most two parts of groups that are read.
    fn residue_of(&self, range: &Range<u32>) -> Result<Residue> {
        let group = u32::try_from(GROUP_SIZE).unwrap_or(u32::MAX);
        let (first, last) = (range.start.div_ceil(group) * group, range.end / group * group);
        let full = |start: u32, end: u32| -> Residue {
            self.residues[start as usize / GROUP_SIZE..end as usize / GROUP_SIZE].iter().copied().sum()
        };
        if range.end == self.len && first <= range.end {
            // The last group may be short, and is kept whole.
            let tail = self.residues[first as usize / GROUP_SIZE..].iter().copied().sum();
            return Ok(self.sum_of(range.start..first.min(range.end))? + tail);
        }
        if first > last {
            return self.sum_of(range.clone());
        }
        Ok(self.sum_of(range.start..first)? + full(first, last) + self.sum_of(last..range.end)?)
    }

    /// The residue of at most a group or two, from the bytes.
    fn sum_of(&self, range: Range<u32>) -> Result<Residue> {
        let len = (range.end - range.start) as usize;
        if len == 0 {
            return Ok(Residue::ZERO);
        }
        if let Some(bytes) = self.source.slice(self.offset + u64::from(range.start), len) {
            return Ok(Residue::of(bytes));
        }
        let mut bytes = crate::buffer::Buffer::new(len)?;
        self.source.read(self.offset + u64::from(range.start), &mut bytes)?;
        Ok(Residue::of(&bytes))
    }
}

/// The residues of the groups of a tile's bytes.
pub(crate) fn group_residues(bytes: &[u8]) -> [Residue; GROUPS] {
    let mut residues = [Residue::ZERO; GROUPS];
    for (residue, group) in residues.iter_mut().zip(bytes.chunks(GROUP_SIZE)) {
        *residue = Residue::of(group);
    }
    residues
}

/// `len` as the length of a tile.
fn tile_len(len: usize) -> Result<u32> {
    match u32::try_from(len) {
        Ok(small) if (1..=TILE_SIZE).contains(&len) => Ok(small),
        _ => Err(AtlasError::internal(format!("a tile of {len} bytes is outside 1..={TILE_SIZE}"))),
    }
}

/// A part of an extent.
#[derive(Clone)]
pub(crate) struct Piece {
    extent: Arc<Extent>,
    start: u32,
    len: u32,
}

impl Piece {
    fn range(&self) -> Range<u32> {
        self.start..self.start + self.len
    }

    fn part(&self, range: Range<u32>) -> Piece {
        Piece {
            extent: Arc::clone(&self.extent),
            start: self.start + range.start,
            len: range.end - range.start,
        }
    }
}

enum Pieces {
    One(Piece),
    Many(Box<[Piece]>),
}

/// 1 byte to 1 MiB of the domain, with their residue and, once it was asked for, their witness.
pub(crate) struct Tile {
    pieces: Pieces,
    len: u32,
    residue: Residue,
    witness: OnceLock<Digest>,
    /// Kept on demand and dropped again, see `tree::chains`.
    chain: Mutex<Option<Arc<Chain>>>,
}

impl Tile {
    /// A fresh tile: one whole extent with its witness.
    pub(crate) fn fresh(extent: Extent, witness: Digest) -> Tile {
        let (len, residue) = (extent.len, extent.residue());
        Tile {
            pieces: Pieces::One(Piece { extent: Arc::new(extent), start: 0, len }),
            len,
            residue,
            witness: OnceLock::from(witness),
            chain: Mutex::new(None),
        }
    }

    /// A tile of these pieces, which are 1 byte to 1 MiB together.
    fn of_pieces(pieces: Vec<Piece>) -> Result<Tile> {
        let mut residue = Residue::ZERO;
        let mut len = 0usize;
        for piece in &pieces {
            residue = residue + piece.extent.residue_of(&piece.range())?;
            len += piece.len as usize;
        }
        let len = tile_len(len)?;
        let pieces = match <[Piece; 1]>::try_from(pieces) {
            Ok([piece]) => Pieces::One(piece),
            Err(pieces) => Pieces::Many(pieces.into_boxed_slice()),
        };
        Ok(Tile { pieces, len, residue, witness: OnceLock::new(), chain: Mutex::new(None) })
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

    fn pieces(&self) -> &[Piece] {
        match &self.pieces {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        }
    }

    /// Fills `out` with the tile's bytes from `start` on, as the sources hold them now.
    pub(crate) fn read_raw(&self, start: usize, out: &mut [MaybeUninit<u8>]) -> Result<()> {
        let (mut skip, mut out) = (start, out);
        for piece in self.pieces() {
            let len = piece.len as usize;
            if skip >= len {
                skip -= len;
                continue;
            }
            let take = out.len().min(len - skip);
            let (now, rest) = out.split_at_mut(take);
            // Less than a piece's length, which is 32 bits.
            let within = piece.start + u32::try_from(skip).unwrap_or(u32::MAX);
            piece.extent.read(within, now)?;
            (skip, out) = (0, rest);
            if out.is_empty() {
                break;
            }
        }
        if out.is_empty() { Ok(()) } else { Err(AtlasError::internal("a read passes the end of its tile")) }
    }

    /// [`read_raw`](Self::read_raw) into initialised bytes.
    pub(crate) fn read(&self, start: usize, out: &mut [u8]) -> Result<()> {
        self.read_raw(start, crate::source::as_uninit(out))
    }

    /// The bytes in place, where they are one piece of memory.
    pub(crate) fn slice(&self) -> Option<&[u8]> {
        match &self.pieces {
            Pieces::One(piece) => {
                piece.extent.source.slice(piece.extent.offset + u64::from(piece.start), self.len())
            }
            Pieces::Many(_) => None,
        }
    }

    /// Two tiles, cut `at` bytes from the start; 0 < `at` < len.
    pub(super) fn split(&self, at: usize) -> Result<(Tile, Tile)> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let mut start = 0;
        for piece in self.pieces() {
            let end = start + piece.len as usize;
            if end <= at {
                left.push(piece.clone());
            } else if start >= at {
                right.push(piece.clone());
            } else {
                // Inside the piece, whose length is 32 bits.
                let cut = u32::try_from(at - start).unwrap_or(piece.len);
                left.push(piece.part(0..cut));
                right.push(piece.part(cut..piece.len));
            }
            start = end;
        }
        Ok((Tile::of_pieces(left)?, Tile::of_pieces(right)?))
    }

    /// The chain, where it is at hand.
    pub(crate) fn chain(&self) -> Option<Arc<Chain>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_chain(&self, chain: Option<Arc<Chain>>) -> Option<Arc<Chain>> {
        std::mem::replace(&mut *self.chain.lock().unwrap_or_else(PoisonError::into_inner), chain)
    }
}

impl std::fmt::Debug for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tile({} bytes, {} pieces)", self.len, self.pieces().len())
    }
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
                    let part = extent.residue_of(&(start as u32..end as u32)).unwrap();
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
