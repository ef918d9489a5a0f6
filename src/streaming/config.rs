//! Configuration of a stream.

use crate::base::error::{AtlasError, Result};
use crate::base::units::{PAGE_BYTES, TILE_BYTES, to_usize};
use crate::tile::hash_tiles::Pace;
use std::ops::RangeInclusive;

/// Maximum number of bytes that the system is asked to read ahead.
const MAX_AHEAD: u64 = 1 << 30;
const CHUNK_SIZE: RangeInclusive<u64> = 64 * 1024..=256 * 1024 * 1024;
const IO_BUFFER_SIZE: RangeInclusive<u64> = 4 * 1024..=16 * 1024 * 1024;

/// Settings of a stream. None of them changes the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamingConfig {
    pub(crate) chunk_size: u64,
    pub(crate) parallel_chunks: u32,
    pub(crate) prefetch_chunks: u32,
    pub(crate) chunk_overlap: u64,
    pub(crate) io_buffer_size: u64,
}

impl Default for StreamingConfig {
    /// Returns settings with chunks of 16 MiB, of which 4 may be in flight and 2 are read ahead, an overlap of
    /// 4,096 bytes, and reads of up to 1 MiB.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl StreamingConfig {
    pub(crate) const DEFAULT: Self = StreamingConfig {
        chunk_size: 16 * 1024 * 1024,
        parallel_chunks: 4,
        prefetch_chunks: 2,
        chunk_overlap: PAGE_BYTES,
        io_buffer_size: TILE_BYTES,
    };

    /// Returns settings with chunks of `chunk_size` bytes (64 KiB to 256 MiB), of which `parallel_chunks`, one or
    /// more, may be in flight; for this limit a chunk smaller than a tile counts as a tile. All other settings have
    /// their defaults. [`StreamingContext::next`](crate::StreamingContext::next) works on one chunk at a time,
    /// whatever this limit.
    pub fn new(chunk_size: u64, parallel_chunks: u32) -> Result<Self> {
        check("chunk_size", chunk_size, &CHUNK_SIZE)?;
        check("parallel_chunks", u64::from(parallel_chunks), &(1..=u64::from(u32::MAX)))?;
        Ok(StreamingConfig { chunk_size, parallel_chunks, ..Self::default() })
    }

    /// Sets the number of chunks that the system is asked to read ahead.
    #[must_use]
    pub fn with_prefetch_chunks(mut self, chunks: u32) -> Self {
        self.prefetch_chunks = chunks;
        self
    }

    /// Sets the number of bytes of the next chunk that are returned with each chunk, at most the size of a
    /// chunk.
    pub fn with_chunk_overlap(mut self, bytes: u64) -> Result<Self> {
        check("chunk_overlap", bytes, &(0..=self.chunk_size))?;
        self.chunk_overlap = bytes;
        Ok(self)
    }

    /// Sets the size of the largest positioned read, 4 KiB to 16 MiB. A size above a tile is rounded down to
    /// whole tiles and limited to a chunk, and each worker has a buffer of the resulting size.
    /// [`StreamingContext::next`](crate::StreamingContext::next) reads at most a tile at a time.
    pub fn with_io_buffer_size(mut self, bytes: u64) -> Result<Self> {
        check("io_buffer_size", bytes, &IO_BUFFER_SIZE)?;
        self.io_buffer_size = bytes;
        Ok(self)
    }

    /// Returns the number of bytes per chunk.
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    /// Returns the maximum number of chunks in flight.
    pub fn parallel_chunks(&self) -> u32 {
        self.parallel_chunks
    }

    /// Returns the number of chunks that the system is asked to read ahead.
    pub fn prefetch_chunks(&self) -> u32 {
        self.prefetch_chunks
    }

    /// Returns the number of bytes of the next chunk that are returned with each chunk.
    pub fn chunk_overlap(&self) -> u64 {
        self.chunk_overlap
    }

    /// Returns the size of the largest positioned read.
    pub fn io_buffer_size(&self) -> u64 {
        self.io_buffer_size
    }

    /// Returns the limits for bytes in flight, read-ahead and reads of a stream whose chunks are not returned
    /// to the caller.
    pub(super) fn pace(&self) -> Pace {
        Pace {
            // A worker takes at least one tile, so that a smaller chunk counts as a tile.
            window: Some(self.chunk_size.max(TILE_BYTES).saturating_mul(u64::from(self.parallel_chunks))),
            ahead: self.ahead(),
            // A read above a chunk could overrun the window.
            read: self.read_size().min(to_usize(self.chunk_size.max(TILE_BYTES))),
        }
    }

    /// Returns the number of bytes that the system is asked to read ahead. It is limited to 1 GiB, because
    /// large settings would announce the whole file before the first report.
    pub(super) fn ahead(&self) -> u64 {
        self.chunk_size.saturating_mul(u64::from(self.prefetch_chunks)).min(MAX_AHEAD)
    }

    /// Returns the number of bytes of the largest read.
    pub(super) fn read_size(&self) -> usize {
        to_usize(self.io_buffer_size)
    }
}

fn check(name: &str, value: u64, range: &RangeInclusive<u64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(AtlasError::invalid_argument(format!("{name} {value} is outside {range:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_limits_are_named_with_them() {
        let message = |result: Result<StreamingConfig>| result.unwrap_err().message().to_owned();
        assert_eq!(message(StreamingConfig::new(0, 1)), "chunk_size 0 is outside 65536..=268435456");
        assert_eq!(
            message(StreamingConfig::new((256 << 20) + 1, 1)),
            "chunk_size 268435457 is outside 65536..=268435456"
        );
        assert_eq!(message(StreamingConfig::new(65_536, 0)), "parallel_chunks 0 is outside 1..=4294967295");
        let config = StreamingConfig::new(65_536, 1).unwrap();
        assert_eq!(
            message(config.clone().with_chunk_overlap(65_537)),
            "chunk_overlap 65537 is outside 0..=65536"
        );
        assert_eq!(
            message(config.clone().with_io_buffer_size(4_095)),
            "io_buffer_size 4095 is outside 4096..=16777216"
        );
        assert!(config.clone().with_chunk_overlap(65_536).is_ok());
        assert!(config.with_io_buffer_size(16 << 20).is_ok());
        let most = StreamingConfig::new(256 << 20, u32::MAX).unwrap().with_prefetch_chunks(u32::MAX);
        assert_eq!(most.ahead(), MAX_AHEAD);
        assert_eq!(most.with_prefetch_chunks(2).ahead(), 512 << 20);
    }
}
