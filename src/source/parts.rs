//! A source that is made of parts of other sources, one after the other.
//!
//! The list is flat: if a source that consists of parts is added, its parts are added instead. A read
//! therefore finds its part in O(log count) however a source was composed, and every part refers to an
//! original source.

#![forbid(unsafe_code)]

use super::Source;
use crate::base::buffer::{try_grow, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::storage::FileId;
use crate::base::units::TILE_BYTES;
use std::sync::{Arc, OnceLock};

pub(super) struct Parts {
    /// The parts, ascending by their start in the whole, without gaps. No part is empty, and no part is of a
    /// source that has parts itself.
    list: Vec<Part>,
    size: u64,
    /// Indices of the parts, sorted by the identity of their source and their offset in it. Made by the first
    /// search.
    by_origin: OnceLock<Vec<usize>>,
}

/// A range of bytes of another source, and the offset of these bytes in the whole.
struct Part {
    start: u64,
    source: Source,
    offset: u64,
    len: u64,
}

/// Identity of the bytes that a source reads: a file, however it was opened, or one object in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    File(FileId),
    Object(usize),
}

/// A run of contiguous bytes of a source that has no parts.
#[derive(Clone, Copy)]
pub(crate) struct SourceRun<'s> {
    pub(crate) source: &'s Source,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Builder of the list of parts of a source.
#[derive(Default)]
pub(super) struct PartsBuilder {
    list: Vec<Part>,
    size: u64,
}

impl PartsBuilder {
    /// Appends the `len` bytes at `offset` of `source`, which are within it. Fails with LIMIT if the parts have
    /// 2^64 bytes or more.
    pub(super) fn push(&mut self, source: &Source, offset: u64, len: u64) -> Result<()> {
        // A part that itself has parts adds the runs of its own parts, so that the list stays flat.
        for run in source.runs(offset, len) {
            // The sum is checked first, so that the start of a part never wraps.
            let end = self.size.checked_add(run.len).ok_or_else(|| {
                let size = self.size;
                AtlasError::limit(format!(
                    "a sequence of sources of {size} bytes and {} more exceeds the limit of 2^64 - 1 bytes",
                    run.len
                ))
            })?;
            match self.list.last_mut() {
                // A run that continues the last part is merged with it.
                Some(last) if last.continues(&run) => last.len += run.len,
                _ => {
                    try_grow(&mut self.list, 1)?;
                    let SourceRun { source, offset, len } = run;
                    self.list.push(Part { start: self.size, source: source.clone(), offset, len });
                }
            }
            self.size = end;
        }
        Ok(())
    }

    /// Returns the finished list of parts. `None` if they have no bytes.
    pub(super) fn finish(self) -> Option<Parts> {
        let PartsBuilder { list, size } = self;
        (size > 0).then(|| Parts { list, size, by_origin: OnceLock::new() })
    }
}

impl Part {
    fn run(&self) -> SourceRun<'_> {
        SourceRun { source: &self.source, offset: self.offset, len: self.len }
    }

    fn continues(&self, next: &SourceRun<'_>) -> bool {
        Arc::ptr_eq(&self.source.inner, &next.source.inner) && self.offset + self.len == next.offset
    }
}

impl Parts {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the source of the only part, if that part is the whole source.
    pub(super) fn whole(&self) -> Option<&Source> {
        match &self.list[..] {
            [only] if only.offset == 0 && only.len == only.source.size() => Some(&only.source),
            _ => None,
        }
    }

    /// Returns the name of the source for error texts: the first part, and the number of parts after it.
    pub(super) fn name(&self) -> String {
        match &self.list[..] {
            [] => String::new(),
            [only] => only.source.name(),
            [first, more @ ..] => format!("{} and {} parts after it", first.source.name(), more.len()),
        }
    }

    /// Returns true if all bytes are in memory, and each tile of 1 MiB is one piece.
    pub(super) fn hold_tiles(&self) -> bool {
        // A tile must not cross an edge between two parts, nor between two pieces of memory in a part.
        self.list.iter().all(|part| {
            part.start.is_multiple_of(TILE_BYTES)
                && part.source.in_memory()
                && (part.offset.is_multiple_of(TILE_BYTES) || part.source.is_contiguous())
        })
    }

    /// Returns true if no part is of a mapped file.
    pub(super) fn are_fixed(&self) -> bool {
        self.list.iter().all(|part| part.source.is_fixed())
    }

    /// Returns the sources of the parts. A source appears once for each of its parts.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.list.iter().map(|part| &part.source)
    }

    /// Returns the run of bytes from `offset` to the end of the part that has this byte. `None` if `offset` is
    /// not less than the size.
    pub(super) fn run_at(&self, offset: u64) -> Option<SourceRun<'_>> {
        // There are no gaps, so that the last part that begins at or before the offset has the byte.
        let index = self.list.partition_point(|part| part.start <= offset).checked_sub(1)?;
        let part = self.list.get(index)?;
        let before = offset - part.start;
        let run = part.run();
        (before < run.len).then(|| SourceRun { offset: run.offset + before, len: run.len - before, ..run })
    }

    /// Returns the offset in the whole of the byte that is at `offset` in the source with the identity `origin`.
    /// If several parts have the byte, chooses the one that begins last in that source.
    pub(super) fn find(&self, origin: Origin, offset: u64) -> Option<u64> {
        // Parts are ordered by the place of their first byte in its own source.
        let key = |number: &usize| {
            let part = &self.list[*number];
            (part.source.origin(), part.offset)
        };
        // If there is no memory for the index, no place is returned.
        let index = match self.by_origin.get() {
            Some(index) => index,
            None => {
                // Two threads may make the index at the same time: both make the same list.
                let mut index = try_vec(self.list.len()).ok()?;
                index.extend(0..self.list.len());
                // A stable sort would need memory that cannot be refused.
                index.sort_unstable_by_key(|number| (key(number), *number));
                self.by_origin.get_or_init(|| index)
            }
        };
        // The last part that begins at or before the byte in its source. It may also end before the byte.
        let number = index.partition_point(|number| key(number) <= (origin, offset)).checked_sub(1)?;
        let part = &self.list[index[number]];
        let before = offset.checked_sub(part.offset)?;
        (part.source.origin() == origin && before < part.len).then(|| part.start + before)
    }
}
