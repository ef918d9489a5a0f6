//! Batches with one configuration, and their statistics.

use super::{
    CompressedInfo, CompressedShard, CompressionAlgorithm, CompressionConfig, compress_all, decompress_all,
};
use crate::base::error::Result;
use crate::base::sync::lock;
use crate::exec::operation::Operation;
use crate::shard::{AtlasShard, VerifyOptions};
use std::sync::{Mutex, MutexGuard};

/// Statistics of a [`CompressionManager`]. Failed calls do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CompressionStats {
    /// Number of shards passed to compression.
    pub compression_operations: u64,
    /// Number of compressed shards that were decompressed.
    pub decompression_operations: u64,
    /// Number of shards that became smaller.
    pub shards_compressed: u64,
    /// Number of shards that were stored.
    pub shards_stored: u64,
    /// Bytes of the content of all shards passed to compression: the regions' bytes, or the packed coefficients.
    pub original_bytes: u64,
    /// Bytes of the blocks, encoded or stored, and of their heads, for all shards passed to compression.
    pub compressed_bytes: u64,
    /// original_bytes minus compressed_bytes, at least 0.
    pub saved_bytes: u64,
}

impl CompressionStats {
    /// Returns compressed_bytes divided by original_bytes. 1.0 if there are no original bytes.
    pub fn average_ratio(&self) -> f64 {
        // Nothing was compressed yet.
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
        // Heads of blocks may make a batch of tiny shards larger than its regions.
        self.saved_bytes = self.original_bytes.saturating_sub(self.compressed_bytes);
    }
}

/// Compressor and decompressor of many shards in parallel, with one configuration and with statistics.
///
/// Several threads may use it at once.
///
/// ```
/// use atlas_manifold::{
///     AtlasBoundaryRegion, AtlasProjection, CompressionConfig, CompressionManager, Operation, Source,
/// };
/// # if !cfg!(feature = "compression") { return Ok(()); }
/// let operation = &mut Operation::new();
/// let projection = AtlasProjection::linear(&Source::from_vec(vec![1; 2_000_000]))?;
/// let shard = projection.extract_shard(&AtlasBoundaryRegion::new(0, 1_000_000), operation)?;
/// let manager = CompressionManager::new(CompressionConfig::default())?;
/// let compressed = manager.compress_batch(&[&shard], operation)?;
/// assert!(compressed[0].info().compressed_size < 100_000);
/// assert_eq!(manager.stats().shards_compressed, 1);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug)]
pub struct CompressionManager {
    config: CompressionConfig,
    stats: Mutex<CompressionStats>,
}

impl CompressionManager {
    /// Returns a manager. Fails with INVALID_ARGUMENT if the configuration is not valid.
    pub fn new(config: CompressionConfig) -> Result<CompressionManager> {
        super::available()?;
        config.check()?;
        Ok(CompressionManager { config, stats: Mutex::default() })
    }

    /// Returns the configuration of the manager.
    pub fn config(&self) -> &CompressionConfig {
        &self.config
    }

    /// Returns the statistics of the manager so far.
    pub fn stats(&self) -> CompressionStats {
        *self.lock()
    }

    /// Compresses all shards in parallel. Returns the results in the order of the shards, or an error and no result.
    /// The index of an error is the number of the shard.
    pub fn compress_batch(
        &self,
        shards: &[&AtlasShard],
        operation: &mut Operation<'_>,
    ) -> Result<Vec<CompressedShard>> {
        // A batch that fails is not counted at all.
        let compressed = compress_all(shards, &self.config, true, operation)?;
        let mut stats = self.lock();
        compressed.iter().for_each(|shard| stats.add(&shard.info()));
        // The lock is held only while the sums are updated.
        drop(stats);
        Ok(compressed)
    }

    /// Decompresses and verifies all shards in parallel. Returns the results in the order of the shards, or an error
    /// and no result. The index of an error is the number of the shard.
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
        lock(&self.stats)
    }
}
