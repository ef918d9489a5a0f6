//! The codecs that blocks and byte planes are encoded with.
//!
//! A codec turns bytes into a stream and back. It knows nothing of blocks, filters, digests and the format:
//! those ask it for its bounds. A new codec is a [`Codec`] here, an implementation of [`BlockCodec`], and an
//! algorithm that uses it (`method.rs`).

#[cfg(feature = "compression")]
mod deflate;
#[cfg(test)]
pub(crate) mod run_length;

use crate::base::error::Result;
use std::ops::RangeInclusive;

/// The codecs, built in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Deflate,
    /// Shows that nothing outside depends on DEFLATE.
    #[cfg(test)]
    RunLength,
}

impl Codec {
    /// The implementation. Fails with UNSUPPORTED if it is not built in, which is decided nowhere else.
    pub(crate) fn get(self) -> Result<&'static dyn BlockCodec> {
        match self {
            #[cfg(feature = "compression")]
            Codec::Deflate => Ok(&deflate::Deflate),
            #[cfg(not(feature = "compression"))]
            Codec::Deflate => Err(crate::base::error::AtlasError::unsupported("compression is not built in")),
            #[cfg(test)]
            Codec::RunLength => Ok(&run_length::RunLength),
        }
    }

    /// All of them.
    const ALL: [Codec; 1] = [Codec::Deflate];

    /// The levels that a caller may ask for and that the format holds. Never includes 0, which stores.
    pub(crate) fn levels(self) -> RangeInclusive<u8> {
        match self {
            Codec::Deflate => 1..=9,
            #[cfg(test)]
            Codec::RunLength => run_length::LEVELS,
        }
    }
}

/// A codec that is built in: its bounds, and the states that workers encode and decode with.
pub(crate) trait BlockCodec: Sync {
    /// The level for trials and for bytes in which nothing repeats: `level`, or a lower one with short
    /// searches.
    fn quick_level(&self, level: u8) -> u8;

    /// Bytes that one byte of a stream stands for at most. What a reader allocates is bounded by it.
    fn max_expansion(&self) -> usize;

    /// Length in which the stream of any `len` bytes fits at every level.
    fn room(&self, len: usize) -> usize;

    /// Bytes that an encoder uses for inputs of up to `len` bytes.
    fn encoder_footprint(&self, level: u8, len: usize) -> usize;

    /// Bytes that a decoder uses for outputs of up to `len` bytes.
    fn decoder_footprint(&self, len: usize) -> usize;

    /// Returns a new encoder. `level` is one of [`Codec::levels`].
    fn encoder(&self, level: u8) -> Result<Box<dyn Encode>>;

    /// Returns a new decoder.
    fn decoder(&self) -> Result<Box<dyn Decode>>;

    /// Frees the states that are kept for later decoders. Does not wait for a thread that has them.
    fn free_used(&self) {}
}

/// Frees the states that codecs keep for later calls.
pub(crate) fn free_used() {
    for codec in Codec::ALL.into_iter().filter_map(|codec| codec.get().ok()) {
        codec.free_used();
    }
}

/// Makes streams of one level. One encoder serves many blocks, because its state may be large.
pub(crate) trait Encode {
    /// Writes one stream of `from` to `to` and returns its length; `None` if it does not fit, which it always
    /// does in [`room`](BlockCodec::room). The stream depends on `from` and the level alone, not on earlier
    /// calls: the bytes of a shard are the same for every number of workers.
    fn encode(&mut self, from: &[u8], to: &mut [u8]) -> Result<Option<usize>>;
}

/// Reads streams, which may be hostile.
pub(crate) trait Decode {
    /// Fills `to` from the one stream that `from` is. Fails with FORMAT if `from` is damaged, ends early or
    /// late, or holds more or fewer bytes than `to`; `to` then holds anything, and the next call is
    /// unaffected.
    fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<()>;
}
