//! LZ4: blocks without a frame, by lz4_flex.
//!
//! The decoder is safe Rust. The decoder of the C library is up to 1.25 times as fast, including BLAKE3 of
//! its output, but would be a second C library that parses hostile bytes.

use super::{BlockCodec, Decode, Encode};
use crate::base::error::{AtlasError, Result};
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

/// The codec LZ4, in its block format. It has one level.
pub(super) struct Lz4;

/// Maximum number of bytes of an encoder's table.
const ENCODER_FOOTPRINT: usize = 20 * 1024;
/// Bytes of the list of lengths that precedes up to 16 byte planes. The output has room for the list and the longest
/// stream.
const LENGTHS: usize = 64;

impl BlockCodec for Lz4 {
    fn quick_level(&self, level: i32) -> i32 {
        level
    }

    /// Returns 255, because a byte in the length of a match stands for 255 bytes.
    fn max_expansion(&self) -> usize {
        255
    }

    fn codes_frequent_bytes(&self) -> bool {
        false
    }

    fn room(&self, len: usize) -> usize {
        get_maximum_output_size(len) + LENGTHS
    }

    fn encoder_footprint(&self, _level: i32, _len: usize) -> usize {
        ENCODER_FOOTPRINT
    }

    fn decoder_footprint(&self, _len: usize) -> usize {
        0
    }

    fn encoder(&self, _level: i32) -> Result<Box<dyn Encode>> {
        Ok(Box::new(Encoder(CompressTable::small())))
    }

    fn decoder(&self) -> Result<Box<dyn Decode>> {
        Ok(Box::new(Decoder))
    }
}

/// Encoder of LZ4 streams, with its table of earlier positions.
struct Encoder(CompressTable);

impl Encode for Encoder {
    fn encode(&mut self, from: &[u8], to: &mut [u8]) -> Result<Option<usize>> {
        // The choice of the table decides which matches are found, so that it depends on the length alone.
        let small = from.len() < usize::from(u16::MAX);
        if small != matches!(self.0, CompressTable::Small(_)) {
            self.0 = if small { CompressTable::small() } else { CompressTable::large() };
        }
        // Fails if there is no room for the longest stream.
        Ok(compress_into_with_table(from, to, &mut self.0).ok())
    }
}

/// Decoder of LZ4 streams. It has no state.
struct Decoder;

impl Decode for Decoder {
    fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<()> {
        let made = decompress_into(from, to).map_err(|error| {
            AtlasError::format(format!("damaged compressed data: an LZ4 stream cannot be decoded: {error}"))
        })?;
        // An LZ4 block does not state its length; the head of the block does.
        if made == to.len() {
            return Ok(());
        }
        let (from, to) = (from.len(), to.len());
        Err(AtlasError::format(format!(
            "damaged compressed data: an LZ4 stream of {from} bytes decoded to {made} bytes instead of {to}"
        )))
    }
}
