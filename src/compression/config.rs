//! Configuration of a compression.

use super::codec::Codec;
use super::method::{CompressionAlgorithm, CompressionFilter, CompressionTarget, Method};
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;

/// Size of the smallest block.
pub(crate) const MIN_BLOCK_SIZE: usize = 4 * 1024;
/// Size of the largest block, and of the blocks of a stored shard.
pub(crate) const MAX_BLOCK_SIZE: usize = 1024 * 1024;
/// Highest valid level for `None`, which ignores it, and for `Auto`, which passes it to the chosen algorithm.
const MAX_UNUSED_LEVEL: u8 = 9;

/// Effort of an algorithm per block. The nine levels correspond to the codec's own levels;
/// [`CompressionConfig::codec_level`] sets a level of the codec directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompressionLevel {
    /// Level 1, the fastest.
    Fast,
    /// Level 6, the default.
    #[default]
    Default,
    /// Level 9, which compresses best.
    Best,
    /// A number, 0 (stored) to 9.
    Custom(u8),
}

impl CompressionLevel {
    /// Returns the level as a number, 0 to 9 if it is valid.
    pub fn value(self) -> u8 {
        match self {
            CompressionLevel::Fast => 1,
            CompressionLevel::Default => 6,
            CompressionLevel::Best => 9,
            CompressionLevel::Custom(level) => level,
        }
    }
}

