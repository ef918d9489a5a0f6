//! Extents: the ranges of sources that tiles are made of, with the residues and the witness that their bytes had
//! when they were projected.

#![forbid(unsafe_code)]

use crate::base::buffer::{Buffer, try_collect};
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, GROUPS, TILE_SIZE, to_u64, to_usize};
use crate::hash::digest::{Digest, same};
use crate::hash::outboard::Outboard;
use crate::hash::outboard::source_changed;
use crate::layer2::Residue;
use crate::source::Source;
use crate::tile::rehash::CheckedReader;
use crate::tile::scheme::Workspace;
use crate::tile::stored::{CommitId, Span, StoredBytes, StoredTile, TilePlace};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

/// A range of up to 1 MiB of a source, with the residues and the witness of the bytes that were projected from it.
/// The new bytes of an edit are an extent of library memory, without a witness.
pub(crate) struct Extent {
    pub(super) source: Source,
    pub(super) offset: u64,
    pub(super) len: u32,
    /// Residue of all bytes of the extent.
    residue: Residue,
    trust: Trust,
    /// Residue of each group of 16 KiB, counted from the extent's start. The residues of a tile of a container file
    /// are computed when they are first needed.
    residues: OnceLock<[Residue; GROUPS]>,
    kept: Mutex<Kept>,
    /// The tile of a container file, if the extent is the whole of such a tile.
    stored: Option<Arc<StoredTile>>,
}

/// Cached properties of an extent: chaining values, and the places in container files to which it was written.
#[derive(Default)]
struct Kept {
    /// Chaining values of the extent's groups of 16 KiB. Set once they or the bytes were verified, and removed by
    /// the cache in `tile::outboards` if it is full.
    outboard: Option<Arc<Outboard>>,
    /// Parts of the extent that were written to container files. Boxed, because most extents have none.
    #[expect(clippy::box_collection, reason = "an extent is small")]
    written: Option<Box<Vec<WrittenRun>>>,
}

/// A part of an extent that was written to a container file: `span` is its place there, `commit` the commit that
/// wrote it.
#[derive(Clone)]
pub(crate) struct WrittenRun {
    /// Offset of the part's first byte in the extent.
    pub(crate) start: u32,
    pub(crate) span: Span,
    pub(crate) commit: Arc<CommitId>,
}

impl WrittenRun {
    fn end(&self) -> u32 {
        self.start + self.span.len
    }
}

/// Basis on which the bytes of an extent are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Memory of the library, which cannot change. It was never hashed.
    Memory,
    /// Bytes of a source, which may change, with the witness of the tile that was projected from them. The bytes are
    /// verified against it before they become part of another witness.
    Witnessed(Digest),
}

/// Residues of the 16 KiB groups of a tile or extent, from the first group on. Entries without a group are 0.
pub(crate) struct GroupResidues([Residue; GROUPS]);

impl GroupResidues {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        GroupResidues(group_residues(bytes))
    }

    /// Returns true if these residues equal `groups`.
    pub(crate) fn is_same(&self, groups: &[Residue; GROUPS]) -> bool {
        self.0 == *groups
    }

    /// Returns the residue of the whole tile: the sum of the residues of its groups.
    pub(crate) fn total(&self) -> Residue {
        self.0.iter().copied().sum()
    }

    pub(crate) fn into_groups(self) -> [Residue; GROUPS] {
        self.0
    }

    /// Collects the residues of the groups of a tile, which `groups` returns from the first on. Entries without a
    /// group are 0.
    pub(crate) fn from_groups(groups: impl Iterator<Item = Residue>) -> Self {
        let mut residues = [Residue::ZERO; GROUPS];
        residues.iter_mut().zip(groups).for_each(|(place, residue)| *place = residue);
        GroupResidues(residues)
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The bytes of a stored tile may lie in several places.
        if self.stored.is_some() {
            return write!(f, "a tile of {} bytes that {} has", self.len, self.source.name());
        }
        let end = self.offset + u64::from(self.len);
        write!(f, "bytes {}..{end} of {}", self.offset, self.source.name())
    }
}

impl Extent {
    /// Returns the extent of `bytes`, which lie at `offset` of `source`, memory of the library. It has no witness.
    pub(crate) fn in_memory(source: Source, offset: u64, bytes: &[u8]) -> Result<Extent> {
        Self::new(source, offset, bytes.len(), GroupResidues::of(bytes), Trust::Memory)
    }

