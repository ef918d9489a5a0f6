//! The value of COMPRESSION and its blocks, without a shard: up to 1 MiB of bytes, encoded on their own.

use super::block::{Attempt, BlockDecoder, BlockEncoder, BlockHead};
use super::config::{CompressionConfig, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE};
use super::filter::Filter;
use super::format::{FIXED_SIZE, HEAD_SIZE, put_head, read_head, residue_of, sizes};
use super::method::CompressionAlgorithm;
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::layer2::Residue;

/// Encodes runs of bytes.
pub(crate) struct ValueEncoder {
    config: CompressionConfig,
    block_size: usize,
    encoder: BlockEncoder,
}

/// A value with its blocks.
pub(crate) struct EncodedValue {
    /// The value, then the blocks.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of the value alone.
    pub(crate) head: usize,
    pub(crate) algorithm: u8,
}

impl ValueEncoder {
    /// An encoder for this configuration, whose threshold and ratio mean nothing here; `None` if it stores.
    pub(crate) fn new(config: &CompressionConfig) -> Result<Option<ValueEncoder>> {
        let block_size = config.check()?;
        let Some(method) = config.method() else { return Ok(None) };
        let encoder = BlockEncoder::new(config, method, block_size)?;
        Ok(Some(ValueEncoder { config: *config, block_size, encoder }))
    }

    /// Encodes up to 1 MiB. `None` if no block becomes shorter.
    pub(crate) fn encode(&mut self, bytes: &[u8]) -> Result<Option<EncodedValue>> {
        let blocks = bytes.len().div_ceil(self.block_size);
        let mut done = try_vec(blocks)?;
        let (mut len, mut is_shorter) = (0, false);
        for block in bytes.chunks(self.block_size) {
            let attempt = match self.encoder.encode(block)? {
                Attempt::Stored => (BlockHead::stored(block), None),
                Attempt::Done(head, encoded) => (head, Some(encoded)),
            };
            is_shorter |= attempt.0.len < block.len();
            len += attempt.0.len;
            done.push(attempt);
        }
        if !is_shorter {
            return Ok(None);
        }
        let head = FIXED_SIZE + HEAD_SIZE * blocks;
        let mut out = try_vec(head + len)?;
        let algorithm = self.config.algorithm.code();
        out.extend_from_slice(&[algorithm, self.config.level.value(), Residue::of(bytes).value(), 0]);
        out.extend_from_slice(&u32::try_from(self.block_size).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&to_u64(bytes.len()).to_le_bytes());
        for (head, _) in &done {
            put_head(head, |part| {
                out.extend_from_slice(part);
                Ok(())
            })?;
        }
        for ((_, encoded), block) in done.iter().zip(bytes.chunks(self.block_size)) {
            out.extend_from_slice(encoded.as_deref().unwrap_or(block));
        }
        Ok(Some(EncodedValue { bytes: out, head, algorithm }))
    }
}

/// Bytes of the value that begins with `fixed`, and those that it stands for. `None` if no run of at most 1 MiB
/// has such a value.
pub(crate) fn value_size(fixed: &[u8; FIXED_SIZE]) -> Option<(usize, usize)> {
    let (block_size, size) = sizes(fixed);
    let block_size = usize::try_from(block_size).ok()?;
    let size = usize::try_from(size).ok().filter(|size| (1..=MAX_BLOCK_SIZE).contains(size))?;
    if !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) {
        return None;
    }
    Some((FIXED_SIZE + HEAD_SIZE * size.div_ceil(block_size), size))
}