/// Settings of the compression of shards.
///
/// ```
/// use atlas_manifold::{CompressionAlgorithm, CompressionConfig, CompressionLevel, CompressionTarget};
///
/// // Numbers that are read often: the algorithm is chosen per shard, in small blocks.
/// let config = CompressionConfig {
///     algorithm: CompressionAlgorithm::Auto,
///     target: CompressionTarget::FastestRead,
///     level: CompressionLevel::Fast,
///     block_size: 16 * 1024,
///     ..CompressionConfig::default()
/// };
/// assert_eq!(config.level.value(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompressionConfig {
    /// Algorithm that encodes the blocks. Default: conservation-aware.
    pub algorithm: CompressionAlgorithm,
    /// Level of the algorithm. Default 6.
    pub level: CompressionLevel,
    /// A shard with fewer bytes of content (the region's bytes, or the packed coefficients) is stored. Default 1,024.
    pub min_size_threshold: u64,
    /// A payload is stored if its compressed size exceeds this fraction of its size. Default 0.9.
    pub max_compression_ratio: f64,
    /// If set, compression checks the residue of each filtered block, and of all blocks together. Default true.
    /// Decompression always checks.
    pub preserve_conservation: bool,
    /// If set, each encoded block is decoded and compared before the result is returned. Default true.
    pub verify_integrity: bool,
    /// Bytes per independent block, 4 KiB to 1 MiB. Default 128 KiB.
    pub block_size: u64,
    /// Filter before the codec, for the algorithms Zstandard, LZ4 and [`CompressionAlgorithm::Auto`]. The algorithms
    /// `Deflate` and `ConservationAware` accept only [`CompressionFilter::Auto`], which is the default.
    pub filter: CompressionFilter,
    /// Criterion of [`CompressionAlgorithm::Auto`]. Default balanced.
    pub target: CompressionTarget,
    /// Level of the codec itself, in place of `level`: -7 to 19 for Zstandard, where 0 means 3; 1 to 9 for
    /// DEFLATE; 1 for LZ4. A compressed shard names the nearest `level`. Not allowed with
    /// `CompressionAlgorithm::Auto`. Default `None`.
    pub codec_level: Option<i32>,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl CompressionConfig {
    pub(crate) const DEFAULT: Self = CompressionConfig {
        algorithm: CompressionAlgorithm::ConservationAware,
        level: CompressionLevel::Default,
        min_size_threshold: 1_024,
        max_compression_ratio: 0.9,
        preserve_conservation: true,
        verify_integrity: true,
        block_size: 128 * 1024,
        filter: CompressionFilter::Auto,
        target: CompressionTarget::Balanced,
        codec_level: None,
    };

    /// Checks all settings, and returns the block size. Fails with INVALID_ARGUMENT if a value is out of its
    /// range, with UNSUPPORTED if the codec is not built in.
    pub(crate) fn check(&self) -> Result<usize> {
        let invalid = |why: String| Err(AtlasError::invalid_argument(why));
        let method = self.algorithm.method();
        // The level, on the scale of the caller or of the codec.
        match (self.codec_level, method) {
            (Some(own), _) if self.algorithm == CompressionAlgorithm::Auto => {
                return invalid(format!(
                    "codec_level {own} cannot be combined with algorithm AUTO: set level instead, or name \
                     the algorithm"
                ));
            }
            (Some(own), Some(method)) if !method.codec.own_levels().contains(&own) => {
                // The error names the range of the codec that was chosen.
                let range = method.codec.own_levels();
                return invalid(format!(
                    "codec_level {own} of the algorithm is outside {}..={}",
                    range.start(),
                    range.end()
                ));
            }
            (Some(_), _) => {}
            (None, _) => {
                let level = self.level.value();
                // NONE ignores the level, and AUTO passes it on; an invalid level is refused with both.
                let most = method.map_or(MAX_UNUSED_LEVEL, |method| *method.codec.levels().end());
                if level > most {
                    return invalid(format!("level {level} is outside 0..={most}"));
                }
            }
        }
        // Only some methods leave the choice of the filter to the caller.
        if self.filter != CompressionFilter::Auto
            && method.is_some_and(|method| !method.filters.has_differences())
        {
            return invalid(format!(
                "filter {} cannot be combined with algorithm {}: only Zstandard (3), LZ4 (4) and AUTO (5) \
                 accept a filter other than AUTO (0)",
                self.filter as u8,
                self.algorithm.code()
            ));
        }
        // Ratio and block size must be in their ranges.
        let ratio = self.max_compression_ratio;
        if !ratio.is_finite() || ratio < 0.0 {
            return invalid(format!("max_compression_ratio {ratio} is not a finite number of at least 0"));
        }
        let (least, most) = (MIN_BLOCK_SIZE, MAX_BLOCK_SIZE);
        let size = usize::try_from(self.block_size).ok().filter(|size| (least..=most).contains(size));
        let Some(size) = size else {
            return invalid(format!("block_size {} is outside {least}..={most}", self.block_size));
        };
        if let Some(method) = method {
            // Invalid values are reported first, then a codec that is not built in.
            method.codec.get()?;
        }
        Ok(size)
    }

    /// Returns the plan by which the blocks of a shard are encoded. `None` if the blocks are stored, as at level
    /// 0, or if the plan is chosen later for each shard ([`is_auto`](Self::is_auto)).
    pub(crate) fn plan(&self) -> Option<Plan> {
        let method = self.algorithm.method()?;
        // The format knows nine levels only; a level of the codec is recorded as the nearest of them.
        let (level, own_level) = match self.codec_level {
            Some(own) => (method.codec.nearest_level(own), own),
            None => (self.level.value(), method.codec.own_level(self.level.value())),
        };
        (level > 0).then_some(Plan {
            algorithm: self.algorithm,
            method,
            level,
            own_level,
            filter: self.filter,
        })
    }

    /// Returns true if the algorithm is chosen for each shard. False at level 0, because all shards are then stored.
    pub(crate) fn is_auto(&self) -> bool {
        self.algorithm == CompressionAlgorithm::Auto && self.level.value() > 0
    }

    /// Returns true if `packed` bytes are at most `max_compression_ratio` of the `original` bytes, so that the
    /// compressed form is kept.
    pub(crate) fn is_worth(&self, packed: usize, original: usize) -> bool {
        // Sizes in memory are far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
        let (packed, original) = (to_u64(packed) as f64, to_u64(original) as f64);
        packed <= original * self.max_compression_ratio
    }
}

/// Algorithm, method, levels and requested filter by which the blocks of one shard are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) algorithm: CompressionAlgorithm,
    pub(crate) method: Method,
    /// Level that the format records, 1 to 9.
    pub(crate) level: u8,
    /// Level on the scale of the codec itself.
    pub(crate) own_level: i32,
    pub(crate) filter: CompressionFilter,
}

impl Plan {
    pub(crate) fn codec(&self) -> Codec {
        self.method.codec
    }
}