    /// Returns the extent of `len` bytes at `offset` of `source`. `residues` are the residues of its groups,
    /// `trust` the basis on which its bytes are trusted.
    pub(crate) fn new(
        source: Source,
        offset: u64,
        len: usize,
        residues: GroupResidues,
        trust: Trust,
    ) -> Result<Extent> {
        let (len, residue) = (tile_len(len)?, residues.total());
        let residues = OnceLock::from(residues.0);
        Ok(Extent { source, offset, len, residue, trust, residues, kept: Mutex::default(), stored: None })
    }

    /// Returns the extent of a whole tile of a container file. `place` is the source that has all bytes of the
    /// tile, and their offset there. `None` means that they lie in several places, and are read through the tile's
    /// spans.
    pub(crate) fn stored(tile: StoredTile, place: Option<(Source, u64)>) -> Result<Extent> {
        let entry = tile.entry;
        let len = tile_len(to_usize(u64::from(entry.len)))?;
        let stored = Arc::new(tile);
        // A tile in several spans gets a source of its own, which reads through the spans.
        let (source, offset) = place.unwrap_or_else(|| {
            (Source::from_bytes_of(u64::from(len), Box::new(StoredBytes(Arc::clone(&stored)))), 0)
        });
        Ok(Extent {
            source,
            offset,
            len,
            residue: entry.residue,
            trust: Trust::Witnessed(entry.witness),
            // An entry has only the sum of the tile. The sums of the groups are computed on demand.
            residues: OnceLock::new(),
            kept: Mutex::default(),
            stored: Some(stored),
        })
    }

    /// Returns the tile of a container file, if the extent is the whole of such a tile.
    pub(crate) fn stored_tile(&self) -> Option<&Arc<StoredTile>> {
        self.stored.as_ref()
    }

    /// Returns the source of the extent, and the offset of the extent's first byte in the source.
    pub(crate) fn place(&self) -> (&Source, u64) {
        (&self.source, self.offset)
    }

    /// Returns the parts that overlap `range` of the extent and were written to container files.
    pub(crate) fn written(&self, range: &Range<u32>) -> Result<Vec<WrittenRun>> {
        // Runs are copied out, so that the lock is not held while the caller uses them.
        let kept = lock(&self.kept);
        let runs = kept.written.iter().flat_map(|runs| runs.iter());
        try_collect(runs.filter(|run| run.start < range.end && range.start < run.end()).cloned())
    }

    /// Records that a part of the extent was written to a container file. Removes the records of earlier writes
    /// that overlap this part.
    pub(crate) fn set_written(&self, run: WrittenRun) {
        let mut kept = lock(&self.kept);
        let runs = kept.written.get_or_insert_default();
        // The latest place of a byte replaces earlier places, so that runs never overlap.
        runs.retain(|old| old.end() <= run.start || run.end() <= old.start);
        // Without a record, the next commit writes the bytes again.
        if runs.try_reserve(1).is_ok() {
            runs.push(run);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[cfg(test)]
    pub(crate) fn source_size(&self) -> u64 {
        self.source.size()
    }

    /// Returns the basis on which the bytes are trusted.
    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    /// Returns the witness of the tile that is all of this extent, if it was hashed.
    pub(crate) fn witness(&self) -> Option<Digest> {
        match self.trust {
            Trust::Memory => None,
            Trust::Witnessed(witness) => Some(witness),
        }
    }

    /// Returns the residues of the extent's groups of 16 KiB. For a tile of a container file, the first call
    /// computes them, which reads and checks the whole tile.
    pub(crate) fn residues(self: &Arc<Self>) -> Result<&[Residue; GROUPS]> {
        match self.residues.get() {
            Some(residues) => Ok(residues),
            // Only stored tiles begin without the sums of their groups.
            None => self.sum_stored(),
        }
    }

    #[cold]
    fn sum_stored(self: &Arc<Self>) -> Result<&[Residue; GROUPS]> {
        let Some(stored) = &self.stored else {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: an extent has no residues",
            ));
        };
        let context = stored.store.context();
        // Bytes are used in place only if nothing can change them between their sum and their digest.
        let mut buffer;
        let bytes = match self.fixed_slice(&(0..self.len())) {
            Some(bytes) => bytes,
            None => {
                buffer = Buffer::new(self.len())?;
                self.read(0, &mut buffer)?;
                &buffer[..]
            }
        };
        // The outboard is a by-product of the witness of LINEAR tiles.
        let (residues, witness, outboard) = if context.scheme.data_classes() == 0 {
            let (outboard, witness, residues) = Outboard::with_residues(context.scheme.digests(), bytes)?;
            (residues, witness, Some(Arc::new(outboard)))
        } else {
            let (residues, witness) = context.scheme.sum_and_witness(bytes, &mut Workspace::default())?;
            (residues.0, witness, None)
        };
        // The witness is compared before a sum is kept, because the sum of wrong bytes would spread to all
        // parts of the tile.
        if !same(&witness, &stored.entry.witness) {
            return Err(source_changed(&**self));
        }
        let residues = self.check_residues(residues)?;
        // A tile of a single group has no chaining values. The chaining values of larger tiles are kept for
        // the edit that follows.
        if let Some(outboard) = outboard.filter(|_| self.len() > GROUP_SIZE) {
            context.outboards.keep_extent(self, outboard);
        }
        Ok(residues)
    }

