//! What the caller may choose.

use super::method::{CompressionAlgorithm, Method};
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;

/// Bytes of the smallest block.
pub(crate) const MIN_BLOCK_SIZE: usize = 4 * 1024;
/// Bytes of the largest block, and of the blocks of what is stored whole.
pub(crate) const MAX_BLOCK_SIZE: usize = 1024 * 1024;
/// The highest level that an algorithm without a codec takes, which ignores it.
const MAX_UNUSED_LEVEL: u8 = 9;

/// How much work DEFLATE puts into a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompressionLevel {
    /// Level 1.
    Fast,
    /// Level 6.
    #[default]
    Default,
    /// Level 9.
    Best,
    /// 0 (stored) to 9.
    Custom(u8),
}

impl CompressionLevel {
    /// The number, 0 to 9 where it is valid.
    pub fn value(self) -> u8 {
        match self {
            CompressionLevel::Fast => 1,
            CompressionLevel::Default => 6,
            CompressionLevel::Best => 9,
            CompressionLevel::Custom(level) => level,
        }
    }
}

/// What a compression does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompressionConfig {
    /// Default: conservation-aware.
    pub algorithm: CompressionAlgorithm,
    /// Default: 6.
    pub level: CompressionLevel,
    /// Regions of fewer bytes are stored. Default 1,024.
    pub min_size_threshold: u64,
    /// What would take more than this part of its bytes is stored. Default 0.9.
    pub max_compression_ratio: f64,
    /// Check the residue of what is about to be deflated. Default true. Decompression always checks.
    pub preserve_conservation: bool,
    /// Decompress and compare before it is handed out. Default true.
    pub verify_integrity: bool,
    /// Bytes of the independent blocks, 4 KiB to 1 MiB. Default 128 KiB.
    pub block_size: u64,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        CompressionConfig {
            algorithm: CompressionAlgorithm::default(),
            level: CompressionLevel::default(),
            min_size_threshold: 1_024,
            max_compression_ratio: 0.9,
            preserve_conservation: true,
            verify_integrity: true,
            block_size: 128 * 1024,
        }
    }
}

impl CompressionConfig {
    /// INVALID_ARGUMENT where a value is out of its range. Gives the block size.
    pub(crate) fn check(&self) -> Result<usize> {
        let level = self.level.value();
        let most = self.algorithm.method().map_or(MAX_UNUSED_LEVEL, |method| *method.codec.levels().end());
        if level > most {
            return Err(AtlasError::invalid_argument(format!("level {level} is outside 0..={most}")));
        }
        let ratio = self.max_compression_ratio;
        if !ratio.is_finite() || ratio < 0.0 {
            return Err(AtlasError::invalid_argument(format!(
                "max_compression_ratio {ratio} is not a finite number from 0 on"
            )));
        }
        let (least, most) = (MIN_BLOCK_SIZE, MAX_BLOCK_SIZE);
        usize::try_from(self.block_size).ok().filter(|size| (least..=most).contains(size)).ok_or_else(|| {
            AtlasError::invalid_argument(format!(
                "block_size {} is outside {least}..={most}",
                self.block_size
            ))
        })
    }

    /// Method that blocks are encoded with; `None` if they are stored, as at level 0.
    pub(crate) fn method(&self) -> Option<Method> {
        self.algorithm.method().filter(|_| self.level.value() > 0)
    }

    /// Whether `packed` bytes for `original` ones are worth it.
    pub(crate) fn is_worth(&self, packed: usize, original: usize) -> bool {
        // Sizes of memory at hand: far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        let (packed, original) = (to_u64(packed) as f64, to_u64(original) as f64);
        packed <= original * self.max_compression_ratio
    }
}
