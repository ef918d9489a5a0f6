//! The codecs of blocks and byte planes.
//!
//! A codec turns bytes into a stream and back. It does not depend on blocks, filters, digests or the format,
//! which use its bounds. It has levels of its own; [`Codec::own_level`] maps the levels of the format to
//! them. A new codec is a [`Codec`] here, an implementation of [`BlockCodec`], and an algorithm that uses it
//! (`method.rs`).

#[cfg(feature = "compression")]
mod deflate;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(test)]
pub(crate) mod run_length;
#[cfg(feature = "zstd")]
pub(crate) mod zstd;

use crate::base::error::{AtlasError, Result};
use std::ops::RangeInclusive;

/// The codecs that encode blocks and byte planes, built in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Deflate,
    Zstd,
    Lz4,
    /// Test codec, which proves that nothing else depends on DEFLATE.
    #[cfg(test)]
    RunLength,
}

/// Levels on Zstandard's own scale for the levels 1 to 9 of the format.
const ZSTD_LEVELS: [i32; 9] = [1, 2, 3, 5, 7, 9, 12, 15, 19];
/// Level that Zstandard itself uses if level 0 is requested.
const ZSTD_DEFAULT: i32 = 3;

impl Codec {
    /// Returns the implementation of the codec. Fails with UNSUPPORTED if it is not built in; only this function
    /// decides that.
    pub(crate) fn get(self) -> Result<&'static dyn BlockCodec> {
        // Each codec that is not built in has an arm of its own, and in some builds there is no such codec.
        #[allow(unreachable_patterns, reason = "all codecs may be built in")]
        match self {
            #[cfg(feature = "compression")]
            Codec::Deflate => Ok(&deflate::Deflate),
            #[cfg(feature = "zstd")]
            Codec::Zstd => Ok(&zstd::Zstd),
            #[cfg(feature = "lz4")]
            Codec::Lz4 => Ok(&lz4::Lz4),
            #[cfg(test)]
            Codec::RunLength => Ok(&run_length::RunLength),
            Codec::Deflate => Err(AtlasError::unsupported(
                "DEFLATE is not built in: build the library with the Cargo feature compression",
            )),
            Codec::Zstd => Err(AtlasError::unsupported(
                "Zstandard is not built in: build the library with the Cargo feature zstd",
            )),
            Codec::Lz4 => Err(AtlasError::unsupported(
                "LZ4 is not built in: build the library with the Cargo feature lz4",
            )),
        }
    }

    /// All codecs that the format knows.
    pub(super) const ALL: [Codec; 3] = [Codec::Deflate, Codec::Zstd, Codec::Lz4];

    /// Returns the levels that a caller may request and the format can hold. Never includes 0, which means
    /// stored.
    pub(crate) fn levels(self) -> RangeInclusive<u8> {
        match self {
            Codec::Deflate | Codec::Zstd | Codec::Lz4 => 1..=9,
            #[cfg(test)]
            Codec::RunLength => run_length::LEVELS,
        }
    }

    /// Returns the range of levels on the codec's own scale.
    pub(crate) fn own_levels(self) -> RangeInclusive<i32> {
        match self {
            Codec::Deflate => 1..=9,
            // The levels from 20 on are the ultra levels of Zstandard, which take far more memory.
            Codec::Zstd => -7..=19,
            Codec::Lz4 => 1..=1,
            #[cfg(test)]
            Codec::RunLength => 1..=i32::from(*run_length::LEVELS.end()),
        }
    }

    /// Returns the level on the codec's own scale for a level of the format, one of [`levels`](Self::levels).
    pub(crate) fn own_level(self, level: u8) -> i32 {
        match self {
            Codec::Deflate => i32::from(level),
            // The nine levels are spread over the range of the codec.
            Codec::Zstd => ZSTD_LEVELS[usize::from(level.clamp(1, 9)) - 1],
            Codec::Lz4 => 1,
            #[cfg(test)]
            Codec::RunLength => i32::from(level),
        }
    }

    /// Returns the level of the format that is nearest to the codec's own level `own`. Of two equally near levels,
    /// returns the lower.
    pub(crate) fn nearest_level(self, own: i32) -> u8 {
        // Zstandard treats 0 as its default level.
        let own = if self == Codec::Zstd && own == 0 { ZSTD_DEFAULT } else { own };
        // `min_by_key` returns the first of several equally near levels.
        self.levels().min_by_key(|level| self.own_level(*level).abs_diff(own)).unwrap_or(1)
    }
}

/// Implementation of a codec: bounds for its streams and its memory, and new encoders and decoders.
pub(crate) trait BlockCodec: Sync {
    /// Returns the level for trials and for bytes without repeats: `level`, or a lower level with short
    /// searches.
    fn quick_level(&self, level: i32) -> i32;

    /// Returns the maximum number of bytes that one byte of a stream stands for. It bounds the allocations
    /// of a reader.
    fn max_expansion(&self) -> usize;

    /// Returns true if the codec has shorter codes for frequent bytes, besides references to repeated
    /// strings.
    fn codes_frequent_bytes(&self) -> bool {
        true
    }

    /// Returns a length that suffices for the stream of any `len` bytes at every level.
    fn room(&self, len: usize) -> usize;

    /// Returns the size of the memory of an encoder for inputs of up to `len` bytes.
    fn encoder_footprint(&self, level: i32, len: usize) -> usize;

    /// Returns the size of the memory of a decoder for outputs of up to `len` bytes.
    fn decoder_footprint(&self, len: usize) -> usize;

    /// Returns a new encoder. `level` is one of [`Codec::own_levels`].
    fn encoder(&self, level: i32) -> Result<Box<dyn Encode>>;

    /// Returns a new decoder.
    fn decoder(&self) -> Result<Box<dyn Decode>>;

    /// Frees the decoder states that the codec keeps for later calls. Frees none, and does not wait, if another thread
    /// uses the list of these states.
    fn free_used(&self) {}
}

/// Frees the decoder states that codecs keep for later calls.
pub(crate) fn free_used() {
    for codec in Codec::ALL.into_iter().filter_map(|codec| codec.get().ok()) {
        codec.free_used();
    }
}

/// Encoder of streams of one level. One encoder serves many blocks, because its state may be large.
pub(crate) trait Encode {
    /// Writes one stream of `from` to `to` and returns its length. `None` if the stream does not fit; it
    /// always fits in [`room`](BlockCodec::room) bytes. The stream depends on `from` and the level alone, not
    /// on earlier calls, so that the bytes of a shard are the same for every number of workers.
    fn encode(&mut self, from: &[u8], to: &mut [u8]) -> Result<Option<usize>>;

    /// Encodes like [`encode`](Self::encode) a byte plane, which has no distant repeats: a codec may divide
    /// it into pieces that suit its caches.
    fn encode_plane(&mut self, from: &[u8], to: &mut [u8]) -> Result<Option<usize>> {
        self.encode(from, to)
    }
}

/// Decoder of streams, which may be hostile.
pub(crate) trait Decode {
    /// Fills `to` from `from`, which must be one stream. Fails with FORMAT if `from` is damaged, ends early
    /// or late, or decodes to more or fewer bytes than `to` has; the contents of `to` are then unspecified,
    /// and the next call is unaffected.
    fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<()>;
}
