//! Batches and what they came to.

use super::{
    CompressedInfo, CompressedShard, CompressionAlgorithm, CompressionConfig, compress_all, decompress_all,
};
use crate::base::error::Result;
use crate::exec::operation::Operation;
use crate::shard::{AtlasShard, VerifyOptions};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a manager did. Calls that failed do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CompressionStats {
    /// Shards given to compression.
    pub compression_operations: u64,
    /// Compressed shards given back as shards.
    pub decompression_operations: u64,
    /// Of those given to compression, how many became smaller.
    pub shards_compressed: u64,
    /// Of those given to compression, how many are stored.
    pub shards_stored: u64,
    /// Bytes of the regions given to compression.
    pub original_bytes: u64,
    /// What their payloads take.
    pub compressed_bytes: u64,
    /// What that saves, 0 where it saves nothing.
    pub saved_bytes: u64,
}

impl CompressionStats {
    /// Compressed by original bytes, 1.0 where there are none.
    pub fn average_ratio(&self) -> f64 {
        if self.original_bytes == 0 {
            return 1.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let ratio = self.compressed_bytes as f64 / self.original_bytes as f64;
        ratio
    }

    fn add(&mut self, info: &CompressedInfo) {
        self.compression_operations += 1;
        match info.algorithm {
            CompressionAlgorithm::None => self.shards_stored += 1,
            _ => self.shards_compressed += 1,
        }
        self.original_bytes = self.original_bytes.saturating_add(info.original_size);
        self.compressed_bytes = self.compressed_bytes.saturating_add(info.compressed_size);
        self.saved_bytes = self.original_bytes.saturating_sub(self.compressed_bytes);
    }
}

/// Compresses and decompresses many shards in parallel, with one configuration, and keeps count.
///
/// It may be used from several threads at once.
#[derive(Debug)]
pub struct CompressionManager {
    config: CompressionConfig,
    stats: Mutex<CompressionStats>,
}

impl CompressionManager {
    /// INVALID_ARGUMENT where the configuration is not valid.
    pub fn new(config: CompressionConfig) -> Result<CompressionManager> {
        super::available()?;
        config.check()?;
        Ok(CompressionManager { config, stats: Mutex::default() })
    }

    /// What it compresses with.
    pub fn config(&self) -> &CompressionConfig {
        &self.config
    }

    /// What it did so far.
    pub fn stats(&self) -> CompressionStats {
        *self.lock()
    }

    /// Compresses all shards in parallel, in their order: all of them or none. The index of an error is that
    /// of the shard.
    pub fn compress_batch(
        &self,
        shards: &[&AtlasShard],
        operation: &mut Operation<'_>,
    ) -> Result<Vec<CompressedShard>> {
        let compressed = compress_all(shards, &self.config, true, operation)?;
        let mut stats = self.lock();
        compressed.iter().for_each(|shard| stats.add(&shard.info()));
        drop(stats);
        Ok(compressed)
    }

    /// Decompresses and verifies all shards in parallel, in their order: all of them or none. The index of
    /// an error is that of the shard.
    pub fn decompress_batch(
        &self,
        compressed: &[&CompressedShard],
        verify: &VerifyOptions,
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasShard>> {
        let shards = decompress_all(compressed, verify, true, operation)?;
        self.lock().decompression_operations += shards.len() as u64;
        Ok(shards)
    }

    fn lock(&self) -> MutexGuard<'_, CompressionStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
