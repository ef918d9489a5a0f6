//! A source whose bytes are several pieces of memory: tiles of a stream, payloads of shards.

#![forbid(unsafe_code)]

use crate::base::buffer::Buffer;
use crate::base::out_bytes::OutBytes;
use crate::base::units::{TILE_BYTES, to_u64, to_usize};
use std::sync::Arc;

pub(super) struct Pieces {
    /// The pieces, each with its offset in the source, ascending and without gaps.
    list: Vec<(u64, Arc<Buffer>)>,
}

impl Pieces {
    pub(super) fn new(list: Vec<(u64, Arc<Buffer>)>) -> Pieces {
        debug_assert!(list.first().is_none_or(|(offset, _)| *offset == 0));
        debug_assert!(list.windows(2).all(|pair| end(&pair[0]) == pair[1].0));
        Pieces { list }
    }

    pub(super) fn size(&self) -> u64 {
        self.list.last().map_or(0, end)
    }

    /// Returns true if every full tile of 1 MiB lies in one piece.
    pub(super) fn hold_tiles(&self) -> bool {
        self.list.iter().all(|(offset, _)| offset.is_multiple_of(TILE_BYTES))
    }

    /// Returns the index of the piece that holds the byte at `offset`, or of the last piece if no piece holds
    /// it.
    fn find(&self, offset: u64) -> usize {
        self.list.partition_point(|(start, _)| *start <= offset).saturating_sub(1)
    }

    /// Returns the `len` bytes at `offset` without a copy, or `None` unless one piece has all of them.
    pub(super) fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        // Only the piece of the first byte can have all the bytes; a range that ends after this piece is no
        // slice.
        let (start, bytes) = self.list.get(self.find(offset))?;
        let start = usize::try_from(offset - start).ok()?;
        bytes.get(start..start.checked_add(len)?)
    }

    /// Fills `out` with the bytes from `offset` on, which must be within the pieces.
    pub(super) fn read(&self, offset: u64, mut out: OutBytes<'_>) {
        let mut at = offset;
        // The read may begin inside the first piece, and begins at the start of every later piece.
        for (start, bytes) in &self.list[self.find(offset)..] {
            if out.is_empty() {
                return;
            }
            let from = to_usize(at - start);
            let take = out.len().min(bytes.len() - from);
            out.split_off_front(take).copy_from(&bytes[from..from + take]);
            at += to_u64(take);
        }
    }
}

fn end((offset, bytes): &(u64, Arc<Buffer>)) -> u64 {
    offset + to_u64(bytes.len())
}