    /// Compares `found`, residues just computed from the bytes of all groups, with the known residues, and keeps
    /// them if they are new. Fails with CONSERVATION if they differ.
    pub(crate) fn check_residues(&self, found: [Residue; GROUPS]) -> Result<&[Residue; GROUPS]> {
        // The sum of all bytes is always known, the sums of the groups only if they were computed before.
        let total: Residue = found.iter().copied().sum();
        let known = self.residues.get();
        if total != self.residue || known.is_some_and(|known| *known != found) {
            return Err(AtlasError::conservation(format!(
                "the source changed: the sum of {self} differs from the projected sum"
            )));
        }
        Ok(self.residues.get_or_init(|| found))
    }

    /// Returns the chaining values of the extent's groups if they are cached, or stored in the container file from
    /// which the extent was loaded. `None` also if they cannot be loaded; reading the bytes then reports the reason.
    pub(crate) fn outboard(self: &Arc<Self>) -> Option<Arc<Outboard>> {
        if let Some(outboard) = &lock(&self.kept).outboard {
            return Some(Arc::clone(outboard));
        }
        let stored = self.stored.as_ref().filter(|_| self.len() > GROUP_SIZE)?;
        // Chaining values are stored in records only.
        if !matches!(stored.entry.place, TilePlace::Record(_)) {
            return None;
        }
        let spans = stored.spans().ok().filter(|spans| !spans.chaining_values.is_empty())?;
        let context = stored.store.context();
        let values = spans.chaining_values.to_vec();
        let (outboard, witness) = Outboard::of_groups(context.scheme.digests(), values, None).ok()?;
        // Stored values count only if they lead to the witness of the tile.
        if !same(&witness, &stored.entry.witness) {
            return None;
        }
        let outboard = Arc::new(outboard);
        // The outboard is kept like any other outboard, so that it is computed only once.
        context.outboards.keep_extent(self, Arc::clone(&outboard));
        Some(outboard)
    }

    pub(crate) fn set_outboard(&self, outboard: Option<Arc<Outboard>>) -> Option<Arc<Outboard>> {
        // The caller drops the previous outboard, after the lock is released.
        std::mem::replace(&mut lock(&self.kept).outboard, outboard)
    }

    /// Returns the bytes `range` of the extent without a copy, if they are in memory.
    pub(crate) fn slice(&self, range: &Range<usize>) -> Option<&[u8]> {
        self.source.slice(self.offset + to_u64(range.start), range.len())
    }

    /// Returns the bytes `range` of the extent without a copy like [`slice`](Self::slice), if nothing else can
    /// change them after a check.
    pub(crate) fn fixed_slice(&self, range: &Range<usize>) -> Option<&[u8]> {
        self.source.fixed_slice(self.offset + to_u64(range.start), range.len())
    }

    /// Fills `out` with the extent's bytes from `start` on, as the source has them now, unverified.
    pub(crate) fn read(&self, start: usize, out: &mut [u8]) -> Result<()> {
        self.source.read(self.offset + to_u64(start), out)
    }

    pub(super) fn read_raw(&self, start: u32, out: OutBytes<'_>) -> Result<()> {
        self.source.read_raw(self.offset + u64::from(start), out)
    }

    pub(super) fn residue(&self) -> Residue {
        self.residue
    }

