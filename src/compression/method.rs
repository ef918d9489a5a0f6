//! The algorithms, and what each is made of: the filters that blocks may have, and the codec behind them.

use super::codec::Codec;
use super::filter::Filter;
use crate::base::error::{AtlasError, Result};

/// How the payload of a shard is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompressionAlgorithm {
    /// Stored as it is.
    None,
    /// DEFLATE, a raw RFC 1951 stream a block.
    Deflate,
    /// For each block the best of DEFLATE alone and of DEFLATE behind a split into byte planes.
    #[default]
    ConservationAware,
    /// Zstandard, behind byte planes where they pay.
    Zstd,
    /// LZ4, behind byte planes where they pay.
    Lz4,
    /// The algorithm that suits a shard and the [`CompressionTarget`], found by samples of the shard. A
    /// compressed shard names the algorithm that was chosen, never this one.
    Auto,
    /// A codec that only tests have.
    #[cfg(test)]
    RunLength,
    /// The same behind a split into byte planes.
    #[cfg(test)]
    RunLengthPlanes,
}

/// The filters that Zstandard, LZ4 and [`CompressionAlgorithm::Auto`] may put before the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompressionFilter {
    /// Byte planes or none, chosen per block by a sample.
    #[default]
    Auto,
    /// None.
    None,
    /// Byte planes wherever they do not lose.
    Planes,
}

impl CompressionFilter {
    /// The filter with this number in the C API; `None` if there is none.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        [CompressionFilter::Auto, CompressionFilter::None, CompressionFilter::Planes]
            .into_iter()
            .find(|filter| *filter as u32 == code)
    }
}

/// What [`CompressionAlgorithm::Auto`] chooses by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompressionTarget {
    /// Size, unless LZ4 comes near it.
    #[default]
    Balanced,
    /// Time that decompression takes, among the algorithms that save enough.
    FastestRead,
    /// Size.
    Smallest,
}

impl CompressionTarget {
    /// The target with this number in the C API; `None` if there is none.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        [CompressionTarget::Balanced, CompressionTarget::FastestRead, CompressionTarget::Smallest]
            .into_iter()
            .find(|target| *target as u32 == code)
    }
}

/// Filters and codec of the blocks of a shard. The two parts know nothing of one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) filters: Filters,
    pub(crate) codec: Codec,
}

/// The filters that the blocks of a shard may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filters {
    None,
    /// Byte planes of a stride that is a power of two, or none: a permutation of the block.
    Planes,
    /// Byte planes of every stride, with differences or without.
    All,
}

impl Filters {
    /// True if a block may have this filter.
    pub(crate) fn allows(self, filter: Filter) -> bool {
        match self {
            Filters::None => filter == Filter::NONE,
            Filters::Planes => filter == Filter::NONE || Filter::SPLITS.contains(&filter),
            Filters::All => true,
        }
    }

    /// True if a block may have a filter, which is a permutation.
    pub(crate) fn has_permutations_alone(self) -> bool {
        self == Filters::Planes
    }

    /// True if a plane may hold differences. The residue of a filtered block then says nothing.
    pub(crate) fn has_differences(self) -> bool {
        self == Filters::All
    }
}

/// Number of [`CompressionAlgorithm::Auto`].
const AUTO: u8 = 5;

/// All algorithms.
const ALGORITHMS: &[CompressionAlgorithm] = &[
    CompressionAlgorithm::None,
    CompressionAlgorithm::Deflate,
    CompressionAlgorithm::ConservationAware,
    CompressionAlgorithm::Zstd,
    CompressionAlgorithm::Lz4,
    CompressionAlgorithm::Auto,
    #[cfg(test)]
    CompressionAlgorithm::RunLength,
    #[cfg(test)]
    CompressionAlgorithm::RunLengthPlanes,
];

impl CompressionAlgorithm {
    /// Its number in the C API and in the format, and its method: `None` stores. Nothing else knows what an
    /// algorithm is made of.
    const fn definition(self) -> (u8, Option<Method>) {
        const fn method(filters: Filters, codec: Codec) -> Option<Method> {
            Some(Method { filters, codec })
        }
        match self {
            CompressionAlgorithm::None => (0, None),
            CompressionAlgorithm::Deflate => (1, method(Filters::None, Codec::Deflate)),
            CompressionAlgorithm::ConservationAware => (2, method(Filters::Planes, Codec::Deflate)),
            CompressionAlgorithm::Zstd => (3, method(Filters::All, Codec::Zstd)),
            CompressionAlgorithm::Lz4 => (4, method(Filters::All, Codec::Lz4)),
            CompressionAlgorithm::Auto => (AUTO, None),
            #[cfg(test)]
            CompressionAlgorithm::RunLength => (200, method(Filters::None, Codec::RunLength)),
            #[cfg(test)]
            CompressionAlgorithm::RunLengthPlanes => (201, method(Filters::Planes, Codec::RunLength)),
        }
    }

    /// Its number in the C API and in the format, which does not have that of [`Auto`](Self::Auto).
    pub(crate) fn code(self) -> u8 {
        self.definition().0
    }

    /// The algorithm with this number in the C API; `None` if there is none.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        ALGORITHMS.iter().copied().find(|algorithm| u32::from(algorithm.code()) == code)
    }

    /// The algorithm with this number in the format. Fails with UNSUPPORTED if there is none.
    pub(crate) fn from_format(code: u8) -> Result<Self> {
        let known = Self::from_code(u32::from(code)).filter(|algorithm| *algorithm != Self::Auto);
        known.ok_or_else(|| AtlasError::unsupported(format!("compression algorithm {code} is not known")))
    }

    /// Method that it encodes blocks with; `None` if it stores them, and for [`Auto`](Self::Auto), which becomes
    /// one of the others for each shard.
    pub(crate) fn method(self) -> Option<Method> {
        self.definition().1
    }
}
