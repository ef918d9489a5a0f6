//! The algorithms, and what each is made of: the filters that blocks may have, and the codec behind them.

use super::codec::Codec;
use super::filter::Filter;

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
    /// A codec that only tests have.
    #[cfg(test)]
    RunLength,
    /// The same behind a split into byte planes.
    #[cfg(test)]
    RunLengthPlanes,
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
    /// Byte planes or none, chosen per block.
    Planes,
}

impl Filters {
    /// True if a block may have this filter.
    pub(crate) fn allows(self, filter: Filter) -> bool {
        match self {
            Filters::None => filter == Filter::NONE,
            Filters::Planes => true,
        }
    }
}

/// All algorithms.
const ALGORITHMS: &[CompressionAlgorithm] = &[
    CompressionAlgorithm::None,
    CompressionAlgorithm::Deflate,
    CompressionAlgorithm::ConservationAware,
    #[cfg(test)]
    CompressionAlgorithm::RunLength,
    #[cfg(test)]
    CompressionAlgorithm::RunLengthPlanes,
];

impl CompressionAlgorithm {
    /// Its number in the C API and in the format, and its method: `None` stores. Nothing else knows what an
    /// algorithm is made of. Numbers 3 and 4 are reserved in the format.
    const fn definition(self) -> (u8, Option<Method>) {
        match self {
            CompressionAlgorithm::None => (0, None),
            CompressionAlgorithm::Deflate => {
                (1, Some(Method { filters: Filters::None, codec: Codec::Deflate }))
            }
            CompressionAlgorithm::ConservationAware => {
                (2, Some(Method { filters: Filters::Planes, codec: Codec::Deflate }))
            }
            #[cfg(test)]
            CompressionAlgorithm::RunLength => {
                (200, Some(Method { filters: Filters::None, codec: Codec::RunLength }))
            }
            #[cfg(test)]
            CompressionAlgorithm::RunLengthPlanes => {
                (201, Some(Method { filters: Filters::Planes, codec: Codec::RunLength }))
            }
        }
    }

    /// Its number in the C API and in the format.
    pub(crate) fn code(self) -> u8 {
        self.definition().0
    }

    /// The algorithm with this number; `None` if there is none.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        ALGORITHMS.iter().copied().find(|algorithm| u32::from(algorithm.code()) == code)
    }

    /// Method that it encodes blocks with; `None` if it stores them.
    pub(crate) fn method(self) -> Option<Method> {
        self.definition().1
    }
}
