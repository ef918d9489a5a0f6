//! Extents: the parts of sources that tiles are made of, as they were when they were projected.

#![forbid(unsafe_code)]

use crate::base::buffer::Buffer;
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, GROUPS, TILE_SIZE, to_u64};
use crate::hash::digest::Digest;
use crate::hash::outboard::Outboard;
use crate::layer2::Residue;
use crate::source::Source;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Up to 1 MiB of a source, as projected, or of what an edit brought.
pub(crate) struct Extent {
    pub(super) source: Source,
    pub(super) offset: u64,
    pub(super) len: u32,
    trust: Trust,
    /// Of each group of 16 KiB, counted from the extent's start.
    residues: [Residue; GROUPS],
    /// Kept on demand, once the bytes were found to be those of the origin; see `tile::outboards`.
    outboard: Mutex<Option<Arc<Outboard>>>,
}

/// Why the bytes of an extent are those that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Library memory, which nobody else can change. It was never hashed.
    Memory,
    /// Bytes of a source, which may change: they are verified against this witness of the tile that was
    /// projected from them before they become part of another witness.
    Witnessed(Digest),
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

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.offset + u64::from(self.len);
        write!(f, "bytes {}..{end} of {}", self.offset, self.source.name())
    }
}

impl Extent {
    /// The extent at `offset` of `source`, which is library memory with the given bytes there.
    pub(crate) fn in_memory(source: Source, offset: u64, bytes: &[u8]) -> Result<Extent> {
        Self::new(source, offset, bytes.len(), GroupResidues::of(bytes), Trust::Memory)
    }

    /// The extent of `len` bytes at `offset` of `source` that sum to these residues.
    pub(crate) fn new(
        source: Source,
        offset: u64,
        len: usize,
        residues: GroupResidues,
        trust: Trust,
    ) -> Result<Extent> {
        let len = tile_len(len)?;
        Ok(Extent { source, offset, len, trust, residues: residues.0, outboard: Mutex::new(None) })
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[cfg(test)]
    pub(crate) fn source_size(&self) -> u64 {
        self.source.size()
    }

    /// Why its bytes are those that are meant.
    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    /// The witness of the tile that is all of this extent, if it was hashed.
    pub(crate) fn witness(&self) -> Option<Digest> {
        match self.trust {
            Trust::Memory => None,
            Trust::Witnessed(witness) => Some(witness),
        }
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

    pub(super) fn read_raw(&self, start: u32, out: OutBytes<'_>) -> Result<()> {
        self.source.read_raw(self.offset + u64::from(start), out)
    }

    pub(super) fn residue(&self) -> Residue {
        self.residues.iter().copied().sum()
    }

    /// The residue of a part, from the kept ones of its groups. A group that is cut is read, all of
    /// it, and must sum to what it did: what is read wrong once would else stay wrong in the parts.
    pub(super) fn residue_of(&self, range: &Range<usize>) -> Result<Residue> {
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
    pub(super) fn groups_read(&self, range: &Range<usize>) -> usize {
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
            Some(_) if self.trust == Trust::Memory => {
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
            return Err(AtlasError::witness(format!(
                "the source changed: the sum of {self} differs from the projected one"
            )));
        }
        Ok(part)
    }
}

/// The residues of the groups of a tile's bytes.
fn group_residues(bytes: &[u8]) -> [Residue; GROUPS] {
    Residue::of_groups(bytes, GROUP_SIZE)
}

/// `len` as the length of a tile.
pub(super) fn tile_len(len: usize) -> Result<u32> {
    match u32::try_from(len) {
        Ok(small) if (1..=TILE_SIZE).contains(&len) => Ok(small),
        _ => Err(AtlasError::internal(format!("a tile of {len} bytes is outside 1..={TILE_SIZE}"))),
    }
}
