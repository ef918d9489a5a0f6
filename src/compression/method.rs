//! The algorithms, and their parts: the filters of blocks, and the codec after them.

use super::codec::Codec;
use super::filter::Filter;
use crate::base::error::{AtlasError, Result};

/// Algorithm that compresses the payload of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompressionAlgorithm {
    /// Stored without compression.
    None,
    /// One raw DEFLATE stream (RFC 1951) per block.
    Deflate,
    /// DEFLATE of each block, alone or after a split into byte planes, whichever is smaller.
    #[default]
    ConservationAware,
    /// Zstandard, after byte planes if they help.
    Zstd,
    /// LZ4, after byte planes if they help.
    Lz4,
    /// The algorithm that suits a shard and the [`CompressionTarget`], found by samples of the shard. A
    /// compressed shard names the chosen algorithm, never `Auto`.
    Auto,
    /// A codec that exists only in tests.
    #[cfg(test)]
    RunLength,
    /// `RunLength` after a split into byte planes.
    #[cfg(test)]
    RunLengthPlanes,
}

/// Filters that Zstandard, LZ4 and [`CompressionAlgorithm::Auto`] may use before the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompressionFilter {
    /// Byte planes or none, chosen per block by a sample.
    #[default]
    Auto,
    /// No filter.
    None,
    /// Byte planes unless they make a block larger.
    Planes,
}

/// Criterion by which [`CompressionAlgorithm::Auto`] chooses an algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompressionTarget {
    /// LZ4 if its result is at most a tenth larger than the smallest, otherwise the same as
    /// [`Smallest`](Self::Smallest).
    #[default]
    Balanced,
    /// The shortest decompression time among the algorithms that save enough.
    FastestRead,
    /// The smallest size. Of results that differ by less than a hundredth, the one that is faster to decompress.
    Smallest,
}

/// Method that encodes the blocks of a shard: filters, and the codec after them. The two parts are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) filters: Filters,
    pub(crate) codec: Codec,
}

/// Filters that the blocks of a shard may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filters {
    None,
    /// Byte planes of a stride (number of planes) that is a power of two, or none: a permutation of the block.
    Planes,
    /// Byte planes of any stride, or none. Each plane may hold differences instead of its bytes.
    All,
}

impl Filters {
    /// Returns true if a block may have this filter.
    pub(crate) fn allows(self, filter: Filter) -> bool {
        match self {
            Filters::None => filter == Filter::NONE,
            Filters::Planes => filter == Filter::NONE || Filter::SPLITS.contains(&filter),
            Filters::All => true,
        }
    }

    /// Returns true if blocks may have filters, and every filter only permutes their bytes.
    pub(crate) fn has_permutations_alone(self) -> bool {
        self == Filters::Planes
    }

    /// Returns true if a plane may hold differences. The residue of the planes is then not that of the block.
    pub(crate) fn has_differences(self) -> bool {
        self == Filters::All
    }
}

/// Number of [`CompressionAlgorithm::Auto`] in the C API.
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
    /// Returns the number of the algorithm in the C API and in the format, and its method. `None` means that blocks are
    /// stored, or, for `Auto`, that an algorithm is chosen for each shard. Algorithms are defined only here.
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

    /// Returns the number of the algorithm in the C API and in the format. The format does not have the
    /// number of [`Auto`](Self::Auto).
    pub(crate) fn code(self) -> u8 {
        self.definition().0
    }

    /// Returns the algorithm with this number in the format. Fails with UNSUPPORTED if there is none.
    pub(crate) fn from_format(code: u8) -> Result<Self> {
        // AUTO is a choice of the caller and never occurs in encoded bytes.
        let mut known = ALGORITHMS.iter().copied().filter(|algorithm| *algorithm != Self::Auto);
        let known = known.find(|algorithm| algorithm.code() == code);
        known.ok_or_else(|| {
            AtlasError::unsupported(format!(
                "compression algorithm {code} is not known to this version of the library: use a newer \
                 version"
            ))
        })
    }

    /// Returns the method that encodes blocks. `None` if the algorithm stores them, and for
    /// [`Auto`](Self::Auto), for which an algorithm is chosen for each shard.
    pub(crate) fn method(self) -> Option<Method> {
        self.definition().1
    }
}