    /// Returns the residue of the bytes `range` of the extent, from the residues of its groups. A group that the
    /// range cuts is summed from its bytes, which are checked: one wrong read would make the residues of both parts
    /// permanently wrong.
    pub(super) fn residue_of(
        self: &Arc<Self>,
        range: &Range<usize>,
        reader: &mut CheckedReader<'_>,
    ) -> Result<Residue> {
        // The groups in which the range begins and ends. A range up to an edge ends in the group after it.
        let (first, last) = (range.start / GROUP_SIZE, range.end / GROUP_SIZE);
        if range.is_empty() {
            return Ok(Residue::ZERO);
        }
        // The sum of all bytes is known. Only the sums of the groups would need a read if the tile is stored.
        if *range == (0..self.len()) {
            return Ok(self.residue);
        }
        let residues = self.residues()?;
        // The range lies in one group: the sum of a whole group is stored, that of a part is computed from
        // the bytes.
        if first == last {
            let whole = range.start.is_multiple_of(GROUP_SIZE) && range.end == self.len();
            return if whole { Ok(residues[first]) } else { self.sum_within(residues, range, reader) };
        }
        // Whole groups from the first group on, without the bytes before the start.
        let mut residue: Residue = residues[first..last].iter().copied().sum();
        if !range.start.is_multiple_of(GROUP_SIZE) {
            residue = residue - self.sum_within(residues, &(first * GROUP_SIZE..range.start), reader)?;
        }
        // A short last group counts whole; a group that is cut counts up to the cut.
        if range.end == self.len() && !range.end.is_multiple_of(GROUP_SIZE) {
            residue = residue + residues[last];
        } else if !range.end.is_multiple_of(GROUP_SIZE) {
            residue = residue + self.sum_within(residues, &(last * GROUP_SIZE..range.end), reader)?;
        }
        Ok(residue)
    }

    /// Returns the number of groups that [`residue_of`](Self::residue_of) reads for `range`.
    pub(super) fn groups_read(&self, range: &Range<usize>) -> usize {
        // The end of the extent is no cut, although it may lie inside a group.
        let is_cut = |at: usize| !at.is_multiple_of(GROUP_SIZE) && at != self.len();
        match (is_cut(range.start), is_cut(range.end)) {
            (true, true) if range.start / GROUP_SIZE == range.end / GROUP_SIZE => 1,
            (start, end) => usize::from(start) + usize::from(end),
        }
    }

    /// Returns the residue of the bytes `range`, a part of one group, after a check of that group. Fails with
    /// WITNESS if its bytes changed.
    fn sum_within(
        self: &Arc<Self>,
        residues: &[Residue; GROUPS],
        range: &Range<usize>,
        reader: &mut CheckedReader<'_>,
    ) -> Result<Residue> {
        // Library memory does not change.
        if self.trust == Trust::Memory
            && let Some(bytes) = self.slice(range)
        {
            return Ok(Residue::of(bytes));
        }
        let group = range.start / GROUP_SIZE;
        let start = group * GROUP_SIZE;
        let whole = start..(start + GROUP_SIZE).min(self.len());
        // Memory of the host stays the same by the host's promise, and the sum of the whole group checks that
        // promise. Two reads of it give the same bytes, so that its digest can wait for the next root.
        if let Some(bytes) = self.fixed_slice(&whole) {
            let part = Residue::of(&bytes[range.start - start..range.end - start]);
            let rest = Residue::of(&bytes[..range.start - start]) + Residue::of(&bytes[range.end - start..]);
            if part + rest != residues[group] {
                return Err(AtlasError::witness(format!(
                    "the source changed: the sum of {self} differs from the projected sum"
                )));
            }
            return Ok(part);
        }
        // Any other source may return other bytes for each read, so that the bytes of this read are checked
        // by their digest.
        let mut bytes = Buffer::new(range.len())?;
        reader.copy(self, range.start, &mut bytes)?;
        Ok(Residue::of(&bytes))
    }
}

/// Returns the residue of each group of 16 KiB of a tile's bytes.
fn group_residues(bytes: &[u8]) -> [Residue; GROUPS] {
    Residue::of_groups(bytes, GROUP_SIZE)
}

/// Converts the length of a tile. Fails with INTERNAL if it is outside 1..=[`TILE_SIZE`].
pub(super) fn tile_len(len: usize) -> Result<u32> {
    match u32::try_from(len) {
        Ok(small) if (1..=TILE_SIZE).contains(&len) => Ok(small),
        _ => Err(AtlasError::internal(format!(
            "a defect of the library, please report it: a tile of {len} bytes is outside 1..={TILE_SIZE}"
        ))),
    }
}