/// Decodes a value and its blocks, which zeros up to a multiple of 8 follow. Fails with FORMAT, then WITNESS, then
/// CONSERVATION.
pub(crate) fn decode(bytes: &[u8]) -> Result<Buffer> {
    let malformed = |what: String| Err(AtlasError::format(what));
    let fixed = bytes.first_chunk::<FIXED_SIZE>();
    let Some((fixed, (head, size))) = fixed.and_then(|fixed| Some((fixed, value_size(fixed)?))) else {
        return malformed("the value of an encoded record has no size that it can have".to_owned());
    };
    let [code, level, residue, reserved, ..] = *fixed;
    let algorithm = CompressionAlgorithm::from_code(u32::from(code));
    let Some(method) = algorithm.and_then(CompressionAlgorithm::method) else {
        return malformed(format!("algorithm {code} of an encoded record"));
    };
    if reserved != 0 || !method.codec.levels().contains(&level) {
        return malformed(format!("level {level} of algorithm {code}, and a reserved byte {reserved}"));
    }
    let residue = residue_of(u32::from(residue))?;
    let (Some(list), Some(mut rest)) = (bytes.get(FIXED_SIZE..head), bytes.get(head..)) else {
        return malformed("the heads of the blocks end after the record".to_owned());
    };
    let block_size = usize::try_from(sizes(fixed).0).unwrap_or(MAX_BLOCK_SIZE);
    let max_expansion = method.codec.get()?.max_expansion();
    let mut out = Buffer::new(size)?;
    let mut decoder = BlockDecoder::new(block_size.min(size));
    let (mut is_shorter, mut broken) = (false, None);
    for (index, (head, block)) in list.as_chunks().0.iter().zip(out.chunks_mut(block_size)).enumerate() {
        let place = |error: AtlasError| error.at_index(to_u64(index));
        let head = read_head(head, block.len(), Some(method), max_expansion).map_err(place)?;
        let Some((encoded, later)) = rest.split_at_checked(head.len) else {
            return malformed(format!("block {index} ends after its record"));
        };
        is_shorter |= head.len < block.len();
        let differs = if head.filter == Filter::NONE && head.len == block.len() {
            block.copy_from_slice(encoded);
            super::block::check(&head, block, Residue::of(block) == head.residue)
        } else {
            decoder.decode(method.codec, &head, encoded, block)
        };
        broken = broken.or(differs.map_err(place)?);
        rest = later;
    }
    if !is_shorter {
        return malformed("no block of an encoded record is shorter than its bytes".to_owned());
    }
    if rest.len() > 7 || rest.iter().any(|byte| *byte != 0) {
        return malformed("bytes after the blocks of an encoded record are not zero".to_owned());
    }
    if let Some(error) = broken {
        return Err(error);
    }
    if Residue::of(&out) != residue {
        return Err(AtlasError::conservation(format!(
            "an encoded record does not have its residue {residue}"
        )));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn text(len: usize) -> Vec<u8> {
        (0..len)
            .map(|i| b"tiles, witnesses and roots; "[i % 28] ^ u8::try_from(i / 9_000 % 7).unwrap())
            .collect()
    }

    #[test]
    fn what_is_encoded_comes_back_and_noise_is_not_encoded() {
        if super::super::available().is_err() {
            return;
        }
        for algorithm in [CompressionAlgorithm::Deflate, CompressionAlgorithm::ConservationAware] {
            let config = CompressionConfig { algorithm, block_size: 8_192, ..CompressionConfig::default() };
            let mut encoder = ValueEncoder::new(&config).unwrap().unwrap();
            for len in [4_096, 8_192, 8_193, 100_000, 1 << 20] {
                let bytes = text(len);
                let value = encoder.encode(&bytes).unwrap().unwrap();
                assert!(value.bytes.len() < len && value.algorithm == algorithm.code());
                assert_eq!(&*decode(&value.bytes).unwrap(), &bytes[..], "{len}");
                for at in 0..value.head {
                    let mut flipped = value.bytes.clone();
                    flipped[at] ^= 1;
                    // Another level is a level, and a block that is alone may be larger.
                    let found = decode(&flipped);
                    assert!(found.is_err() || at == 1 || (4..8).contains(&at), "byte {at} of {len}");
                    assert!(found.is_err() || *found.unwrap() == bytes[..], "byte {at} of {len}");
                }
                let error = decode(&value.bytes[..value.bytes.len() - 1]).err().unwrap();
                assert_eq!(error.kind(), ErrorKind::Format);
            }
            let mut state = 1_u64;
            let noise: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .take(50_000)
            .collect();
            assert!(encoder.encode(&noise).unwrap().is_none());
        }
        let stores =
            CompressionConfig { algorithm: CompressionAlgorithm::None, ..CompressionConfig::default() };
        assert!(ValueEncoder::new(&stores).unwrap().is_none());
    }
}
