//! New bytes of an edit, in library memory.

#![forbid(unsafe_code)]

use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::layer2::Residue;
use crate::source::Source;
use std::ops::Range;

/// The new bytes of an edit, in chunks of a tile's size (1 MiB). The last chunk may be shorter. Each chunk is freed
/// separately, so that no call has to free much memory at once.
#[derive(Clone)]
pub(crate) struct NewBytes {
    chunks: Vec<Source>,
    size: u64,
}

impl NewBytes {
    /// Wraps `bytes` without a copy, as a single chunk of any length. If it exceeds 1 MiB,
    /// [`chunked`](Self::chunked) divides it.
    pub(crate) fn from_vec(bytes: Vec<u8>) -> NewBytes {
        let size = to_u64(bytes.len());
        // No chunk may be empty, because no tile is empty.
        NewBytes { chunks: if size == 0 { Vec::new() } else { vec![Source::from_vec(bytes)] }, size }
    }

    /// Copies `bytes` into chunks of 1 MiB.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<NewBytes> {
        let mut chunks = try_vec(bytes.len().div_ceil(TILE_SIZE))?;
        for chunk in bytes.chunks(TILE_SIZE) {
            chunks.push(Source::from_buffer(Buffer::copy_of(chunk)?));
        }
        Ok(NewBytes { chunks, size: to_u64(bytes.len()) })
    }

    /// Returns the same bytes in chunks of at most 1 MiB. Copies them if they are a single longer chunk.
    pub(crate) fn chunked(self) -> Result<NewBytes> {
        match &self.chunks[..] {
            // A long vector is copied into chunks, because a single allocation is freed as a whole.
            [only] if self.size > TILE_BYTES => NewBytes::copy_of(bytes_of(only)?),
            _ => Ok(self),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Iterates over the chunks in order, each with its bytes.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Result<(&Source, &[u8])>> {
        self.chunks.iter().map(|chunk| Ok((chunk, bytes_of(chunk)?)))
    }

    /// Returns the residue of all bytes, their sum mod 96.
    pub(crate) fn residue(&self) -> Result<Residue> {
        self.chunks().map(|chunk| Ok(Residue::of(chunk?.1))).sum()
    }

    /// Iterates over the parts of the new bytes `range`, one per chunk: the chunk, and the range of the part in it.
    pub(crate) fn parts(&self, range: Range<u64>) -> impl Iterator<Item = (&Source, Range<u64>)> {
        let first = to_usize(range.start / TILE_BYTES);
        let mut start = to_u64(first) * TILE_BYTES;
        self.chunks.iter().skip(first).map_while(move |chunk| {
            let within = range.start.max(start) - start..range.end.saturating_sub(start).min(chunk.size());
            start += TILE_BYTES;
            // The first chunk after the range ends the parts.
            (!within.is_empty()).then_some((chunk, within))
        })
    }
}

impl std::fmt::Debug for NewBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewBytes({} bytes)", self.size)
    }
}

fn bytes_of(chunk: &Source) -> Result<&[u8]> {
    chunk.slice(0, to_usize(chunk.size())).ok_or_else(|| {
        AtlasError::internal(
            "a defect of the library, please report it: the data of an edit are not in memory",
        )
    })
}
