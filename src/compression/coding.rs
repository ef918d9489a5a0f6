//! The value of COMPRESSION (docs/format.md): how bytes are encoded, and the heads of their blocks.

use super::block::{BlockHead, CHECK_SIZE};
use super::config::{MAX_BLOCK_SIZE, MIN_BLOCK_SIZE};
use super::filter::Filter;
use super::method::{CompressionAlgorithm, Method};
use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::layer2::Residue;

/// Bytes of the value before the heads of the blocks.
pub(super) const FIXED_SIZE: usize = 16;
/// Bytes of the head of a block.
pub(super) const HEAD_SIZE: usize = 4 + CHECK_SIZE;

const LEN_BITS: u32 = 21;
const FILTER_BITS: u32 = 3;

/// What the value says of all blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) algorithm: CompressionAlgorithm,
    pub(super) level: u8,
    /// Of the bytes that the whole is about.
    pub(super) residue: Residue,
    pub(super) block_size: usize,
    /// Bytes that the blocks decode to.
    pub(super) len: usize,
}

impl Coding {
    /// Bytes of the block with this index.
    pub(super) fn block_len(&self, index: usize) -> usize {
        self.block_size.min(self.len - index * self.block_size)
    }

    /// Writes the value, of [`FIXED_SIZE`] bytes and [`HEAD_SIZE`] for each block, part by part.
    pub(super) fn write(&self, heads: &[BlockHead], mut put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        put(&[self.algorithm.code(), self.level, self.residue.value(), 0])?;
        put(&u32_of(self.block_size)?.to_le_bytes())?;
        put(&to_u64(self.len).to_le_bytes())?;
        for head in heads {
            let word = u32_of(head.len)?
                | u32::from(head.filter.code()) << LEN_BITS
                | u32::from(head.residue.value()) << (LEN_BITS + FILTER_BITS);
            put(&word.to_le_bytes())?;
            put(&head.check)?;
        }
        Ok(())
    }

    /// Reads the value, where the encoded blocks have `data_len` bytes together. Fails with FORMAT or UNSUPPORTED.
    pub(super) fn read(value: &[u8], data_len: usize) -> Result<(Coding, Vec<BlockHead>)> {
        let Some((fixed, heads)) = value.split_first_chunk::<FIXED_SIZE>() else {
            return malformed(format!("COMPRESSION has {} bytes", value.len()));
        };
        let [code, level, residue, reserved, ..] = *fixed;
        let (block_size, size) = sizes(fixed);
        let algorithm = CompressionAlgorithm::from_format(code)?;
        let method = algorithm.method();
        let stored = method.is_none();
        let max_expansion = match method {
            Some(method) => method.codec.get()?.max_expansion(),
            None => 1,
        };
        let levels = method.map_or(0..=0, |method| method.codec.levels());
        if reserved != 0 || !levels.contains(&level) {
            return malformed(format!("level {level} of algorithm {code}, and a reserved byte {reserved}"));
        }
        let residue = residue_of(u32::from(residue))?;
        let block_size = usize::try_from(block_size).unwrap_or(usize::MAX);
        let least = if stored { MAX_BLOCK_SIZE } else { MIN_BLOCK_SIZE };
        if !(least..=MAX_BLOCK_SIZE).contains(&block_size) {
            return malformed(format!("a block size of {block_size} is outside {least}..={MAX_BLOCK_SIZE}"));
        }
        let (list, rest) = heads.as_chunks::<HEAD_SIZE>();
        let Ok(len) = usize::try_from(size) else {
            return malformed(format!("a payload of {size} bytes"));
        };
        if !rest.is_empty() || list.len() != len.div_ceil(block_size) {
            return malformed(format!(
                "{} bytes of heads where a payload of {size} bytes has {} blocks",
                heads.len(),
                len.div_ceil(block_size)
            ));
        }
        let coding = Coding { algorithm, level, residue, block_size, len };
        let mut heads = try_vec(list.len())?;
        let mut left = data_len;
        for (index, head) in list.iter().enumerate() {
            let head = read_head(head, coding.block_len(index), method, max_expansion)
                .map_err(|error| error.at_index(to_u64(index)))?;
            let Some(later) = left.checked_sub(head.len) else {
                return malformed(format!("block {index} of {} bytes where {left} are left", head.len));
            };
            heads.push(head);
            left = later;
        }
        if left > 0 {
            return malformed(format!("{left} bytes too many in DATA"));
        }
        if !stored && data_len == len {
            return malformed(format!("algorithm {code} where no block is smaller than its bytes"));
        }
        Ok((coding, heads))
    }
}

/// Block size, and bytes of the payload, as COMPRESSION claims.
pub(super) fn sizes(fixed: &[u8; FIXED_SIZE]) -> (u32, u64) {
    let [_, _, _, _, b0, b1, b2, b3, size @ ..] = *fixed;
    (u32::from_le_bytes([b0, b1, b2, b3]), u64::from_le_bytes(size))
}

/// The head of a block of `block_len` bytes, of which an encoded byte stands for `max_expansion` at most:
/// 1 if they are stored.
fn read_head(
    bytes: &[u8; HEAD_SIZE],
    block_len: usize,
    method: Option<Method>,
    max_expansion: usize,
) -> Result<BlockHead> {
    let [w0, w1, w2, w3, check @ ..] = *bytes;
    let word = u32::from_le_bytes([w0, w1, w2, w3]);
    let len = usize::try_from(word & ((1 << LEN_BITS) - 1)).unwrap_or(usize::MAX);
    let code = word >> LEN_BITS & ((1 << FILTER_BITS) - 1);
    let residue = residue_of(word >> (LEN_BITS + FILTER_BITS))?;
    let filter = u8::try_from(code).ok().and_then(Filter::new);
    let is_allowed = |filter: &Filter| match method {
        Some(method) if len < block_len => method.filters.allows(*filter),
        // A block that is kept as it is has none.
        _ => *filter == Filter::NONE,
    };
    let Some(filter) = filter.filter(is_allowed) else {
        return malformed(format!("filter {code} of a block of {block_len} bytes in {len}"));
    };
    if len > block_len || len < block_len.div_ceil(max_expansion) {
        return malformed(format!("a block of {block_len} bytes in {len}"));
    }
    Ok(BlockHead { len, filter, residue, check })
}

/// The length that the head of a block claims.
pub(super) fn claimed_len(head: &[u8]) -> usize {
    let word = head.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
    usize::try_from(word & ((1 << LEN_BITS) - 1)).unwrap_or(usize::MAX)
}

/// A residue with what must be 0 above it.
fn residue_of(value: u32) -> Result<Residue> {
    match u8::try_from(value).ok().and_then(Residue::new) {
        Some(residue) => Ok(residue),
        None => malformed(format!("a residue of {value} is outside 0..=95")),
    }
}

fn u32_of(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| AtlasError::internal("a block is larger than 1 MiB"))
}

pub(super) fn malformed<T>(what: String) -> Result<T> {
    Err(AtlasError::format(what))
}
